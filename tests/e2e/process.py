"""``gitops run`` as a process of its own, spoken to over its API."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gitops.web.client import Address, Api
from gitops.web.serve import somebody_listens
from tests import warm
from tests.e2e.rig import Rig

PAUSE = 0.1
"""Seconds between two questions: each costs the controller a moment it would rather work."""
PATIENCE = 180.0
"""Seconds anything may take: a bound for what hangs, not for a machine that is busy."""


_started: list[warm.Child] = []


def begun() -> int:
    """How many were started so far and are not known to have ended."""
    return len(_started)


def end_leftovers(since: int = 0) -> None:
    """Kills what a test that failed left running: of those begun since then, for other tests of
    the same worker may share one."""
    while len(_started) > since:
        child = _started.pop()
        if child.poll() is None:
            child.kill()
            child.wait()


class Process:
    """``gitops run`` as a person would start it."""

    def __init__(self, rig: Rig, kill_at: str = "") -> None:
        self.rig = rig
        log = rig.folder / "controller.log"
        self.child = warm.start(
            ["--config", str(rig.save()), "run"],
            env={**os.environ, "GITOPS_KILL_AT": kill_at},
            out=log,
            err=log,
        )
        _started.append(self.child)

    @property
    def socket(self) -> Path:
        return self.rig.folder / "state" / "api.sock"

    def api(self, token: str = "") -> Api:
        return Api(Address(self.socket, token=token))

    def until(self, holds: Callable[[Api], Any], token: str = "", seconds: float = PATIENCE) -> Any:
        end = time.monotonic() + seconds
        last: Exception | None = None
        while time.monotonic() < end:
            assert self.child.poll() is None, f"it ended early: {last}"
            if not somebody_listens(self.socket):
                time.sleep(0.05)
                continue
            try:
                with self.api(token) as api:
                    if found := holds(api):
                        return found
            except Exception as error:
                last = error
            time.sleep(PAUSE)
        raise AssertionError(f"waited {seconds} s: {last}")

    def wait_killed(self) -> None:
        assert self.child.wait(PATIENCE) == -signal.SIGKILL

    def stop(self) -> None:
        self.child.send_signal(signal.SIGTERM)
        assert self.child.wait(PATIENCE) == 0


def request(api: Api) -> Any:
    found = api.get("status")["requests"]
    return found[0] if found else None


def token(process: Process, person: str) -> str:
    made = process.until(lambda api: api.post("tokens", body={"person": person}))
    return str(made["token"])


def approve(process: Process, secret: str) -> None:
    asked = process.until(request)
    with process.api(secret) as api:
        body = {"root": asked["root"], "decision": "approve", "via": "cli"}
        api.post("requests", asked["id"], "answer", body=body)


def delivered(api: Api) -> Any:
    states = [d["state"] for d in api.get("deliveries")["deliveries"]]
    return states if states and states[0] == "healthy" else None
