"""The controller as a process of its own, ``gitops run``, that never outlives the demo unasked.

Called by the stage. The child has its own session, so that ctrl-C reaches the demo alone and the
controller is ended in order; should the demo be killed, the kernel ends the child (prctl(2)).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from gitops.sandbox.supervisor import end_with_parent

_GRACE = 15.0


class ControllerProcess:
    """One ``gitops run`` on a fleet file, its log in a file."""

    def __init__(self, config: Path, log: Path, *, stays: bool) -> None:
        tied = None if stays else end_with_parent(os.getpid(), signal.SIGTERM)
        with log.open("wb") as sink:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gitops.cli", "--no-color", "-c", str(config), "run"],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                cwd=config.parent,
                env={k: v for k, v in os.environ.items() if not k.startswith("GITOPS_")},
                start_new_session=True,
                preexec_fn=tied,  # noqa: PLW1509 - no threads yet
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """As an operator would: SIGTERM, and SIGKILL only if that is not heard."""
        if not self.running:
            return
        self._process.terminate()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
