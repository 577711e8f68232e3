"""Signatures on commits, made by the real programs and judged by the operator's files alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops.errors import SourceProblem
from gitops.model.fleet import SignaturePolicy
from gitops.model.source import Authorship, Grade, Read, SourceState
from gitops.sources.git import GitSource
from tests.contract.git_servers import Repo, latest, source


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "remote")
    made.deliver({"a.yaml": "1\n"})
    return made


class SshKeys:
    """Key pairs by name, and the allowed signers file the operator keeps."""

    def __init__(self, base: Path) -> None:
        self.base = base
        base.mkdir()
        self.signers = base / "signers"
        self.signers.write_text("")

    def key(self, name: str) -> Path:
        path = self.base / name
        if not path.exists():
            argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)]
            subprocess.run(argv, check=True)
        return path

    def allow(self, principals: str, name: str, options: str = "") -> None:
        public = self.key(name).with_suffix(".pub").read_text().strip()
        with self.signers.open("a") as file:
            file.write(f"{principals} {options} {public}\n")

    def commit(self, repo: Repo, name: str, person: str, **env: str) -> str:
        """Signed by this key, whoever it says it is by."""
        return signed(repo, person, "ssh", str(self.key(name)), **env)

    def policy(self, **more: object) -> SignaturePolicy:
        return SignaturePolicy(ssh_signers=self.signers, **more)  # type: ignore[arg-type]


def signed(repo: Repo, person: str, format: str, key: str, **env: str) -> str:
    repo.write({"a.yaml": os.urandom(8).hex()})
    repo.git("add", "-A")
    settings = ("-c", f"gpg.format={format}", "-c", f"user.signingkey={key}")
    repo.git(*settings, "commit", "-q", "-S", "-m", "signed", person=person, **env)
    repo.push()
    return repo.head


@pytest.fixture
def ssh(tmp_path: Path) -> SshKeys:
    made = SshKeys(tmp_path / "ssh")
    made.allow("ann@example.org", "ann")
    made.allow("bob@example.org", "bob")
    return made


def watching(repo: Repo, state: Path, policy: SignaturePolicy) -> GitSource:
    return source(state, repo.bare, allow_local=True, verify=policy)


async def since_first(made: GitSource, repo: Repo) -> Authorship:
    """Authorship of everything after the repository's first commit."""
    last = await latest(made)
    first = repo.git("rev-list", "--max-parents=0", "HEAD")
    since = type(last)(last.source, first, last.ref)
    return await made.authorship(since, last, [Read("a.yaml", "read")])


def emails(found: Authorship) -> set[str]:
    return {person.email for person in found.signatures}


# --- grade --------------------------------------------------------------------------------------


async def test_authorship_is_signed_when_every_commit_is_by_its_author(
    repo: Repo, ssh: SshKeys, tmp_path: Path
) -> None:
    ssh.commit(repo, "ann", "Ann")
    ssh.commit(repo, "bob", "Bob")
    found = await since_first(watching(repo, tmp_path / "state", ssh.policy()), repo)
    assert (found.grade, found.known, found.note) == (Grade.SIGNED, True, "")
    assert [c.signed_by.split(" (SHA256:")[0] for c in found.commits] == [
        "bob@example.org",
        "ann@example.org",
    ]


async def test_one_unsigned_commit_makes_authorship_claimed_and_is_named(
    repo: Repo, ssh: SshKeys, tmp_path: Path
) -> None:
    unsigned = repo.commit({"a.yaml": "2"})
    ssh.commit(repo, "ann", "Ann")
    found = await since_first(watching(repo, tmp_path / "state", ssh.policy()), repo)
    assert (found.grade, found.known) == (Grade.CLAIMED, True)
    assert unsigned[:12] in found.note
    assert "is not signed" in found.note
    assert [bool(c.signed_by) for c in found.commits] == [True, False]


async def test_who_signed_somebody_elses_commit_is_an_author_too(
    repo: Repo, ssh: SshKeys, tmp_path: Path
) -> None:
    ssh.commit(repo, "bob", "Ann")
    found = await since_first(watching(repo, tmp_path / "state", ssh.policy()), repo)
    assert emails(found) == {"ann@example.org", "bob@example.org"}
    assert found.grade is Grade.CLAIMED
    assert "who is not its author" in found.note


