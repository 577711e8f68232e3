"""Locks of states: which one is held, and which may be taken away without a person's word.

The tool tells of a lock only to whom it refuses it. So while an apply of ours surely holds its
state (a resource is under way), the state is asked for once, and the id in the refusal is written
down beside the run: it is the id of our own lock. When that apply is proven dead, a lock with that
id is nobody's (hashicorp/terraform#25776); any other is somebody else's and never touched. Used by
:mod:`gitops.terraform.workspace` and :mod:`gitops.terraform.applying`.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path

from gitops.errors import RenderError, StateLocked
from gitops.model.terraform import Backend
from gitops.terraform import child
from gitops.terraform.session import Session

_NAME = "lock"
_SECONDS = 60.0
_ENDS_WITH_HOLDER = {"local", "pg", "consul"}
"""Backends whose locks are let go of by the kernel or the server when their holder is gone."""


def outlives(backend: Backend) -> bool:
    """Does a lock there stay when its holder is killed?"""
    return backend.kind not in _ENDS_WITH_HOLDER


async def held(session: Session) -> StateLocked | None:
    """Who holds the state at this moment; None: nobody. The session is connected already."""
    options: dict[str, str | bool | tuple[str, ...]] = {
        "json": True,
        "refresh": False,
        "lock_timeout": "0s",
        "var_file": session.variables(),
    }
    done = await session.run("plan", options, seconds=_SECONDS)
    try:
        session.check(done, "plan")
    except StateLocked as locked:
        return locked
    except RenderError:
        return None  # it had the lock, and complains of something else
    return None


async def force(session: Session, lock: str) -> None:
    """Takes that lock away, if it is the one that is held: with some backends the tool takes away
    whichever there is. Raises RenderError when it is not."""
    found = await held(session)
    if found is None:
        raise RenderError("nobody holds the lock of the state any more")
    if found.lock != lock:
        other = f"another lock, {found.lock}," if found.lock else "a lock that cannot be forced"
        raise RenderError(f"{other} is what holds the state now", hint=found.hint)
    done = await session.run("force-unlock", {"force": True}, (lock,), seconds=_SECONDS, bare=True)
    session.check(done, "force-unlock")


@dataclass(frozen=True, slots=True)
class Journal:
    """Beside a run: the id of the lock it took."""

    run: Path

    def write(self, lock: str) -> None:
        child.write_durably(str(self.run), _NAME, {"id": lock})

    def read(self) -> str:
        """Empty when it was never found out."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return str(json.loads((self.run / _NAME).read_bytes())["id"])
        return ""
