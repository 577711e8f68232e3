"""A git source when the remote, the network, the machine or an attacker is against it."""

from __future__ import annotations

import asyncio
import datetime
import hashlib
import ipaddress
import itertools
import os
import signal
import socket
import ssl
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gitops.errors import GitopsError, SourceProblem, SourceUnavailable
from gitops.model.fleet import GitCredentials
from gitops.model.secret import SecretRef
from gitops.model.source import Revision, SourceState
from gitops.sources.git import GitSource
from gitops.sources.git.address import candidates
from tests.contract.git_servers import (
    TOKEN,
    Faults,
    HttpGit,
    Repo,
    SshGit,
    git,
    http_git,
    latest,
    source,
)


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "remote")
    made.deliver({"one.yaml": "kind: One\n"})
    return made


@pytest.fixture
def server(repo: Repo) -> Iterator[HttpGit]:
    with http_git(repo.bare.parent) as made:
        yield made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[SshGit]:
    made = SshGit(tmp_path / "sshd")
    try:
        yield made
    finally:
        made.close()


def token(value: str, folder: Path) -> GitCredentials:
    path = folder / f"token-{value}"
    path.write_text(value + "\n")
    path.chmod(0o600)
    return GitCredentials(token=SecretRef(file=path))


async def failure(made: GitSource, last: Revision | None = None) -> GitopsError:
    with pytest.raises(GitopsError) as caught:
        await made.look(last)
    return caught.value


# --- a remote that misbehaves -----------------------------------------------------------------

REFUSALS = [
    (401, SourceState.REFUSED, "credentials were refused"),
    (403, SourceState.REFUSED, "access was refused"),
    (404, SourceState.REFUSED, "no repository at this address"),
    (301, SourceState.REFUSED, "another address"),
]


@pytest.mark.parametrize(("status", "expected", "words"), REFUSALS)
async def test_a_refusal_is_said_and_the_last_good_revision_stays(
    state: Path, server: HttpGit, repo: Repo, status: int, expected: SourceState, words: str
) -> None:
    made = source(state, server.url(repo))
    first = await latest(made)
    server.faults = Faults(status=status, location="http://127.0.0.1:1/elsewhere.git/info/refs")
    error = await failure(made, first)
    assert isinstance(error, SourceProblem)
    assert (error.state, words in error.message) == (expected, True)
    assert error.hint
    assert (await made.snapshot(first)).entry("one.yaml") is not None
    server.faults = Faults()
    assert await latest(made, first) == first


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_a_failing_server_is_unavailable_not_gone(
    state: Path, server: HttpGit, repo: Repo, status: int
) -> None:
    server.faults = Faults(status=status)
    error = await failure(source(state, server.url(repo)))
    assert isinstance(error, SourceUnavailable)
    assert (error.retry_after is not None) == (status == 429)


async def test_a_redirect_is_never_followed(state: Path, server: HttpGit, repo: Repo) -> None:
    with http_git(repo.bare.parent) as other:
        where = f"{other.url(repo)}/info/refs?service=git-upload-pack"
        server.faults = Faults(status=302, location=where)
        made = source(state, server.url(repo), credentials=token(TOKEN, repo.work))
        assert "another address" in (await failure(made)).message
        assert other.requests == []


@pytest.mark.parametrize("faults", [Faults(hang=True), Faults(trickle=True)])
async def test_a_remote_that_hangs_is_given_up(
    state: Path, server: HttpGit, repo: Repo, faults: Faults
) -> None:
    server.faults = faults
    error = await failure(source(state, server.url(repo), stall=1))
    assert isinstance(error, SourceUnavailable)


