"""The real parts tests run on: built tools, a control plane, a PostgreSQL server.

What a machine lacks is a named skip with the line that installs it; with ``GITOPS_TEST_REQUIRE=1``
(as in CI) it is a failure, so that nothing goes untested unnoticed.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
import structlog
from _pytest.nodeid import coerce_node_id
from hypothesis import HealthCheck, settings

from gitops.errors import ToolMissing
from gitops.sandbox import lifecycle
from gitops.sandbox.layout import SandboxInfo
from gitops.sandbox.recipes import CONTROL_PLANE
from gitops.sandbox.tools import Toolbox
from tests.providers import ProviderMirror

_PG_LINE = "install it: apt-get install postgresql"
_TERRAFORM_LINE = "install it: https://developer.hashicorp.com/terraform/install"
_PR_SET_PDEATHSIG = 1

# How long a case takes says something of the machine and nothing of us.
settings.register_profile(
    "gitops", deadline=None, max_examples=50, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gitops")


def absent(what: str) -> NoReturn:
    """Skips by name, or fails where everything has to be there."""
    if os.environ.get("GITOPS_TEST_REQUIRE") == "1":
        pytest.fail(what, pytrace=False)
    pytest.skip(what)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _by_turns(config, items)
    _keep_groups(config, items)


def _by_turns(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tells each story in ``tests/e2e`` that both Terraform binaries could play with one of them,
    half the stories with either: they are about us, and what differs between the two is tested
    with both in ``tests/contract``. ``GITOPS_TEST_TOOLS=both`` tells all of them twice."""
    if os.environ.get("GITOPS_TEST_TOOLS") == "both":
        return
    names = ("terraform", "tofu") if shutil.which("terraform") else ("tofu",)
    left = [item for item in items if _plays(item) not in (None, _turn(item, names))]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]


def _plays(item: pytest.Item) -> str | None:
    """The binary a story is told with; None for a test that is none of these."""
    call = getattr(item, "callspec", None)
    told = call.params.get("terraform") if call and "e2e" in item.path.parts else None
    return told if told in ("terraform", "tofu") else None


def _turn(item: pytest.Item, names: tuple[str, ...]) -> str:
    """The same in every run, and of the cases of one story one half each."""
    name = item.nodeid.replace("tofu", "terraform")
    return names[zlib.crc32(name.encode()) % len(names)]


