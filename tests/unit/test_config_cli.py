"""``gitops config`` and ``gitops init`` as a person or a script sees them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from gitops.cli import main
from gitops.config import load
from gitops.config.first import Answers, fleet_file, quoted
from gitops.config.tree import parse
from gitops.model.ids import ApplicationName

GOLDEN = Path(__file__).parent.parent / "golden" / "config"


class Ran(NamedTuple):
    code: object
    out: str
    err: str


Gitops = Callable[..., Ran]


@pytest.fixture
def gitops(capsys: pytest.CaptureFixture[str]) -> Gitops:
    def run(*arguments: str | Path) -> Ran:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Ran(caught.value.code, said.out, said.err)

    return run


UNATTENDED = ("--yes", "--git", "https://git.example.com/acme/shop.git", "--person", "ada=a@b.org")


def test_a_bad_file_is_exit_1_and_all_its_problems(gitops: Gitops) -> None:
    ran = gitops("config", "check", GOLDEN / "several.yaml")
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err.count("several.yaml:") == 6


def test_problems_as_json_have_place_message_and_hint(gitops: Gitops) -> None:
    ran = gitops("config", "check", GOLDEN / "unknown-key.yaml", "--output", "json")
    assert ran.code == 1
    [error] = json.loads(ran.out or ran.err)["errors"]
    assert error["hint"] == 'did you mean "source"?'
    assert error["place"].endswith("unknown-key.yaml:7:5")


def test_init_writes_a_file_that_is_fine_and_never_overwrites(
    gitops: Gitops, tmp_path: Path
) -> None:
    first = gitops("init", tmp_path, *UNATTENDED)
    assert first.code == 0, first.err
    assert gitops("config", "check", tmp_path / "gitops.yaml").code == 0
    assert json.loads((tmp_path / "gitops.schema.json").read_text())["title"]
    before = (tmp_path / "gitops.yaml").read_bytes()
    second = gitops("init", tmp_path, *UNATTENDED)
    assert second.code == 1
    assert "already there" in second.err
    assert (tmp_path / "gitops.yaml").read_bytes() == before


def test_the_checked_file_as_json_is_counted(gitops: Gitops, tmp_path: Path) -> None:
    gitops("init", tmp_path, *UNATTENDED)
    ran = gitops("--output", "json", "config", "check", tmp_path / "gitops.yaml")
    told = json.loads(ran.out)
    assert (told["errors"], told["sources"], told["discoveries"]) == ([], 1, 1)


def test_roots_are_counted_among_the_applications(gitops: Gitops, tmp_path: Path) -> None:
    path = tmp_path / "gitops.yaml"
    path.write_text(
        "sources: {infra: {git: https://git.example.com/infra.git}}\n"
        "applications: {network: {path: n, terraform: {}}, dns: {path: d, terraform: {}}}\n"
        "people: {ada: {emails: ada@example.com}}\n"
    )
    told = gitops("config", "check", path).out
    assert told.strip().endswith("fine – 1 source, 2 applications (2 roots), 1 person")
    assert json.loads(gitops("--output", "json", "config", "check", path).out)["roots"] == 2


def test_unattended_init_names_the_option_it_lacks(gitops: Gitops, tmp_path: Path) -> None:
    ran = gitops("init", tmp_path / "new", "--yes")
    assert ran.code == 1
    assert "--git or --directory" in ran.err
    assert not (tmp_path / "new" / "gitops.yaml").exists()


def test_init_asks_a_person_what_it_needs(
    gitops: Gitops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["git@git.example.com:acme/shop.git", "sandbox", "apps/shop"]
    said += ["ada", "ada@example.com", "y", "bob", "bob@example.com", "n"]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(said) + "\n"))
    ran = gitops("init", tmp_path)
    assert ran.code == 0, ran.err
    fleet = load(tmp_path / "gitops.yaml", {})
    assert set(fleet.people.persons) == {"ada", "bob"}
    assert fleet.applications[ApplicationName("shop")].path == "apps/shop"


def test_init_without_anybody_to_ask_writes_nothing(
    gitops: Gitops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    ran = gitops("init", tmp_path)
    assert ran.code == 1
    assert list(tmp_path.iterdir()) == []


def test_the_schema_is_printed_as_json(gitops: Gitops) -> None:
    assert json.loads(gitops("config", "schema").out)["properties"]["sources"]


@pytest.mark.parametrize(
    "text", ["a", "yes", "1.10", "12:30", "a: b", "#x", "*a", "'", '"', "ä", "git@h:p", "-x", "a b"]
)
def test_what_init_writes_reads_back_as_it_was_meant(text: str) -> None:
    assert parse(f"k: {quoted(text)}\nl: [{quoted(text)}]", "f", Path("/")).plain() == {
        "k": text,
        "l": [text],
    }


def test_a_folder_is_one_application_and_a_pattern_discovers() -> None:
    def written(path: str) -> set[str]:
        answers = Answers("s", "https://h/r", path, "c", ("sandbox", "d"), (("ada", "a@b.c"),))
        return set(parse(fleet_file(answers), "f", Path("/")).plain())

    assert "applications" in written("apps/shop")
    assert "discover" in written("apps/*")
