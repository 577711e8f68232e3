"""Starts git, hardened: the only place of the package that runs a process.

Called by :mod:`.mirror` and :mod:`.history`. Git does not go through the runner of renderers: it
needs the network the others are denied, credentials the others must never see, and its output is
read while it runs. What a git process may never get: our environment, a configuration file, a hook,
a filter, a terminal, a secret in its arguments, or a transport other than its address's own.
"""

from __future__ import annotations

import base64
import contextlib
import os
import resource
import selectors
import shlex
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from gitops.errors import ConfigError, SourceProblem, SourceUnavailable, ToolMissing
from gitops.model.fleet import GitCredentials
from gitops.model.secret import SecretRef
from gitops.model.source import SourceState
from gitops.plugins import AppToken, no_app
from gitops.secrets import read_secret
from gitops.sources.git.address import Address

_STDERR_KEPT = 64 << 10
_STDERR_MAX = 16 << 20
"""A remote can talk on the side channel for ever; past this it is cut off."""
_POLL = 0.25

_CONFIG: Mapping[str, str] = {
    "advice.fetchShowForcedUpdates": "false",
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.fsmonitor": "false",
    "core.logAllRefUpdates": "false",
    "credential.helper": "",
    "fetch.fsckObjects": "true",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "100",
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "http.followRedirects": "false",
    "http.lowSpeedLimit": "100",
    "http.sslVerify": "true",
    "log.mailmap": "false",
    "log.showSignature": "false",
    "maintenance.auto": "false",
    "protocol.version": "2",
    "submodule.recurse": "false",
    "transfer.bundleURI": "false",
    "transfer.fsckObjects": "true",
    # Old histories have these blemishes, and they cannot mislead us.
    "fetch.fsck.badTimezone": "ignore",
    "fetch.fsck.zeroPaddedFilemode": "ignore",
    "fetch.fsck.missingSpaceBeforeDate": "ignore",
}


@dataclass(frozen=True, slots=True)
class Access:
    """How one remote is reached. Holds references to secrets, never a secret."""

    address: Address
    credentials: GitCredentials = GitCredentials()
    timeout: float = 600.0
    stall: int = 20
    max_fetch: int = 4 << 30
    app_token: AppToken = no_app


@dataclass(frozen=True, slots=True)
class Ended:
    """How a git process ended. ``stderr`` is raw: foreign text, to go through ``failures``."""

    code: int
    stdout: bytes
    stderr: str


@dataclass(frozen=True, slots=True)
class Approach:
    """What one call to a remote adds to the environment, and the secrets to keep out of texts."""

    env: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    token: str = ""
    """One that can be replaced when it is refused (a GitHub App's)."""


@contextlib.contextmanager
def approach(access: Access, refused: str = "") -> Iterator[Approach]:
    """Read the secrets anew (so that rotation works), lend them to one call, remove every trace.

    ``refused``: the replaceable token that the remote just refused.
    """
    address, given = access.address, access.credentials
    with contextlib.ExitStack() as stack:
        env = {"GIT_ALLOW_PROTOCOL": address.scheme}
        config: dict[str, str] = {"http.lowSpeedTime": str(access.stall)}
        secrets: list[str] = []
        if address.scheme == "https":
            env |= _proxies()
        if given.ca_file:
            config["http.sslCAInfo"] = str(given.ca_file)
        web, app, token = address.scheme in ("https", "http"), given.github_app, ""
        if web and app:
            token = access.app_token(app, given.ca_file, refused)
        elif web and given.token:
            token = _secret(given.token)
        if token:
            pair = f"{given.username or 'x-access-token'}:{token}".encode()
            basic = base64.b64encode(pair).decode()
            config["http.extraHeader"] = f"Authorization: Basic {basic}"
            secrets += [token, basic]
        if address.scheme == "ssh":
            env |= _ssh(access, stack)
        yield Approach(env, config, tuple(secrets), token if app else "")


def run(
    argv: tuple[str, ...],
    *,
    folder: Path,
    timeout: float,
    with_: Approach = Approach(),
    stop: threading.Event | None = None,
    feed: Callable[[bytes], bool] | None = None,
    stdout_max: int = 64 << 20,
    file_max: int | None = None,
    memory_max: int | None = None,
    hold: tuple[int, ...] = (),
    executable: str = "",
    input: bytes = b"",
) -> Ended:
    """Run ``git argv`` on the bare repository ``folder``; blocking: call it off the loop.

    ``feed`` gets stdout as it comes and ends the process by returning False. ``file_max`` and
    ``memory_max`` are bytes of one file and of memory of its own. ``hold`` are file descriptors the
    process keeps open (locks). ``executable`` is run instead of git, with the same care;
    ``input`` is its stdin. Raises SourceUnavailable after ``timeout`` seconds or when ``stop`` is
    set, SourceProblem over a limit, ToolMissing without git.
    """
    with _stdin(input) as stdin:
        process = subprocess.Popen(
            (executable or _git(), *argv),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env=_environment(folder, with_),
            start_new_session=True,
            pass_fds=hold,
        )
    # Set from outside, before git can have started its own children: a `preexec_fn` is not safe
    # beside threads and makes every spawn slower. DATA and not AS: mapped packs do not count.
    for kind, limit in ((resource.RLIMIT_FSIZE, file_max), (resource.RLIMIT_DATA, memory_max)):
        if limit is not None:
            with contextlib.suppress(OSError):
                resource.prlimit(process.pid, kind, (limit, limit))
    try:
        return _collect(process, time.monotonic() + timeout, timeout, stop, feed, stdout_max)
    finally:
        _end(process)


