"""Names of lease holders, and the one case where a holder is known to be gone.

Called by ``app.py`` for its own name and by the leases to take over at once after a crash instead
of waiting for the lease to run out. Only what is certain counts: the same boot of the same machine,
the same namespace of process ids, and no process with that id and start time any more. Two
containers of one machine share its boot but not their process ids, hence the namespace.
"""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def this_process() -> str:
    """``PID:BOOT:NAMESPACE:START``, unique for this process wherever it runs; without ``/proc``
    the unknown parts are random and nobody is ever proven dead."""
    pid = os.getpid()
    start = _start_time(pid) or "?" + os.urandom(8).hex()
    return f"{pid}:{_boot()}:{_namespace()}:{start}"


def proven_dead(holder: str) -> bool:
    """True only if the process of that name ran here and has ended."""
    pid, *rest = holder.split(":")
    if len(rest) != 3 or not pid.isdecimal():
        return False
    boot, namespace, start = rest
    if (boot, namespace) != (_boot(), _namespace()) or not boot or not start.isdecimal():
        return False
    return _start_time(int(pid)) != start


def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        name = str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""
    return "".join(c for c in name if c.isdecimal())


def _start_time(pid: int) -> str:
    """Clock ticks since boot; empty for no process, or one that has ended and is not collected."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text("ascii", errors="replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] in "ZX" else fields[19]
