"""A commit's status says what became of it: in order, once, and never too much of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gitops.errors import Apart, Permanent, Transient
from gitops.foreign import readable
from gitops.model.events import Notice
from gitops.model.ids import SourceName
from gitops.plugins import Services
from gitops.ports.forges import CommitState, CommitStatus
from notifiers.commit_status import MOST, MOST_FOLDED, CommitStatuses, Options, lasting, read
from tests.unit.check_cases import Frozen, Keyed, NoChildren

COMMIT = "c" * 40


@dataclass
class Forge:
    told: list[CommitStatus] = field(default_factory=list)
    problem: Exception | None = None

    async def tell(self, status: CommitStatus) -> None:
        if self.problem is not None:
            raise self.problem
        self.told.append(status)

    @property
    def latest(self) -> dict[str, tuple[CommitState, str]]:
        return {each.context: (each.state, each.description) for each in self.told}


class Drawer:
    """Plays ``Memory``."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.forgot: list[str] = []

    async def recall(self, owner: str, key: str) -> str | None:
        return self.kept.get((owner, key))

    async def keep(self, owner: str, key: str, value: str | None) -> None:
        self.kept[owner, key] = value or ""

    async def keep_first(self, owner: str, key: str, value: str) -> bool:
        raise NotImplementedError

    async def forget(self, owner: str, before: float) -> None:
        self.forgot.append(owner)


@dataclass
class Story:
    forge: Forge = field(default_factory=Forge)
    drawer: Drawer = field(default_factory=Drawer)
    url: str = ""
    asked: bool = True
    place: int = 0
    options: Options = Options()

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        async def card_of(_change: str) -> Any:
            return SimpleNamespace(url=self.url) if self.asked else None

        services = Services(
            NoChildren(),
            Keyed(),
            Frozen(),
            Path("state"),
            Path("cache"),
            memory=self.drawer,
            office=lambda: SimpleNamespace(card_of=card_of, page=lambda one: f"{self.url}/{one}"),  # type: ignore[arg-type,return-value]
            forge=lambda name: self.forge if name == SourceName("config") else None,  # type: ignore[arg-type,return-value]
        )
        self.notifier = CommitStatuses(self.options, services)

    def notice(self, kind: str, lane: str = "shop@prod", **more: object) -> Notice:
        self.place += 1
        payload: dict[str, object] = {
            "lane": lane,
            "source": "config",
            "revision": COMMIT,
            "cause": "commit",
            **more,
        }
        return Notice(f"{self.place:012d}-abc", "marks", kind, "change", payload)

    async def tell(self, *kinds: str, **more: Any) -> None:
        for kind in kinds:
            await self.notifier.send(self.notice(kind, **more))


@pytest.fixture
def story() -> Story:
    return Story()


async def test_a_commit_is_followed_from_checking_to_healthy(story: Story) -> None:
    story.url = "https://ops.example/r/1"
    await story.tell("opened", "asked")
    await story.tell("approved", by="bob")
    await story.tell("applying", approved_by="bob")
    await story.tell("verifying", reason="3 applied")
    await story.tell("healthy", seconds=42.4)
    assert [(each.state.value, each.description) for each in story.forge.told] == [
        ("pending", "checking"),
        ("pending", "awaiting approval"),
        ("running", "approved: by bob"),
        ("running", "applying: approved by bob"),
        ("running", "applied, waiting for health: 3 applied"),
        ("success", "healthy: after 42 s"),
    ]
    assert {each.context for each in story.forge.told} == {"gitops/shop@prod"}
    assert {each.commit for each in story.forge.told} == {COMMIT}
    assert {each.url for each in story.forge.told} == {"https://ops.example/r/1"}


async def test_what_nobody_was_asked_about_leads_to_the_page_of_its_change(story: Story) -> None:
    story.url, story.asked = "https://ops.example", False
    await story.tell("opened")
    assert story.forge.told[0].url == "https://ops.example/change"


@pytest.mark.parametrize(
    ("kind", "state"),
    [
        ("blocked", "failure"),
        ("failed", "failure"),
        ("denied", "failure"),
        ("expired", "error"),
        ("superseded", "error"),
        ("unchanged", "success"),
    ],
)
async def test_every_ending_is_told_with_its_reason(story: Story, kind: str, state: str) -> None:
    await story.tell(kind, reason="app/a.yaml:3: no such field")
    (told,) = story.forge.told
    assert told.state.value == state
    assert told.description.endswith("app/a.yaml:3: no such field")


@pytest.mark.parametrize(
    "more",
    [{"cause": "drift"}, {"cause": "command"}, {"cause": "rollback"}, {"source": "other"}],
    ids=str,
)
async def test_what_no_commit_caused_moves_no_status(story: Story, more: dict[str, str]) -> None:
    await story.tell("opened", "healthy", **more)
    assert story.forge.told == []