async def test_a_committer_who_signs_is_who_they_say(
    repo: Repo, ssh: SshKeys, tmp_path: Path
) -> None:
    ssh.commit(repo, "bob", "Ann", GIT_COMMITTER_EMAIL="BOB@example.org")
    found = await since_first(watching(repo, tmp_path / "state", ssh.policy()), repo)
    assert found.grade is Grade.SIGNED
    assert emails(found) == {"ann@example.org", "BOB@example.org"}


async def test_a_pattern_of_principals_is_nobody_in_particular(
    repo: Repo, ssh: SshKeys, tmp_path: Path
) -> None:
    ssh.allow("*@example.org", "guest")
    ssh.commit(repo, "guest", "Ann")
    found = await since_first(watching(repo, tmp_path / "state", ssh.policy()), repo)
    assert found.grade is Grade.CLAIMED
    assert emails(found) == {"ann@example.org", "*@example.org"}


async def test_without_a_policy_a_signature_is_worth_nothing(
    repo: Repo, ssh: SshKeys, tmp_path: Path
) -> None:
    ssh.commit(repo, "ann", "Ann")
    found = await since_first(source(tmp_path / "state", repo.bare, allow_local=True), repo)
    assert (found.grade, found.commits[0].signed_by, found.note) == (Grade.CLAIMED, "", "")


# --- what is not believed -----------------------------------------------------------------------


async def refused(repo: Repo, state: Path, policy: SignaturePolicy) -> str:
    """Why the present head is refused where a signature is required."""
    with pytest.raises(SourceProblem) as caught:
        await watching(repo, state, policy).look(None)
    assert caught.value.state is SourceState.INVALID
    return caught.value.message


async def test_an_unsigned_head_is_refused_by_name_and_the_last_good_one_stays(
    repo: Repo, ssh: SshKeys, tmp_path: Path
) -> None:
    good = ssh.commit(repo, "ann", "Ann")
    watched = watching(repo, tmp_path / "state", ssh.policy(required=True))
    last = await latest(watched)
    assert last.id == good
    bad = repo.deliver({"a.yaml": "unsigned"})
    for _ in range(2):
        with pytest.raises(SourceProblem, match=rf"{bad[:12]} is refused: it is not signed"):
            await watched.look(last)
    snapshot = await watched.snapshot(last)
    assert snapshot.entry("a.yaml") is not None
    better = ssh.commit(repo, "bob", "Bob")
    assert (await latest(watched, last)).id == better


async def test_an_unknown_key_is_not_believed(repo: Repo, ssh: SshKeys, tmp_path: Path) -> None:
    ssh.commit(repo, "stranger", "Ann")
    why = await refused(repo, tmp_path / "state", ssh.policy(required=True))
    assert "not (or no longer) among `ssh_signers`" in why


@pytest.mark.parametrize("bound", ['valid-before="20200101"', 'valid-after="29990101000000Z"'])
async def test_a_key_out_of_its_time_signs_nothing_however_the_commit_is_dated(
    repo: Repo, ssh: SshKeys, tmp_path: Path, bound: str
) -> None:
    ssh.allow("carl@example.org", "carl", bound)
    ssh.commit(repo, "carl", "Carl", GIT_COMMITTER_DATE="2019-06-01T00:00:00Z")
    why = await refused(repo, tmp_path / "state", ssh.policy(required=True))
    assert "not (or no longer) among `ssh_signers`" in why


async def test_a_revoked_key_signs_nothing(repo: Repo, ssh: SshKeys, tmp_path: Path) -> None:
    ssh.commit(repo, "ann", "Ann")
    revoked = tmp_path / "revoked"
    shutil.copy(ssh.key("ann").with_suffix(".pub"), revoked)
    policy = ssh.policy(required=True, ssh_revoked=revoked)
    assert "was revoked" in await refused(repo, tmp_path / "state", policy)


async def test_a_signature_moved_to_another_commit_is_wrong(
    repo: Repo, ssh: SshKeys, tmp_path: Path
) -> None:
    ssh.commit(repo, "ann", "Ann")
    forged = repo.git("cat-file", "commit", "HEAD").replace("\nsigned", "\nforged")
    oid = repo.git("hash-object", "-t", "commit", "-w", "--stdin", input=forged)
    repo.push("--force", "origin", f"{oid}:refs/heads/main")
    why = await refused(repo, tmp_path / "state", ssh.policy(required=True))
    assert oid[:12] in why
    assert "signature is wrong" in why


