"""HTTP connections that cannot be held open by sending slowly.

uvicorn waits for ever for the rest of a request; whoever sends a byte a second would hold a
connection each until there are none left. Here a request has to be there whole
within :data:`PATIENCE`, and when there are :data:`MOST` connections the one that has kept us
waiting longest makes room. Handed to the listening server by :mod:`gitops.web.serve`; long answers
are not concerned.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 12.0
"""Seconds from a request's first byte (or the connection) to its last. Longer than the endpoints
take for a body, so that those still answer in words."""
MOST = 400
"""Connections at once."""
KNOCKING = 200
"""Connections at once that have not finished their handshake."""
HANG_UP = "hang_up"
"""In a request's state: ends its connection at once, with what was not taken of the answer."""
_COMING = frozenset({h11.IDLE, h11.SEND_BODY})


class Door(socket.socket):
    """A listening socket for TLS. Whoever opens a connection and does not say hello has none that
    anybody counts: of those only the newest :data:`KNOCKING` are kept."""

    def __init__(self, family: int, kind: int, protocol: int = 0) -> None:
        super().__init__(family, kind, protocol)
        self.knocking: dict[int, socket.socket] = {}
        """By file descriptor, the oldest first."""

    def accept(self) -> tuple[socket.socket, Any]:
        found, address = super().accept()
        there = self.knocking.items()
        self.knocking = {fd: each for fd, each in there if each.fileno() == fd}
        self.knocking[found.fileno()] = found
        if len(self.knocking) > KNOCKING:
            with contextlib.suppress(OSError):  # it has just gone
                self.knocking.pop(next(iter(self.knocking))).shutdown(socket.SHUT_RDWR)
        return found, address

    def entered(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done: from here on it counts among :data:`MOST`."""
        self.knocking.pop(transport.get_extra_info("socket").fileno(), None)


class PatientProtocol(H11Protocol):
    """One connection."""

    door: Door | None = None
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if self.door is not None:
            self.door.entered(transport)
        super().connection_made(transport)
        self.app_state = {**self.app_state, HANG_UP: transport.abort}
        if len(self.connections) > MOST:
            self._make_room()
        self._judge()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._judge()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._judge()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relax()
        super().connection_lost(exc)

    def _judge(self) -> None:
        """Is the clock to run? From when a request begins until it is there."""
        if self.conn.their_state not in _COMING or self.transport.is_closing():
            self._relax()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(PATIENCE, self.transport.abort)

    def _relax(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _make_room(self) -> None:
        """By the connection whose deadline is nearest; where none is waited for, by this one."""
        slow = [
            (each._deadline.when(), index, each)
            for index, each in enumerate(self.connections)
            if isinstance(each, PatientProtocol) and each._deadline is not None
        ]
        victim = min(slow)[2] if slow else self
        # It is counted until the loop turns: whoever comes before that needs another one's room.
        victim._relax()
        victim.transport.abort()
