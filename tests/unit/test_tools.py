"""The right program is found, the wrong one is not, and a build says honestly what is missing."""

from __future__ import annotations

import multiprocessing
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gitops.errors import ToolMissing
from gitops.sandbox import build, golang, recipes
from gitops.sandbox.tools import Origin, Progress, Toolbox, user_cache

Program = Callable[[Path, str], Path]


@pytest.fixture
def program() -> Program:
    """Writes an executable script that says what it is told to."""

    def write(path: Path, script: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return write


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without any of the tools."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)


@pytest.fixture
def box(tmp_path: Path) -> Toolbox:
    return Toolbox(tmp_path / "cache")


class TestFinding:
    def test_a_missing_tool_is_named_with_the_line_that_gets_it(self, box: Toolbox) -> None:
        assert box.find("kwok") is None
        with pytest.raises(ToolMissing, match=r"kwok v0\.8\.0 is not here") as missing:
            box.path("kwok")
        assert missing.value.hint == "run: gitops sandbox tools kwok"

    def test_an_unknown_name_lists_the_known_ones(self, box: Toolbox) -> None:
        with pytest.raises(ToolMissing, match="no tool is called 'kwock'") as missing:
            box.find("kwock")
        assert "kwok" in missing.value.hint

    def test_on_path_only_the_pinned_version_counts(
        self, box: Toolbox, tmp_path: Path, program: Program
    ) -> None:
        found = program(tmp_path / "bin/kwok", "echo kwok version v0.7.0 go1.26.1")
        assert box.find("kwok") is None
        with pytest.raises(ToolMissing) as missing:
            box.path("kwok")
        assert f"{found} is v0.7.0" in missing.value.hint
        program(found, "echo kwok version v0.8.0 go1.26.1")
        assert box.path("kwok") == found

    def test_assets_are_preferred_to_path_and_path_to_the_cache(
        self, box: Toolbox, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        says = "echo kwok version v0.8.0"
        monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "assets"))
        program(tmp_path / "assets/kwok", says)
        program(tmp_path / "bin/kwok", says)
        program(box.folder("kwok") / "kwok", says)
        assert [c.origin for c in box.candidates("kwok")] == [
            Origin.ASSETS,
            Origin.PATH,
            Origin.CACHE,
        ]
        assert box.find("kwok") == tmp_path / "assets/kwok"

    def test_a_program_that_does_not_run_or_answer_is_passed_over(
        self, box: Toolbox, tmp_path: Path, program: Program
    ) -> None:
        program(tmp_path / "bin/kwok", "exit 1")
        cached = program(box.folder("kwok") / "kwok", "")
        assert box.find("kwok") == cached

    def test_a_tool_that_vanished_is_looked_for_again(self, box: Toolbox, program: Program) -> None:
        cached = program(box.folder("kwok") / "kwok", "")
        assert box.find("kwok") == cached
        cached.unlink()
        assert box.find("kwok") is None

    def test_a_tool_asked_for_its_version_sees_no_variable_of_ours(
        self, box: Toolbox, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SECRET_TOKEN", "s3cret")
        program(tmp_path / "bin/kwok", f"env > {tmp_path / 'seen'}; echo v0.8.0")
        assert box.find("kwok")
        assert "s3cret" not in (tmp_path / "seen").read_text()

    def test_the_cache_is_where_the_desktop_says(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
        assert user_cache() == Path("/elsewhere/gitops-controller/tools")


class TestVersions:
    @pytest.mark.parametrize(
        ("said", "version"),
        [
            ("Kubernetes v1.35.4\n", "1.35.4"),
            ("etcd Version: 3.6.8\nGo Version: go1.26.8", "3.6.8"),
            ("kwok version v0.8.0 go1.26.8 (linux/amd64)", "0.8.0"),
            ('version.BuildInfo{Version:"v4.3.1", GoVersion:"go1.26.8"}', "4.3.1"),
            ("Client Version: v1.35.4\nKustomize Version: v5.7.1", "1.35.4"),
            ("v5.9.0-rc.1", "5.9.0-rc.1"),
            ("OpenTofu v1.12.6\non linux_amd64", "1.12.6"),
            ("OpenTofu v1.12.6-dev\non linux_amd64", "1.12.6-dev"),
            ("go version go1.26.8", ""),
            ("unknown", ""),
        ],
    )
    def test_what_programs_say_is_understood(self, said: str, version: str) -> None:
        assert recipes.version_in(said) == version

    def test_every_tool_is_pinned_by_its_module_file(self) -> None:
        for tool in recipes.TOOLS.values():
            assert tool.version == f"v{recipes.version_in(tool.version)}"
            assert (recipes.MODULES / tool.module / "go.sum").is_file()

    def test_every_program_of_a_module_is_declared_as_its_tool(self) -> None:
        for tool in recipes.TOOLS.values():
            assert tool.package in (recipes.MODULES / tool.module / "go.mod").read_text()

    def test_opentofu_is_built_with_the_parser_it_names_and_with_no_other(self) -> None:
        parser = re.search(
            r"^replace (\S+)(?: \S+)? => (\S+) (\S+)$",
            (recipes.MODULES / "tofu" / "go.mod").read_text(),
            re.MULTILINE,
        )
        assert parser is not None
        assert parser.groups()[:2] == ("github.com/hashicorp/hcl/v2", "github.com/opentofu/hcl/v2")
        sums = (recipes.MODULES / "tofu" / "go.sum").read_text()
        assert f"{parser[2]} {parser[3]} h1:" in sums
        assert "github.com/hashicorp/hcl/v2 " not in sums


class TestBuilding:
    """Failures no real compiler can be made to have, from a stand-in for it."""

    GO = 'case "$1" in env) echo go1.26.8; exit;; list) echo one; echo two; exit;; esac; '

    @pytest.fixture
    def go(self, tmp_path: Path, program: Program) -> Callable[[str], Path]:
        return lambda script: program(tmp_path / "bin/go", self.GO + script)

    def test_the_build_is_complete_or_not_there(
        self, box: Toolbox, go: Callable[[str], Path]
    ) -> None:
        go('echo "link: no space left on device" >&2; exit 1')
        with pytest.raises(ToolMissing, match="cannot build kwok: link: no space") as missing:
            box.ensure(["kwok"])
        assert "free some disk space" in missing.value.hint
        assert [p.name for p in box.cache.iterdir() if p.is_dir()] == []

    @pytest.mark.parametrize(
        ("said", "hint"),
        [
            ("go: x@v1: Get x: dial tcp: lookup x: no such host", "needs the network"),
            ("compile: signal: killed", "ran out of memory"),
            ("x.go:1: syntax error", "to see it all"),
        ],
    )
    def test_what_stands_in_the_way_is_said(
        self, box: Toolbox, go: Callable[[str], Path], said: str, hint: str
    ) -> None:
        go(f'echo "{said}" >&2; exit 1')
        with pytest.raises(ToolMissing) as missing:
            box.ensure(["kwok"])
        assert said in missing.value.message
        assert hint in missing.value.hint

    def test_too_little_disk_is_said_before_a_minute_is_spent(
        self, box: Toolbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(build._SPACE, "kwok", 1 << 60)
        with pytest.raises(ToolMissing, match="GiB of free disk"):
            box.ensure(["kwok"])

    def test_a_cache_that_cannot_be_written_is_said(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(ToolMissing, match="cannot write to the tool cache"):
            Toolbox(tmp_path / "file" / "cache").ensure(["kwok"])

    def test_progress_counts_packages(self, box: Toolbox, go: Callable[[str], Path]) -> None:
        # The output file is the argument after -o.
        go(
            "echo one >&2; echo two >&2; "
            'while [ "$1" != -o ]; do shift; done; echo x > "$2"; chmod +x "$2"'
        )
        seen: list[Progress] = []
        box.ensure(["kwok"], seen.append)
        assert (seen[-1].done, seen[-1].total, seen[-1].doing) == (2, 2, "built")

    @pytest.mark.slow
    def test_two_processes_that_need_the_same_build_it_once(
        self, box: Toolbox, go: Callable[[str], Path], tmp_path: Path
    ) -> None:
        go(
            f"echo built >> {tmp_path / 'builds'}; sleep 0.3; "
            'while [ "$1" != -o ]; do shift; done; echo x > "$2"; chmod +x "$2"'
        )
        fresh = multiprocessing.get_context("spawn")
        both = [fresh.Process(target=_ensure, args=(box.cache,)) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join(60)
        assert [one.exitcode for one in both] == [0, 0]
        assert (tmp_path / "builds").read_text() == "built\n"


def _ensure(cache: Path) -> None:
    Toolbox(cache).ensure(["kwok"])


class TestGo:
    def test_an_old_go_does_not_count(
        self, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go = program(tmp_path / "go", "echo go1.25.9")
        monkeypatch.setattr(golang, "_candidates", lambda cache: iter([go]))
        assert golang.find_go(tmp_path) is None
        program(go, "echo go1.26.0")
        assert golang.find_go(tmp_path) == go

    def test_a_users_settings_of_where_from_are_kept_and_of_what_are_not(self) -> None:
        given = {
            "GOPROXY": "https://mirror.invalid",
            "HTTPS_PROXY": "http://proxy.invalid",
            "GOOS": "plan9",
            "GOFLAGS": "-tags=x",
            "AWS_SECRET_ACCESS_KEY": "s3cret",
        }
        kept = golang.environment(given)
        assert kept["GOPROXY"] == "https://mirror.invalid"
        assert kept["HTTPS_PROXY"] == "http://proxy.invalid"
        assert kept["GOFLAGS"] == "-mod=readonly"
        assert "GOOS" not in kept
        assert "AWS_SECRET_ACCESS_KEY" not in kept

    @pytest.mark.slow
    def test_no_go_and_no_index_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", os.devnull)
        with pytest.raises(ToolMissing, match=r"no Go 1\.26 here, and its wheel") as missing:
            golang.install_go(tmp_path)
        assert "install Go 1.26 or newer" in missing.value.hint
        assert list(tmp_path.iterdir()) == []
