"""The README tells the truth: commands, keys, examples and links exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gitops.cli.commands import TABLE
from gitops.config import load
from gitops.config.shape import FleetFile

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "examples").rglob("README.md"))]
README = PAGES[0].read_text("utf-8")
FLEETS = [block for block in re.findall(r"```yaml\n(.*?)```", README, re.S) if "people:" in block]


@pytest.mark.parametrize("command", TABLE)
def test_every_command_is_in_the_table(command: str) -> None:
    assert re.search(rf"^\| `gitops {command}` \|", README, re.M)


def test_every_command_it_speaks_of_exists() -> None:
    for page in PAGES:
        for command in re.findall(r"(?:^|`|&& |\$\()gitops ([a-z]+)", page.read_text(), re.M):
            assert command in TABLE, f"{page.relative_to(ROOT)}: gitops {command}"


@pytest.mark.parametrize("key", FleetFile.model_fields)
def test_every_key_of_the_fleet_file_is_in_the_table(key: str) -> None:
    assert re.search(rf"^\| `{key}` \|", README, re.M)


def test_it_shows_two_fleet_files() -> None:
    assert len(FLEETS) == 2
    assert len(FLEETS[0].splitlines()) == 10


@pytest.mark.parametrize("text", FLEETS)
def test_its_fleet_files_load(text: str, tmp_path: Path) -> None:
    """The contexts they name are the reader's; here a kubeconfig has them."""
    contexts = re.findall(r"context: ([\w-]+)", text)
    rows = [f"  - {{name: {c}, context: {{cluster: {c}, user: {c}}}}}" for c in contexts]
    clusters = [f"  - {{name: {c}, cluster: {{server: https://{c}.example}}}}" for c in contexts]
    users = [f"  - {{name: {c}, user: {{}}}}" for c in contexts]
    lines = ["contexts:", *rows, "clusters:", *clusters, "users:", *users, ""]
    (tmp_path / "kubeconfig").write_text("\n".join(["apiVersion: v1", "kind: Config", *lines]))
    (tmp_path / "gitops.yaml").write_text(text)
    env = {"HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "kubeconfig")}
    fleet = load(tmp_path / "gitops.yaml", env, resolve_secrets=False)
    assert fleet.people.persons


def test_its_terraform_root_loads_beside_any_fleet(tmp_path: Path) -> None:
    (block,) = (b for b in re.findall(r"```yaml\n(.*?)```", README, re.S) if "terraform:" in b)
    rest = """
sources: {config: {directory: .}}
clusters: {here: {in_cluster: true}}
people: {ada: {emails: [ada@example.com]}, grace: {emails: [grace@example.com]}}
"""
    (tmp_path / "gitops.yaml").write_text(block + rest)
    fleet = load(tmp_path / "gitops.yaml", {"HOME": str(tmp_path)}, resolve_secrets=False)
    roots = {name: spec for name, spec in fleet.applications.items() if spec.terraform}
    assert set(roots) == {"network"}
    assert [spec.needs for spec in fleet.applications.values() if spec.needs]


def test_its_places_for_configuration_load_beside_any_fleet(tmp_path: Path) -> None:
    (block,) = (b for b in re.findall(r"```yaml\n(.*?)```", README, re.S) if "one-file:" in b)
    rest = """
clusters: {here: {in_cluster: true}}
applications: {shop: {source: artifact}}
people: {ada: {emails: [ada@example.com]}, grace: {emails: [grace@example.com]}}
"""
    (tmp_path / "gitops.yaml").write_text(block + rest)
    fleet = load(tmp_path / "gitops.yaml", {"HOME": str(tmp_path)}, resolve_secrets=False)
    assert {spec.kind for spec in fleet.sources.values()} == {"git", "web", "oci"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_its_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text("utf-8")):
        if "://" not in link:
            assert (page.parent / link).exists(), link


def test_it_tells_things_in_the_promised_order() -> None:
    order = [
        "See it: `make demo`",
        "How it works",
        "A fleet file",
        "On your own cluster and repository",
        "Tests: `make test`",
    ]
    places = [README.index(f"## {title}") for title in order]
    assert places == sorted(places)
