"""Writes an approved sealed set to its cluster, byte for byte and in stages.

Called by the apply step after the claim. Every write carries the uid and resource version it was
planned against; a lost answer or a moved object is read back and compared with the sealed values.
It never retries what is not known to be undone, never takes a field the plan did not name, never
deletes anything the sealed set does not list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gitops.masking import Masker
from gitops.model.delivery import AppliedObject, ObjectOutcome
from gitops.model.manifest import ObjectId
from gitops.model.sealed import SealedSet
from gitops.ports import Cluster, Digester


@dataclass(frozen=True, slots=True)
class Executed:
    """How it went: one outcome per write, in the order they were finished."""

    outcomes: tuple[ObjectOutcome, ...]
    applied: Mapping[ObjectId, AppliedObject | None]
    """To record (``Transaction.record_applied``), also after a failure; None: deleted."""

    @property
    def done(self) -> bool:
        return all(outcome.done for outcome in self.outcomes)

    @property
    def failures(self) -> tuple[ObjectOutcome, ...]:
        return tuple(outcome for outcome in self.outcomes if not outcome.done)


async def execute(
    sealed: SealedSet,
    cluster: Cluster,
    *,
    digester: Digester,
    masker: Masker,
    on_outcome: Callable[[ObjectOutcome], None] | None = None,
    resume: bool = False,
) -> Executed:
    """Apply every write, stage by stage; a stage with failures keeps the later ones from starting.

    ``resume`` after a crash: every object is read first; one already at its sealed *after* is done,
    one at its *before* is written, a third value is reported (message starts with ``moved:``).
    Permanent errors become outcomes. Raises ClusterUnavailable only if nothing at all could be
    written, so that the caller may come back with ``resume=True``.
    """
    raise NotImplementedError
