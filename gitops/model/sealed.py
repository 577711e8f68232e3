"""Exactly what an approval lets run: the bytes, and each object's value before and after.

Kept encrypted in the vault from the moment a plan is asked about until its change is terminal.
After a crash each object must equal its sealed *before* or its sealed *after*; a third value voids
the seal.
"""

from __future__ import annotations

from dataclasses import dataclass

from gitops.model.delivery import LaneId
from gitops.model.ids import Digest
from gitops.model.manifest import ObjectId
from gitops.model.plan import Action


@dataclass(frozen=True, slots=True)
class SealedObject:
    """One write."""

    id: ObjectId
    version: str
    action: Action
    body: bytes
    """Canonical JSON as sent; empty for a delete."""
    desired: Digest
    """Digest of the manifest it came from (see AppliedObject.desired); empty for a delete."""
    force: bool
    """Take fields from other managers: only where the plan said so."""
    uid: str
    """Of the live object it was planned against; empty: absent."""
    resource_version: str
    """Planned against; empty: absent."""
    mask: bytes
    """FieldsV1 JSON: union of the fields our manager owns before and after."""
    before: Digest | None
    """Keyed digest of the live object's values under ``mask``; None: absent."""
    after: Digest | None
    """The same of the dry-run result; None: absent (delete), or unknown (predicted)."""
    predicted: bool = False
    takes: tuple[tuple[str, str], ...] = ()
    """(manager, field path as the server writes it) of what ``force`` was approved for."""


@dataclass(frozen=True, slots=True)
class SealedFile:
    """One file of a root, as it lay in the source. ``path`` is relative to the source's root."""

    path: str
    content: bytes
    executable: bool = False


@dataclass(frozen=True, slots=True)
class StateFacts:
    """Which state a plan was made against. An empty state has no lineage and serial 0."""

    serial: int = 0
    lineage: str = ""

    def __str__(self) -> str:
        return f"serial {self.serial} of {self.lineage or 'no state yet'}"


@dataclass(frozen=True, slots=True)
class SealedRun:
    """One saved Terraform plan and all it takes to apply that very file."""

    lane: LaneId
    path: str
    """Folder of the root among ``files``."""
    files: tuple[SealedFile, ...]
    plan_file: bytes
    sha256: str
    """Of ``plan_file``, hex."""
    lock_sha256: str
    """Of the dependency lock file, hex; empty: the root needs no provider."""
    tool: str
    """``terraform 1.11.4``."""
    providers: tuple[tuple[str, str], ...]
    """(source address, version), sorted."""
    state: StateFacts
    target: str = ""
    """The workspace's identity: backend, its settings, workspace name."""
    inputs: Digest = Digest("")
    """Keyed, over the variables it was planned with: no file and no state tells of them."""


@dataclass(frozen=True, slots=True)
class SealedUnlock:
    """The lock of a state that is to be taken from whoever holds it."""

    lane: LaneId
    lock: str
    target: str = ""


@dataclass(frozen=True, slots=True)
class SealedSet:
    """Everything one approved change sends to one cluster."""

    lane: LaneId
    run_as: str
    writes: tuple[SealedObject, ...]
    inventory: tuple[ObjectId, ...]
    """What the application owns in the cluster once this is applied, unchanged objects included."""
    target: str = ""
    """uid of the cluster it was approved for: after a crash another one may answer there."""


Sealed = SealedSet | SealedRun | SealedUnlock
"""What one approval lets run."""
