"""``gitops doctor`` tells what is missing, whether it matters, and how to get it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitops.cli.doctor import (
    Examined,
    State,
    examine_doors,
    examine_machine,
    examine_roots,
    examine_secrets,
    examine_sign_in,
)
from gitops.model.fleet import ApplicationSpec, Fleet, WebhookSpec
from gitops.model.ids import ApplicationName, SourceName
from gitops.model.secret import SecretRef
from gitops.model.serving import ApiSpec, OidcSpec, SignInSpec, TlsSpec
from gitops.model.terraform import TerraformHost, TerraformSpec
from gitops.sandbox.tools import Toolbox


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on PATH; returns the folder that is PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    return tmp_path / "bin"


def examined(tmp_path: Path) -> dict[str, Examined]:
    return {one.name: one for one in examine_machine(Toolbox(tmp_path / "cache"))}


def put(folder: Path, name: str, says: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
    (folder / name).chmod(0o755)


def test_what_every_delivery_needs_is_missing_and_the_rest_optional(
    bare: Path, tmp_path: Path
) -> None:
    found = examined(tmp_path)
    states = {name: found[name].state for name in ("git", "helm", "kustomize", "kwok", "kubectl")}
    assert states == {
        "git": State.MISSING,
        "helm": State.MISSING,
        "kustomize": State.MISSING,
        "kwok": State.OPTIONAL,
        "kubectl": State.OPTIONAL,
    }
    assert found["helm"].remedy == "gitops sandbox tools helm"


@pytest.mark.parametrize(
    ("says", "state"),
    [
        ("git version 2.31.0", State.OK),
        ("git version 2.30.9", State.MISSING),
        ("git version 3.0.0.windows.1", State.OK),
        ("gibberish", State.MISSING),
        ("", State.MISSING),
    ],
)
def test_git_has_to_be_new_enough(bare: Path, tmp_path: Path, says: str, state: State) -> None:
    put(bare, "git", says)
    assert examined(tmp_path)["git"].state is state


def test_a_tool_of_another_version_is_named_with_the_version_it_has(
    bare: Path, tmp_path: Path
) -> None:
    put(bare, "helm", 'version.BuildInfo{Version:"v3.19.0"}')
    found = examined(tmp_path)["helm"]
    assert found.state is State.MISSING
    assert f"{bare / 'helm'} is v3.19.0" in found.detail


def test_everything_missing_comes_with_a_line_that_gets_it(bare: Path, tmp_path: Path) -> None:
    lacking = [one for one in examined(tmp_path).values() if one.state is not State.OK]
    assert lacking
    assert [one.name for one in lacking if not one.remedy and one.name != "go"] == []


def says(version: str) -> str:
    return f'{{"terraform_version": "{version}"}}'


def test_without_a_fleet_a_missing_terraform_is_a_note_with_the_line_that_gets_one(
    bare: Path, tmp_path: Path
) -> None:
    found = examined(tmp_path)
    assert {found[name].state for name in ("terraform", "tofu")} == {State.OPTIONAL}
    assert found["tofu"].remedy == "gitops sandbox tools tofu"
    assert "https://" in found["terraform"].remedy
    put(bare, "terraform", says("1.11.4"))
    row = examined(tmp_path)["terraform"]
    assert (row.state, row.detail) == (State.OK, f"1.11.4  {bare / 'terraform'}")


@pytest.fixture
def fleet(tmp_path: Path) -> Callable[..., Fleet]:
    """A fleet with one root, run by what the arguments say."""

    def build(**root: Any) -> Fleet:
        spec = ApplicationSpec(
            ApplicationName("network"), SourceName("config"), "", terraform=TerraformSpec(**root)
        )
        host = TerraformHost(folders=(tmp_path / "versions",))
        applications = {spec.name: spec}
        return Fleet(tmp_path / "gitops.yaml", tmp_path, applications=applications, terraform=host)

    return build


def rows(fleet: Fleet, tmp_path: Path) -> list[Examined]:
    return list(examine_roots(fleet, Toolbox(tmp_path / "cache")))


def test_a_root_whose_binary_is_missing_is_a_failure_that_names_it(
    bare: Path, tmp_path: Path, fleet: Callable[..., Fleet]
) -> None:
    (row,) = rows(fleet(binary="tofu"), tmp_path)
    assert (row.name, row.state) == ("roots with tofu", State.MISSING)
    assert "network" in row.detail
    assert row.remedy == "gitops sandbox tools tofu"
    assert rows(Fleet(tmp_path, tmp_path), tmp_path) == []


def test_a_root_takes_any_version_unless_it_names_one(
    bare: Path, tmp_path: Path, fleet: Callable[..., Fleet]
) -> None:
    put(bare, "terraform", says("1.9.0"))
    (any_version,) = rows(fleet(), tmp_path)
    assert any_version.state is State.OK
    (exactly,) = rows(fleet(version="1.11.4"), tmp_path)
    assert (exactly.name, exactly.state) == ("roots with terraform 1.11.4", State.MISSING)
    assert f"{bare / 'terraform'} is 1.9.0" in exactly.detail
    assert "terraform-1.11.4" in exactly.remedy


@pytest.mark.parametrize("place", ["terraform", "terraform-1.11.4", "1.11.4/terraform"])
def test_a_version_is_found_in_the_fleets_own_folders_before_path(
    bare: Path, tmp_path: Path, fleet: Callable[..., Fleet], place: str
) -> None:
    put(bare, "terraform", says("1.11.4"))
    there = tmp_path / "versions" / place
    there.parent.mkdir(parents=True)
    put(there.parent, there.name, says("1.11.4"))
    (row,) = rows(fleet(version="1.11.4"), tmp_path)
    assert row.state is State.OK
    assert str(there) in row.detail


@pytest.mark.parametrize("gibberish", ["no JSON", "[]", '{"terraform_version": 7}'])
def test_a_binary_that_says_no_version_is_not_taken_for_one(
    bare: Path, tmp_path: Path, fleet: Callable[..., Fleet], gibberish: str
) -> None:
    put(bare, "terraform", gibberish)
    (row,) = rows(fleet(), tmp_path)
    assert row.state is State.MISSING
    assert "of no known version" in row.detail


def test_it_says_what_is_open_and_to_whom(tmp_path: Path) -> None:
    def said(api: ApiSpec) -> Examined:
        hook = WebhookSpec("github", "github")
        return examine_doors(Fleet(tmp_path / "f", tmp_path, api=api, webhooks=(hook,)))

    assert "socket alone" in said(ApiSpec()).detail
    local = said(ApiSpec(listen="127.0.0.1:8080")).detail
    assert "(plain HTTP) for this machine" in local
    assert "open without a token: /healthz, /readyz, /hooks/github" in local
    url = "https://gitops.example.com"
    proxied = said(ApiSpec(listen="0.0.0.0:8080", url=url, behind_proxy=True)).detail
    assert "everybody may look" not in proxied
    anonymous = SignInSpec(anonymous=True)
    assert "everybody may look" in said(ApiSpec(listen="[::1]:1", sign_in=anonymous)).detail
    assert "behind a proxy" in proxied
    assert "everybody who reaches this machine" in proxied
    gone = said(ApiSpec(listen="0.0.0.0:8080", url=url, tls=TlsSpec(tmp_path / "x", tmp_path)))
    assert gone.state is State.MISSING
    assert "cannot be read" in gone.detail


def test_secrets_that_cannot_be_read_are_named_and_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HERE", "hunter2")
    monkeypatch.delenv("ELSEWHERE", raising=False)
    client = OidcSpec("https://sso.example.com", "gitops", SecretRef(env="ELSEWHERE"))
    hooks = tuple(
        WebhookSpec(name, "github", (ref,))
        for name, ref in (("a", SecretRef(env="HERE")), ("b", SecretRef(file=tmp_path / "none")))
    )
    fleet = Fleet(
        path=tmp_path / "gitops.yaml",
        state_dir=tmp_path,
        api=ApiSpec(sign_in=SignInSpec(oidc=client)),
        webhooks=hooks,
    )
    found = {one.name: one for one in examine_secrets(fleet)}
    assert found["secret environment variable ELSEWHERE"].state is State.OPTIONAL
    assert found[f"secret file {tmp_path / 'none'}"].state is State.MISSING
    assert all(one.remedy for one in found.values() if one.state is not State.OK)
    assert found["secrets"].detail == "1 of 3 can be read here"
    assert "hunter2" not in str(found)


async def test_a_provider_that_is_not_there_is_told_with_what_to_do() -> None:
    found = await examine_sign_in(OidcSpec("http://127.0.0.1:9", "gitops"))
    assert found.state is State.MISSING
    assert found.detail
    assert found.remedy
