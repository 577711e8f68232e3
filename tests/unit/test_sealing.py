"""What was approved survives its way through the vault exactly, or not at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gitops import sealing
from gitops.model.delivery import LaneId
from gitops.model.ids import Digest
from gitops.model.sealed import SealedFile, SealedRun, SealedUnlock, StateFacts
from gitops.records import Unreadable

PLAN = b"PK\x03\x04 canary-of-a-secret \x00\xff"


def sealed_run() -> SealedRun:
    return SealedRun(
        lane=LaneId("network", "default"),
        path="roots/network",
        files=(
            SealedFile("roots/network/main.tf", b'resource "x" "y" {}\n\xfe'),
            SealedFile("roots/network/run.sh", b"#!/bin/sh\n", executable=True),
        ),
        plan_file=PLAN,
        sha256="ab" * 32,
        lock_sha256="",
        tool="terraform 1.11.4",
        providers=(("registry.terraform.io/hashicorp/aws", "6.1.0"),),
        state=StateFacts(12, "3b1f"),
        target="local:network",
        inputs=Digest("cd" * 32),
    )


def test_a_saved_plan_comes_back_equal_and_as_what_it_is() -> None:
    assert sealing.decode(sealing.encode(sealed_run())) == sealed_run()


@pytest.mark.slow
def test_equal_plans_give_equal_bytes_in_every_process() -> None:
    code = (
        "import sys; from test_sealing import sealed_run; from gitops import sealing\n"
        "sys.stdout.buffer.write(sealing.encode(sealed_run()))\n"
    )
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": "77"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert done.stdout == sealing.encode(sealed_run())


def test_bytes_of_two_kinds_or_of_none_are_refused() -> None:
    run = json.loads(sealing.encode(sealed_run()))
    unlock = json.loads(sealing.encode(SealedUnlock(LaneId("network", "prod"), "a-lock")))
    for content in ({**run, "unlock": unlock["unlock"]}, {**run, "run": None}):
        with pytest.raises(Unreadable, match="exactly one"):
            sealing.decode(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def test_a_lock_to_be_forced_comes_back_as_it_went() -> None:
    sealed = SealedUnlock(LaneId("network", "prod"), "a-lock", "pg:prod:1")
    assert sealing.decode(sealing.encode(sealed)) == sealed


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b'"format":4', b'"format":3'),
        lambda text: text.replace(b'"serial":12', b'"serial":"12"'),
        lambda text: text.replace(b'"executable":true', b'"executable":1'),
        lambda text: text.replace(b'"plan_file":"', b'"plan_file":"*'),
        lambda text: text.replace(b'"sha256"', b'"sha512"'),
        lambda text: text.replace(b'"lineage":"3b1f"', b'"lineage":null'),
        lambda text: text[:-1],
    ],
)
def test_anything_else_is_refused_and_not_quoted(change: Callable[[bytes], bytes]) -> None:
    content = change(sealing.encode(sealed_run()))
    assert content != sealing.encode(sealed_run())
    with pytest.raises(Unreadable) as caught:
        sealing.decode(content)
    assert "canary" not in str(caught.value)
    assert "Y2FuYXJ5" not in str(caught.value)
