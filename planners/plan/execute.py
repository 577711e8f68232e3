"""Writes an approved sealed set to its cluster, byte for byte and in stages.

Called by the apply step after the claim, and again after a crash: it goes on where it was. What is
written is settled per object in :mod:`planners.plan.write`; here are the stages, the inventory and
the account of it all. It never deletes anything the sealed set does not list.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gitops import health, order
from gitops.errors import ClusterUnavailable, ObjectMoved, Permanent
from gitops.masking import Masker
from gitops.model.cluster import LiveObject
from gitops.model.delivery import AppliedObject, ObjectOutcome
from gitops.model.health import Health
from gitops.model.manifest import ObjectId
from gitops.model.plan import Action
from gitops.model.sealed import SealedObject, SealedSet
from gitops.ports import Cluster, Digester, Executed
from planners.plan.parallel import each
from planners.plan.write import Pen

_ESTABLISHED_WITHIN = 30.0
"""Seconds a CRD gets until the server serves it; it takes some 30 ms."""

OnOutcome = Callable[[ObjectOutcome], None]


@dataclass(slots=True)
class _Run:
    """One execution: the set, and what has come of it so far."""

    sealed: SealedSet
    cluster: Cluster
    pen: Pen
    on_outcome: OnOutcome
    outcomes: list[ObjectOutcome] = field(default_factory=list)
    applied: dict[ObjectId, AppliedObject | None] = field(default_factory=dict)
    undone: set[ObjectId] = field(default_factory=set)

    def say(self, address: str, done: bool, message: str = "") -> None:
        outcome = ObjectOutcome(address, done, message)
        self.outcomes.append(outcome)
        self.on_outcome(outcome)


async def execute(
    sealed: SealedSet,
    cluster: Cluster,
    digester: Digester,
    masker: Masker,
    on_outcome: OnOutcome = lambda outcome: None,
) -> Executed:
    """Apply every write, stage by stage; a stage with failures keeps the later ones from starting.

    Permanent errors become outcomes. Raises ClusterUnavailable when the cluster went away in the
    middle: call it again, objects that are done by then are recognised.
    """
    owned = await _followed(sealed, cluster)
    masker = masker.scope(sealed.lane.application)
    pen = Pen(cluster, digester, masker, sealed.lane.application, sealed.run_as, owned)
    run = _Run(sealed, cluster, pen, on_outcome)
    if await _announce(run):
        await _stages(run)
        await _account(run)
    return Executed(tuple(run.outcomes), run.applied)


async def _followed(sealed: SealedSet, cluster: Cluster) -> Mapping[ObjectId, LiveObject]:
    """What the application has in the cluster, with every kind of the set that is served known."""
    kinds = {(write.id.group, write.id.kind) for write in sealed.writes}
    known = [await cluster.resource(group, kind) for group, kind in sorted(kinds)]
    await cluster.live.follow([resource for resource in known if resource is not None])
    return cluster.live.owned(sealed.lane.application)


async def _stages(run: _Run) -> None:
    writes = [w for w in run.sealed.writes if w.action is not Action.DELETE]
    deletes = [w for w in run.sealed.writes if w.action is Action.DELETE]
    stages = [*order.stages(writes, _id), *order.prune_stages(deletes, _id)]
    for number, stage in enumerate(stages):
        await each(stage, lambda write: _write(run, write))
        await _established(run, stage)
        if run.undone:
            _skip(run, (write for later in stages[number + 1 :] for write in later))
            return


def _id(write: SealedObject) -> ObjectId:
    return write.id


async def _write(run: _Run, write: SealedObject) -> None:
    try:
        run.applied[write.id] = await run.pen.carry_out(write)
    except Permanent as error:
        run.undone.add(write.id)
        text = f"{error.message} ({error.hint})" if error.hint else error.message
        run.say(str(write.id), done=False, message=run.pen.masker.text(text))
    else:
        run.say(str(write.id), done=True)


def _skip(run: _Run, writes: Iterable[SealedObject]) -> None:
    for write in writes:
        run.undone.add(write.id)
        run.say(str(write.id), done=False, message="not tried: something before it failed")


async def _established(run: _Run, stage: Sequence[SealedObject]) -> None:
    """Custom resources are refused until the server serves their kind."""
    for write in stage:
        crd = write.id.kind == "CustomResourceDefinition" and write.action is not Action.DELETE
        if not crd or write.id in run.undone:
            continue
        try:
            async with asyncio.timeout(_ESTABLISHED_WITHIN):
                await _until_served(run, write.id)
        except TimeoutError:
            run.undone.add(write.id)
            now = health.assess(_body(run, write.id))
            run.say(str(write.id), done=False, message=f"not served in time: {now.reason}")


async def _until_served(run: _Run, id: ObjectId) -> None:
    events = run.cluster.live.events()
    while health.assess(_body(run, id)).health is not Health.HEALTHY:
        if await anext(events, None) is None:
            raise ClusterUnavailable("the connection to this cluster was closed")


def _body(run: _Run, id: ObjectId) -> Mapping[str, Any] | None:
    live = run.cluster.live.owned(run.sealed.lane.application).get(id)
    return live.body if live else None


async def _announce(run: _Run) -> bool:
    """The inventory names what is about to exist *before* it does: a crash leaves no orphan."""
    coming = frozenset(w.id for w in run.sealed.writes if w.action is not Action.DELETE)
    return await _record(run, lambda known: known | coming)


async def _account(run: _Run) -> None:
    """And stops naming what is gone *after* it is."""
    if any(w.id in run.undone for w in run.sealed.writes if w.action is not Action.DELETE):
        return
    final = frozenset(run.sealed.inventory) | run.undone
    await _record(run, lambda known: final)


async def _record(run: _Run, change: Callable[[frozenset[ObjectId]], frozenset[ObjectId]]) -> bool:
    inventory, application = run.cluster.inventory, run.sealed.lane.application
    for last in (False, True):
        known = await inventory.read(application)
        wanted = change(known or frozenset())
        if wanted == known:
            return True
        try:
            await inventory.write(application, wanted)
        except ObjectMoved as moved:
            if last:
                run.say(f"inventory of {application}", done=False, message=moved.message)
        except Permanent as refused:
            text = f"{refused.message} ({refused.hint})" if refused.hint else refused.message
            run.say(f"inventory of {application}", done=False, message=text)
            return False
        else:
            return True
    return False
