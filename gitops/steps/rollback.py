"""Rollback: what lanes would become if they went back to an earlier delivery.

Called by the controller while the person who asked waits for the answer, so that what cannot be is
refused in words at once. From the change it opens on, a rollback is carried like any other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from gitops.engine.ledger import Ledger
from gitops.engine.renders import Rendered
from gitops.engine.rollbacks import begin, chosen, earlier_deliveries, half_way, named
from gitops.engine.rollbacks import refusal as refusal_of
from gitops.engine.supplies import joined
from gitops.errors import NotAllowed, SourceProblem
from gitops.model.delivery import (
    Begun,
    Cause,
    Change,
    ChangeRecord,
    DeliveryRecord,
    LaneId,
    LaneRecord,
    Rollback,
)
from gitops.model.finding import blocking
from gitops.model.ids import ApplicationName, PersonName, combine, short
from gitops.ports import Clock, Reading
from gitops.steps.kit import Kit, wanted
from gitops.steps.render import earlier
from gitops.steps.watch import requester

RENDERED = 10
"""Earlier deliveries rendered until one differs from what is delivered."""
LONGEST_REASON = 2_000

KitOf = Callable[[LaneId], Awaitable[Kit | None]]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person said."""

    application: ApplicationName
    person: PersonName
    delivery: str = ""
    """Id or prefix; empty: what was healthy before."""
    reason: str = ""
    target: str = ""
    """Empty: all of them."""


async def go_back(
    asked: Asked, lanes: tuple[LaneId, ...], ledger: Ledger, clock: Clock, kit_of: KitOf
) -> tuple[Begun, Sequence[ChangeRecord]]:
    """Opens a change for each lane that can go back, all in one request; gives back also what they
    took the place of. Raises Unknown, NotAllowed in words where none can."""
    named_one = None
    if asked.delivery:
        named_one = await ledger.read(lambda r: named(r, asked.delivery, asked.application))
    asked_at = combine(asked.person, str(clock.now()))
    occasion = f"rollback {asked.application} {short(asked_at)}"
    drafts: list[tuple[LaneRecord, Change]] = []
    refused: dict[LaneId, NotAllowed] = {}
    for lane in chosen(lanes, named_one, asked.target):
        try:
            record, candidates = await _look(ledger, lane, named_one, clock)
            kit = await _kit(kit_of, lane)
            drafts.append((record, await _draft(kit, record, candidates, asked, occasion)))
        except NotAllowed as why:
            refused[lane] = why
    if not drafts:
        raise _together(refused.values())
    begun = await ledger.write(lambda tx: begin(tx, drafts, clock.now()))
    changes = {change.lane: change.id for change, _ in begun}
    put_aside = [record for _, record in begun if record is not None]
    return Begun(changes, {lane: why.message for lane, why in refused.items()}), put_aside


def _together(refusals: Iterable[NotAllowed]) -> NotAllowed:
    """One refusal for every lane's."""
    each = list(refusals)
    words = "; ".join(dict.fromkeys(why.message for why in each))
    return NotAllowed(words, hint=next((why.hint for why in each if why.hint), ""))


async def _kit(kit_of: KitOf, lane: LaneId) -> Kit:
    kit = await kit_of(lane)
    if kit is None:
        raise NotAllowed(f"the source of {lane} has not been read yet")
    return kit


async def _look(
    ledger: Ledger, lane: LaneId, named_one: DeliveryRecord | None, clock: Clock
) -> tuple[LaneRecord, tuple[DeliveryRecord, ...]]:
    """The lane, and what it may go back to, best first."""

    def query(reading: Reading) -> tuple[str, LaneRecord, tuple[DeliveryRecord, ...]]:
        record = reading.lane(lane)
        found = (named_one,) if named_one else earlier_deliveries(reading, record)
        return refusal_of(reading, lane, clock.now()), record, found

    refusal, record, candidates = await ledger.read(query)
    if refusal:
        raise NotAllowed(refusal)
    return record, candidates


async def _draft(
    kit: Kit,
    lane: LaneRecord,
    candidates: Sequence[DeliveryRecord],
    asked: Asked,
    occasion: str,
) -> Change:
    """To the first of ``candidates`` that brought anything else than what is delivered."""
    delivery, then = await _another(kit, lane, candidates)
    facts = await kit.target.facts()
    newest = await kit.renders.of(kit.application, kit.newest(), facts, kit.supplies, gone=True)
    why = asked.reason[:LONGEST_REASON]
    back = Rollback(delivery.id, then.revision, newest.closure.inside, asked.person, why)
    authors = joined(requester(asked.person), kit.supplies.authorship)
    after = await wanted(kit, then)
    return Change(kit.lane, 0, after, Cause.ROLLBACK, then.revision, authors, occasion, back)


async def _another(
    kit: Kit, lane: LaneRecord, candidates: Sequence[DeliveryRecord]
) -> tuple[DeliveryRecord, Rendered]:
    if not candidates:
        raise NotAllowed(f"{kit.lane} was never healthy before as anything else than it is now")
    present = await _present(kit, lane)
    for delivery in candidates[:RENDERED]:
        then = await _as_then(kit, delivery)
        if half_way(lane) or not await _same(kit, lane, present, then):
            return delivery, then
    name = short(candidates[0].id)
    raise NotAllowed(f"{kit.lane}: {name} brought nothing else than what is delivered now")


async def _same(kit: Kit, lane: LaneRecord, present: Rendered | None, then: Rendered) -> bool:
    """The same files, or other files that come to the same."""
    if lane.delivered is not None and lane.delivered.closure == await wanted(kit, then):
        return True
    if present is None or present.desired is None or then.desired is None:
        return False
    return present.desired.digest == then.desired.digest


async def _present(kit: Kit, lane: LaneRecord) -> Rendered | None:
    """What is delivered now, rendered again; None where that cannot be done."""
    if lane.delivered is None:
        return None
    try:
        return await earlier(kit, lane.delivered.revision)
    except SourceProblem:
        return None


async def _as_then(kit: Kit, delivery: DeliveryRecord) -> Rendered:
    revision, name = delivery.change.change.revision, short(delivery.id)
    try:
        rendered = await earlier(kit, revision)
    except SourceProblem as gone:
        raise NotAllowed(
            f"what {name} brought to {kit.lane} ({revision}) is gone: {gone.message}",
            hint=gone.hint or f"name another one: gitops deliveries {kit.application.name}",
        ) from gone
    if rendered.desired is not None:
        return rendered
    first = blocking(rendered.findings)[0]
    place = f"{first.place}: " if first.place else ""
    raise NotAllowed(
        f"what {name} brought to {kit.lane} cannot be rendered under the present fleet file: "
        f"{place}{first.message}",
        hint=first.hint,
    )
