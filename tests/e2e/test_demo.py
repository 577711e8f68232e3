"""``gitops demo`` as a user meets it: a process of its own, with or without a terminal."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gitops.demo.stage import TOOLS

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("sandboxes")]

COMMAND = [sys.executable, "-m", "gitops.cli", "demo"]
LONGEST = 240.0


@pytest.fixture
def place(tmp_path: Path, tools: Any) -> Iterator[Path]:
    """A folder to run in, with a state folder of its own; the tools stay shared."""
    for name in TOOLS:
        tools.path(name)
    yield tmp_path
    for room in tmp_path.glob("gitops-demo-*/run"):  # of one that was killed outright
        shutil.rmtree(room.readlink())


def environment(place: Path) -> dict[str, str]:
    keep = {k: v for k, v in os.environ.items() if not k.startswith("GITOPS_")}
    return {**keep, "XDG_STATE_HOME": str(place / "xdg"), "TMPDIR": str(place), "NO_COLOR": "1"}


def left_running(place: Path) -> list[str]:
    """Command lines of processes that belong to what ran in that folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(place) in line and int(file.parent.name) != os.getpid():
            found.append(line)
    return found


def run(place: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=place,
        env={**environment(place), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )


def test_unattended_it_proves_every_step_and_leaves_nothing_behind(place: Path) -> None:
    done = run(place, "--yes", "--output", "json")
    assert done.returncode == 0, done.stderr
    for told in (
        "ada is an author of this change: somebody else has to approve",
        "still nothing is applied",
        "spec.replicas: 2 → 3",
        "spec.replicas: 0 → 2",
        "+ create terraform_data.site",
        "output host is shop.example.com",
        "configmap/front: host is shop.example.com",
    ):
        assert told in done.stderr
    assert "\x1b" not in done.stderr
    summary = json.loads(done.stdout)
    assert summary["proofs"] > 10
    assert summary["proofs_of_state"] == 3
    assert {one["what"] for one in summary["times"] if one["seconds"] > 0} >= {
        "push → question (3 applications)",
        "approved → all healthy",
        "hand edit → noticed and asked",
        "approved → root applied, output delivered",
    }
    assert left_running(place) == []
    assert not list(place.glob("gitops-demo-*"))


def test_all_the_way_at_a_terminal_without_terraform_it_ends_with_its_times_and_opentofu(
    place: Path, tools: Any
) -> None:
    tools.path("tofu")
    folder = place / "bin"
    folder.mkdir()
    for name in ("git", "unshare", "ip"):
        found = shutil.which(name)
        if found:
            (folder / name).symlink_to(found)
    code, said = at_a_terminal(place, answer=b"y\n" * 4, PATH=str(folder))
    assert code == 0, said
    assert "hand edit → noticed and asked" in said.partition("Summary")[2]
    assert "facts confirmed by the API server itself" in said
    assert "tofu: output host is shop.example.com" in said
    assert "by tofu on the state" in said
    assert left_running(place) == []


def test_a_no_at_the_terminal_applies_nothing_and_is_told(place: Path) -> None:
    code, said = at_a_terminal(place, answer=b"n\n")
    assert code == 1, said
    assert "denied, and nothing of it was applied" in said
    assert left_running(place) == []


def test_ctrl_c_at_the_question_ends_everything(place: Path) -> None:
    code, said = at_a_terminal(place, answer=b"\x03")
    assert code == 130, said
    assert left_running(place) == []
    assert not list(place.glob("gitops-demo-*"))


def test_a_step_that_cannot_be_proven_is_named_with_its_logs(place: Path) -> None:
    with terminal(place) as session:
        session.until_asked()
        (file,) = place.glob("gitops-demo-*/controller.pid")
        os.kill(int(file.read_text()), signal.SIGKILL)
        session.answer(b"y\n")
        code, said = session.to_the_end()
    assert code == 1
    assert "“Grace looks, and answers” was not proven" in said
    assert f"the logs are in {file.parent}/logs" in said
    assert (file.parent / "logs" / "controller.log").read_text()
    assert list((file.parent / "logs" / "sandbox").iterdir())
    assert left_running(place) == []


def test_killed_outright_it_leaves_no_process_either(place: Path) -> None:
    with terminal(place) as session:
        session.until_asked()
        session.process.kill()
    deadline = time.monotonic() + 30
    while left := left_running(place):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def test_a_folder_with_something_in_it_is_left_alone(place: Path) -> None:
    mine = place / "mine"
    mine.mkdir()
    (mine / "letter.txt").write_text("dear grace")
    done = run(place, "--yes", "--dir", str(mine))
    assert done.returncode == 1
    assert "not empty" in done.stderr
    assert (mine / "letter.txt").read_text() == "dear grace"


@dataclass
class Session:
    """A demo at a terminal, and all it has said there."""

    process: subprocess.Popen[bytes]
    terminal: int
    said: bytes = b""

    def until_asked(self) -> None:
        deadline = time.monotonic() + LONGEST
        while b"[y/N]" not in self.said:
            assert time.monotonic() < deadline, self.text
            if select.select([self.terminal], [], [], 1.0)[0]:
                assert self._read(), f"it ended without a question: {self.text}"

    def answer(self, keys: bytes) -> None:
        os.write(self.terminal, keys)

    def to_the_end(self) -> tuple[int, str]:
        deadline = time.monotonic() + LONGEST
        while True:
            assert time.monotonic() < deadline, self.text
            if select.select([self.terminal], [], [], 1.0)[0] and not self._read():
                break
        return self.process.wait(LONGEST), self.text

    @property
    def text(self) -> str:
        return self.said.decode("utf-8", "replace")

    def _read(self) -> bytes:
        """Empty at the end, for which Linux has an error of its own (EIO, pty(7))."""
        try:
            part = os.read(self.terminal, 65536)
        except OSError:
            return b""
        self.said += part
        return part


@contextlib.contextmanager
def terminal(place: Path, **more: str) -> Iterator[Session]:
    """However the block is left, the demo is ended and reaped."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        COMMAND,
        cwd=place,
        env={**environment(place), "TERM": "xterm", **more},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        # ctrl-C reaches whoever the terminal controls.
        preexec_fn=_take_terminal,  # noqa: PLW1509 - nothing else runs here
    ) as process:
        os.close(theirs)
        try:
            yield Session(process, ours)
        finally:
            process.kill()
            os.close(ours)


def at_a_terminal(place: Path, *, answer: bytes, **more: str) -> tuple[int, str]:
    with terminal(place, **more) as session:
        session.until_asked()
        session.answer(answer)
        return session.to_the_end()


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    # Whoever started these tests in the background ignores it, and what they start would too.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