async def test_kinds_it_does_not_know_move_nothing(story: Story) -> None:
    await story.tell("left", "answered", "reported", "resumed")
    assert story.forge.told == []


async def test_only_the_sources_it_is_for_are_marked(story: Story) -> None:
    story.options = Options(sources=("shop",))
    story.restart()
    await story.tell("opened")
    assert story.forge.told == []


async def test_foreign_text_cannot_disguise_itself(story: Story) -> None:
    await story.tell("failed", reason="\x1b[2Jgood\u202e\nday" + "x" * 5_000)
    (told,) = story.forge.told
    assert told.description == readable(told.description)
    assert "\n" not in told.description
    assert len(told.description) < 1_000


async def test_an_older_notice_never_takes_a_newer_ones_place(story: Story) -> None:
    late = story.notice("asked")
    await story.tell("applying", "healthy")
    for _ in range(2):
        await story.notifier.send(late)
        story.restart()
    assert story.forge.latest == {"gitops/shop@prod": (CommitState.SUCCESS, "healthy")}


async def test_the_same_notice_again_after_a_crash_is_the_same_status(story: Story) -> None:
    notice = story.notice("asked")
    await story.notifier.send(notice)
    kept = dict(story.drawer.kept)
    await story.notifier.send(notice)
    story.restart()
    await story.notifier.send(notice)
    assert len(set(story.forge.told)) == 1
    assert story.drawer.kept == kept


async def test_a_forge_that_is_away_keeps_only_its_own_waiting(story: Story) -> None:
    story.forge.problem = Transient("it is away", retry_after=30.0)
    first, second = story.notice("opened"), story.notice("asked")
    for notice in (first, second):
        with pytest.raises(Apart) as away:
            await story.notifier.send(notice)
        assert away.value.retry_after == 30.0
    story.forge.problem = None
    await story.notifier.send(second)
    await story.notifier.send(first)
    assert [each.description for each in story.forge.told] == ["awaiting approval"]


async def test_a_forge_that_refuses_is_not_asked_ten_times(story: Story) -> None:
    story.forge.problem = Permanent("the forge does not permit this (403)")
    await story.tell("opened")
    story.forge.problem = None
    await story.tell("asked")
    assert [each.description for each in story.forge.told] == ["awaiting approval"]


async def test_many_lanes_of_one_commit_do_not_flood_it(story: Story) -> None:
    for number in range(200):
        await story.tell("opened", lane=f"app-{number:03d}@prod")
    for number in range(200):
        await story.tell("healthy" if number % 2 else "asked", lane=f"app-{number:03d}@prod")
    contexts = set(story.forge.latest)
    assert len(contexts) == MOST + MOST_FOLDED + 1
    assert story.forge.latest["gitops/app-000@prod"][1] == "awaiting approval"
    state, words = story.forge.latest["gitops/others"]
    assert state is CommitState.PENDING
    assert words == "65 awaiting approval, 65 healthy"


async def test_lanes_of_one_application_share_a_line_beyond_the_limit(story: Story) -> None:
    for number in range(MOST + 30):
        await story.tell("opened", lane=f"shop@cluster-{number:02d}")
    story.restart()
    for number in range(MOST + 30):
        await story.tell("healthy", lane=f"shop@cluster-{number:02d}")
    assert len(story.forge.latest) == MOST + 1
    assert story.forge.latest["gitops/shop"] == (CommitState.SUCCESS, "30 healthy")
    await story.tell("failed", lane="shop@cluster-40", reason="it crashed")
    assert story.forge.latest["gitops/shop"] == (CommitState.FAILURE, "1 failed, 29 healthy")


async def test_another_commit_has_lines_of_its_own(story: Story) -> None:
    await story.tell("opened")
    await story.tell("superseded", reason="commit d took its place")
    await story.tell("opened", revision="d" * 40)
    assert {(each.commit[:1], each.description) for each in story.forge.told} == {
        ("c", "checking"),
        ("c", "superseded: commit d took its place"),
        ("d", "checking"),
    }
    assert story.drawer.forgot == ["status/config"], "old commits are forgotten once a start"


@pytest.mark.parametrize(
    "kept", [None, "", "null", "[]", "{", '{"a": 1}', '{"a@b": ["no-such-word", "", "", ""]}']
)
def test_what_is_remembered_and_unreadable_is_nothing(kept: str | None) -> None:
    assert read(kept).marks == {}


def test_time_is_told_as_people_do() -> None:
    assert [lasting(seconds) for seconds in (0.2, 59.4, 60, 185)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "3 min 5 s",
    ]