async def test_another_kind_of_signature_is_not_understood(
    repo: Repo, ssh: SshKeys, tmp_path: Path
) -> None:
    ssh.commit(repo, "ann", "Ann")
    odd = repo.git("cat-file", "commit", "HEAD").replace("SSH SIGNATURE", "SIGNED MESSAGE")
    oid = repo.git("hash-object", "-t", "commit", "-w", "--stdin", input=odd)
    repo.push("--force", "origin", f"{oid}:refs/heads/main")
    why = await refused(repo, tmp_path / "state", ssh.policy(required=True))
    assert "not understood" in why


async def test_a_changed_file_of_signers_counts_at_once(
    repo: Repo, ssh: SshKeys, tmp_path: Path
) -> None:
    ssh.commit(repo, "carl", "Carl")
    watched = watching(repo, tmp_path / "state", ssh.policy(required=True))
    with pytest.raises(SourceProblem, match="among `ssh_signers`"):
        await watched.look(None)
    before = ssh.signers.read_text()
    ssh.allow("carl@example.org", "carl")
    assert (await latest(watched)).id == repo.head
    ssh.signers.write_text(before)
    with pytest.raises(SourceProblem, match="among `ssh_signers`"):
        await watched.look(None)
    assert len(list((tmp_path / "state" / "git-keys" / "config").iterdir())) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [("# nobody\n\n", "names nobody"), ("-----BEGIN OPENSSH PRIVATE KEY-----", "a private key")],
)
async def test_a_file_that_cannot_be_used_is_said(
    repo: Repo, ssh: SshKeys, tmp_path: Path, content: str, words: str
) -> None:
    ssh.commit(repo, "ann", "Ann")
    ssh.signers.write_text(content)
    assert words in await refused(repo, tmp_path / "state", ssh.policy(required=True))
    ssh.signers.unlink()
    assert "cannot be read" in await refused(repo, tmp_path / "state", ssh.policy(required=True))


# --- GPG ----------------------------------------------------------------------------------------


class GpgKeys:
    """A keyring with secret keys, as the people who sign have it."""

    LONG_AGO = "20200101T000000"

    def __init__(self, home: Path) -> None:
        self.home = home
        home.chmod(0o700)
        self.then = home / "gpg-then"
        self.then.write_text(f'#!/bin/sh\nexec gpg --faked-system-time {self.LONG_AGO} "$@"\n')
        self.then.chmod(0o700)
        self._make("Ann")
        self._make("Bob")
        self._make("Carl", "--faked-system-time", self.LONG_AGO, expires="1y")
        self._make("Dora")
        self.gpg("--quick-add-uid", "Ann <ann@example.org>", "Ann at home <ann@home.example>")

    def _make(self, name: str, *options: str, expires: str = "never") -> None:
        uid = f"{name} <{name.lower()}@example.org>"
        self.gpg(*options, "--quick-gen-key", uid, "ed25519", "sign", expires)

    def gpg(self, *argv: str, input: bytes | None = None) -> bytes:
        words = ["gpg", "--batch", "--quiet", "--no-tty", "--passphrase", "", *argv]
        env = {"PATH": os.environ["PATH"], "GNUPGHOME": str(self.home), "LC_ALL": "C"}
        done = subprocess.run(words, check=True, capture_output=True, input=input, env=env)
        return done.stdout

    def revoke(self, name: str) -> None:
        """With the certificate gpg made along with the key."""
        rows = self.gpg("--list-keys", "--with-colons", f"={name} <{name.lower()}@example.org>")
        key = next(row.split(b":")[9] for row in rows.splitlines() if row.startswith(b"fpr"))
        text = (self.home / "openpgp-revocs.d" / f"{key.decode()}.rev").read_bytes()
        self.gpg("--import", input=text.replace(b":-----BEGIN", b"-----BEGIN"))

    def export(self, path: Path, *names: str) -> Path:
        path.write_bytes(self.gpg("--armor", "--export", *(f"{n}@example.org" for n in names)))
        return path

    def commit(self, repo: Repo, name: str, person: str, **env: str) -> str:
        key = f"{name.lower()}@example.org"
        return signed(repo, person, "openpgp", key, GNUPGHOME=str(self.home), **env)

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)
        shutil.rmtree(self.home)


