"""``kill -9`` between an answer's commit and its acknowledgement: the answer is kept, once."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.slack import sending
from tests.slack.incoming_rig import secret, text_of
from tests.slack.sending import Signed
from tests.slack.server import SlackServer


class Process:
    def __init__(self, folder: Path, slack: SlackServer, channel: str, *more: str) -> None:
        command = [sys.executable, "-m", "tests.slack.hearing_process"]
        self.child = subprocess.Popen(
            [*command, str(folder), slack.api_url, channel, *more],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.heard() == {"ready": True}

    def heard(self) -> dict[str, Any] | None:
        """What it says next; None when it ended without."""
        assert self.child.stdout is not None
        for line in self.child.stdout:
            if line.startswith("SAID "):
                found: dict[str, Any] = json.loads(line.removeprefix("SAID "))
                return found
        return None

    def send(self, signed: Signed) -> dict[str, Any] | None:
        assert self.child.stdin is not None
        letter = {"headers": signed.headers, "body": base64.b64encode(signed.body).decode()}
        self.child.stdin.write(json.dumps(letter) + "\n")
        self.child.stdin.flush()
        return self.heard()

    def end(self) -> None:
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self.child.wait(20)


@contextlib.contextmanager
def running(*args: Any) -> Iterator[Process]:
    process = Process(*args)
    try:
        yield process
    finally:
        process.end()


@pytest.mark.slow
def test_an_answer_whose_acknowledgement_a_crash_ate_counts_once(tmp_path: Path) -> None:
    with SlackServer() as slack:
        channel = slack.add_channel("deploys")
        bob = slack.add_user("bob", "bob@example.org")
        secret(tmp_path, "bot", slack.bot_token)
        secret(tmp_path, "signing", slack.signing_secret)
        with running(tmp_path, slack, channel, "kill") as first:
            [card] = slack.posted()
            pressed = sending.press(slack, card["ts"], "Approve", bob)
            assert first.send(sending.signed_interaction(slack, pressed)) is not None
            [view] = slack.views
            form = sending.signed_interaction(slack, sending.submit(slack, view, bob))
            assert first.send(form) is None, "nobody was told"
            assert first.child.wait(20) == -signal.SIGKILL
        with running(tmp_path, slack, channel) as second:
            replayed = second.send(form)
            assert replayed is not None
            assert replayed["status"] == 401, "the signature was used"
            assert replayed["verdicts"] == ["bob"], "the answer was kept"
            again = sending.submit(slack, view, bob)
            told = second.send(sending.signed_interaction(slack, again))
            assert told is not None
            assert "recorded: approved as bob" in text_of(json.loads(told["body"]))
            assert told["verdicts"] == ["bob"]
        assert len(slack.posted()) == 1
