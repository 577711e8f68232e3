"""The roster: present, departed, recalled."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gitops.config.discover import Discovered
from gitops.engine.roster import Roster
from gitops.errors import Unknown
from gitops.model.delivery import Delivered, LaneId, LaneRecord
from gitops.model.fleet import ApplicationSpec, ApprovalPolicy, Discovery, Fleet
from gitops.model.ids import ApplicationName, Digest, SourceName, TargetName
from gitops.model.source import Revision
from gitops.ports import Snapshot

SOURCE, HERE = SourceName("config"), TargetName("here")


@dataclass
class Tree:
    """Folders of a revision; stands for a snapshot where only names are looked at."""

    folders: tuple[str, ...]
    revision: Revision = Revision(SOURCE, "c" * 40, "main")


def discovery(glob: str = "apps/*", name: str = "{name}", policy: str = "prod") -> Discovery:
    template = ApplicationSpec(
        ApplicationName(name), SOURCE, "", clusters=(HERE,), approval=ApprovalPolicy(policy)
    )
    return Discovery(glob, template)


def found(_fleet: Fleet, each: Discovery, snapshot: Snapshot) -> Discovered:
    specs = {}
    for folder in snapshot.folders:  # type: ignore[attr-defined]
        name = ApplicationName(folder.rpartition("/")[2])
        specs[name] = ApplicationSpec(name, each.template.source, folder, clusters=(HERE,))
    return Discovered(specs)


def roster_of(*discoveries: Discovery, listed: tuple[str, ...] = ()) -> Roster:
    applications = {
        ApplicationName(n): ApplicationSpec(ApplicationName(n), SOURCE, n, clusters=(HERE,))
        for n in listed
    }
    fleet = Fleet(
        Path("gitops.yaml"), Path("state"), applications=applications, discoveries=discoveries
    )
    return Roster(fleet, found)


def look(roster: Roster, *folders: str) -> None:
    roster.look(Tree(folders))  # type: ignore[arg-type]


def delivered(name: str, source: SourceName = SOURCE) -> LaneRecord:
    where = LaneId(ApplicationName(name), HERE)
    what = Delivered(Digest("d"), Revision(source, "c" * 40), Digest("a"), 1.0)
    return LaneRecord(where, delivered=what)


def path_of(roster: Roster, name: str) -> str | None:
    spec = roster.spec(ApplicationName(name))
    return spec.path if spec else None


def test_a_folder_that_left_stays_on_the_roster_until_it_is_back() -> None:
    roster = roster_of(discovery())
    look(roster, "apps/a", "apps/b")
    look(roster, "apps/a")
    assert path_of(roster, "b") == "apps/b"
    assert LaneId(ApplicationName("b"), HERE) in roster.lanes()
    look(roster, "apps/a", "apps/b")
    look(roster, "apps/b")
    assert path_of(roster, "a") == "apps/a"


def test_what_the_file_lists_wins_over_what_is_found() -> None:
    roster = roster_of(discovery(), listed=("a",))
    look(roster, "apps/a")
    assert path_of(roster, "a") == "a"


@pytest.mark.parametrize(
    ("glob", "pattern", "name", "path"),
    [
        ("apps/*", "{name}", "shop", "apps/shop"),
        ("*", "{name}", "shop", "shop"),
        ("apps/*", "shop-{name}-prod", "shop-web-prod", "apps/web"),
        ("teams/*/*", "{parent}-{name}", "retail-web", "teams/retail/web"),
        ("apps/team-*", "{name}", "team-a", "apps/team-a"),
        ("apps/*", "{name}-{name}", "a-a", "apps/a"),
        ("apps/*", "shop-{name}", "web", None),
        ("apps/team-*", "{name}", "shop", None),
        ("apps/*", "{name}-{name}", "a-b", None),
    ],
)
def test_after_a_restart_what_was_delivered_is_recalled_by_its_name(
    glob: str, pattern: str, name: str, path: str | None
) -> None:
    roster = roster_of(discovery(glob, pattern))
    roster.recall([delivered(name)])
    assert path_of(roster, name) == path


def test_a_policy_of_the_discovery_s_own_is_recalled_under_the_application_s_name() -> None:
    roster = roster_of(discovery(policy="{name}"))
    roster.recall([delivered("shop")])
    spec = roster.spec(ApplicationName("shop"))
    assert spec is not None
    assert spec.approval.name == "shop"


def test_what_was_never_delivered_or_came_from_elsewhere_is_not_recalled() -> None:
    roster = roster_of(discovery())
    never = LaneRecord(LaneId(ApplicationName("never"), HERE))
    roster.recall([never, delivered("foreign", SourceName("other"))])
    assert not roster.specs()


def test_a_reload_forgets_what_was_found_under_the_old_file() -> None:
    roster = roster_of(discovery())
    look(roster, "apps/a")
    roster.reload(roster_of().fleet)
    look(roster, "apps/a")
    assert not roster.lanes()


def test_a_name_that_is_none_is_refused_with_some_of_those_there_are() -> None:
    roster = roster_of(listed=tuple(f"app-{n:02}" for n in range(25)))
    assert roster.named(ApplicationName("app-24")).path == "app-24"
    with pytest.raises(Unknown, match="no application 'shop⏎'") as caught:
        roster.named(ApplicationName("shop\n"))
    assert caught.value.hint.startswith("applications: app-00, app-01,")
    assert caught.value.hint.endswith("app-19 and 5 more")
    with pytest.raises(Unknown) as caught:
        roster_of().named(ApplicationName("shop"))
    assert caught.value.hint == "applications: none"
