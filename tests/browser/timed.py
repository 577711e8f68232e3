"""``gitops run`` with a clock that is set from outside: history of weeks is made within seconds.

Run by :mod:`tests.browser.showcase` as ``python -m tests.browser.timed FLEET CLOCK``. The file
CLOCK holds how many seconds to add to the machine's clock (a double). Everything else is as in
production.
"""

from __future__ import annotations

import asyncio
import mmap
import struct
import sys
import time
from pathlib import Path

AN_AGE = 3e8
"""Seconds a lease lasts here: no jump of the clock may cost it."""


class SetClock:
    """Plays :class:`gitops.ports.Clock`."""

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as opened:
            self._held = mmap.mmap(opened.fileno(), 8)

    def now(self) -> float:
        away: float = struct.unpack("d", self._held[:8])[0]
        return time.time() + away

    def monotonic(self) -> float:
        return time.monotonic()


def set_clock(file: Path, away: float) -> None:
    """Makes the file where there is none."""
    if not file.exists():
        file.write_bytes(bytes(8))
    with file.open("r+b") as opened:
        opened.write(struct.pack("d", away))


def main(config: Path, clock: Path) -> None:
    from gitops.app import assemble
    from gitops.config import load
    from gitops.logs import configure
    from gitops.web.serve import serve

    running = assemble(load(config), SetClock(clock))
    running.controller.parts.keeper._seconds = AN_AGE
    configure(json=False, color=False)
    try:
        asyncio.run(serve(running.controller))
    finally:
        running.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
