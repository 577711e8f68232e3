"""A recorded workspace, a real office, and between them the half of Slack that hears.

The office is the controller's own over a store in memory: gate, ballot and store are those of
production. Cards are drawn and posted as the notifier does, so that a test presses real buttons.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gitops.app import offline
from gitops.controller import Controller
from gitops.engine.ledger import LedgerMemory
from gitops.model.approval import Request, Verdict
from gitops.model.delivery import Cause, Change
from gitops.model.events import (
    ChangeOpened,
    ChangePlanned,
    MemberAsked,
    RequestOpened,
)
from gitops.model.fleet import ApplicationSpec, ApprovalPolicy, Fleet, People, Person
from gitops.model.ids import (
    ApplicationName,
    ChangeId,
    GroupName,
    PersonName,
    RequestId,
    SourceName,
    combine,
)
from gitops.model.plan import Plan, SealParts
from gitops.model.secret import SecretRef
from gitops.model.source import Authorship
from gitops.office import FrontOffice
from gitops.plugins import Services
from gitops.ports import Children
from gitops.ports.inbound import Letter, Reply
from gitops.ports.office import Office
from gitops.vault import Keyring
from notifiers.slack import Options
from notifiers.slack.account import Account
from notifiers.slack.blocks import Ink
from notifiers.slack.cards import Cards
from notifiers.slack.hearing import Hearing
from notifiers.slack.inbound import receive
from tests.contract.store_story import Clock, change_of, lane, plan_of
from tests.slack import sending
from tests.slack.sending import Signed
from tests.slack.server import SlackServer

REQUEST = RequestId("0123456789abcdef")
PERSONS = ("ada", "bob", "cyd", "dan")


def people_of(**slack: Sequence[str]) -> People:
    """ada, bob, cyd and dan by e-mail; ``slack`` adds ids to some."""
    persons = {
        PersonName(name): Person(
            PersonName(name), (f"{name}@example.org",), slack=tuple(slack.get(name, ()))
        )
        for name in PERSONS
    }
    return People(persons, {GroupName("sre"): (PersonName("bob"), PersonName("cyd"))})


@dataclass
class Incoming:
    slack: SlackServer
    controller: Controller
    clock: Clock
    account: Account
    hearing: Hearing
    channel: str
    office: Office
    cards: dict[str, str] = field(default_factory=dict)
    """Timestamp of a request's message."""

    # --- what is asked ------------------------------------------------------------------------

    async def ask(
        self,
        name: str = "shop",
        *,
        request: RequestId = REQUEST,
        plan: Plan | None = None,
        authorship: Authorship | None = None,
        cause: Cause = Cause.COMMIT,
        wish: str = "a",
        title: str = "config@a: raise replicas",
    ) -> Change:
        """An open question about one change by ada, and its card in the channel."""
        change = change_of(lane(name), wish=wish, cause=cause)
        if authorship is not None:
            change = replace(change, authorship=authorship)
        return await self.ask_change(change, request, plan, title)

    async def ask_change(
        self,
        change: Change,
        request: RequestId,
        plan: Plan | None = None,
        title: str = "config@b: raise replicas again",
    ) -> Change:
        wish = change.occasion
        drawn = plan or plan_of(change)
        drawn = replace(drawn, change=change.id)
        known = await self.controller.ledger.read(lambda r: r.request(request))
        opened = [] if known else [RequestOpened(request, change.occasion, title)]
        await self.controller.ledger.append(
            ChangeOpened(change),
            ChangePlanned(change.id, drawn, combine("seal", wish), _parts(change, drawn, wish)),
            *opened,
            self._asked(request, change.id, drawn, wish),
        )
        await self.post(request)
        return change

    async def move(self, change: Change, wish: str, moved: str) -> None:
        """Its plan is another one now: asked again under another seal."""
        plan = replace(plan_of(change, wish), change=change.id)
        await self.controller.ledger.append(
            ChangePlanned(change.id, plan, combine("seal", wish), _parts(change, plan, wish)),
            self._asked(REQUEST, change.id, plan, wish, moved),
        )

    def _asked(
        self, request: RequestId, change: ChangeId, plan: Plan, wish: str, moved: str = ""
    ) -> MemberAsked:
        until = self.clock.time + 86_400
        return MemberAsked(request, change, combine("seal", wish), plan.digest, until, moved)

    async def post(self, request: RequestId = REQUEST) -> str:
        card = await self.office.card(request)
        assert card is not None
        drawn = Cards(Ink(), self.account.tickets).draw(card)
        said = await self.account.web.ask(
            "chat_postMessage", channel=self.channel, blocks=drawn.blocks, text=drawn.text
        )
        self.cards[request] = str(said["ts"])
        return self.cards[request]

    async def request(self, request: RequestId = REQUEST) -> Request:
        found = await self.controller.ledger.read(lambda r: r.request(request))
        assert found is not None
        return found

    async def verdicts(self) -> Sequence[Verdict]:
        return (await self.request()).verdicts

    # --- what people do -----------------------------------------------------------------------

    async def send(self, signed: Signed) -> Reply:
        headers = {name.lower(): (value,) for name, value in signed.headers.items()}
        return await receive(Letter(headers, signed.body), self.account, self.hearing)

    async def interact(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The body of the acknowledgement."""
        return body(await self.send(sending.signed_interaction(self.slack, payload)))

    async def press(self, button: str, user: str, *, ts: str = "", team: str = "") -> None:
        """Presses and waits until whatever follows has been shown."""
        where = ts or self.cards[REQUEST]
        await self.interact(sending.press(self.slack, where, button, user, team=team))
        await self.hearing.drain()

    async def submit(self, user: str, view: str = "", **values: str) -> dict[str, Any]:
        """Hands the modal in that was opened last; the acknowledgement."""
        shown = view or self.last_view()["id"]
        return await self.interact(sending.submit(self.slack, shown, user, values))

    async def approve(self, user: str, **values: str) -> dict[str, Any]:
        await self.press("Approve", user)
        return await self.submit(user, **values)

    async def command(self, text: str, user: str) -> str:
        """What the person is shown."""
        payload = sending.command(self.slack, text, user, self.channel)
        reply = await self.send(sending.signed_command(self.slack, payload))
        await self.hearing.drain()
        return text_of(body(reply))

    async def mention(self, text: str, user: str) -> str:
        before = len(self.slack.ephemerals)
        event = sending.mention(self.slack, text, user, self.channel)
        reply = await self.send(sending.signed_event(self.slack, event))
        assert (reply.status, reply.body) == (200, b"")
        await self.hearing.drain()
        return "\n".join(text_of(each) for each in self.slack.ephemerals[before:])

    # --- what they see ------------------------------------------------------------------------

    def last_view(self) -> dict[str, Any]:
        return list(self.slack.views.values())[-1]

    def shown(self) -> str:
        """The modal that was opened last, as text."""
        return text_of(self.last_view())


def _parts(change: Change, plan: Plan, wish: str) -> SealParts:
    seal = combine("seal", wish)
    return SealParts(change.after, seal, plan.digest, "tools", "uid", seal, plan.over_budget)


def body(reply: Reply) -> dict[str, Any]:
    assert reply.status == 200, reply
    found: dict[str, Any] = json.loads(reply.body) if reply.body else {}
    return found


def text_of(value: Any) -> str:
    """Every text in a payload, in order, one a line."""
    found: list[str] = []
    _gather(value, found)
    return "\n".join(found)


def _gather(value: Any, found: list[str]) -> None:
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            found.append(value["text"])
        for key, each in value.items():
            if key == "errors" and isinstance(each, dict):
                found += each.values()
            _gather(each, found)
    elif isinstance(value, list):
        for each in value:
            _gather(each, found)


def secret(folder: Path, name: str, value: str) -> SecretRef:
    file = folder / name
    file.write_text(value)
    file.chmod(0o600)
    return SecretRef(file=file)


class Nobody:
    """Stands for the runner of child processes: nothing here has children."""


def account_of(
    slack: SlackServer, folder: Path, controller: Controller, clock: Clock, channel: str
) -> Account:
    services = Services(
        children=_no_children(),
        digester=Keyring(b"k" * 32),
        clock=clock,
        state_dir=folder,
        cache_dir=folder,
        office=lambda: FrontOffice(controller),
        memory=LedgerMemory(controller.ledger),
    )
    options = Options(
        bot_token=secret(folder, "bot", slack.bot_token),
        channel=channel,
        signing_secret=secret(folder, "signing", slack.signing_secret),
        app_token=secret(folder, "app", slack.app_token),
        api=slack.api_url,
    )
    return Account.of(options, services)


def _no_children() -> Children:
    return Nobody()  # type: ignore[return-value]


def fleet_of(folder: Path, people: People, policy: ApprovalPolicy) -> Fleet:
    return Fleet(
        folder / "gitops.yaml",
        folder,
        applications={
            ApplicationName(name): ApplicationSpec(
                ApplicationName(name),
                SourceName("config"),
                name,
                clusters=(lane().target,),
                approval=policy,
            )
            for name in ("shop", "blog")
        },
        people=people,
    )


@contextlib.asynccontextmanager
async def incoming(
    folder: Path,
    slack: SlackServer,
    *,
    people: People | None = None,
    policy: ApprovalPolicy | None = None,
) -> AsyncIterator[Incoming]:
    clock = Clock(time.time())
    running = offline(fleet_of(folder, people or people_of(), policy or ApprovalPolicy()), clock)
    controller = running.controller
    controller.parts.keeper._seconds = 1e9
    await controller.parts.keeper.acquire()
    channel = slack.add_channel("deploys")
    account = account_of(slack, folder, controller, clock, channel)
    cards: dict[str, str] = {}

    async def place_of(request: RequestId) -> tuple[str, str] | None:
        return (channel, cards[request]) if request in cards else None

    hearing = Hearing(account, place_of)
    office = FrontOffice(controller)
    yield Incoming(slack, controller, clock, account, hearing, channel, office, cards)
    await hearing.drain()
    await controller.close()
    running.close()
