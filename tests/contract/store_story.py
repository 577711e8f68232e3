"""What the store's contract tests share: a clock, and the story of a change told in events."""

from __future__ import annotations

from dataclasses import dataclass, field

from gitops.model import events as e
from gitops.model.approval import Decision, MemberState, Request, Verdict
from gitops.model.delivery import Cause, Change, ChangeState, Delivered, Hold, LaneId
from gitops.model.ids import (
    ApplicationName,
    Digest,
    PersonName,
    RequestId,
    SourceName,
    TargetName,
    combine,
)
from gitops.model.manifest import ObjectId
from gitops.model.plan import ABSENT, Action, FieldChange, Plan, ResourceChange, SealParts
from gitops.model.source import Authorship, Commit, Revision, Signature
from gitops.store import SqlStore

ADA = PersonName("ada")
FOREIGN = "caf\u00e9 \x00 \udcff \u202e"
"""What a commit message may hold and a database may not."""


@dataclass
class Clock:
    time: float = 1_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


def lane(name: str = "shop", target: str = "prod") -> LaneId:
    return LaneId(ApplicationName(name), TargetName(target))


def change_of(
    where: LaneId, generation: int = 0, wish: str = "a", cause: Cause = Cause.COMMIT
) -> Change:
    revision = Revision(SourceName("config"), combine(wish)[:40], "main")
    ada = Signature("Ada", "ada@example.org")
    commit = Commit(revision.id, f"raise replicas {FOREIGN}", ada, ada)
    authors = Authorship((commit,), (ada,))
    return Change(where, generation, combine(wish), cause, revision, authors, f"config@{wish}")


def plan_of(change: Change, text: str = "p") -> Plan:
    object = ObjectId("", "ConfigMap", "shop", "web")
    fields = (FieldChange("data.a", ABSENT, {"$": text, "n": 2**70}),)
    resource = ResourceChange(Action.UPDATE, str(object), object, fields)
    lane = change.lane
    versions = (("chart", "1.2.3"),)
    digest = combine(change.id, text)
    return Plan(change.id, lane.application, lane.target, (resource,), digest, versions=versions)


@dataclass
class Story:
    """One change and the events that carry it; every verb is one transaction."""

    store: SqlStore
    epoch: e.Epoch
    change: Change
    plan: Plan = field(init=False)
    seal: Digest = field(init=False)
    request: RequestId = field(init=False)

    def __post_init__(self) -> None:
        self.request = RequestId(f"r-{self.change.id[:12]}")
        self.draw("p")

    def draw(self, text: str) -> None:
        self.plan = plan_of(self.change, text)
        self.seal = combine("seal", self.plan.digest)

    async def say(self, *events: e.Event) -> None:
        def work(tx) -> None:  # type: ignore[no-untyped-def]
            for event in events:
                tx.append(event)

        await self.store.write(work, self.epoch)

    def opened(self) -> e.ChangeOpened:
        return e.ChangeOpened(self.change)

    def planned(self) -> e.ChangePlanned:
        nothing = combine("")
        parts = SealParts(self.change.after, nothing, self.plan.digest, "tools", "uid", nothing)
        return e.ChangePlanned(self.change.id, self.plan, self.seal, parts)

    def request_opened(self) -> e.RequestOpened:
        return e.RequestOpened(self.request, self.change.occasion, f"title {FOREIGN}")

    def asked(self, moved: str = "") -> e.MemberAsked:
        id, seal, plan = self.change.id, self.seal, self.plan.digest
        return e.MemberAsked(self.request, id, seal, plan, 2_000_000.0, moved)

    async def now_asked(self) -> Request:
        found = await self.store.read(lambda q: q.request(self.request))
        assert found
        return found

    async def verdict(self, person: str = "ada", decision: Decision = Decision.APPROVE) -> Verdict:
        root = (await self.now_asked()).root
        covers = ((self.change.id, self.seal),)
        who = PersonName(person)
        return Verdict(self.request, root, who, decision, "looks right", "cli", 1.0, covers)

    def decided(
        self, state: MemberState = MemberState.APPROVED, by: tuple[str, ...] = ("ada",)
    ) -> e.MemberDecided:
        people = tuple(PersonName(name) for name in by)
        return e.MemberDecided(self.request, self.change.id, state, people)

    def claimed(self) -> e.Claimed:
        return e.Claimed(self.change.id, self.seal, ("ada",))

    def finished(self) -> e.ApplyFinished:
        return e.ApplyFinished(self.change.id, "1 updated")

    def closed(
        self, state: ChangeState = ChangeState.HEALTHY, hold: Hold | None = None
    ) -> e.ChangeClosed:
        delivered = None
        if state is ChangeState.HEALTHY:
            delivered = Delivered(self.change.after, self.change.revision, combine("art"), 5.0)
        return e.ChangeClosed(self.change.id, state, f"why {FOREIGN}", delivered, hold)

    async def ask(self) -> None:
        await self.say(self.opened())
        await self.say(self.planned(), self.request_opened(), self.asked())

    async def approve(self) -> None:
        await self.ask()
        await self.say(e.Answered(await self.verdict()), self.decided())

    async def claim(self) -> None:
        await self.approve()
        await self.say(self.claimed())

    async def deliver(self, state: ChangeState = ChangeState.HEALTHY) -> None:
        await self.claim()
        await self.say(self.finished())
        await self.say(self.closed(state))
