"""Is this still the cluster we first met?

Asked at connect and by every follower whose connection broke; followers that break together ask
once. The answer goes to :class:`gitops.kube.standing.Standing`, which refuses writes from then on.
"""

from __future__ import annotations

import asyncio

from gitops.errors import ClusterRefused
from gitops.kube.standing import Standing
from gitops.kube.transport import Call, Transport
from gitops.ports import Clock


class Identity:
    def __init__(self, transport: Transport, standing: Standing, clock: Clock) -> None:
        self._transport = transport
        self._standing = standing
        self._clock = clock
        self._checked_at = float("-inf")
        self._lock = asyncio.Lock()

    async def confirm(self) -> None:
        """Raises ClusterRefused when another cluster answers, or when we may not ask."""
        wanted_since = self._clock.monotonic()
        async with self._lock:
            if self._checked_at > wanted_since:
                return  # somebody asked after we began to wait
            began = self._clock.monotonic()
            try:
                uid = await self._uid()
            except ClusterRefused as refused:
                self._standing.refused(refused.message)
                raise
            self._standing.met(uid)
            self._checked_at = began

    async def _uid(self) -> str:
        reply = await self._transport.send(
            Call("GET", "/api/v1/namespaces/kube-system", place="Namespace kube-system")
        )
        uid = (reply.json().get("metadata") or {}).get("uid", "")
        if not isinstance(uid, str) or not uid:
            raise ClusterRefused("namespace kube-system has no uid", code=0)
        return uid
