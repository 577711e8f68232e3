"""What is shown of one application: how it stands on each target, what runs there since when, who
may approve it, what was delivered. Gathered in one reading; for its page and the API.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitops.controller import Controller
from gitops.engine.rollbacks import live
from gitops.errors import Unknown
from gitops.foreign import one_line
from gitops.gate import authors_of
from gitops.jsonable import to_json
from gitops.links import commits_at
from gitops.model.delivery import (
    Cause,
    ChangeState,
    DeliveryRecord,
    LaneId,
    Pause,
    Rollback,
)
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, TargetName
from gitops.model.source import Revision
from gitops.office import FrontOffice
from gitops.ports import Reading
from gitops.ports.office import Standing
from gitops.ports.terraform import OutputValue
from gitops.standing import rank
from gitops.steps.ask import title_of
from gitops.web.objects import Known, known
from gitops.web.policies import policy
from gitops.web.versions import BROUGHT, Version, arrived, versions

LOOKED_AT = 400
"""Deliveries of an application among which is looked for what is live."""
_LONGEST_OUTPUT = 400


@dataclass(frozen=True, slots=True)
class Target:
    """One target and what is there."""

    standing: Standing
    revision: Revision | None = None
    """What is delivered; None while nothing is."""
    delivery: DeliveryRecord | None = None
    """The one whose state is there now, as far as it is not long ago."""
    rollback: Rollback | None = None
    change: str = ""
    """Id of the open change."""

    @property
    def name(self) -> TargetName:
        return self.standing.lane.target


@dataclass(frozen=True, slots=True)
class Past:
    """One delivery, as it is told."""

    delivery: DeliveryRecord
    title: str
    """Foreign."""
    authors: tuple[str, ...]
    """Persons, else e-mails and logins: foreign."""
    live: bool
    """Its state is there now."""
    may_return: bool
    """It could be rolled back to."""
    commits_at: str = ""

    @property
    def seconds(self) -> float | None:
        ended = self.delivery.finished_at
        return None if ended is None else ended - self.delivery.started_at


@dataclass(frozen=True, slots=True)
class History:
    rows: tuple[Past, ...]
    next: str
    """``before`` of the page after; empty at the end."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One address of a Terraform root, as its last plan named it."""

    address: str
    action: str


@dataclass(frozen=True, slots=True)
class RootState:
    """What is known of a root's state, without asking the backend."""

    reached: str
    """Where the state stood after the last delivery, in words; empty where none is known."""
    risk: str
    """What the last plan that was carried out did, in one line."""
    resources: tuple[Resource, ...]
    outputs: tuple[tuple[str, str], ...] | None
    """(name, masked value); None where they were not read lately."""


@dataclass(frozen=True, slots=True)
class View:
    spec: ApplicationSpec
    targets: tuple[Target, ...]
    """What needs somebody first."""
    pause: Pause | None
    policy: tuple[tuple[str, str], ...]
    """(what, how) in words."""
    versions: tuple[Version, ...]
    history: History
    commits_at: str
    chosen: Target
    """The target that is looked at."""
    store: Known
    """Of that target."""
    root: RootState | None = None
    """Of a Terraform root."""

    @property
    def counts(self) -> Mapping[str, int]:
        """Targets by state."""
        found: dict[str, int] = {}
        for each in self.targets:
            found[each.standing.state] = found.get(each.standing.state, 0) + 1
        return found


