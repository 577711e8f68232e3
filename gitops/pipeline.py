"""The sentence: watch → render → check → plan → ask → apply → verify.

Called by a lane's worker and, with a desk that answers no, by ``gitops plan``. Branch-free: every
answer is a value that later steps pass on. Safe to run again at any time.
"""

from __future__ import annotations

from gitops.model.delivery import CLAIMED, ChangeRecord
from gitops.steps.apply import apply, recall
from gitops.steps.ask import ask
from gitops.steps.check import check
from gitops.steps.kit import Kit
from gitops.steps.plan import draw_plan
from gitops.steps.render import render
from gitops.steps.values import Asked, Outcome
from gitops.steps.verify import verify
from gitops.steps.watch import watch


async def deliver(record: ChangeRecord, kit: Kit) -> Outcome:
    """One change, as far as it can get now."""
    applied = await apply(record, await propose(record, kit), kit)
    return await verify(applied, kit)


async def propose(record: ChangeRecord, kit: Kit) -> Asked:
    """The half that changes nothing: what would happen, and may it?"""
    rendered = await render(record, kit)
    checked = await check(record, rendered, kit)
    sketch = await draw_plan(record, checked, kit)
    return await ask(record, sketch, kit)


async def resume(record: ChangeRecord, kit: Kit) -> Outcome:
    """A change claimed before a crash: nothing is rendered or asked again."""
    return await verify(await recall(record, kit), kit)


async def tend(kit: Kit) -> Outcome | None:
    """A lane's whole round: whatever it wants now, carried as far as it goes."""
    record = await watch(kit)
    if record is None:
        return None
    return await (resume if record.state in CLAIMED else deliver)(record, kit)