@contextlib.contextmanager
def _stdin(content: bytes) -> Iterator[int | IO[bytes]]:
    """A file rather than a pipe: nobody has to write while the process is listened to."""
    if not content:
        yield subprocess.DEVNULL
        return
    with tempfile.TemporaryFile(dir=_memory()) as file:
        file.write(content)
        file.seek(0)
        yield file


def serve(argv: tuple[str, ...], *, folder: Path) -> subprocess.Popen[bytes]:
    """Start ``git argv`` to be talked to over its pipes. It ends when they close: as we do, too."""
    return subprocess.Popen(
        (_git(), *argv),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        env=_environment(folder, Approach()),
        start_new_session=True,
    )


@dataclass(slots=True)
class _Output:
    """What a process has said so far."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    heard: int = 0


def _collect(
    process: subprocess.Popen[bytes],
    deadline: float,
    timeout: float,
    stop: threading.Event | None,
    feed: Callable[[bytes], bool] | None,
    stdout_max: int,
) -> Ended:
    said = _Output()
    for chunk, error in _chunks(process, deadline, timeout, stop):
        if error:
            said.heard += len(chunk)
            said.stderr += chunk[: max(0, _STDERR_KEPT - len(said.stderr))]
        elif feed is not None:
            if not feed(chunk):
                return Ended(0, b"", "")
        else:
            said.stdout += chunk
        if said.heard > _STDERR_MAX or len(said.stdout) > stdout_max:
            raise SourceProblem(
                f"git printed more than {stdout_max if len(said.stdout) else _STDERR_MAX} bytes",
                state=SourceState.INVALID,
            )
    code = process.wait(max(0.1, deadline - time.monotonic()))
    return Ended(code, bytes(said.stdout), said.stderr.decode("utf-8", "replace"))


def _chunks(
    process: subprocess.Popen[bytes],
    deadline: float,
    timeout: float,
    stop: threading.Event | None,
) -> Iterator[tuple[bytes, bool]]:
    """(bytes, is it stderr) until both ends are closed."""
    with selectors.DefaultSelector() as ready:
        for stream, error in ((process.stdout, False), (process.stderr, True)):
            assert stream is not None
            ready.register(stream, selectors.EVENT_READ, error)
        while ready.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                raise SourceUnavailable(f"git had not finished after {timeout:g} seconds")
            if stop is not None and stop.is_set():
                raise SourceUnavailable("stopped")
            for key, _ in ready.select(min(left, _POLL)):
                chunk = os.read(key.fd, 1 << 16)
                if chunk:
                    yield chunk, key.data
                else:
                    ready.unregister(key.fileobj)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of the process group behind."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def program(name: str, package: str) -> str:
    """Where a program is that git starts for us. Raises ToolMissing."""
    found = shutil.which(name)
    if found is None:
        raise ToolMissing(f"{name} is not installed", hint=f"apt-get install {package}")
    return found


def _git() -> str:
    found = shutil.which("git")
    if found is None:
        raise ToolMissing("git is not installed", hint="install git 2.38 or newer")
    return found


def _environment(folder: Path, with_: Approach) -> dict[str, str]:
    config = {**_CONFIG, **with_.config}
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
        "LC_ALL": "C",
        "GIT_DIR": str(folder),
        "GIT_ASKPASS": "",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": str(len(config)),
        "GIT_DEFAULT_HASH": "sha1",
        "GIT_DEFAULT_REF_FORMAT": "files",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ALLOW_PROTOCOL": "",
        **with_.env,
    }
    for number, (key, value) in enumerate(config.items()):
        env[f"GIT_CONFIG_KEY_{number}"] = key
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    return env


def _proxies() -> dict[str, str]:
    """The operator's own, for servers beyond this machine only."""
    names = ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY")
    return {name: os.environ[name] for name in names if name in os.environ}


def _ssh(access: Access, stack: contextlib.ExitStack) -> dict[str, str]:
    """An ssh that asks nobody, believes only known hosts and uses only the key given."""
    given = access.credentials
    known = given.known_hosts or Path("~/.ssh/known_hosts").expanduser()
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": str(access.stall),
        "ServerAliveInterval": str(max(1, access.stall // 2)),
        "ServerAliveCountMax": "2",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": shlex.quote(str(known)),
        "ClearAllForwardings": "yes",
        "PermitLocalCommand": "no",
        "UpdateHostKeys": "no",
    }
    env = {"GIT_SSH_VARIANT": "ssh"}
    words = ["ssh", "-F", "/dev/null", "-a", "-x"]
    if given.ssh_key:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_memory())))
        words += ["-i", str(_private(folder / "key", _secret(given.ssh_key)))]
        options["IdentitiesOnly"] = "yes"
        options["PreferredAuthentications"] = "publickey"
    elif "SSH_AUTH_SOCK" in os.environ:
        env["SSH_AUTH_SOCK"] = os.environ["SSH_AUTH_SOCK"]
    for key, value in options.items():
        words += ["-o", f"{key}={value}"]
    env["GIT_SSH_COMMAND"] = shlex.join(words)
    return env


def _secret(ref: SecretRef) -> str:
    try:
        return read_secret(ref).strip()
    except ConfigError as error:
        raise SourceProblem(error.message, state=SourceState.REFUSED, hint=error.hint) from error


def _private(path: Path, text: str) -> Path:
    """ssh refuses a key others can read, and one whose last line does not end."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text.rstrip("\n") + "\n")
    return path


def _memory() -> str | None:
    """A folder that never reaches a disk, where this machine has one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - see _ssh
