"""What is remembered of a pod and of what made it: enough to say why it does not run, and whose it
is; nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from gitops.model.manifest import ObjectId


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended last."""

    reason: str
    exit_code: int
    message: str = ""
    """The container's own last words: foreign, and perhaps a secret."""


@dataclass(frozen=True, slots=True)
class Container:
    """One container that is not simply running, or was restarted."""

    name: str
    restarts: int = 0
    waiting: str = ""
    """Reason, such as ``CrashLoopBackOff``; empty when it does not wait."""
    message: str = ""
    """What is said about the waiting: foreign."""
    ended: Ending | None = None


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that something else made."""

    id: ObjectId
    uid: str
    resource_version: str
    owner: str
    """uid of its controller; empty for one that stands alone."""
    over: bool = False
    """It is being deleted, or has ended."""
    unscheduled: str = ""
    """Why no node takes it: foreign."""
    containers: tuple[Container, ...] = ()
    restarted: tuple[float, ...] = ()
    """When containers were seen to be restarted, on the monotonic clock; the last few."""
    phase: str = ""
    """``Pending``, ``Running``, ``Succeeded``, ``Failed``; foreign."""
    names: tuple[str, ...] = ()
    """Of all its containers, those that prepare it last."""
    ready: int = 0
    """How many of its containers are."""
    of: int = 0
    """How many there are, without those that prepare it."""

    @property
    def restarts(self) -> int:
        return sum(container.restarts for container in self.containers)


@dataclass(frozen=True, slots=True)
class ReplicaSet:
    """One version of a workload's pods: whose it is, and which one."""

    id: ObjectId
    uid: str
    resource_version: str
    owner: str
    revision: int = 0
    """Of its Deployment's roll-outs, the newest the highest; 0 is unknown."""
