"""Children end where their limits are, with all they started, and see nothing of ours."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from gitops.children import Runner, clean, wrapped
from gitops.errors import ChildTimeout, RenderError, ToolMissing
from gitops.ports import Command, Completed, Limits

SH = "/bin/sh"


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Runner(scratch)


async def shell(runner: Runner, script: str, cwd: Path, **limits: float) -> Completed:
    return await runner.run(Command((SH, "-c", script), cwd, limits=Limits(**limits)))  # type: ignore[arg-type]


def holds(marker: str) -> bool:
    """Is there a process with this word in its arguments?"""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if marker.encode() in (folder / "cmdline").read_bytes():
                    return True
            except OSError:
                continue
    return False


async def gone(marker: str) -> bool:
    for _ in range(100):
        if not holds(marker):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_a_failing_child_is_an_answer_not_an_error(runner: Runner, tmp_path: Path) -> None:
    done = await shell(runner, "echo out; echo err >&2; exit 3", tmp_path)
    assert (done.code, done.stdout, done.stderr) == (3, b"out\n", "err\n")


async def test_input_reaches_the_child(runner: Runner, tmp_path: Path) -> None:
    data = b"x" * 300_000
    done = await runner.run(Command(("/bin/cat",), tmp_path, stdin=data))
    assert done.stdout == data


async def test_the_environment_is_made_from_nothing(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CANARY_TOKEN", "hunter2")
    done = await runner.run(Command(("/usr/bin/env",), tmp_path, {"GIVEN": "1"}))
    names = {line.partition(b"=")[0] for line in done.stdout.splitlines()}
    assert names - {b"PWD", b"OLDPWD", b"SHLVL", b"_"} == {
        *(b"GIVEN", b"HOME", b"PATH", b"TMPDIR", b"LANG"),
    }


async def test_home_is_private_and_removed_afterwards(runner: Runner, tmp_path: Path) -> None:
    done = await shell(runner, 'touch "$HOME/x"; stat -c %a "$HOME"; echo "$HOME"', tmp_path)
    mode, home = done.stdout.decode().split()
    assert mode == "700"
    assert Path(home).parent == tmp_path / "scratch"
    assert not Path(home).exists()


async def test_the_deadline_ends_the_child_and_all_it_started(
    runner: Runner, tmp_path: Path
) -> None:
    marker = f"864{os.getpid()}1"
    with pytest.raises(ChildTimeout, match=r"did not finish in 0\.3 s"):
        await shell(runner, f"sleep {marker} & setsid sleep {marker} & wait", tmp_path, seconds=0.3)
    if not runner.capabilities.whole_tree:
        pytest.skip(runner.capabilities.note)
    assert await gone(marker)


async def test_what_a_child_leaves_behind_ends_with_it(runner: Runner, tmp_path: Path) -> None:
    marker = f"864{os.getpid()}2"
    done = await shell(runner, f"sleep {marker} & setsid sleep {marker} & echo hi", tmp_path)
    assert done.stdout == b"hi\n"
    if not runner.capabilities.whole_tree:
        pytest.skip(runner.capabilities.note)
    assert await gone(marker)


async def test_a_cancelled_child_is_ended(runner: Runner, tmp_path: Path) -> None:
    marker = f"864{os.getpid()}3"
    task = asyncio.create_task(shell(runner, f"sleep {marker}; true", tmp_path))
    while not holds(marker):
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone(marker)


async def test_a_killed_controller_leaves_no_child(runner: Runner, tmp_path: Path) -> None:
    if not runner.capabilities.dies_with_us:
        pytest.skip(runner.capabilities.note)
    marker = f"864{os.getpid()}4"
    script = f"""
        import asyncio
        from pathlib import Path
        from gitops.children import Runner
        from gitops.ports import Command
        command = Command(("{SH}", "-c", "sleep {marker}; true"), Path("/tmp"))
        asyncio.run(Runner(Path({str(tmp_path)!r})).run(command))
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    while not holds(f"sleep {marker}; true"):
        await asyncio.sleep(0.02)
    parent.kill()
    parent.wait()
    assert await gone(f"sleep\0{marker}")


@pytest.mark.parametrize("stream", ["", " >&2"])
async def test_endless_output_ends_the_child(runner: Runner, tmp_path: Path, stream: str) -> None:
    with pytest.raises(RenderError, match="wrote more than 1 MiB"):
        await shell(runner, f"cat /dev/zero{stream}", tmp_path, output=1 << 20)


