"""How we stand with one cluster: reachable or not, and still the cluster we first met.

Written by the transport (every answer and every failure) and by identity checks; read by
``status()`` and before every write. It never makes a request itself.
"""

from __future__ import annotations

from collections import Counter

from gitops.errors import ClusterRefused, ClusterUnavailable
from gitops.model.cluster import ClusterState, ClusterStatus
from gitops.ports import Clock


class Standing:
    def __init__(self, clock: Clock, name: str) -> None:
        self._clock = clock
        self._name = name
        self._uid = ""
        self._status = ClusterStatus(ClusterState.CONNECTING, since=clock.now())
        self.requests: Counter[tuple[str, str]] = Counter()
        """(verb, HTTP status code or ``lost``) → how many attempts came out like that."""

    @property
    def status(self) -> ClusterStatus:
        return self._status

    @property
    def uid(self) -> str:
        """uid of ``kube-system`` when it was first met; empty before."""
        return self._uid

    def reached(self) -> None:
        """Some answer came that is no success."""
        if self._uid and self._status.state is ClusterState.UNREACHABLE:
            self._become(ClusterState.READY, "")

    def accepted(self) -> None:
        """A request succeeded: our credentials are good (again)."""
        if self._uid and self._status.state in {ClusterState.UNREACHABLE, ClusterState.REFUSED}:
            self._become(ClusterState.READY, "")

    def unreachable(self, message: str) -> None:
        if self._status.state is not ClusterState.CHANGED:
            self._become(ClusterState.UNREACHABLE, message)

    def refused(self, message: str) -> None:
        """Our credentials are not accepted."""
        if self._status.state is not ClusterState.CHANGED:
            self._become(ClusterState.REFUSED, message)

    def met(self, uid: str) -> None:
        """An identity check came back. Raises ClusterRefused when another cluster answered."""
        if self._uid and uid != self._uid:
            self._become(
                ClusterState.CHANGED,
                f"another cluster answers at this address (kube-system is {uid}, was {self._uid})",
            )
            self.require_same()
        self._uid = uid
        if self._status.state is not ClusterState.CHANGED:
            self._become(ClusterState.READY, "")

    def require_same(self) -> None:
        """Called before every write: nothing is written to a cluster we have not met."""
        if self._status.state is ClusterState.CHANGED:
            raise ClusterRefused(
                f"cluster {self._name!r}: {self._status.message}",
                code=421,
                hint="nothing is written to it; check the address, then restart the controller",
            )
        if not self._uid:
            raise ClusterUnavailable(f"cluster {self._name!r} has not been identified yet")

    def _become(self, state: ClusterState, message: str) -> None:
        if (state, message) != (self._status.state, self._status.message):
            same = state is self._status.state
            since = self._status.since if same else self._clock.now()
            self._status = ClusterStatus(state, message, since)