async def test_a_fetch_ends_at_its_deadline_with_every_process_of_it(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    server.faults = Faults(hang=True)
    error = await failure(source(state, server.url(repo), timeout=0.5))
    assert isinstance(error, SourceUnavailable)
    assert "0.5 seconds" in error.message
    assert processes_about(str(server.port)) == []


async def test_a_cancelled_look_leaves_no_process_and_harms_no_other(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    server.faults = Faults(hang=True)
    made = source(state, server.url(repo))
    task = asyncio.create_task(made.look(None))
    await asyncio.to_thread(server.arrived.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    server.faults = Faults()
    assert (await latest(made)).id == repo.head
    assert processes_about(str(server.port)) == []


@pytest.mark.parametrize("faults", [Faults(half=True), Faults(garbage=True)])
async def test_half_or_broken_packs_bring_nothing_and_the_next_look_works(
    state: Path, server: HttpGit, repo: Repo, faults: Faults
) -> None:
    made = source(state, server.url(repo))
    first = await latest(made)
    new = repo.deliver({f"f{n}.bin": os.urandom(2000) for n in range(150)})
    server.faults = faults
    await failure(made, first)
    assert (await made.snapshot(first)).entry("f0.bin") is None
    server.faults = Faults()
    look = await made.look(first)
    assert look.revision.id == new
    assert len((await made.snapshot(look.revision)).files("")) == 151
    leftovers = [p.name for p in state.rglob("*") if p.name.startswith("tmp_") or ".lock" in p.name]
    assert leftovers == []


async def test_nobody_listening_is_unavailable(state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    error = await failure(source(state, f"http://127.0.0.1:{port}/x.git"))
    assert isinstance(error, SourceUnavailable)


async def test_more_than_the_limit_is_refused_with_the_option_to_raise(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    repo.deliver({f"f{n}": os.urandom(20_000) for n in range(120)})
    error = await failure(source(state, server.url(repo), max_fetch=1_000_000))
    assert isinstance(error, SourceProblem)
    assert error.state is SourceState.INVALID
    assert "max_fetch" in error.hint
    assert (await latest(source(state, server.url(repo)))).id == repo.head


async def test_objects_that_would_write_into_dot_git_are_refused(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    blob = repo.git("hash-object", "-w", "one.yaml")
    evil = git("mktree", cwd=repo.work, input=f"100644 blob {blob}\t.git\n")
    commit = repo.git("commit-tree", "-m", "evil", evil)
    repo.push("origin", f"{commit}:refs/heads/evil")
    error = await failure(source(state, server.url(repo), ref="evil"))
    assert isinstance(error, SourceProblem)
    assert error.state is SourceState.INVALID


async def test_a_replacement_ref_of_the_remote_changes_nothing(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    real = repo.head
    fake = repo.commit({"one.yaml": "kind: Fake\n"})
    repo.push("origin", f"{fake}:refs/replace/{real}", f"{real}:refs/heads/main")
    made = source(state, server.url(repo))
    revision = await latest(made)
    entry = (await made.snapshot(revision)).entry("one.yaml")
    assert revision.id == real
    assert entry is not None
    assert (await made.snapshot(revision)).read(entry) == b"kind: One\n"


async def test_what_a_remote_says_reaches_nobodys_terminal(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    hook = repo.bare.parent / "sideband"
    # It listens to the end: else upload-pack, still talking to it, dies of SIGPIPE without a word.
    hook.write_text(
        "#!/bin/sh\ncat >/dev/null\n"
        "printf '\\033]0;owned\\007\\033[2Jfatal: \\033[31mred' >&2\nexit 1\n"
    )
    hook.chmod(0o755)
    git("config", "--global", "uploadpack.packObjectsHook", str(hook), cwd=repo.bare.parent)
    error = await failure(source(state, server.url(repo)))
    assert "red" in str(error), "the words themselves are shown"
    assert "\x1b" not in str(error)
    assert "\x07" not in str(error)


# --- credentials ------------------------------------------------------------------------------


async def test_a_token_opens_the_repository_and_shows_nowhere(
    state: Path, server: HttpGit, repo: Repo, tmp_path: Path
) -> None:
    server.faults = Faults(token=TOKEN)
    seen: list[str] = []
    server.watch = lambda: seen.extend(command_lines())
    made = source(state, server.url(repo), credentials=token(TOKEN, tmp_path))
    assert (await latest(made)).id == repo.head
    assert any("upload-pack" in line or "fetch" in line for line in seen), "nothing was watched"
    assert not [line for line in seen if TOKEN in line]
    assert not [p for p in state.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]


@pytest.mark.parametrize("given", ["", "wrong-secret"])
async def test_a_missing_or_wrong_token_is_refused_and_never_repeated(
    state: Path, server: HttpGit, repo: Repo, tmp_path: Path, given: str
) -> None:
    server.faults = Faults(token=TOKEN)
    credentials = token(given, tmp_path) if given else GitCredentials()
    error = await failure(source(state, server.url(repo), credentials=credentials))
    assert isinstance(error, SourceProblem)
    assert error.state is SourceState.REFUSED
    assert "wrong-secret" not in str(error)


async def test_a_rotated_token_is_used_from_the_next_look_on(
    state: Path, server: HttpGit, repo: Repo, tmp_path: Path
) -> None:
    credentials = token("first", tmp_path)
    made = source(state, server.url(repo), credentials=credentials)
    server.faults = Faults(token="first")
    first = await latest(made)
    server.faults = Faults(token="second")
    assert isinstance(await failure(made, first), SourceProblem)
    assert credentials.token is not None
    assert credentials.token.file is not None
    credentials.token.file.write_text("second")
    assert await latest(made, first) == first


async def test_a_secret_that_is_not_there_is_named_by_its_reference(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    credentials = GitCredentials(token=SecretRef(env="GITOPS_TEST_NO_SUCH_TOKEN"))
    error = await failure(source(state, server.url(repo), credentials=credentials))
    assert isinstance(error, SourceProblem)
    assert "GITOPS_TEST_NO_SUCH_TOKEN" in error.message


async def test_the_controllers_environment_and_configuration_do_not_reach_git(
    state: Path, server: HttpGit, repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f'[core]\n sshCommand = touch {canary}\n[credential]\n helper = "!touch {canary};"\n'
        f'[url "file:///nowhere"]\n insteadOf = http://127.0.0.1\n'
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_ASKPASS", f"touch {canary}")
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'core.bare=maybe'")
    monkeypatch.setenv("MY_OTHER_SECRET", "xyzzy")
    environments: list[bytes] = []
    server.watch = lambda: environments.extend(git_environments())
    made = source(state, server.url(repo))
    revision = await latest(made)
    assert (await made.snapshot(revision)).entry("one.yaml") is not None
    server.faults = Faults(token=TOKEN)
    await failure(made)
    assert not canary.exists()
    assert environments
    assert not [env for env in environments if b"xyzzy" in env]


# --- TLS --------------------------------------------------------------------------------------


def certificate(folder: Path, *, expired: bool = False) -> ssl.SSLContext:
    """A server certificate for 127.0.0.1 that is its own CA, in ``cert.pem``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "git")])
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=-1 if expired else 1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - datetime.timedelta(days=30))
        .not_valid_after(end)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_a_private_ca_is_trusted_only_where_it_is_named(
    state: Path, repo: Repo, tmp_path: Path
) -> None:
    with http_git(repo.bare.parent, certificate(tmp_path)) as server:
        known = GitCredentials(ca_file=tmp_path / "cert.pem")
        made = source(state, server.url(repo), credentials=known)
        assert (await latest(made)).id == repo.head
        error = await failure(source(state, server.url(repo)))
        assert "certificate" in error.message
        error = await failure(source(state, server.url(repo, "localhost"), credentials=known))
        assert "certificate" in error.message


async def test_an_expired_certificate_is_not_trusted(
    state: Path, repo: Repo, tmp_path: Path
) -> None:
    with http_git(repo.bare.parent, certificate(tmp_path, expired=True)) as server:
        known = GitCredentials(ca_file=tmp_path / "cert.pem")
        error = await failure(source(state, server.url(repo), credentials=known))
        assert isinstance(error, SourceProblem)
        assert "certificate" in error.message


# --- ssh --------------------------------------------------------------------------------------


async def test_ssh_with_the_right_key_and_host_key_reads_the_repository(
    state: Path, repo: Repo, ssh: SshGit
) -> None:
    made = source(state, ssh.url(repo), credentials=ssh.credentials())
    first = await latest(made)
    new = repo.deliver({"two.yaml": "2"})
    assert (await made.look(first)).revision.id == new
    assert not in_memory(ssh.base / "user")


async def test_a_changed_host_key_is_refused(state: Path, repo: Repo, ssh: SshGit) -> None:
    credentials = ssh.credentials(known=ssh.knows("other_host"))
    error = await failure(source(state, ssh.url(repo), credentials=credentials))
    assert isinstance(error, SourceProblem)
    assert error.state is SourceState.REFUSED
    assert "host key" in error.message
    assert "known_hosts" in error.hint


async def test_an_unknown_host_is_refused_without_a_question(
    state: Path, repo: Repo, ssh: SshGit, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    credentials = ssh.credentials(known=tmp_path / "empty")
    error = await failure(source(state, ssh.url(repo), credentials=credentials))
    assert isinstance(error, SourceProblem)
    assert "host key" in error.message


async def test_a_strangers_key_is_refused(state: Path, repo: Repo, ssh: SshGit) -> None:
    error = await failure(source(state, ssh.url(repo), credentials=ssh.credentials("stranger")))
    assert isinstance(error, SourceProblem)
    assert (error.state, error.message.startswith("the ssh key was refused")) == (
        SourceState.REFUSED,
        True,
    )


async def test_a_key_file_that_is_no_key_is_said(
    state: Path, repo: Repo, ssh: SshGit, tmp_path: Path
) -> None:
    (tmp_path / "nokey").write_text("hello")
    (tmp_path / "nokey").chmod(0o600)
    credentials = GitCredentials(
        ssh_key=SecretRef(file=tmp_path / "nokey"), known_hosts=ssh.known_hosts
    )
    error = await failure(source(state, ssh.url(repo), credentials=credentials))
    assert isinstance(error, SourceProblem)
    assert "key" in error.message


async def test_nothing_in_an_ssh_address_runs_a_command(
    state: Path, ssh: SshGit, repo: Repo, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    for path in (f"/x;touch {canary}", f"/x$(touch {canary})", f"/x'`touch {canary}`"):
        url = ssh.url(repo).replace(str(repo.bare), path.replace(" ", "${IFS}"))
        await failure(source(state, url, credentials=ssh.credentials()))
    assert not canary.exists()


# --- hostile names ----------------------------------------------------------------------------


async def test_refs_that_look_like_options_or_commands_run_nothing(
    state: Path, server: HttpGit, repo: Repo, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    touch = f"touch${{IFS}}{canary}"
    for ref in (
        f"$({touch})",
        f"`{touch}`",
        f";{touch};",
        f"x|{touch}",
        "refs/heads/--upload-pack=x",
    ):
        assert candidates(ref)
        error = await failure(source(state, server.url(repo), ref=ref))
        assert isinstance(error, SourceProblem)
        assert error.state is SourceState.GONE
    assert not canary.exists()


# --- a machine that fails ---------------------------------------------------------------------


async def test_after_kill_9_in_the_middle_of_a_fetch_the_next_process_carries_on(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    made = source(state, server.url(repo), stall=1)
    first = await latest(made)
    await made.close()
    new = repo.deliver({"two.yaml": "2"})
    server.arrived.clear()
    server.faults = Faults(hang=True)
    program = textwrap.dedent(f"""
        import asyncio
        from pathlib import Path
        from tests.contract.git_servers import source
        asyncio.run(source(Path({str(state)!r}), {server.url(repo)!r}, stall=1).look(None))
    """)
    victim = subprocess.Popen([sys.executable, "-c", program])
    await asyncio.to_thread(server.arrived.wait, 20)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    folder = next((state / "git").glob("*/repository.git"))
    (folder / "packed-refs.lock").touch()
    (folder / "refs/gitops/look/x.lock").touch()
    (folder / "objects/pack").mkdir(exist_ok=True)
    (folder / "objects/pack/tmp_pack_dead").write_bytes(b"PACK")
    server.faults = Faults()
    fresh = source(state, server.url(repo), "again", stall=1)
    fresh._mirror._ready = False
    look = await fresh.look(first)
    assert (look.revision.id, look.rewritten) == (new, False)
    assert not list(folder.rglob("*.lock"))
    assert not list(folder.rglob("tmp_pack_dead"))


async def test_two_processes_on_one_copy_wait_for_one_another(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    program = textwrap.dedent(f"""
        import asyncio, sys
        from pathlib import Path
        from tests.contract.git_servers import source
        made = source(Path({str(state)!r}), {server.url(repo)!r})
        print(asyncio.run(made.look(None)).revision.id)
    """)
    both = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    told = [(await one.communicate())[0].decode().strip() for one in both]
    assert told == [repo.head] * 3


async def test_many_small_fetches_are_packed_and_stay_readable(
    state: Path, server: HttpGit, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.sources.git.mirror._LOOSE_MAX", 0)
    # How many there are is judged by one of the 256 folders: have one file fall into it.
    texts = (f"n: {number}\n" for number in itertools.count())
    sampled = next(t for t in texts if blob_id(t).startswith("17"))
    made = source(state, server.url(repo))
    first = last = await latest(made)
    for number in range(5):
        repo.deliver({f"f{number}.yaml": sampled if number == 2 else f"other: {number}\n"})
        last = (await made.look(last)).revision
        assert (await made.snapshot(last)).entry(f"f{number}.yaml") is not None
    assert (await made.snapshot(first)).entry("f0.yaml") is None
    objects = next((state / "git").glob("*/repository.git/objects"))
    assert list(objects.glob("pack/*.pack")), "nothing was packed"
    assert not list(objects.glob("17/*")), "what was packed is not kept twice"


def blob_id(text: str) -> str:
    return hashlib.sha1(f"blob {len(text)}\0{text}".encode(), usedforsecurity=False).hexdigest()


def in_memory(key: Path) -> list[Path]:
    """Copies of this key in the machine's memory; other runs have theirs there."""
    return [copy for copy in Path("/dev/shm").glob("*/key") if _same(copy, key)]


def _same(one: Path, other: Path) -> bool:
    try:
        return one.read_text() == other.read_text()
    except OSError:  # of a run that has just ended
        return False


# --- watching processes -----------------------------------------------------------------------


def command_lines() -> list[str]:
    return [raw.replace(b"\0", b" ").decode("utf-8", "replace") for raw in _proc("cmdline") if raw]


def git_environments() -> list[bytes]:
    return [raw for raw in _proc("environ") if b"GIT_TERMINAL_PROMPT=0" in raw]


def processes_about(text: str) -> list[str]:
    return [line for line in command_lines() if line.startswith("git") and text in line]


def _proc(name: str) -> Iterator[bytes]:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            yield (process / name).read_bytes()
        except OSError:
            continue


async def test_remotes_that_never_answer_keep_nothing_else_waiting(state: Path) -> None:
    """An outage of one git host with a dozen repositories: rendering, applying and looking names up
    need threads as well."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(4))
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:
        silent.setblocking(False)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        looks = [
            asyncio.create_task(source(state, f"{url}/{n}.git", name=f"s{n}").look(None))
            for n in range(6)
        ]
        taken = [(await loop.sock_accept(silent))[0] for _ in range(4)]
        try:
            async with asyncio.timeout(15):
                assert await asyncio.to_thread(lambda: "done") == "done"
        finally:
            for look in looks:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
            for connection in taken:
                connection.close()
