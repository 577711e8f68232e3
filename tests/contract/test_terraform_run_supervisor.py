"""The supervisor alone, over programs that behave as badly as a provider can."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from gitops.errors import ConfigError, Transient
from gitops.terraform import child
from gitops.terraform.execution import SHOWN, Call, Finished, Orders, begin, execute
from gitops.terraform.runs import Run
from gitops.terraform.workspace import start
from tests.contract.terraform_rig import no_zombie, until


def program(folder: Path, text: str) -> Path:
    path = folder / "tool"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


async def run(folder: Path, text: str, **orders: object) -> Finished:
    environment = {"PATH": os.defpath, "SECRET": "very-secret"}
    tool = program(folder, text)
    told = Orders(environment, **orders)  # type: ignore[arg-type]
    return await execute(start, Run(folder / "run"), tool, folder, Call("go"), told)


async def test_a_million_lines_are_harmless(tmp_path: Path) -> None:
    line = '{"type":"provision_progress","x":"' + "x" * 120 + '"}'
    text = (
        f"yes '{line}' | head -n 1000000\n"
        'echo \'{"type":"apply_complete"}\'\nyes complaint | head -n 100000 >&2'
    )
    done = await run(tmp_path, text, lines=True, seconds=120.0)
    assert done.code == 0
    assert done.cut
    assert len(done.stdout) <= SHOWN
    assert done.stdout.endswith(b'{"type":"apply_complete"}\n')


async def test_values_to_hide_are_in_no_line(tmp_path: Path) -> None:
    text = 'for i in $(seq 3000); do echo "line $i of $SECRET"; done; echo "$SECRET" >&2'
    done = await run(tmp_path, text, lines=True, hidden=("very-secret",))
    assert b"very-secret" not in done.stdout + done.stderr
    assert done.stdout.endswith(b"line 3000 of (hidden)\n")
    assert all(
        b"very-secret" not in path.read_bytes()
        for path in (tmp_path / "run").iterdir()
        if path.is_file()
    )


EVENT = {
    "type": "apply_errored",
    "hook": {"resource": {"addr": 'x.a["very-secret"]'}, "elapsed_seconds": 8080},
    "outputs": {"very-secret": {"type": "apply_errored", "value": 'say "very-secret"\n<true>'}},
}


@pytest.mark.parametrize(
    "word", ["apply_errored", "type", "hook", '":{"', "8080", "true", "\\n", '"}}'], ids=repr
)
async def test_no_value_to_hide_makes_an_event_another_one(tmp_path: Path, word: str) -> None:
    (tmp_path / "said").write_text(json.dumps(EVENT) + "\nprose of very-\nsecret\n")
    hidden = ("very-\nsecret", "very-secret", word)
    done = await run(tmp_path, f"cat {tmp_path}/said", lines=True, hidden=hidden)
    event, _, prose = done.stdout.partition(b"\n")
    told = json.loads(event)
    assert told["type"] == "apply_errored"
    assert told["hook"]["resource"]["addr"].startswith("x.a[")
    assert told["hook"]["elapsed_seconds"] == 8080
    assert b"very-secret" not in done.stdout
    assert prose == b"prose of (hidden)\n"


async def test_a_program_that_ignores_every_signal_is_killed(tmp_path: Path) -> None:
    text = "trap '' INT TERM\nsleep 600 &\necho $! > child\nwhile :; do sleep 1; done"
    done = await run(tmp_path, text, seconds=0.2, grace=0.2)
    assert (done.code, done.why) == (-9, "deadline")
    sleeper = int((tmp_path / "child").read_text())
    await until(lambda: no_zombie(sleeper))


async def test_an_interrupted_program_may_tidy_up(tmp_path: Path) -> None:
    text = "trap 'echo tidied; exit 7' INT\nwhile :; do sleep 0.05; done"
    done = await run(tmp_path, text, seconds=0.3)
    assert (done.code, done.why, done.stdout) == (7, "deadline", b"tidied\n")


async def test_an_end_is_seen_though_somebody_holds_the_output(tmp_path: Path) -> None:
    text = "(trap '' INT TERM HUP; setsid sleep 20) &\necho $! > child\necho done"
    began = time.monotonic()
    done = await run(tmp_path, text)
    assert done.stdout == b"done\n"
    assert time.monotonic() - began < 15


async def test_a_program_sees_nothing_but_its_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_CONTROLLER", "1")
    done = await run(tmp_path, "env | sort; ulimit -c; umask; ls -l /proc/self/fd | grep -c run/")
    lines = done.stdout.decode().split("\n")
    assert not any("OF_THE_CONTROLLER" in line for line in lines)
    assert "SECRET=very-secret" in lines
    assert lines[-4:-2] == ["0", "0077"]


async def test_a_large_environment_arrives_whole_or_not_at_all(tmp_path: Path) -> None:
    environment = {f"V{i}": "x" * 30_000 for i in range(10)}
    tool = program(tmp_path, 'printf "%s" "$V9"')
    call, orders = Call("go"), Orders(environment)
    done = await execute(start, Run(tmp_path / "one"), tool, tmp_path, call, orders)
    assert len(done.stdout) == 30_000
    orders = Orders({f"V{i}": "x" * 60_000 for i in range(400)})
    with pytest.raises(ConfigError, match="too large"):
        await execute(start, Run(tmp_path / "two"), tool, tmp_path, call, orders)


async def test_a_program_that_is_none_says_so(tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("no program")
    call, orders = Call("go"), Orders({})
    done = await execute(start, Run(tmp_path / "run"), tool, tmp_path, call, orders)
    assert done.code == 127
    assert b"cannot be started" in done.stderr


async def test_a_run_that_was_given_up_never_starts(tmp_path: Path) -> None:
    tool = program(tmp_path, f"touch {tmp_path}/ran")
    record = Run(tmp_path / "run")

    def late(*arguments: object) -> None:
        assert record.give_up()
        start(*arguments)  # type: ignore[arg-type]

    with pytest.raises(Transient, match="could not be started"):
        await asyncio.to_thread(
            begin, late, record, tool, tmp_path, Call("go"), Orders({}, forever=True)
        )
    assert not (tmp_path / "ran").exists()
    assert record.started() is None


async def test_nothing_starts_without_orders(tmp_path: Path) -> None:
    tool = program(tmp_path, f"touch {tmp_path}/ran")
    folder = tmp_path / "run"
    folder.mkdir()
    os.mkfifo(folder / child.ORDERS)
    await asyncio.to_thread(start, child.command(str(folder)), tool, tmp_path, Call("go"))
    assert not (tmp_path / "ran").exists()
    assert not (folder / child.STARTED).exists()


async def test_a_pid_of_another_process_is_not_taken_for_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    someone = {"pid": os.getpid(), "start": child.start_time(os.getpid()) + 1}
    record = {
        "host": child.host(),
        "supervisor": someone,
        "tool": someone,
        "argv": [],
        "began": 0.0,
    }
    child.write_durably(str(folder), child.STARTED, record)
    async with asyncio.timeout(10):
        assert await Run(folder).settle() is None


async def test_a_full_disk_does_not_end_a_program(tmp_path: Path) -> None:
    done = await run(tmp_path, "dd if=/dev/zero bs=1M count=80 2>/dev/null; echo end >&2")
    assert done.code == 0
    assert done.cut
    assert done.stderr == b"end\n"
