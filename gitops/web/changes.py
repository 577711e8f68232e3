"""Everything the store knows of one change at one moment, and how far it has come.

Read by the page of a change and by the API alike, so that the two cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gitops.controller import Controller
from gitops.engine.lanes import Trouble
from gitops.engine.rollbacks import earlier_deliveries
from gitops.errors import Unknown
from gitops.foreign import one_line
from gitops.model.approval import Member
from gitops.model.approval import Request as Question
from gitops.model.delivery import (
    Change,
    ChangeRecord,
    DeliveryRecord,
    LaneRecord,
    Progress,
)
from gitops.model.events import StoredEvent
from gitops.model.ids import ChangeId, RequestId
from gitops.model.plan import Plan
from gitops.office import electorate_of
from gitops.ports import Reading
from gitops.web.steps import Step, steps

TOGETHER = 100
"""Changes of the same occasion that are listed."""


@dataclass(frozen=True, slots=True)
class Found:
    """Everything the store knows of one change, at one moment."""

    record: ChangeRecord
    events: tuple[StoredEvent, ...]
    plan: Plan | None
    delivery: DeliveryRecord | None
    request: Question | None
    lane: LaneRecord
    together: tuple[ChangeRecord, ...]
    """Of the same occasion or request, without itself."""
    earlier: DeliveryRecord | None
    """What its lane could be rolled back to."""
    broken: int | None
    """Sequence of the event that breaks its chain, or its request's."""
    asked: tuple[StoredEvent, ...] = ()
    """Of its request."""

    @property
    def change(self) -> Change:
        return self.record.change

    @property
    def member(self) -> Member | None:
        members = self.request.members if self.request else ()
        return next((each for each in members if each.change == self.change.id), None)


def look(reading: Reading, id: str) -> Found:
    """One change by id or prefix. Raises Unknown, Permanent where a prefix fits several."""
    record = reading.find_change(id)
    if record is None:
        raise Unknown(f"there is no change {one_line(id, 40)}")
    change = record.change
    request = reading.request(RequestId(record.request)) if record.request else None
    lane = reading.lane(change.lane)
    known = {each.change.id: each for each in reading.of_occasion(record, limit=TOGETHER + 1)}
    for member in (request.members if request else ())[: TOGETHER + 1]:
        if member.change not in known and (other := reading.change(member.change)):
            known[member.change] = other
    broken = reading.broken(change.id)
    if broken is None and request is not None:
        broken = reading.broken(request.id)
    return Found(
        record,
        tuple(reading.events(change.id)),
        reading.plan(change.id),
        reading.delivery(record.delivery) if record.delivery else None,
        request,
        lane,
        tuple(each for each in known.values() if each.change.id != change.id),
        next(iter(earlier_deliveries(reading, lane)), None) if record.delivery else None,
        broken,
        tuple(reading.events(request.id)) if request else (),
    )


def progress_of(controller: Controller, found: Found) -> Progress | None:
    """How far its apply is, as far as this process knows."""
    told = controller.clusters.progress(found.change.lane)
    if told is None or told.change != found.change.id:
        return None
    mask = controller.parts.mask
    return replace(told, waits_for=tuple(mask(each) for each in told.waits_for))


def trouble_of(controller: Controller, found: Found) -> Trouble | None:
    """Why its lane's last round ended early; None once the lane has gone on to another change."""
    present = found.lane.current == found.change.id
    return controller.lanes.trouble(found.change.lane) if present else None


def way_of(controller: Controller, found: Found) -> tuple[Step, ...]:
    """Its six steps, as far as it has come."""
    trouble = trouble_of(controller, found)
    return steps(
        found.record,
        found.events,
        found.plan,
        controller.parts.clock.now(),
        progress=progress_of(controller, found),
        member=found.member,
        group=electorate_of(controller, found.record),
        trouble=trouble.message if trouble else "",
    )


def newer(found: Found) -> ChangeId | None:
    current = found.lane.current
    return current if current and current != found.change.id else None
