"""What is shown of one application: how it stands on each target, what runs there since when, who
may approve it, what was delivered. Gathered in one reading; for its page and the API.
"""

from __future__ import annotations

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
from gitops.model.fleet import ApplicationSpec, ApprovalPolicy, DriftPolicy
from gitops.model.ids import ApplicationName, TargetName
from gitops.model.source import Revision
from gitops.model.terraform import TerraformSpec
from gitops.office import FrontOffice
from gitops.ports import Reading
from gitops.ports.office import Standing
from gitops.ports.terraform import OutputValue
from gitops.steps.ask import title_of
from gitops.web.objects import Known, known

LOOKED_AT = 400
"""Deliveries of an application among which is looked for what is live."""
_BROUGHT = (Cause.COMMIT, Cause.ROLLBACK)
_LONGEST_OUTPUT = 400
WORST_FIRST = ("failed", "degraded", "blocked", "held", "asking", "expired", "denied", "paused")
"""States of a target, those that need somebody first; what moves comes after them."""
_AT_REST = ("new", "healthy")


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
class Version:
    """One version of one thing, and where it runs."""

    name: str
    version: str
    targets: tuple[TargetName, ...]
    since: float | None
    """When it came to the first of these targets; None where that is long ago."""
    change: str
    """Id of the change that brought it there; empty where that is long ago."""
    differs: bool
    """It does not run on every target where something is delivered."""


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
        standings = [s for s in await self._office.standings() if s.lane.application == spec.name]
        ordered = sorted(standings, key=_worst_first)
        if not ordered:
            raise Unknown(f"{spec.name} is delivered nowhere (any more)")
        picked = next((s for s in ordered if s.lane.target == target), ordered[0])
        at = self._commits_at(spec)

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

    def _commits_at(self, spec: ApplicationSpec) -> str:
        source = self._controller.fleet.sources.get(spec.source)
        return commits_at(source) if source else ""

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
        told = (*sorted(authors.persons), *authors.strangers)
        back = change.cause in _BROUGHT and row.state is ChangeState.HEALTHY and not live
        commits = change.authorship.commits if change.cause is Cause.COMMIT else ()
        title = commits[0].subject if commits else title_of(row.change)
        return Past(row, title, told, live, back, at)

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
                else one_line(mask(str(to_json(each.value))), _LONGEST_OUTPUT),
            )
            for name, each in sorted(found.items())
        )


def _worst_first(standing: Standing) -> tuple[int, str]:
    state = standing.state
    if state in WORST_FIRST:
        return WORST_FIRST.index(state), standing.lane.target
    resting = state in _AT_REST
    return len(WORST_FIRST) + (1 + _AT_REST.index(state) if resting else 0), standing.lane.target


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
        if lane in wanted and lane not in found and _brought(row):
            found[lane] = row
    sure = live(reading, picked.lane)
    if sure is None:
        found.pop(picked.lane, None)
    else:
        found[picked.lane] = sure
    return found


def _brought(row: DeliveryRecord) -> bool:
    return row.state is ChangeState.HEALTHY and row.change.change.cause in _BROUGHT


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


# --- versions -----------------------------------------------------------------------------------


def versions(
    present: Mapping[LaneId, DeliveryRecord], recent: Sequence[DeliveryRecord]
) -> tuple[Version, ...]:
    """By name and version; ``recent`` says since when, newest first."""
    where: dict[tuple[str, str], list[LaneId]] = {}
    for lane in sorted(present):
        for each in present[lane].versions:
            where.setdefault(each, []).append(lane)
    found = []
    for (name, version), lanes in sorted(where.items()):
        first = _came(present[lanes[0]], (name, version), recent)
        found.append(
            Version(
                name,
                version,
                tuple(lane.target for lane in lanes),
                first.started_at if first else None,
                first.change.change.id if first else "",
                len(lanes) < len(present),
            )
        )
    return tuple(found)


def _came(
    present: DeliveryRecord, version: tuple[str, str], recent: Sequence[DeliveryRecord]
) -> DeliveryRecord | None:
    """The delivery that brought a version to a lane and was followed by none without it; what is
    there now may not have become healthy."""
    found, lane = None, present.change.change.lane
    for row in recent:
        if row.change.change.lane == lane and (row.id == present.id or _brought(row)):
            if version not in row.versions:
                return found
            found = row
    return found


# --- policy -------------------------------------------------------------------------------------

_DRIFT = {
    DriftPolicy.ASK: "somebody is asked before it is put back",
    DriftPolicy.HEAL: "it is put back without asking, as it was approved before",
    DriftPolicy.REPORT: "it is told, and left alone",
    DriftPolicy.IGNORE: "it is not looked for",
}


def policy(spec: ApplicationSpec) -> tuple[tuple[str, str], ...]:
    """Who may approve, and what is done about drift and what is not wanted any more; in words."""
    rows = [("Approval", _approval(spec.approval)), ("Changed by hand", _DRIFT[spec.drift])]
    if spec.terraform is not None:
        return (*rows, ("Workspace", _workspace(spec.terraform)))
    budget = spec.delete_budget
    prune = f"deleted; more than {budget.objects}, or {budget.fraction:.0%}, take a typed yes"
    rows.append(("Not wanted any more", prune if spec.prune else "left where it is"))
    if spec.run_as:
        rows.append(("Written as", spec.run_as))
    return tuple(rows)


def _approval(policy: ApprovalPolicy) -> str:
    named = [*(f"group {group}" for group in policy.groups), *policy.people]
    who = ", ".join(named) or "everybody in people"
    words = [f"{policy.quorum} of {who}"]
    if not policy.author_may_approve:
        words.append("never an author")
    if policy.auto is not None:
        words.append(f"without asking: {_auto(policy)}")
    hours = policy.expires_after.total_seconds() / 3_600
    return f"{'; '.join(words)}; a question ends after {hours:g} h"


def _auto(policy: ApprovalPolicy) -> str:
    auto = policy.auto
    assert auto is not None
    if auto.always:
        return "everything but deletes beyond the budget"
    words = ["what deletes nothing"] if auto.no_deletes else []
    labels = ", ".join(f"{key}={value}" for key, value in sorted(auto.clusters.items()))
    return " ".join([*words, *([f"where {labels}"] if labels else [])]) or "nothing"


def _workspace(terraform: TerraformSpec) -> str:
    every = terraform.drift_every.total_seconds() / 60
    return f"{terraform.workspace}, by {terraform.binary}; looked at every {every:g} min"


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
