"""What would change: one shape for Kubernetes objects and Terraform resources alike."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gitops.model.finding import Finding, blocking
from gitops.model.ids import ApplicationName, ChangeId, Digest, TargetName
from gitops.model.manifest import ObjectId, Origin


class Action(StrEnum):
    CREATE = "create"
    UPDATE = "update"
    REPLACE = "replace"
    """Delete, then create: an immutable field changed."""
    DELETE = "delete"
    NONE = "none"

    @property
    def destroys(self) -> bool:
        return self in (Action.DELETE, Action.REPLACE)


class _Absent:
    """The value of a field that is not there; distinct from null."""

    _one: _Absent | None = None

    def __new__(cls) -> _Absent:
        if cls._one is None:
            cls._one = super().__new__(cls)
        return cls._one

    def __repr__(self) -> str:
        return "ABSENT"

    def __reduce__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field before and after. Values are *masked already*: safe to show, store and send."""

    path: str
    """``spec.template.spec.containers[name=web].image``; list items by merge key where known."""
    before: Any
    after: Any
    taken_from: str = ""
    """The other field manager who owns it now and would lose it; empty when nobody does."""


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """What would happen to one object or resource."""

    action: Action
    address: str
    """For people: the object id in words, or a Terraform address."""
    object: ObjectId | None = None
    fields: tuple[FieldChange, ...] = ()
    digest: Digest = Digest("")
    """Keyed digest of action, identity, uid and per changed path live value and dry-run result."""
    uid: str = ""
    """Of the live object; empty when absent."""
    predicted: bool = False
    """No dry-run was possible (its namespace or CRD is only about to exist)."""
    notes: tuple[str, ...] = ()
    """``adopts an existing object``, ``forces replacement: spec.selector`` …"""
    origin: Origin | None = None
    stateful: bool = False
    """Losing it loses data or other objects: counts against the delete budget by kind."""
    foreign: bool = False
    """It exists already and none of ours made it: an import."""
    output: bool = False
    """An output of a Terraform root: a value that is told, nothing that exists."""
    restarts: int = 0
    """Pods that run now and are replaced one after the other by this change of their template."""

    @property
    def takes(self) -> tuple[FieldChange, ...]:
        return tuple(f for f in self.fields if f.taken_from)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything one change would do to one target.

    ``changes`` holds no NONE entries; how many objects stay as they are is ``unchanged``.
    """

    change: ChangeId
    application: ApplicationName
    target: TargetName
    changes: tuple[ResourceChange, ...]
    digest: Digest
    unchanged: int = 0
    findings: tuple[Finding, ...] = ()
    over_budget: tuple[str, ...] = ()
    """Why the deletes need a typed confirmation; empty when they do not."""
    versions: tuple[tuple[str, str], ...] = ()
    """(name, version) of what goes out together: charts, images, renderer."""
    hides: bool = False
    """A field outside Secrets is hidden because its value equals a Secret's, and a finding names
    it; or Terraform code says that a value is sensitive, which its author may say of anything.
    Never approved by a policy instead of a person."""
    checks: tuple[str, ...] = ()
    """Names of the checks that looked at it, so that one which found nothing is seen to pass."""

    @property
    def empty(self) -> bool:
        return not self.changes

    @property
    def blocked_by(self) -> tuple[Finding, ...]:
        return blocking(self.findings)

    def count(self, action: Action) -> int:
        """How many objects or resources; outputs are none."""
        return sum(1 for c in self.changes if c.action is action and not c.output)

    @property
    def takes(self) -> bool:
        return any(change.takes or change.foreign for change in self.changes)

    @property
    def deletes(self) -> int:
        return sum(1 for change in self.changes if change.action.destroys)

    @property
    def work(self) -> str:
        """``2 to create, 1 to delete``; empty when no object or resource changes."""
        actions = (Action.CREATE, Action.UPDATE, Action.REPLACE, Action.DELETE)
        return ", ".join(f"{self.count(each)} to {each}" for each in actions if self.count(each))

    @property
    def told(self) -> str:
        """``2 outputs change``; empty when none does."""
        outputs = sum(1 for change in self.changes if change.output)
        return f"{outputs} output{'s change' if outputs > 1 else ' changes'}" if outputs else ""

    @property
    def risk(self) -> str:
        """One line: ``2 to create, 1 to delete; 1 output changes``; ``no change`` when empty."""
        return "; ".join(filter(None, (self.work, self.told))) or "no change"


@dataclass(frozen=True, slots=True)
class SealParts:
    """What an approval is about; the seal is the digest over all of it."""

    closure: Digest
    artifact: Digest
    """Keyed digest of the sealed bytes: the rendered set as sent, or the saved plan file."""
    plan: Digest
    tools: str
    target: str
    """The cluster's ``kube-system`` uid, or the Terraform state's lineage."""
    policy: Digest
    """Policy and people in force."""
    over_budget: tuple[str, ...] = ()
    """``Plan.over_budget``: how much is lost depends on what else is there, so the same changes may
    come to need a typed confirmation that nobody gave."""
