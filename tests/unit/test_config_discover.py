"""Folders of a foreign source become applications, and a bad one stops no other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gitops.config import discover, load
from gitops.config.discover import Discovered
from gitops.model.ids import SourceName
from gitops.model.source import Entry, EntryKind, Revision

FLEET = """\
sources: {config: {git: https://git.example.com/c.git}}
clusters: {dev: {sandbox: default}}
people: {ada: {emails: ada@example.com}}
"""


class Folders:
    """A snapshot of folders (and files, ending in ``.yaml``); counts the trees that are read."""

    def __init__(self, *paths: str) -> None:
        self.paths = paths
        self.listed: list[str] = []
        self.revision = Revision(SourceName("config"), "1a2b3c4d5e6f7a8b")

    def entry(self, path: str) -> Entry | None:
        raise NotImplementedError

    def files(self, path: str) -> Sequence[Entry]:
        raise AssertionError("discovery reads no files")

    def read(self, entry: Entry) -> bytes:
        raise AssertionError("discovery reads no files")

    def children(self, path: str) -> Sequence[Entry]:
        self.listed.append(path)
        prefix = f"{path}/" if path else ""
        below = {p[len(prefix) :].split("/")[0] for p in self.paths if p.startswith(prefix)}
        kinds = {True: EntryKind.BLOB, False: EntryKind.TREE}
        return [
            Entry(prefix + name, kinds[name.endswith(".yaml")], "0" * 40) for name in sorted(below)
        ]


def found(folder: Path, rest: str, snapshot: Folders) -> Discovered:
    (folder / "gitops.yaml").write_text(FLEET + rest)
    fleet = load(folder / "gitops.yaml", {})
    return discover(fleet, fleet.discoveries[0], snapshot)


def test_every_folder_that_matches_is_an_application(tmp_path: Path) -> None:
    snapshot = Folders("apps/shop/a.yaml", "apps/web/b.yaml", "apps/notes.yaml", "other/x/c.yaml")
    result = found(tmp_path, "discover: [{path: apps/*, namespace: retail}]", snapshot)
    assert {name: (a.path, a.namespace) for name, a in result.applications.items()} == {
        "shop": ("apps/shop", "retail"),
        "web": ("apps/web", "retail"),
    }
    assert result.problems == ()


def test_only_the_folders_on_the_way_are_listed(tmp_path: Path) -> None:
    snapshot = Folders("apps/shop/a.yaml", "big/x/c.yaml")
    found(tmp_path, "discover: [{path: apps/*}]", snapshot)
    assert snapshot.listed == ["", "apps"]


def test_a_bad_name_is_a_problem_beside_the_others(tmp_path: Path) -> None:
    snapshot = Folders("apps/shop/a.yaml", "apps/Bad_Name/a.yaml", f"apps/{'x' * 64}/a.yaml")
    result = found(tmp_path, "discover: [{path: apps/*}]", snapshot)
    assert set(result.applications) == {"shop"}
    assert [problem.place for problem in result.problems] == [
        "config@1a2b3c4d5e6f:apps/Bad_Name",
        f"config@1a2b3c4d5e6f:apps/{'x' * 64}",
    ]


def test_the_folders_name_is_not_read_as_a_pattern(tmp_path: Path) -> None:
    snapshot = Folders("apps/{parent}/a.yaml", "apps/\x1b[2J/a.yaml")
    result = found(tmp_path, "discover: [{path: apps/*}]", snapshot)
    assert not result.applications
    assert not any("\x1b" in str(problem) for problem in result.problems)


def test_two_folders_of_one_name_are_both_refused(tmp_path: Path) -> None:
    snapshot = Folders("eu/apps/shop/a.yaml", "us/apps/shop/a.yaml", "us/apps/web/a.yaml")
    result = found(tmp_path, 'discover: [{path: "*/apps/*"}]', snapshot)
    assert set(result.applications) == {"web"}
    assert len(result.problems) == 2


def test_the_folder_above_can_be_part_of_the_name(tmp_path: Path) -> None:
    snapshot = Folders("teams/eu/shop/a.yaml", "teams/us/shop/a.yaml")
    rest = 'discover: [{path: "teams/*/*", name: "{parent}-{name}"}]'
    assert set(found(tmp_path, rest, snapshot).applications) == {"eu-shop", "us-shop"}


def test_what_the_fleet_file_describes_itself_is_left_to_it(tmp_path: Path) -> None:
    rest = "applications: {special: {path: apps/shop}, web: {path: other}}\n"
    snapshot = Folders("apps/shop/a.yaml", "apps/web/a.yaml")
    result = found(tmp_path, f"{rest}discover: [{{path: apps/*}}]", snapshot)
    assert not result.applications
    [problem] = result.problems
    assert "already described" in str(problem)


def test_hidden_folders_have_to_be_meant(tmp_path: Path) -> None:
    snapshot = Folders(".github/a.yaml", "shop/a.yaml")
    assert set(found(tmp_path, 'discover: [{path: "*"}]', snapshot).applications) == {"shop"}


def test_a_policy_written_into_the_discovery_carries_the_applications_name(tmp_path: Path) -> None:
    rest = "discover: [{path: apps/*, approval: {people: [ada]}}]"
    [application] = found(tmp_path, rest, Folders("apps/shop/a.yaml")).applications.values()
    assert application.approval.name == "shop"