def _keep_groups(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps tests of one ``xdist_group`` in one worker: pytest-xdist 3.8 writes the group where
    pytest 9.2 does not look any more (pytest-dev/pytest-xdist#1386), and nothing says so."""
    if not getattr(config.option, "loadgroup", False):
        return
    for item in items:
        group = item.get_closest_marker("xdist_group")
        if group is not None and not item.nodeid.endswith(f"@{group.args[0]}"):
            item._id = coerce_node_id(f"{item.nodeid}@{group.args[0]}")


class Tools:
    """Paths of the real programs; asking for one that is missing skips the test."""

    def __init__(self) -> None:
        self.toolbox = Toolbox()

    def path(self, name: str) -> Path:
        try:
            return self.toolbox.path(name)
        except ToolMissing as missing:
            absent(str(missing))


class TerraformBinaries(dict[str, Path]):
    """The real ones that are here, by name; asking for one that is missing skips the test.

    OpenTofu is built, so it is always to be had; terraform is not ours to build or bring along,
    so its absence is a skip even where everything has to be there (``.ci/allowed-skips``).
    """

    def __missing__(self, name: str) -> NoReturn:
        if name == "terraform":
            pytest.skip(f"terraform is not on PATH; {_TERRAFORM_LINE}")
        absent(f"tofu is not built; run: gitops sandbox tools {name}")


@pytest.fixture(autouse=True)
def log_of_its_own() -> Iterator[None]:
    """A test that sets up the log leaves its stream to nobody: it is closed when the test ends."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def tools() -> Tools:
    return Tools()


@pytest.fixture(scope="session")
def sandbox(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxInfo]:
    """One control plane for the whole run, shared by all its worker processes.

    Starting is locked and finds a running one. It belongs to the run's main process: when that
    ends, in whatever way, the kernel tells the sandbox's supervisor.
    """
    for name in CONTROL_PLANE:
        tools.path(name)
    base, main = tmp_path_factory.getbasetemp(), os.getpid()
    worker = "PYTEST_XDIST_WORKER" in os.environ
    if worker:
        base, main = base.parent, os.getppid()
    yield lifecycle.start("tests", base / "sandboxes", tools.toolbox, owner=main)
    if not worker:
        lifecycle.stop("tests", base / "sandboxes")


@pytest.fixture(scope="session")
def terraform_binaries(tools: Tools) -> TerraformBinaries:
    """``{"terraform": Path, "tofu": Path}``, as far as they are here."""
    found = {"terraform": shutil.which("terraform"), "tofu": tools.toolbox.find("tofu")}
    return TerraformBinaries({n: Path(where).absolute() for n, where in found.items() if where})


@pytest.fixture
def a_terraform(terraform_binaries: TerraformBinaries) -> tuple[str, Path]:
    """(name, path) of whichever is here: for stories in which the two have the same part."""
    name = "terraform" if "terraform" in terraform_binaries else "tofu"
    return name, terraform_binaries[name]


@pytest.fixture(params=["terraform", "tofu"])
def terraform(
    request: pytest.FixtureRequest, terraform_binaries: TerraformBinaries
) -> tuple[str, Path]:
    """(name, path) of each real binary in turn: what asks for it runs once with either."""
    return request.param, terraform_binaries[request.param]


@pytest.fixture(scope="session")
def provider_mirror(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> ProviderMirror:
    """A folder with the real ``hashicorp/local`` in it, for both tools."""
    program = tools.path("terraform-provider-local")
    version = tools.toolbox.version("terraform-provider-local").removeprefix("v")
    mirror = ProviderMirror(tmp_path_factory.mktemp("mirror"), version)
    mirror.fill(program)
    return mirror


@pytest.fixture
def namespace() -> str:
    """A namespace name nobody else uses; the test creates it."""
    return f"t-{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """SQLAlchemy URL of a real server on a Unix socket; it ends with this process."""
    home = Path(tempfile.mkdtemp(prefix="gitops-pg-"))
    account = _database_account()
    if account:
        os.chown(home, account.pw_uid, account.pw_gid)
    try:
        yield from _serve_postgres(home, account)
    finally:
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def postgres_database(postgres: str) -> Iterator[str]:
    """URL of a database of this test alone."""
    import psycopg

    name = f"t{uuid.uuid4().hex[:12]}"
    plain = postgres.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres.replace("/postgres?", f"/{name}?")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _serve_postgres(home: Path, account: pwd.struct_passwd | None) -> Iterator[str]:
    data = home / "data"
    _as_user(account, [_pg("initdb"), "-D", data, "-U", "gitops", "-A", "trust", "-N"], home)
    options = ["-k", home, "-c", "listen_addresses=", "-c", "fsync=off"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [_pg("postgres"), "-D", data, *options],
            cwd=home,
            stdout=log,
            stderr=log,
            preexec_fn=_end_with_parent(),  # noqa: PLW1509 - no thread holds a lock it needs
            **_credentials(account),
        )
    try:
        _await_socket(server, home)
        yield f"postgresql+psycopg://gitops@/postgres?host={home}"
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(30)


def _await_socket(server: subprocess.Popen[bytes], home: Path) -> None:
    import psycopg

    for _ in range(600):
        try:
            psycopg.connect(f"postgresql://gitops@/postgres?host={home}").close()
        except psycopg.OperationalError:
            assert server.poll() is None, (home / "log").read_text()
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"PostgreSQL did not come up:\n{(home / 'log').read_text()}")


def _pg(name: str) -> str:
    found = [Path(where) for where in [shutil.which(name)] if where]
    found += sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return str(found[0]) if found else absent(f"PostgreSQL's {name} is missing; {_PG_LINE}")


def _database_account() -> pwd.struct_passwd | None:
    """Whom to be: ourselves, unless we are root, whom PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    absent("PostgreSQL refuses to run as root and there is no user postgres; " + _PG_LINE)


def _credentials(account: pwd.struct_passwd | None) -> dict[str, object]:
    if account is None:
        return {}
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def _as_user(account: pwd.struct_passwd | None, argv: list[object], cwd: Path) -> None:
    subprocess.run(
        [str(part) for part in argv],
        cwd=cwd,
        check=True,
        capture_output=True,
        **_credentials(account),
    )


def _end_with_parent() -> Callable[[], None]:
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
