"""A standstill of the event loop is told while it lasts, and remembered for a while."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

from structlog.testing import capture_logs

from gitops.engine.pulse import Pulse, where


def test_a_short_delay_is_no_standstill() -> None:
    pulse = Pulse()
    pulse.beat(0.2)
    assert (pulse.recent, pulse.longest) == (0.0, 0.2)


def test_a_standstill_is_remembered() -> None:
    pulse = Pulse()
    pulse.beat(7.0)
    assert (pulse.recent, pulse.longest) == (7.0, 7.0)


async def test_it_is_told_once_while_it_lasts_and_where_it_hangs() -> None:
    pulse = Pulse(beat=0.01, stuck=0.05)
    with capture_logs() as logged:
        running = asyncio.ensure_future(pulse.run())
        await asyncio.sleep(0.05)
        end = time.monotonic() + 30
        while not logged and time.monotonic() < end:
            time.sleep(0.01)  # the loop stands still; only the other thread can tell
        before = [entry["event"] for entry in logged]
        await asyncio.sleep(0.05)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
    assert before == ["loop.stuck"]
    assert "tests/unit/test_pulse.py:" in logged[0]["where"]
    assert "loop.goes-on" in [entry["event"] for entry in logged]
    assert pulse.recent > 0


def test_a_thread_outside_of_our_code_is_said_to_be() -> None:
    idle = threading.Event()
    thread = threading.Thread(target=idle.wait)
    thread.start()
    assert thread.ident is not None
    assert where(thread.ident) == "outside of this program's own code"
    idle.set()
    thread.join()
    assert where(thread.ident) == "outside of this program's own code"