class Applications:
    """One for each door."""

    def __init__(self, controller: Controller, office: FrontOffice) -> None:
        self._controller = controller
        self._office = office

    async def view(self, name: str, target: str = "", *, limit: int = 20, before: str = "") -> View:
        """Raises Unknown for an application nobody knows, or a target it does not go to."""
        spec = self.spec(name)
        self.lane(spec, target)
        standings = await self._office.standings(spec.name)
        ordered = sorted(standings, key=lambda each: (rank(each.state), each.lane.target))
        if not ordered:
            raise Unknown(f"{spec.name} is delivered nowhere (any more)")
        picked = next((s for s in ordered if s.lane.target == target), ordered[0])
        at = commits_at(self._controller.fleet.sources.get(spec.source))

        def query(reading: Reading) -> View:
            recent = reading.deliveries(application=spec.name, limit=LOOKED_AT)
            present = _present(reading, recent, ordered, picked)
            targets = tuple(_target(reading, each, present) for each in ordered)
            chosen = next(each for each in targets if each.standing is picked)
            rows = reading.deliveries(application=spec.name, limit=limit, before=before)
            store = known(reading, picked.lane)
            return View(
                spec=spec,
                targets=targets,
                pause=self._controller.pauses.of(spec.name),
                policy=policy(spec),
                versions=versions(present, recent),
                history=self._history(rows, present, limit, at),
                commits_at=at,
                chosen=chosen,
                store=store,
                root=self._root(reading, spec, chosen) if spec.terraform else None,
            )

        return await self._controller.ledger.read(query)

    def spec(self, name: str) -> ApplicationSpec:
        """Raises Unknown."""
        return self._controller.roster.named(ApplicationName(name))

    def lane(self, spec: ApplicationSpec, target: str) -> LaneId:
        """``target`` empty: any. Raises Unknown for a target it does not go to."""
        if not spec.targets:
            what = f"{spec.name} is delivered nowhere"
            raise Unknown(what, hint="no cluster has the labels that it asks for")
        if not target or target in spec.targets:
            return LaneId(spec.name, TargetName(target or spec.targets[0]))
        some = ", ".join(spec.targets[:10])
        raise Unknown(
            f"{spec.name} is not delivered to {one_line(target, 80)!r}", hint=f"targets: {some}"
        )

    # --- parts --------------------------------------------------------------------------------

    def _history(
        self,
        rows: Sequence[DeliveryRecord],
        present: Mapping[LaneId, DeliveryRecord],
        limit: int,
        at: str,
    ) -> History:
        there = {row.id for row in present.values()}
        told = tuple(self._past(row, live=row.id in there, at=at) for row in rows)
        return History(told, rows[-1].id if len(rows) == limit else "")

    def _past(self, row: DeliveryRecord, *, live: bool, at: str) -> Past:
        change = row.change.change
        authors = authors_of(change.authorship, self._controller.fleet.people)
        back = change.cause in BROUGHT and row.state is ChangeState.HEALTHY and not live
        commits = change.authorship.commits if change.cause is Cause.COMMIT else ()
        title = commits[0].subject if commits else title_of(row.change)
        return Past(row, title, authors.named, live, back, at)

    def _root(self, reading: Reading, spec: ApplicationSpec, chosen: Target) -> RootState:
        lane = chosen.standing.lane
        row = chosen.delivery or next(iter(reading.deliveries(lane=lane, limit=1)), None)
        plan = reading.plan(row.change.change.id) if row else None
        rows = [change for change in plan.changes if not change.output] if plan else []
        return RootState(
            row.reason if row and row.state is ChangeState.HEALTHY else "",
            plan.risk if plan else "",
            tuple(Resource(change.address, change.action.value) for change in rows),
            self._outputs(self._controller.roots.outputs(lane)),
        )

    def _outputs(
        self, found: Mapping[str, OutputValue] | None
    ) -> tuple[tuple[str, str], ...] | None:
        if found is None:
            return None
        mask = self._controller.parts.mask
        return tuple(
            (
                name,
                "<sensitive>"
                if each.sensitive
                else one_line(mask(_written(each.value)), _LONGEST_OUTPUT),
            )
            for name, each in sorted(found.items())
        )


def _written(value: object) -> str:
    """Text as it is, anything else as JSON."""
    shown = to_json(value)
    return shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)


def _present(
    reading: Reading,
    recent: Sequence[DeliveryRecord],
    standings: Iterable[Standing],
    picked: Standing,
) -> dict[LaneId, DeliveryRecord]:
    """Whose state each lane has now: among the recent ones, and for certain of the chosen one."""
    wanted = {each.lane for each in standings}
    found: dict[LaneId, DeliveryRecord] = {}
    for row in recent:
        lane = row.change.change.lane
        if lane in wanted and lane not in found and arrived(row):
            found[lane] = row
    sure = live(reading, picked.lane)
    if sure is None:
        found.pop(picked.lane, None)
    else:
        found[picked.lane] = sure
    return found


def _target(
    reading: Reading, standing: Standing, present: Mapping[LaneId, DeliveryRecord]
) -> Target:
    record = reading.lane(standing.lane)
    return Target(
        standing,
        record.delivered.revision if record.delivered else None,
        present.get(standing.lane) if record.delivered else None,
        record.rollback,
        record.current or "",
    )


# --- for the API --------------------------------------------------------------------------------


def summary(spec: ApplicationSpec, standings: Sequence[Standing]) -> Mapping[str, Any]:
    """One row of the list."""
    return {
        "name": spec.name,
        "source": spec.source,
        "path": spec.path,
        "project": spec.project,
        "labels": spec.labels,
        "kind": "terraform" if spec.terraform else "kubernetes",
        "targets": standings,
    }


def told(view: View) -> Mapping[str, Any]:
    """One application whole."""
    return {
        "application": summary(view.spec, [each.standing for each in view.targets]),
        "pause": view.pause,
        "policy": [{"what": what, "how": how} for what, how in view.policy],
        "targets": [_told_target(each) for each in view.targets],
        "versions": view.versions,
        "deliveries": [
            {
                "delivery": row.delivery,
                "title": row.title,
                "authors": row.authors,
                "live": row.live,
                "may_return": row.may_return,
            }
            for row in view.history.rows
        ],
        "next": view.history.next,
    }


def _told_target(target: Target) -> Mapping[str, Any]:
    return {
        "standing": target.standing,
        "revision": target.revision,
        "delivery": target.delivery.id if target.delivery else "",
        "change": target.change,
        "rolled_back": target.rollback is not None,
    }
