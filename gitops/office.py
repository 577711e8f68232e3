"""The office every face goes through: what is shown of the fleet and done for a person.

Plays :class:`gitops.ports.office.Office` over the controller, for pages, API and chats alike. What
belongs together is read in one transaction; nothing is decided here (the gate and the desk do).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gitops.controller import Controller
from gitops.engine.ledger import open_change
from gitops.engine.rollbacks import earlier_deliveries
from gitops.engine.why import Story
from gitops.engine.why import why as explain
from gitops.gate import authors_of, confirmation_phrase, electorate
from gitops.links import change_page, commits_at, request_page
from gitops.model.approval import (
    Decision,
    Electorate,
    Member,
    MemberState,
    Request,
    RequestState,
    Verdict,
)
from gitops.model.delivery import (
    Begun,
    ChangeRecord,
    DeliveryRecord,
    LaneId,
    LaneRecord,
    Pause,
)
from gitops.model.fleet import ApplicationSpec, ApprovalPolicy, People
from gitops.model.ids import (
    ApplicationName,
    ChangeId,
    Digest,
    PersonName,
    RequestId,
)
from gitops.model.plan import Plan
from gitops.model.source import Authorship, SourceState, SourceStatus
from gitops.orders import Orders
from gitops.ports import Reading
from gitops.ports.office import Card, Row, Standing
from gitops.steps.ask import title_of

MOST_PENDING = 500


class FrontOffice:
    """Plays ``Office``."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self.orders = Orders(controller)

    def people(self) -> People:
        return self._controller.fleet.people

    # --- looking ------------------------------------------------------------------------------

    async def card(self, id_or_prefix: str) -> Card | None:
        def query(reading: Reading) -> Card | None:
            found = reading.find_request(id_or_prefix)
            return self._card(reading, found) if found else None

        return await self._controller.ledger.read(query)

    async def card_of(self, change: str) -> Card | None:
        def query(reading: Reading) -> Card | None:
            record = reading.change(ChangeId(change))
            if record is None or not record.request:
                return None
            found = reading.request(RequestId(record.request))
            return self._card(reading, found) if found else None

        return await self._controller.ledger.read(query)

    async def unasked(self, change: str) -> Card | None:
        def query(reading: Reading) -> Card | None:
            record = reading.change(ChangeId(change))
            if record is None or record.request:
                return None
            occasion = record.change.occasion
            others = [
                other
                for other in reading.changes()
                if other.change.occasion == occasion and not other.request
            ]
            known = {each.change.id: each for each in (record, *others)}
            members = tuple(_bystander(known[id]) for id in sorted(known))
            gathered = Request(
                RequestId(""),
                occasion,
                title_of(record),
                Digest(""),
                RequestState.CLOSED,
                members,
                min(each.opened_at for each in known.values()),
            )
            return self._card(reading, gathered)

        return await self._controller.ledger.read(query)

    def page(self, change: str) -> str:
        at = self._controller.fleet.api.url
        return change_page(change, at) if at else ""

    async def pending(self) -> Sequence[Card]:
        def query(reading: Reading) -> Sequence[Card]:
            open_ = reading.requests(open_only=True, limit=MOST_PENDING)
            return tuple(self._card(reading, request) for request in open_)

        return await self._controller.ledger.read(query)

    async def standings(self, application: str = "") -> Sequence[Standing]:
        present = await self._controller.board.present()
        return present.of(application) if application else present.standings

    async def why(
        self, application: ApplicationName, target: str = ""
    ) -> Mapping[str, Sequence[str]]:
        """``target``: of that one alone."""
        spec = self._controller.roster.named(application)
        lanes = [LaneId(application, each) for each in spec.targets if target in ("", each)]
        return {str(lane): explain(await self._story(lane, spec)) for lane in lanes}

    async def history(
        self, application: ApplicationName, limit: int = 10
    ) -> Sequence[DeliveryRecord]:
        self._controller.roster.named(application)
        return await self._controller.ledger.read(
            lambda reading: reading.deliveries(application=application, limit=limit)
        )

    # --- acting -------------------------------------------------------------------------------

    async def answer(
        self,
        request: RequestId,
        root: Digest,
        person: PersonName,
        decision: Decision,
        *,
        reason: str = "",
        via: str,
        confirmation: str = "",
    ) -> Verdict:
        return await self.orders.answer(
            request, root, person, decision, reason=reason, via=via, confirmation=confirmation
        )

    async def again(self, application: ApplicationName, person: PersonName) -> Sequence[LaneId]:
        return await self.orders.again(application, person)

    async def rollback(
        self,
        application: ApplicationName,
        person: PersonName,
        delivery: str = "",
        reason: str = "",
        target: str = "",
    ) -> Begun:
        return await self.orders.rollback(application, person, delivery, reason, target)

    async def pause(
        self, application: ApplicationName, person: PersonName, seconds: float, reason: str
    ) -> Pause:
        return await self.orders.pause(application, person, seconds, reason)

    async def resume(self, application: ApplicationName, person: PersonName) -> None:
        await self.orders.resume(application, person)

    # --- parts --------------------------------------------------------------------------------

    def _card(self, reading: Reading, request: Request) -> Card:
        people = _Said(self.people())
        rows = tuple(
            row
            for member in request.members
            if (row := self._row(reading, request, member, people)) is not None
        )
        asked = [row.plan for row in rows if row.plan and _is_asked(row)]
        return Card(request, rows, confirmation_phrase(asked), self._url(request, rows))

    def card_in(
        self,
        reading: Reading,
        request: Request,
        *,
        planned: slice = slice(None),
        most: int | None = None,
    ) -> Card:
        """A card among other things that are read at the same moment, of ``most`` members, those
        that are asked about first. Plans are large: only the rows of ``planned`` have theirs."""
        people = _Said(self.people())
        members = sorted(request.members, key=lambda each: each.state is not MemberState.ASKING)
        wanted = range(len(members))[planned]
        rows = tuple(
            row
            for place, member in enumerate(members[:most])
            if (row := self._row(reading, request, member, people, planned=place in wanted))
        )
        asked = [row.plan for row in rows if row.plan and _is_asked(row)]
        return Card(request, rows, confirmation_phrase(asked), self._url(request, rows))

    def _url(self, request: Request, rows: Sequence[Row]) -> str:
        """Of its page; of the change's where nobody was asked."""
        at = self._controller.fleet.api.url
        if not at or not (request.id or rows):
            return ""
        if request.id:
            return request_page(request.id, at)
        return change_page(rows[0].record.change.id, at)

    def _row(
        self,
        reading: Reading,
        request: Request,
        member: Member,
        people: _Said,
        *,
        planned: bool = True,
    ) -> Row | None:
        record = reading.change(member.change)
        if record is None:
            return None
        spec = self._controller.roster.spec(record.change.lane.application)
        about = people.of(spec.approval if spec else None, record.change.authorship)
        return Row(
            member,
            record,
            reading.plan(member.change) if planned else None,
            spec,
            about.group,
            about.authors,
            reading.delivery(record.delivery) if record.delivery else None,
            commits_at(self._controller.fleet.sources.get(record.change.revision.source)),
        )

    async def _story(self, lane: LaneId, spec: ApplicationSpec) -> Story:
        controller = self._controller
        watch = controller.watches.get(spec.source)
        cluster = controller.clusters.connected.get(lane.target) if not spec.terraform else None
        queue = controller.parts.workspace.queue()

        def query(reading: Reading) -> Story:
            record = reading.lane(lane)
            current = open_change(reading, record)
            newest = reading.changes(open_only=False, lane=lane, limit=2)
            ended = [change for change in newest if change.state.terminal]
            request = None
            if current is not None and current.request:
                request = reading.request(RequestId(current.request))
            plan: Plan | None = reading.plan(current.change.id) if current else None
            return Story(
                spec=spec,
                lane=record,
                source=watch.status if watch else SourceStatus(spec.source, SourceState.NEW),
                cluster=cluster.status() if cluster else None,
                current=current,
                last=ended[0] if ended else None,
                plan=plan,
                request=request,
                group=electorate_of(controller, current),
                trouble=controller.lanes.trouble(lane),
                now=controller.parts.clock.now(),
                queue=tuple(str(place) for place in queue if place.lane == lane),
                pause=controller.pauses.of(lane.application),
                earlier=_earlier(reading, record),
                ailments=controller.vigil.ailments(lane),
                blind=controller.vigil.blind(lane),
            )

        return await controller.ledger.read(query)


