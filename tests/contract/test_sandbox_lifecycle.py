"""However a sandbox is started, killed or stopped: no process is left, and status is the truth."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitops.errors import Permanent
from gitops.sandbox import lifecycle
from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.recipes import CONTROL_PLANE
from gitops.sandbox.seed import Api
from gitops.sandbox.tools import Toolbox

# One worker for all of these: each control plane takes its share of the machine.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("sandboxes")]
_PATIENCE = 30.0
_STARTS = """
import sys
from pathlib import Path
from gitops.sandbox import lifecycle
def say(message):
    print(message, flush=True)
lifecycle.start("x", Path(sys.argv[1]), say=say)
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def root(tools: object, tmp_path: Path) -> Iterator[Path]:
    for name in CONTROL_PLANE:
        tools.path(name)  # type: ignore[attr-defined]
    yield tmp_path
    for name in lifecycle.names(tmp_path):
        lifecycle.stop(name, tmp_path)


@pytest.fixture
def info(root: Path) -> SandboxInfo:
    return lifecycle.start("x", root, owner=os.getpid())


@pytest.fixture(scope="module")
def lasting(tools: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxInfo]:
    """One sandbox for the tests that leave it running."""
    for name in CONTROL_PLANE:
        tools.path(name)  # type: ignore[attr-defined]
    root = tmp_path_factory.mktemp("lasting")
    yield lifecycle.start("x", root, owner=os.getpid())
    lifecycle.stop("x", root)


