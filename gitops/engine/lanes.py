"""One worker per lane, latest wins, nothing kept for the idle.

A lane is offered whenever something about it may have moved: its source, its live objects, a
verdict, a timer. Offers while it works collapse into one more round. The work is level-triggered
(it looks at the present, not at what was offered), so losing or doubling an offer is harmless.
A lane that fails waits alone: every other lane has its own worker.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from gitops.errors import Awaiting, GitopsError, StateLocked, Transient
from gitops.model.delivery import LaneId
from gitops.ports import Clock

_log = structlog.get_logger(__name__)

FIRST_WAIT = 1.0
LONGEST_WAIT = 60.0
SLOW_LOOK = 60.0
"""Seconds after an error that passes only when somebody changes something."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a lane's last round ended early, for ``why`` and ``status``."""

    message: str
    hint: str
    at: float
    retry_at: float
    """Wall clock; an offer comes first if anything moves."""
    attempts: int
    waits: bool = False
    """Nothing went wrong: something else has to happen first."""
    lock: str = ""
    """Id of the lock of a Terraform state that somebody holds."""

    @property
    def told(self) -> str:
        """What went wrong, for whoever looks at many lanes; empty where it only waits."""
        return "" if self.waits else self.message


@dataclass(slots=True)
class _Lane:
    task: asyncio.Task[None] | None = None
    again: bool = False
    timer: asyncio.TimerHandle | None = None
    failures: int = 0
    trouble: Trouble | None = None


class Lanes:
    """Runs ``work(lane)`` serially per lane."""

    def __init__(
        self,
        work: Callable[[LaneId], Awaitable[None]],
        clock: Clock,
        moved: Callable[[LaneId], None] = lambda _lane: None,
    ) -> None:
        """``moved`` is told whenever a lane's trouble comes, becomes another, or goes."""
        self._work = work
        self._clock = clock
        self._moved = moved
        self._lanes: dict[LaneId, _Lane] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._stopping = False

    def offer(self, lane: LaneId, *, after: float = 0.0) -> None:
        """Have a look at this lane, ``after`` seconds from now. Never blocks."""
        if self._stopping:
            return
        state = self._lanes.setdefault(lane, _Lane())
        if after > 0:
            self._later(lane, state, after)
        elif state.task is not None:
            state.again = True
        else:
            self._cancel_timer(state)
            self._quiet.clear()
            state.task = asyncio.create_task(self._rounds(lane, state), name=f"lane {lane}")

    def trouble(self, lane: LaneId) -> Trouble | None:
        state = self._lanes.get(lane)
        return state.trouble if state else None

    def troubles(self) -> dict[LaneId, Trouble]:
        """Of every lane that has one."""
        return {lane: state.trouble for lane, state in self._lanes.items() if state.trouble}

    def waiting(self) -> list[tuple[LaneId, Trouble]]:
        """Lanes that will try again by themselves, and why their last try ended early."""
        return [
            (lane, state.trouble)
            for lane, state in self._lanes.items()
            if state.task is None and state.trouble
        ]

    def busy(self, lane: LaneId) -> bool:
        state = self._lanes.get(lane)
        return state is not None and state.task is not None

    async def quiet(self) -> None:
        """Returns when no lane is working (timers may still be set)."""
        await self._quiet.wait()

    async def stop(self) -> None:
        """Ends every worker where it stands: each step can be killed anywhere anyway."""
        self._stopping = True
        tasks = []
        for state in self._lanes.values():
            self._cancel_timer(state)
            if state.task is not None:
                state.task.cancel()
                tasks.append(state.task)
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _rounds(self, lane: LaneId, state: _Lane) -> None:
        try:
            while True:
                state.again, before = False, state.trouble
                await self._round(lane, state)
                if _text(before) != _text(state.trouble):
                    self._moved(lane)
                if not state.again:
                    break
        finally:
            state.task = None
            if state.trouble is None and state.timer is None:
                self._lanes.pop(lane, None)
            if not any(other.task for other in self._lanes.values()):
                self._quiet.set()

    async def _round(self, lane: LaneId, state: _Lane) -> None:
        try:
            await self._work(lane)
        except Transient as error:
            self._retry(lane, state, error.message, error.hint, error.retry_after)
            state.trouble = _told(state.trouble, error)
        except GitopsError as error:
            self._give_up(lane, state, error)
        except Exception:
            # A defect of ours must not take the other lanes down; it is logged with its
            # traceback for us and shown as trouble to the people on call.
            _log.exception("lane.defect", lane=str(lane))
            self._retry(lane, state, "an internal error, see the log", "", None)
        else:
            state.failures = 0
            state.trouble = None

    def _retry(
        self, lane: LaneId, state: _Lane, message: str, hint: str, retry_after: float | None
    ) -> None:
        state.failures += 1
        wait = min(FIRST_WAIT * 2 ** min(state.failures - 1, 10), LONGEST_WAIT)
        wait = max(wait * random.uniform(0.8, 1.2), retry_after or 0.0)  # noqa: S311
        now = self._clock.now()
        state.trouble = Trouble(message, hint, now, now + wait, state.failures)
        _log.warning("lane.retry", lane=str(lane), problem=message, wait=round(wait, 1))
        self._later(lane, state, wait)

    def _give_up(self, lane: LaneId, state: _Lane, error: GitopsError) -> None:
        """Trying again soon would not help, but what somebody has to change (a right, a kubeconfig)
        need not be anything that offers the lane: so it looks again in a while, for ever."""
        state.failures += 1
        text = f"{error.place}: {error.message}" if error.place else error.message
        now = self._clock.now()
        state.trouble = Trouble(text, error.hint, now, now + SLOW_LOOK, state.failures)
        _log.warning("lane.stopped", lane=str(lane), problem=text)
        self._later(lane, state, SLOW_LOOK)

    def _later(self, lane: LaneId, state: _Lane, wait: float) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + wait
        if state.timer is not None and state.timer.when() <= due:
            return
        self._cancel_timer(state)

        def ring() -> None:
            state.timer = None
            self.offer(lane)

        state.timer = loop.call_at(due, ring)

    @staticmethod
    def _cancel_timer(state: _Lane) -> None:
        if state.timer is not None:
            state.timer.cancel()
            state.timer = None


def _text(trouble: Trouble | None) -> str:
    return trouble.message if trouble else ""


def _told(trouble: Trouble | None, error: Transient) -> Trouble | None:
    if trouble is None:
        return None
    lock = error.lock if isinstance(error, StateLocked) else ""
    return replace(trouble, waits=isinstance(error, Awaiting), lock=lock)