def electorate_of(controller: Controller, record: ChangeRecord | None) -> Electorate | None:
    """Who may approve a change; None when its application left the fleet."""
    spec = controller.roster.spec(record.change.lane.application) if record else None
    if record is None or spec is None:
        return None
    return electorate(spec.approval, record.change.authorship, controller.fleet.people)


def _earlier(reading: Reading, lane: LaneRecord) -> DeliveryRecord | None:
    """What a lane that is held could be rolled back to."""
    return next(iter(earlier_deliveries(reading, lane)), None) if lane.hold else None


def _bystander(record: ChangeRecord) -> Member:
    """A change in no request, in the shape of a member."""
    nothing = Digest("")
    return Member(
        record.change.id, record.seal or nothing, record.plan or nothing, MemberState.LEFT
    )


@dataclass(frozen=True, slots=True)
class _AboutPeople:
    """Who made something and who may say yes to it."""

    policy: ApprovalPolicy | None
    authors: tuple[str, ...]
    group: Electorate | None


class _Said:
    """The same for all members of one card: most have one policy and one cause, and to sort a
    hundred people anew for each of thousands takes longer than Slack waits."""

    def __init__(self, people: People) -> None:
        self._people = people
        self._known: dict[tuple[int, Authorship], _AboutPeople] = {}

    def of(self, policy: ApprovalPolicy | None, authorship: Authorship) -> _AboutPeople:
        """By the policy itself, which is kept: it may hold what cannot be compared quickly."""
        key = (id(policy), authorship)
        if key not in self._known:
            authors = authors_of(authorship, self._people)
            group = electorate(policy, authorship, self._people) if policy else None
            self._known[key] = _AboutPeople(policy, authors.named, group)
        return self._known[key]


def _is_asked(row: Row) -> bool:
    return row.member.state is MemberState.ASKING