def eventually(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not done():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def alive(pids: dict[str, int]) -> set[str]:
    return {name for name, pid in pids.items() if _lives(pid)}


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def processes_of(folder: Path) -> list[str]:
    """Every process that has the sandbox's folder on its command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if os.fsencode(folder) in line and b"-c" not in line.split(b"\0"):
            found.append(line.replace(b"\0", b" ").decode())
    return found


def apiserver(info: SandboxInfo) -> lifecycle.ChildStatus:
    return lifecycle.status("x", info.folder.parent).children["kube-apiserver"]


def starter(root: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _STARTS, root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_killing_the_supervisor_kills_everything_and_up_starts_afresh(
    info: SandboxInfo, root: Path
) -> None:
    os.kill(info.pids["supervisor"], signal.SIGKILL)
    eventually(lambda: not alive(info.pids))
    assert lifecycle.status("x", root).state == "dead"
    assert lifecycle.read("x", root) is None

    again = lifecycle.start("x", root, owner=os.getpid())
    assert again.token != info.token
    assert Api(again).ask("GET", "/readyz")[0] == 200


def test_a_second_start_finds_the_first(lasting: SandboxInfo) -> None:
    assert lifecycle.start("x", lasting.folder.parent) == lasting


def test_two_run_side_by_side_and_know_nothing_of_each_other(lasting: SandboxInfo) -> None:
    other = lifecycle.start("y", lasting.folder.parent, owner=os.getpid())
    assert other.url != lasting.url
    assert Api(other).ask("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})[0] == 201
    assert Api(lasting).ask("GET", "/api/v1/namespaces/n")[0] == 404
    lifecycle.stop("y", lasting.folder.parent)
    assert Api(lasting).ask("GET", "/readyz")[0] == 200


def test_a_crashed_program_is_started_again_and_what_it_knew_is_kept(lasting: SandboxInfo) -> None:
    Api(lasting).ask("POST", "/api/v1/namespaces", {"metadata": {"name": "kept"}})
    os.kill(lasting.pids["kube-apiserver"], signal.SIGKILL)
    eventually(
        lambda: lifecycle.status("x", lasting.folder.parent).children["kube-apiserver"].exits == 1
    )
    eventually(lambda: Api(lasting).ask("GET", "/api/v1/namespaces/kept")[0] == 200)


def test_the_api_server_goes_and_comes_back_on_its_port(lasting: SandboxInfo) -> None:
    lifecycle.stop_apiserver(lasting)
    assert Api(lasting).ask("GET", "/readyz") == (0, None)
    assert lifecycle.status("x", lasting.folder.parent).state == "degraded"
    lifecycle.start_apiserver(lasting)
    assert Api(lasting).ask("GET", "/readyz")[0] == 200
    assert lifecycle.status("x", lasting.folder.parent).state == "running"


def test_a_paused_api_server_hangs_and_goes_on_when_resumed(lasting: SandboxInfo) -> None:
    port = int(lasting.url.rpartition(":")[2])
    before = apiserver(lasting)
    lifecycle.pause(lasting)
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.settimeout(0.3)
        connection.sendall(b"hello?\r\n\r\n")
        with pytest.raises(TimeoutError):
            connection.recv(1)
    lifecycle.resume(lasting)
    # Its own time-outs towards etcd ran on meanwhile: at first it may say that it is not ready.
    eventually(lambda: Api(lasting).ask("GET", "/readyz")[0] == 200)
    assert apiserver(lasting) == before, "it went on; it was not replaced"


def test_it_outlives_the_command_that_started_it_and_stopping_ends_all_and_leaves_no_file(
    root: Path,
) -> None:
    with starter(root) as command:
        assert command.stdout is not None
        assert "up\n" in iter(command.stdout.readline, "")
        command.kill()
    found = lifecycle.read("x", root)
    assert found is not None
    assert Api(found).ask("GET", "/readyz")[0] == 200

    assert lifecycle.stop("x", root)
    assert not alive(found.pids)
    assert not found.folder.exists()
    assert lifecycle.status("x", root).state == "absent"
    assert not lifecycle.stop("x", root), "twice is fine"


def test_it_ends_with_its_owner_even_if_that_is_killed(root: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as owner:
        info = lifecycle.start("x", root, owner=owner.pid)
        assert alive(info.pids) == {"supervisor", *CONTROL_PLANE}
        owner.kill()
    eventually(lambda: not alive(info.pids))
    assert lifecycle.status("x", root).state == "dead"


def test_killing_the_start_in_the_middle_leaves_no_process(root: Path) -> None:
    with starter(root) as command:
        assert command.stdout is not None
        assert command.stdout.readline().startswith("starting")
        command.kill()
    eventually(lambda: not processes_of(root / "x"))
    assert lifecycle.status("x", root).state == "dead"
    assert lifecycle.start("x", root, owner=os.getpid()).pids


def test_a_taken_port_is_said_and_nothing_is_left(root: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(Permanent, match=f"port {port} cannot be used") as caught:
            lifecycle.start("x", root, port=port)
    assert "--port" in caught.value.hint
    assert processes_of(root / "x") == []


def test_a_program_that_cannot_be_run_is_said_and_nothing_is_left(
    root: Path, tmp_path: Path, tools: object
) -> None:
    class Broken(Toolbox):
        def path(self, name: str) -> Path:
            return Path("/nonexistent/etcd") if name == "etcd" else super().path(name)

    with pytest.raises(Permanent, match=r"etcd ended with 127: .*cannot run /nonexistent/etcd"):
        lifecycle.start("x", root, Broken())
    assert processes_of(root / "x") == []
    assert lifecycle.status("x", root).state == "dead"


def test_asking_for_the_status_all_the_time_hinders_no_start(root: Path) -> None:
    asking = threading.Event()

    def ask() -> None:
        while not asking.is_set():
            lifecycle.status("x", root)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        assert lifecycle.start("x", root, owner=os.getpid()).pids
    finally:
        asking.set()
        thread.join()


def test_a_long_path_is_no_obstacle(root: Path) -> None:
    deep = root.parent.joinpath("deep", *["a-folder-with-a-rather-long-name"] * 5)
    try:
        info = lifecycle.start("x", deep, owner=os.getpid())
        assert Api(info).ask("GET", "/readyz")[0] == 200
    finally:
        lifecycle.stop("x", deep)
