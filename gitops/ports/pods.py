"""The pods of what was delivered: played by a cluster's adapter, followed by the vigil.

Apart from the live view, which holds what we applied: pods are made by others and carry no label of
ours. Nothing that is decided about a delivery hangs on them; they say why something is not well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Protocol, runtime_checkable

from gitops.model.pods import Pod, ReplicaSet


class Pods(Protocol):
    def attend(self, namespaces: Collection[str]) -> None:
        """Have watches in these namespaces and in no others; returns at once."""

    def of(self, owner: str) -> Sequence[Pod]:
        """Pods whose controller, or whose controller's controller, has this uid; by name."""

    def sets(self, owner: str) -> Sequence[ReplicaSet]:
        """ReplicaSets whose controller has this uid, the newest first."""

    def moves(self) -> AsyncIterator[str]:
        """The uids of those owners whose pods changed, each once however often they did."""

    def unseen(self, namespace: str) -> str:
        """Why nothing is known of the pods there, in words; empty where something is."""


@runtime_checkable
class Attending(Protocol):
    """A cluster whose pods can be followed."""

    @property
    def pods(self) -> Pods: ...