async def test_endless_output_ends_it_on_a_single_processor_too(tmp_path: Path) -> None:
    """There the child is always ahead of us, and stays paused in the middle of a write."""
    (tmp_path / "scratch").mkdir()
    script = f"""
        import asyncio, os
        from pathlib import Path
        from gitops.children import Runner
        from gitops.errors import RenderError
        from gitops.ports import Command, Limits
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        limits = Limits(output=1 << 20, seconds=600)
        command = Command(("{SH}", "-c", "cat /dev/zero"), Path("/tmp"), limits=limits)
        for _ in range(3):
            try:
                asyncio.run(Runner(Path({str(tmp_path / "scratch")!r})).run(command))
            except RenderError as error:
                print(error)
    """
    argv = [sys.executable, "-X", "dev", "-c", textwrap.dedent(script)]
    done = await asyncio.to_thread(
        subprocess.run, argv, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.count("wrote more than 1 MiB") == 3
    assert done.stderr == "", "and leaves nothing open"


async def test_memory_is_bounded(runner: Runner, tmp_path: Path) -> None:
    code = "x = bytearray(600 << 20)"
    command = Command((sys.executable, "-c", code), tmp_path, limits=Limits(memory=2 << 30))
    with pytest.raises(RenderError, match="needed more than 512 MiB"):
        await runner.run(command)


async def test_the_size_of_a_file_is_bounded(runner: Runner, tmp_path: Path) -> None:
    # The kernel's signal does not reach the first process of a namespace: then writing fails.
    with contextlib.suppress(RenderError):
        done = await shell(runner, "head -c 3000000 /dev/zero > big", tmp_path, file_size=1 << 20)
        assert done.code != 0
    assert (tmp_path / "big").stat().st_size == 1 << 20


async def test_the_number_of_processes_is_bounded(runner: Runner, tmp_path: Path) -> None:
    if not runner.capabilities.few_processes:
        pytest.skip(runner.capabilities.note)
    script = "i=0; while [ $i -lt 100 ]; do sleep 20 & i=$((i+1)); done; echo all"
    done = await shell(runner, script, tmp_path, processes=20, seconds=10)
    assert b"all" not in done.stdout
    assert "fork" in done.stderr


async def test_no_network_is_there(runner: Runner, tmp_path: Path) -> None:
    if not runner.capabilities.no_network:
        pytest.skip(runner.capabilities.note)
    done = await shell(runner, "tail -n +3 /proc/net/dev; cat /proc/net/route", tmp_path)
    devices = [line.split(b":")[0].strip() for line in done.stdout.splitlines() if b":" in line]
    assert set(devices) <= {b"lo"}
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
    refused = await runner.run(Command((sys.executable, "-c", code), tmp_path))
    server.close()
    assert refused.code != 0
    assert "Network is unreachable" in refused.stderr or "refused" in refused.stderr


async def test_a_missing_program_is_named(runner: Runner, tmp_path: Path) -> None:
    with pytest.raises(ToolMissing, match="nonesuch is not there"):
        await runner.run(Command(("/nonesuch",), tmp_path))


async def test_arguments_are_never_interpreted(runner: Runner, tmp_path: Path) -> None:
    words = ("$HOME", "`id`", "$(id)", "a b", "'", '"', ";", "-n", "*")
    done = await runner.run(Command(("/usr/bin/printf", "%s\n", *words), tmp_path))
    assert done.stdout.decode().splitlines() == list(words)


async def test_children_beyond_the_number_of_slots_wait(tmp_path: Path) -> None:
    runner = Runner(tmp_path, concurrency=2)
    script = (
        "mkdir a 2>/dev/null || mkdir b || echo third; sleep 0.1; rmdir b 2>/dev/null || rmdir a"
    )
    done = await asyncio.gather(*(shell(runner, script, tmp_path) for _ in range(6)))
    assert not [each for each in done if b"third" in each.stdout]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"a\x1b[31mred\x1b[0m\n", "ared\n"),
        (b"\x1b]0;title\x07x", "x"),
        (b"\x1b]8;;http://x\x1b\\y", "y"),
        (b"a\rb\x00\x08\tc\xff", "ab\tc\ufffd"),
        (b"\x9b31mx", "\ufffd31mx"),
        ("\u009b31mx".encode(), "31mx"),
    ],
)
def test_terminal_escapes_are_taken_out(raw: bytes, shown: str) -> None:
    assert clean(raw) == shown


def test_what_a_program_says_is_cut() -> None:
    assert len(clean(b"x" * 1_000_000)) < 70_000


def test_the_wrapper_keeps_the_network_only_when_told(runner: Runner, tmp_path: Path) -> None:
    argv: Callable[[bool], list[str]] = lambda network: wrapped(  # noqa: E731
        Command((SH,), tmp_path), runner.capabilities, network=network
    )
    assert ("--net" in argv(False)) == runner.capabilities.no_network
    assert "--net" not in argv(True)


OFFLINE = Command((SH, "-c", "echo ran"), Path("/"), offline=True)


async def test_what_has_to_be_offline_is_not_run_where_the_network_cannot_be_cut(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.children._CANDIDATES", ())
    with pytest.raises(RenderError, match="its network cannot be cut") as caught:
        await runner.run(OFFLINE)
    assert "GITOPS_ALLOW_UNISOLATED=1" in caught.value.hint
    assert (await shell(runner, "echo other", Path("/"))).stdout == b"other\n"


async def test_what_has_to_be_offline_is_not_run_with_a_network_either(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="its network cannot be cut"):
        await Runner(tmp_path, network=True).run(OFFLINE)


async def test_the_operator_may_allow_it_to_run_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.children._CANDIDATES", ())
    done = await Runner(tmp_path, allow_unisolated=True).run(OFFLINE)
    assert done.stdout == b"ran\n"


@pytest.mark.parametrize(("value", "allowed"), [("", False), ("0", False), ("1", True)])
def test_only_a_plain_yes_in_the_environment_allows_it(
    value: str, allowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitops.app import services_of
    from gitops.cli.doctor import State, _isolation
    from gitops.model.fleet import Fleet
    from gitops.vault import Keyring
    from tests.unit.check_cases import Frozen

    monkeypatch.setenv("GITOPS_ALLOW_UNISOLATED", value)
    monkeypatch.setattr("gitops.children._CANDIDATES", ())
    runner = services_of(Fleet(tmp_path, tmp_path), Keyring.throwaway(), Frozen()).children
    assert isinstance(runner, Runner)
    assert runner._isolates(runner.capabilities) is allowed
    assert _isolation().state is (State.OPTIONAL if allowed else State.MISSING)