@pytest.fixture(scope="module")
def gpg() -> Iterator[GpgKeys]:
    if shutil.which("gpg") is None:
        absent = pytest.fail if os.environ.get("GITOPS_TEST_REQUIRE") == "1" else pytest.skip
        absent("gpg is missing; install it: apt-get install gnupg")
    made = GpgKeys(Path(tempfile.mkdtemp(prefix="gpg-")))  # its sockets want a short path
    try:
        yield made
    finally:
        made.close()


async def test_a_gpg_signature_by_any_of_the_keys_names_counts(
    repo: Repo, gpg: GpgKeys, tmp_path: Path
) -> None:
    gpg.commit(repo, "Ann", "Ann")
    gpg.commit(repo, "Ann", "Ann", GIT_COMMITTER_EMAIL="ann@home.example")
    keys = gpg.export(tmp_path / "keys.asc", "ann", "bob")
    policy = SignaturePolicy(gpg_keys=(keys,), required=True)
    found = await since_first(watching(repo, tmp_path / "state", policy), repo)
    assert (found.grade, found.note) == (Grade.SIGNED, "")
    assert found.commits[0].signed_by.startswith("Ann")


async def test_a_gpg_signature_of_somebody_else_adds_its_signer(
    repo: Repo, gpg: GpgKeys, tmp_path: Path
) -> None:
    gpg.commit(repo, "Bob", "Ann")
    keys = gpg.export(tmp_path / "keys.asc", "ann", "bob")
    policy = SignaturePolicy(gpg_keys=(keys,))
    found = await since_first(watching(repo, tmp_path / "state", policy), repo)
    assert found.grade is Grade.CLAIMED
    assert emails(found) == {"ann@example.org", "bob@example.org"}


async def test_the_keys_of_the_controllers_own_user_are_not_believed(
    repo: Repo, gpg: GpgKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpg.commit(repo, "Bob", "Bob")
    monkeypatch.setenv("GNUPGHOME", str(gpg.home))
    keys = gpg.export(tmp_path / "keys.asc", "ann")
    policy = SignaturePolicy(gpg_keys=(keys,), required=True)
    assert "not among `gpg_keys`" in await refused(repo, tmp_path / "state", policy)


async def test_an_expired_gpg_key_signs_nothing(repo: Repo, gpg: GpgKeys, tmp_path: Path) -> None:
    settings = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "gpg.program"}
    gpg.commit(repo, "Carl", "Carl", GIT_CONFIG_VALUE_0=str(gpg.then), **settings)
    keys = gpg.export(tmp_path / "keys.asc", "ann", "carl")
    policy = SignaturePolicy(gpg_keys=(keys,), required=True)
    assert "expired" in await refused(repo, tmp_path / "state", policy)


async def test_a_revoked_gpg_key_signs_nothing(repo: Repo, gpg: GpgKeys, tmp_path: Path) -> None:
    gpg.commit(repo, "Dora", "Dora")
    gpg.revoke("Dora")
    keys = gpg.export(tmp_path / "keys.asc", "ann", "dora")
    policy = SignaturePolicy(gpg_keys=(keys,), required=True)
    assert "revoked" in await refused(repo, tmp_path / "state", policy)


async def test_no_program_of_gpg_is_left_running_and_only_public_keys_are_kept(
    repo: Repo, gpg: GpgKeys, tmp_path: Path
) -> None:
    gpg.commit(repo, "Ann", "Ann")
    keys = gpg.export(tmp_path / "keys.asc", "ann")
    policy = SignaturePolicy(gpg_keys=(keys,), required=True)
    await latest(watching(repo, tmp_path / "state", policy))
    (home,) = (tmp_path / "state" / "git-keys" / "config").iterdir()
    assert home.stat().st_mode & 0o777 == 0o700
    assert not [path for path in home.iterdir() if path.is_socket() or "private" in path.name]


async def test_a_file_without_a_key_is_said(repo: Repo, gpg: GpgKeys, tmp_path: Path) -> None:
    gpg.commit(repo, "Ann", "Ann")
    empty = tmp_path / "keys.asc"
    empty.write_text("no key")
    policy = SignaturePolicy(gpg_keys=(empty,), required=True)
    assert "none of `gpg_keys`" in await refused(repo, tmp_path / "state", policy)
