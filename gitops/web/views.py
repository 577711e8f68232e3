"""What the API shows: values gathered from the controller and its store in one reading each."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from gitops.controller import Controller
from gitops.engine.rollbacks import live
from gitops.gate import confirmation_phrase
from gitops.model.approval import Request
from gitops.model.delivery import Cause, ChangeRecord, ChangeState, LaneId, LaneRecord, Pause
from gitops.model.health import Ailment
from gitops.model.ids import ApplicationName, ChangeId, TargetName
from gitops.model.terraform import Need
from gitops.office import FrontOffice, electorate_of
from gitops.ports import Reading
from gitops.standing import Kept, standing

IN_ONE_GO = 500
"""Lanes whose standing is told before others have the loop."""


async def status(controller: Controller) -> Mapping[str, Any]:
    """Everything at a glance."""
    lanes = controller.roster.lanes()

    def query(reading: Reading) -> tuple[list[Mapping[str, Any]], Sequence[Any], list[LaneId]]:
        known = {record.lane: record for record in reading.lanes()}
        current = {record.change.lane: record for record in reading.changes()}
        rows: list[Mapping[str, Any]] = [
            {"record": known.get(lane) or LaneRecord(lane), "current": current.get(lane)}
            for lane in lanes
        ]
        managed = set(lanes)
        orphans = [lane for lane in known if lane not in managed and known[lane].delivered]
        return rows, reading.requests(open_only=True), orphans

    rows, requests, orphans = await controller.ledger.read(query)
    pauses, ill = controller.pauses.present(), controller.vigil.ill()
    told: list[Mapping[str, Any]] = []
    for number, row in enumerate(rows, 1):
        told.append({**row, **_besides(controller, pauses, ill, **row)})
        if number % IN_ONE_GO == 0:
            await asyncio.sleep(0)
    return {
        "ready": controller.ready.is_set(),
        "sources": [watch.status for watch in controller.watches.values()],
        "webhooks": controller.inbox.tallies.status(),
        "problems": [str(problem) for problem in controller.roster.problems],
        "clusters": [
            {"name": name, "status": cluster.status()}
            for name, cluster in sorted(controller.clusters.connected.items())
        ],
        "lanes": told,
        "runs": controller.parts.workspace.queue(),
        "requests": requests,
        "paused": [pauses[name] for name in controller.roster.specs() if name in pauses],
        "no_longer_managed": orphans,
    }


def _besides(
    controller: Controller,
    pauses: Mapping[ApplicationName, Pause],
    ill: Mapping[LaneId, Sequence[Ailment]],
    record: LaneRecord,
    current: ChangeRecord | None,
) -> Mapping[str, Any]:
    """What of a lane is in no store, and how it stands with all of it."""
    lane = record.lane
    trouble, ailments = controller.lanes.trouble(lane), ill.get(lane, ())
    spec = controller.roster.spec(lane.application)
    stands = standing(
        lane,
        Kept.of(record, current),
        labels=spec.labels if spec else {},
        pause=pauses.get(lane.application),
        ill=next(iter(ailments), None),
        trouble=trouble.told if trouble else "",
    )
    return {"standing": stands, "trouble": trouble, "ailments": ailments}


async def deliveries(
    controller: Controller,
    application: str,
    target: str,
    limit: int,
    before: str,
    state: ChangeState | None = None,
    cause: Cause | None = None,
) -> Mapping[str, Any]:
    """A page of deliveries, newest first, with those whose state their lanes have now; ``next`` is
    the ``before`` of the page after it, empty at the end."""
    name = ApplicationName(application)
    lane = LaneId(name, TargetName(target)) if application and target else None

    def query(reading: Reading) -> Mapping[str, Any]:
        found = reading.deliveries(
            lane=lane,
            application=name or None,
            state=state,
            cause=cause,
            limit=limit,
            before=before,
        )
        lanes = dict.fromkeys(row.change.change.lane for row in found)
        present = [row.id for each in lanes if (row := live(reading, each))]
        more = found[-1].id if len(found) == limit else ""
        return {"deliveries": found, "live": present, "next": more}

    return await controller.ledger.read(query)


async def show(controller: Controller, id: str) -> Mapping[str, Any] | None:
    """A request, else a delivery, else a change, by id or unambiguous prefix. Raises Permanent for
    a prefix that fits several."""

    def query(reading: Reading) -> Mapping[str, Any] | None:
        if request := reading.find_request(id):
            return {"request": request, "members": _members(controller, reading, request)}
        if delivery := reading.delivery(id):
            return {"delivery": delivery, **_told(reading, delivery.change.change.id)}
        if record := reading.find_change(id):
            return {"change": record, **_told(reading, record.change.id)}
        return None

    return await controller.ledger.read(query)


def _told(reading: Reading, change: ChangeId) -> Mapping[str, Any]:
    return {"plan": reading.plan(change), "events": reading.events(change)}


def _members(controller: Controller, reading: Reading, request: Request) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = []
    for member in request.members:
        record, plan = reading.change(member.change), reading.plan(member.change)
        rows.append(
            {
                "member": member,
                "change": record,
                "plan": plan,
                "electorate": electorate_of(controller, record),
                "confirmation": confirmation_phrase([plan] if plan else []),
                "needs": _needs(controller, record),
            }
        )
    return rows


def _needs(controller: Controller, record: ChangeRecord | None) -> Mapping[str, Need]:
    """Which outputs of others it takes in, by the name they have there."""
    spec = controller.roster.spec(record.change.lane.application) if record else None
    return spec.needs if spec else {}


async def why(controller: Controller, application: ApplicationName) -> Mapping[str, Any]:
    """Per target the sentences. Raises Unknown for an application nobody knows."""
    return await FrontOffice(controller).why(application)
