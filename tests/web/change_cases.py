"""A service whose lanes are asked about for real, for tests of the pages that show it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gitops.app import offline
from gitops.controller import Controller
from gitops.engine.desk import Desk, Question
from gitops.model.approval import Answer, Decision, Request
from gitops.model.delivery import ChangeRecord, ChangeState, Delivered, Hold
from gitops.model.events import ApplyFinished, ChangeClosed, ChangeOpened, Claimed
from gitops.model.fleet import ApplicationSpec, Fleet, People, Person, SourceSpec
from gitops.model.ids import ApplicationName, Digest, PersonName, SourceName, TargetName, combine
from gitops.model.manifest import ObjectId
from gitops.model.plan import Action, FieldChange, Plan, ResourceChange, SealParts
from gitops.model.serving import ApiSpec
from gitops.web.api import build
from gitops.web.auth.sessions import Sessions
from tests.contract.store_story import Clock, change_of, lane, plan_of

ADA, BOB, CYD = (PersonName(name) for name in ("ada", "bob", "cyd"))
PEOPLE = People({n: Person(n, (f"{n}@example.org",)) for n in (ADA, BOB, CYD)})
HERE = "http://127.0.0.1:8080"
PUBLIC = "https://gitops.example.com"
HUB = "https://github.com/example/config"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
TARGETS = ("eu", "us", "ap")


@dataclass
class House:
    """A controller that works on nothing by itself, and its pages."""

    controller: Controller
    clock: Clock
    client: httpx.AsyncClient
    cookies: dict[str, str] = field(default_factory=dict)

    def set(self, **more: Any) -> None:
        self.controller.roster.reload(replace(self.controller.fleet, **more))

    def spec(self, name: str = "shop") -> ApplicationSpec:
        found = self.controller.roster.spec(ApplicationName(name))
        assert found is not None
        return found

    async def as_(self, person: PersonName) -> dict[str, str]:
        if person not in self.cookies:
            fleet = self.controller.fleet
            sessions = Sessions(self.controller.ledger, self.clock, lambda: fleet.api.sign_in)
            self.cookies[person] = await sessions.begin(person, "local")
        return {"cookie": f"gitops={self.cookies[person]}", "origin": HERE, **BROWSER}

    async def csrf(self, person: PersonName) -> str:
        await self.as_(person)
        fleet = self.controller.fleet
        sessions = Sessions(self.controller.ledger, self.clock, lambda: fleet.api.sign_in)
        found = await sessions.of(self.cookies[person])
        assert found is not None
        return found.csrf

    async def get(self, path: str, person: PersonName = BOB) -> httpx.Response:
        return await self.client.get(path, headers=await self.as_(person))

    async def post(self, path: str, person: PersonName = BOB, **data: str) -> httpx.Response:
        given = {"csrf": await self.csrf(person), **data}
        return await self.client.post(path, headers=await self.as_(person), data=given)

    # --- what happens -------------------------------------------------------------------------

    async def open(
        self, name: str = "shop", target: str = "eu", wish: str = "a", **more: Any
    ) -> ChangeRecord:
        where = lane(name, target)
        known = await self.controller.ledger.read(lambda r: r.lane(where))
        change = replace(change_of(where, known.generation, wish), **more)
        await self.controller.ledger.append(ChangeOpened(change))
        record = await self.controller.ledger.read(lambda r: r.change(change.id))
        assert record is not None
        return record

    async def ask(self, record: ChangeRecord, plan: Plan | None = None, text: str = "p") -> Answer:
        plan = plan or plan_of(record.change, text)
        spec = self.spec(record.change.lane.application)
        nothing = combine("")
        parts = SealParts(
            *(record.change.after, nothing, plan.digest, "tools", "uid", nothing), plan.over_budget
        )
        question = Question(record, spec, plan, parts, "shop: raise replicas", {})
        desk = self.controller.desk
        return await self.controller.ledger.write(lambda tx: desk.ask(tx, question))

    async def asked(self, *changes: ResourceChange, target: str = "eu", **more: Any) -> Request:
        record = await self.open(target=target)
        await self.ask(record, drawn(record, *changes, **more) if changes or more else None)
        return await self.request()

    async def request(self) -> Request:
        """The newest."""
        found = await self.controller.ledger.read(lambda r: r.requests(open_only=False))
        return found[0]

    async def answer(self, person: PersonName, decision: Decision = Decision.APPROVE) -> None:
        request, desk = await self.request(), self.controller.desk
        await self.controller.ledger.write(
            lambda tx: desk.answer(
                tx,
                request=request.id,
                root=request.root,
                person=person,
                decision=decision,
                reason="not before the freeze" if decision is Decision.DENY else "",
                via="slack",
            )
        )

    async def claim(self, record: ChangeRecord) -> None:
        present = await self.controller.ledger.read(lambda r: r.change(record.change.id))
        assert present is not None
        assert present.seal is not None
        await self.controller.ledger.append(Claimed(record.change.id, present.seal, ("bob",)))

    async def end(self, record: ChangeRecord, state: ChangeState, why: str = "") -> None:
        change, delivered, hold = record.change, None, None
        if state is ChangeState.HEALTHY:
            now = self.clock.time
            delivered = Delivered(change.after, change.revision, combine("seal"), now)
            await self.controller.ledger.append(ApplyFinished(change.id, "3 writes done"))
        else:
            hold = Hold(combine("plan"), change.after, why, failed=state is ChangeState.FAILED)
        await self.controller.ledger.append(ChangeClosed(change.id, state, why, delivered, hold))

    async def deliver(self, wish: str, state: ChangeState = ChangeState.HEALTHY) -> ChangeRecord:
        record = await self.open(wish=wish)
        await self.ask(record)
        await self.answer(BOB)
        await self.claim(record)
        await self.end(record, state, "it crashed" if state is ChangeState.FAILED else "")
        return record


def drawn(record: ChangeRecord, *changes: ResourceChange, **more: Any) -> Plan:
    plan = plan_of(record.change)
    digest = combine("plan", *(each.address for each in changes), str(sorted(more)))
    return replace(plan, changes=changes or plan.changes, digest=Digest(digest), **more)


def update(name: str, *fields: FieldChange, action: Action = Action.UPDATE) -> ResourceChange:
    id = ObjectId("apps", "Deployment", "shop", name)
    return ResourceChange(action, str(id), id, fields)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    source = SourceSpec(SourceName("config"), "git", f"{HUB}.git")
    specs = {
        ApplicationName(name): ApplicationSpec(
            ApplicationName(name),
            source.name,
            name,
            clusters=tuple(TargetName(target) for target in TARGETS),
        )
        for name in ("shop", "mail")
    }
    fleet = Fleet(
        tmp_path / "f",
        tmp_path,
        sources={source.name: source},
        applications=specs,
        people=PEOPLE,
        api=ApiSpec(listen="127.0.0.1:8080", url=PUBLIC),
    )
    clock = Clock()
    running = offline(fleet, clock)
    controller = running.controller
    controller.parts.keeper._seconds = 1e10
    await controller.parts.keeper.acquire()
    controller.ready.set()
    # One that asks nobody comes with looking alone.
    controller.desk = Desk(lambda: controller.fleet, controller.roster.spec, clock)
    transport = httpx.ASGITransport(build(controller, trusted=False))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
        yield House(controller, clock, client)
    await controller.close()
    running.close()
