"""Notices when the event loop stands still: nothing is delivered and nobody answered then.

Run by the controller for as long as it lives. The loop beats; a thread of its own listens, so that
a standstill is told while it lasts, with the line of ours that it hangs at, and not only after. It
mends nothing: probes get no answer meanwhile, the lease runs out, and another controller goes on.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path
from types import FrameType

import structlog

_log = structlog.get_logger(__name__)

BEAT = 1.0
STUCK = 5.0
"""Seconds the event loop may stand still before that is said."""
REMEMBERED = 60.0
"""Seconds a standstill is held against the process."""
_OURS = Path(__file__).parents[2]


class Pulse:
    """One event loop's."""

    def __init__(self, beat: float = BEAT, stuck: float = STUCK) -> None:
        self._beat = beat
        self._stuck = stuck
        self.longest = 0.0
        """Seconds, of all standstills of this process."""
        self._late: list[tuple[float, float]] = []
        self._last = 0.0

    async def run(self) -> None:
        """For ever."""
        self._last = time.monotonic()
        end, loop = threading.Event(), threading.get_ident()
        listener = threading.Thread(target=self._listen, args=(end, loop), daemon=True)
        listener.start()
        try:
            while True:
                before = time.monotonic()
                await asyncio.sleep(self._beat)
                self.beat(time.monotonic() - before - self._beat)
        finally:
            end.set()

    def beat(self, late: float) -> None:
        """The loop came ``late`` seconds late."""
        self._last = time.monotonic()
        self.longest = max(self.longest, late)
        if late >= self._stuck:
            self._late.append((self._last, late))
            _log.warning("loop.goes-on", stood_still=round(late, 1))

    @property
    def recent(self) -> float:
        """Seconds of the longest standstill of the last minute; 0 for none worth a word."""
        now = time.monotonic()
        self._late = [(at, late) for at, late in self._late if now - at < REMEMBERED]
        return max((late for _, late in self._late), default=0.0)

    def _listen(self, end: threading.Event, loop: int) -> None:
        told = 0.0
        while not end.wait(self._beat):
            last = self._last
            still = time.monotonic() - last - self._beat
            if still >= self._stuck and told != last:
                told = last
                _log.error("loop.stuck", seconds=round(still, 1), where=where(loop))


def where(thread: int) -> str:
    """The innermost line of this code base a thread is at: ``gitops/diff.py:41 pair``. Names and
    numbers alone: what its variables hold is nobody's business."""
    frame = sys._current_frames().get(thread)
    while frame is not None and not _is_ours(frame):
        frame = frame.f_back
    if frame is None:
        return "outside of this program's own code"
    path = Path(frame.f_code.co_filename).relative_to(_OURS)
    return f"{path}:{frame.f_lineno} {frame.f_code.co_name}"


def _is_ours(frame: FrameType) -> bool:
    path = Path(frame.f_code.co_filename)
    return path.is_relative_to(_OURS) and "site-packages" not in path.parts
