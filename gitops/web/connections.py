"""HTTP connections that cannot be held open by sending slowly, or by not reading.

uvicorn waits for ever for the rest of a request, and for an answer to be taken; whoever sends a
byte a second, or asks a thousand times and reads nothing, would hold a connection each until there
are none left. Here a request has to be there whole within :data:`PATIENCE`, of an answer that does
not fit into the socket something has to be taken in each of them, and when there are :data:`MOST`
connections the one that has kept us waiting longest makes room. Handed to the listening server by
:mod:`gitops.web.serve`; long answers to whoever takes them are not concerned.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from array import array
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 12.0
"""Seconds from a request's first byte (or the connection) to its last. Longer than the endpoints
take for a body, so that those still answer in words."""
TAKEN = 8 << 10
"""Bytes of an answer that are taken in that time by whoever reads it: less than a bad line does."""
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
    _untaken = 0
    """Bytes that lay there to be taken when the clock began to run."""

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
        if self.conn.trailing_data[0]:
            # More was asked before this was answered. No browser does that; a stranger who does has
            # a thousand requests worked on for the cost of one.
            self.transport.close()
        super().on_response_complete()
        self._judge()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._relax()  # the clock runs anew, from what there is to take now
        self._judge()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._judge()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._judge()

    def connection_lost(self, exc: Exception | None) -> None:
        self._relax()
        super().connection_lost(exc)

    def _judge(self) -> None:
        """Is the clock to run? From when a request begins until it is there, and while more of an
        answer is to be taken than the socket holds; also of the last one before we hang up."""
        asks = self.conn.their_state in _COMING
        if not (asks or self.flow.write_paused or self.transport.is_closing()):
            self._relax()
        elif self._deadline is None:
            self._wait()

    def _wait(self) -> None:
        self._untaken = self._lies()
        self._deadline = self.loop.call_later(PATIENCE, self._late)

    def _late(self) -> None:
        self._deadline = None
        if self.transport.get_write_buffer_size() and self._lies() <= self._untaken - TAKEN:
            self._wait()
        else:
            self.transport.abort()

    def _lies(self) -> int:
        """Bytes nobody has taken yet: ours, and those the kernel has (tcp(7), SIOCOUTQ), of which
        it frees so many at once that by ours alone a slow reader would seem to stand still."""
        queued = array("i", [0])
        with contextlib.suppress(OSError):  # it has just gone
            ioctl(self.transport.get_extra_info("socket").fileno(), TIOCOUTQ, queued)
        return self.transport.get_write_buffer_size() + queued[0]

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
