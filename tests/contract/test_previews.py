"""Previews keep up with pull requests at every forge, whatever moves or fails meanwhile.

The clients and the recording forges are the real ones of the clients' own contract; what is drawn
is made up here, for when it is drawn and what becomes of it is what counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gitops.engine.ledger import Ledger
from gitops.engine.previews import Previews
from gitops.errors import SourceUnavailable, Unknown
from gitops.model.delivery import LaneId
from gitops.model.fleet import (
    Fleet,
    ForgeSpec,
    PullRequestsSpec,
    SourceSpec,
    WebhookSpec,
)
from gitops.model.ids import ApplicationName, ChangeId, Digest, SourceName, TargetName, combine
from gitops.model.plan import Action, Plan, ResourceChange
from gitops.model.preview import Depth, LanePreview, Preview
from gitops.model.source import Revision
from gitops.ports.forges import Forge, PullRequest
from gitops.ports.inbound import CheckAgain, PullAction, PullMoved, Repository
from gitops.store import open_memory_store
from tests.contract.test_forges import CASES, Case, client
from tests.forges.github import GitHubServer
from tests.forges.server import Fault, Pull, Recording
from tests.unit.check_cases import Keyed

SOURCE = SourceName("config")
LANE = LaneId(ApplicationName("shop"), TargetName("prod"))
HERE = Repository(("https://git.example/acme/config",))
GITHUB = CASES[0]
FIRST, SECOND = "b" * 40, "e" * 40


class Ticking:
    """Time stands still between steps of a story."""

    time = 1_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@dataclass
class Painter:
    """Draws one plan of one lane; slowly, or not at all, where a story says so."""

    drawn: list[tuple[int, str, Depth]] = field(default_factory=list)
    at_once: int = 0
    most: int = 0
    hold: asyncio.Event | None = None
    problem: Exception | None = None
    text: str = "v1"

    async def draw(self, spec: SourceSpec, pull: PullRequest, depth: Depth) -> Preview:
        self.drawn.append((pull.number, pull.head, depth))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            if self.hold is not None:
                await self.hold.wait()
            if self.problem is not None:
                raise self.problem
        finally:
            self.at_once -= 1
        base = Revision(spec.name, "a" * 40, "main")
        plan = plan_of(f"{pull.head}{self.text}")
        lanes = (LanePreview(LANE, plan),)
        return Preview(spec.name, pull.number, pull.head, base, pull.title, lanes=lanes)


def plan_of(text: str) -> Plan:
    change = ResourceChange(Action.UPDATE, f"ConfigMap x/{text[:4]}", digest=combine(text))
    digest = Digest(combine("plan", text))
    return Plan(ChangeId(""), LANE.application, LANE.target, (change,), digest)


@dataclass
class Story:
    server: Recording
    forge: Forge
    painter: Painter
    ledger: Ledger
    clock: Ticking
    fleet: Fleet
    previews: Previews
    deadline: float = 30.0

    def open(self, number: int = 1, head: str = FIRST, **more: object) -> None:
        self.server.commits.add(head)
        self.server.pulls[number] = Pull(number, head=head, **more)  # type: ignore[arg-type]

    def moved(self, number: int = 1, action: PullAction = PullAction.UPDATED) -> None:
        self.previews.heard(SOURCE, PullMoved(HERE, number, action))

    def bodies(self, number: int = 1) -> list[str]:
        return [each.body for each in self.server.comments.get(number, [])]

    def overall(self) -> tuple[str, str]:
        return self.server.latest().get("gitops/preview", ("", ""))

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(20):
            while not holds():
                await asyncio.sleep(0.005)

    async def settled(self) -> None:
        await self.until(lambda: not self.previews.busy(SOURCE, 1))

    async def memo(self, owner: str = "preview", number: int = 1) -> object:
        kept = await self.ledger.read(lambda r: r.memo(f"{owner}/{SOURCE}", str(number)))
        return json.loads(kept) if kept else None

    def reborn(self) -> Previews:
        """Another process, with the same store."""
        fleet, made = self.fleet, self
        return Previews(
            lambda: fleet,
            lambda _name: made.forge,
            made.painter.draw,
            made.ledger,
            Keyed(),
            made.clock,
            deadline=made.deadline,
        )


def fleet_of(folder: Path, kind: str, hooks: tuple[WebhookSpec, ...] = ()) -> Fleet:
    source = SourceSpec(
        SOURCE,
        "git",
        "https://git.example/acme/config.git",
        forge=ForgeSpec(kind),
        pull_requests=PullRequestsSpec(),
    )
    return Fleet(folder / "gitops.yaml", folder, sources={SOURCE: source}, webhooks=hooks)


@contextlib.asynccontextmanager
async def telling(case: Case, folder: Path) -> AsyncIterator[Story]:
    clock, painter = Ticking(), Painter()
    store = open_memory_store(clock)
    ledger = Ledger(store)
    ledger.epoch = await store.leases.acquire("controller", "me", 1e9)
    with case.server() as server:
        forge = client(case, server, folder)
        # As if a webhook told of pull requests: nothing is looked at by itself after the start.
        kind = case.module.NAME
        fleet = fleet_of(folder, kind, (WebhookSpec("hook", kind),))
        story = Story(server, forge, painter, ledger, clock, fleet, None)  # type: ignore[arg-type]
        story.previews = story.reborn()
        task = asyncio.create_task(story.previews.run())
        await story.until(lambda: server.requests)
        try:
            yield story
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("gitops.forges.line.FIRST_PAUSE", 0.01)
    monkeypatch.setattr("gitops.engine.previews.FIRST_PAUSE", 0.01)
    return iter(())


@pytest.fixture
async def story(tmp_path: Path) -> AsyncIterator[Story]:
    async with telling(GITHUB, tmp_path) as made:
        yield made


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.module.NAME)
async def test_every_forge_has_one_comment_that_follows_and_goes(
    case: Case, tmp_path: Path
) -> None:
    async with telling(case, tmp_path) as story:
        story.open()
        story.moved()
        await story.until(lambda: "bbbbbbbbbbbb" in "".join(story.bodies()))
        await story.settled()
        assert story.overall()[1] == "1 update in shop@prod"
        assert "gitops/preview/shop" in story.server.latest()
        assert await story.memo() == {
            "head": FIRST,
            "plans": {str(LANE): plan_of(f"{FIRST}v1").digest},
        }
        story.open(head=SECOND)
        story.moved()
        await story.until(lambda: "eeeeeeeeeeee" in "".join(story.bodies()))
        await story.settled()
        assert len(story.bodies()) == 1
        story.server.pulls[1].state = "closed"
        story.moved(action=PullAction.CLOSED)
        await story.until(lambda: not story.bodies())
        await story.settled()
        assert await story.memo("preview-posted") is None


async def test_a_newer_head_puts_what_is_being_drawn_aside(story: Story) -> None:
    story.painter.hold = asyncio.Event()
    story.open()
    story.moved()
    await story.until(lambda: story.painter.at_once == 1)
    story.open(head=SECOND)
    story.moved()
    await story.until(lambda: len(story.painter.drawn) == 2)
    assert story.painter.at_once == 1, "the older one was ended"
    story.painter.hold.set()
    await story.settled()
    assert [head for _, head, _ in story.painter.drawn] == [FIRST, SECOND]
    assert "eeeeeeeeeeee" in story.bodies()[0]


async def test_words_that_change_nothing_do_not_begin_it_again(story: Story) -> None:
    story.painter.hold = asyncio.Event()
    story.open()
    story.moved()
    await story.until(lambda: story.painter.at_once == 1)
    for _ in range(20):
        story.moved()
    story.painter.hold.set()
    await story.settled()
    assert len(story.painter.drawn) == 1
    story.moved(action=PullAction.REVIEWED)
    assert not story.previews.busy(SOURCE, 1)
    story.moved(action=PullAction.ASKED)
    await story.settled()
    assert len(story.painter.drawn) == 2, "but asking does"


async def test_two_are_drawn_at_once_and_the_others_wait(story: Story) -> None:
    story.painter.hold = asyncio.Event()
    for number in range(1, 7):
        story.open(number)
        story.moved(number)
    await story.until(lambda: story.painter.at_once == 2)
    await asyncio.sleep(0.1)
    story.painter.hold.set()
    await story.until(lambda: not any(story.previews.busy(SOURCE, n) for n in range(1, 7)))
    assert story.painter.most == 2
    assert len(story.painter.drawn) == 6


async def test_what_keeps_it_from_being_drawn_is_said_in_words(story: Story) -> None:
    story.painter.problem = SourceUnavailable("the repository does not answer")
    story.open()
    story.moved()
    await story.settled()
    assert story.overall() == ("error", "no preview: the repository does not answer")
    assert "does not answer" in story.bodies()[0]
    story.painter.problem = ZeroDivisionError("s3cret")
    story.moved()
    await story.settled()
    assert story.overall()[0] == "error"
    assert "s3cret" not in "".join(story.bodies())
    story.painter.problem = None
    story.moved()
    await story.settled()
    assert story.overall()[0] == "success"


async def test_a_preview_that_takes_too_long_ends_and_says_so(tmp_path: Path) -> None:
    async with telling(GITHUB, tmp_path) as story:
        story.previews._deadline = 0.05
        story.painter.hold = asyncio.Event()
        story.open()
        story.moved()
        await story.settled()
        assert story.overall()[0] == "error"
        assert "took longer" in story.overall()[1]
        assert story.painter.at_once == 0


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
async def test_a_forge_that_fails_is_told_later_without_drawing_again(
    story: Story, after: bool
) -> None:
    story.open()
    story.server.faults.append(Fault(502, path="/comments", method="POST", after=after))
    story.moved()
    await story.settled()
    assert len(story.bodies()) == 1
    assert story.overall()[0] == "success"
    assert len(story.painter.drawn) == 1


async def test_a_token_that_may_not_set_statuses_still_comments(story: Story) -> None:
    story.open()
    story.server.faults.append(Fault(403, path="/statuses/", times=100))
    story.moved()
    await story.settled()
    assert len(story.bodies()) == 1


async def test_plans_that_were_not_shown_count_for_nothing(story: Story) -> None:
    story.open()
    story.moved()
    await story.settled()
    before = await story.memo()
    story.clock.time += 100
    story.moved(action=PullAction.ASKED)
    await story.settled()
    memos = await story.ledger.read(lambda r: r.memos(f"preview/{SOURCE}"))
    assert [each.at for each in memos] == [1_000.0], "the same plan was shown all the time"
    story.painter.text = "v2"
    story.server.faults.append(Fault(403, path="/comments", times=100))
    story.moved(action=PullAction.ASKED)
    await story.settled()
    assert await story.memo() is None, "nobody saw the new one, and the old one is not it"
    assert before is not None


async def test_what_was_shown_is_remembered_after_the_merge(story: Story) -> None:
    story.open()
    story.moved()
    await story.settled()
    story.server.pulls[1].state = "merged"
    story.moved(action=PullAction.CLOSED)
    await story.settled()
    assert story.bodies() == []
    assert await story.memo() is not None


async def test_another_process_finds_what_it_missed(story: Story) -> None:
    for number in (1, 2):
        story.open(number)
        story.moved(number)
    await story.until(lambda: not any(story.previews.busy(SOURCE, n) for n in (1, 2)))
    other = story.reborn()
    other._alive = True
    await other.look(SOURCE)
    assert not other.busy(SOURCE, 1), "what is told already is not drawn again"
    story.server.pulls[1].state = "closed"
    story.open(2, SECOND)
    story.open(3)
    await other.look(SOURCE)
    await story.until(lambda: not any(other.busy(SOURCE, n) for n in (1, 2, 3)))
    assert story.bodies(1) == []
    assert "eeeeeeeeeeee" in story.bodies(2)[0]
    assert len(story.bodies(2)) == len(story.bodies(3)) == 1


async def test_it_is_cleaned_up_after_a_crash_in_the_middle_of_telling(story: Story) -> None:
    story.painter.hold = asyncio.Event()
    story.open()
    story.moved()
    await story.until(lambda: story.painter.at_once == 1)
    assert await story.memo("preview-posted") == {"head": ""}, "noted before anything is told"
    story.server.written(1, "<!-- gitops preview config " + story.previews._name + " -->")
    story.server.pulls[1].state = "closed"
    other = story.reborn()
    other._alive = True
    await other.look(SOURCE)
    await story.until(lambda: not other.busy(SOURCE, 1))
    assert story.bodies() == []
    assert await story.memo("preview-posted") is None


async def test_only_pull_requests_into_the_branch_that_is_followed(story: Story) -> None:
    story.open(base="production")
    story.moved()
    await story.settled()
    assert story.painter.drawn == []
    assert story.bodies() == []
    story.server.pulls[1].base = "main"
    story.moved()
    await story.settled()
    assert len(story.bodies()) == 1
    story.server.pulls[1].base = "production"
    story.moved()
    await story.until(lambda: story.bodies() == [])


async def test_forks_are_linted_unless_the_operator_says_otherwise(story: Story) -> None:
    story.open(fork=True)
    story.moved()
    await story.settled()
    spec = story.fleet.sources[SOURCE]
    object.__setattr__(spec, "pull_requests", PullRequestsSpec(forks="plan"))
    story.moved(action=PullAction.ASKED)
    await story.settled()
    assert [depth for _, _, depth in story.painter.drawn] == [Depth.LINT, Depth.PLAN]


async def test_without_comments_there_are_statuses_and_nothing_counts_as_shown(
    story: Story,
) -> None:
    object.__setattr__(
        story.fleet.sources[SOURCE], "pull_requests", PullRequestsSpec(comment=False)
    )
    story.open()
    story.moved()
    await story.settled()
    assert story.overall()[0] == "success"
    assert story.bodies() == []
    assert await story.memo() is None


async def test_a_check_that_is_run_again_is_the_pull_requests_with_that_head(
    story: Story,
) -> None:
    story.open()
    story.moved()
    await story.settled()
    story.previews.heard(SOURCE, CheckAgain(HERE, FIRST))
    await story.until(lambda: len(story.painter.drawn) == 2)
    await story.settled()
    story.previews.heard(SOURCE, CheckAgain(HERE, SECOND))
    await story.until(lambda: not story.previews._errands)
    assert not story.previews.busy(SOURCE, 1)
    assert len(story.painter.drawn) == 2


async def test_who_asks_by_name_gets_what_was_posted(story: Story) -> None:
    story.open()
    found = await story.previews.again(SOURCE, 1)
    assert found is not None
    assert story.previews.of(SOURCE, 1) == found
    assert story.previews.drawn() == (found,)
    assert await story.previews.again(SOURCE, 99) is None
    with pytest.raises(Unknown, match="no previews"):
        await story.previews.again(SourceName("other"), 1)


async def test_where_no_webhook_tells_of_them_the_list_is_looked_at(story: Story) -> None:
    assert isinstance(story.server, GitHubServer)
    spec = story.fleet.sources[SOURCE]
    assert story.previews._pause(spec) == 600
    object.__setattr__(story.fleet, "webhooks", (WebhookSpec("hook", "gitlab"),))
    assert story.previews._pause(spec) == 30
