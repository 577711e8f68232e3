"""Which commits carry a signature that the operator believes, and whose it is.

Called by :class:`~gitops.sources.git.source.GitSource` (is the head signed?) and by
:class:`~gitops.sources.git.history.History` (does authorship deserve a better grade?), off the
event loop. Git verifies, against keys from the operator's files alone: nothing of the repository,
of the controller's user or of a key server is ever asked, and no secret key is ever near.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gitops.errors import RenderError, SourceProblem
from gitops.model.fleet import SignaturePolicy
from gitops.model.source import Signature, SourceState
from gitops.sources.git import failures
from gitops.sources.git.mirror import Mirror
from gitops.sources.git.process import Approach, program, run

_MAX = 500
"""Commits whose signatures are looked at in one go; each costs a process."""
_BATCH = 100
_TIME = 120.0
_FRESH = 600.0
"""Seconds a verdict holds: a key may expire meanwhile."""
_KEPT = 5_000
_KEY_FILE = 4 << 20
_FIELDS = "%H%x00%G?%x00%GS%x00%GP%x00%GK"

# gpg looks for no key anywhere, starts no service, and believes a key because it was given.
_GPG_CONF = """\
trust-model always
no-autostart
disable-dirmngr
no-auto-key-retrieve
no-auto-key-import
no-auto-check-trustdb
"""

_WORDS: Mapping[str, str] = {
    "B": "its signature is wrong, or its key was revoked",
    "U": "its signature is by a key that is not (or no longer) among `ssh_signers`",
    "X": "its signature has expired",
    "Y": "its signature is by a key that has expired",
    "R": "its signature is by a key that was revoked",
    "E": "its signature is by a key that is not among `gpg_keys`",
    "N": "it is not signed",
}
"""gitformat-signature's letters, as git-log(1) explains them at ``%G?``."""

_UNTIL = re.compile(r'(?:^|[\s,])valid-(before|after)="?(\d{14}|\d{12}|\d{8})(Z?)"?', re.I)
_UID = re.compile(r"(?P<name>[^<]*)<(?P<mail>[^<>]*)>\s*\Z")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is known of one commit's signature."""

    by: str = ""
    """Whose key, for people; empty unless the signature is believed."""
    people: tuple[Signature, ...] = ()
    """The same person under each name the operator's file gives to the key."""
    why: str = ""
    """Why it is not believed, in words."""


class Signatures:
    """One source's policy, applied to its mirror. Thread-safe."""

    def __init__(self, policy: SignaturePolicy, mirror: Mirror, base: Path) -> None:
        self.policy = policy
        self._mirror = mirror
        self._base = base
        self._lock = threading.Lock()
        self._known: dict[tuple[str, str], tuple[float, Verdict]] = {}
        """(keys, commit) → when, what."""
        self._keys: Keys | None = None

    def of(self, commits: Sequence[str]) -> Mapping[str, Verdict]:
        """By commit. Raises SourceProblem when the operator's files cannot be used, ToolMissing
        without gpg or ssh-keygen."""
        if len(commits) > _MAX:
            return dict.fromkeys(commits, Verdict(why=f"there are more than {_MAX} commits"))
        found = {oid: self._plainly(oid) for oid in commits}
        asked = [oid for oid, verdict in found.items() if verdict is None]
        if asked:
            with self._lock:
                found |= self._verify(asked)
        return {oid: verdict for oid, verdict in found.items() if verdict is not None}

    def _plainly(self, oid: str) -> Verdict | None:
        """What needs no cryptography: unsigned, or signed in a way nobody is believed for."""
        try:
            kind = self._mirror.objects.commit(oid).signed
        except RenderError:  # enormous
            return Verdict(why="it cannot be read")
        if not kind:
            return Verdict(why=_WORDS["N"])
        if kind.startswith(b"-----BEGIN SSH SIGNATURE-----"):
            believed = self.policy.ssh_signers is not None
            return None if believed else Verdict(why=_WORDS["U"])
        if kind.startswith((b"-----BEGIN PGP SIGNATURE-----", b"-----BEGIN PGP MESSAGE-----")):
            return None if self.policy.gpg_keys else Verdict(why=_WORDS["E"])
        return Verdict(why="it is signed in a way that is not understood")

    def _verify(self, commits: Sequence[str]) -> dict[str, Verdict]:
        keys = self._keys = Keys.of(self.policy, self._base, self._keys)
        now = time.monotonic()
        found = {}
        for oid in commits:
            when, verdict = self._known.get((keys.name, oid), (0.0, None))
            if verdict is not None and now - when < _FRESH:
                found[oid] = verdict
        missing = [oid for oid in commits if oid not in found]
        for start in range(0, len(missing), _BATCH):
            found |= self._ask(missing[start : start + _BATCH], keys)
        if len(self._known) > _KEPT:
            self._known.clear()
        self._known |= {(keys.name, oid): (now, found[oid]) for oid in missing}
        return found

    def _ask(self, commits: Sequence[str], keys: Keys) -> dict[str, Verdict]:
        argv = ("log", "--no-walk=unsorted", "-z", f"--format={_FIELDS}", *commits, "--")
        ended = run(argv, folder=self._mirror.folder, timeout=_TIME, with_=keys.approach)
        words = ended.stdout.decode("utf-8", "replace").split("\0")
        found = {
            oid: keys.verdict(letter, signer, key or primary, primary)
            for oid, letter, signer, primary, key in zip(*[iter(words)] * 5, strict=False)
        }
        unanswered = Verdict(why=f"git could not verify it: {failures.clean(ended.stderr)[:200]}")
        return {oid: found.get(oid, unanswered) for oid in commits}


@dataclass(frozen=True, slots=True)
class Keys:
    """The operator's files, made ready for git in a folder named after what is in them."""

    name: str
    approach: Approach
    owners: Mapping[str, tuple[Signature, ...]]
    """Fingerprint of a primary GPG key → everybody its owner is called."""

    @classmethod
    def of(cls, policy: SignaturePolicy, base: Path, last: Keys | None = None) -> Keys:
        """``last`` again unless a file changed. Raises SourceProblem, ToolMissing."""
        gpg = [_read(path) for path in policy.gpg_keys]
        signers = _valid_now(_read(policy.ssh_signers)) if policy.ssh_signers else ""
        revoked = _read(policy.ssh_revoked) if policy.ssh_revoked else b""
        digest = hashlib.sha256()
        for part in (_GPG_CONF.encode(), *gpg, signers.encode(), revoked):
            digest.update(hashlib.sha256(part).digest())
        folder = base / digest.hexdigest()[:32]
        if last is not None and last.name == folder.name and folder.exists():
            return last
        if not folder.exists():
            _make(folder, gpg, signers, revoked)
        config = {"gpg.x509.program": "false", "gpg.program": "false", "gpg.ssh.program": "false"}
        if policy.gpg_keys:
            config["gpg.program"] = program("gpg", "gpg")
        if policy.ssh_signers:
            config["gpg.ssh.program"] = program("ssh-keygen", "openssh-client")
            config["gpg.ssh.allowedSignersFile"] = str(folder / "signers")
        if policy.ssh_revoked:
            config["gpg.ssh.revocationFile"] = str(folder / "revoked")
        owners = _owners(folder) if policy.gpg_keys else {}
        return cls(folder.name, Approach({"GNUPGHOME": str(folder)}, config), owners)

    def verdict(self, letter: str, signer: str, key: str, primary: str) -> Verdict:
        """From what git says (see ``_FIELDS``)."""
        if letter != "G":
            return Verdict(why=_WORDS.get(letter, f"git says {letter[:1]!r} of its signature"))
        if primary:
            people = self.owners.get(primary, ())
            if not people:
                return Verdict(why=_WORDS["E"])
        else:
            people = (Signature("", signer),)
        return Verdict(by=f"{signer} ({key})", people=people)


def _make(folder: Path, gpg: Iterable[bytes], signers: str, revoked: bytes) -> None:
    """Built beside its place and moved there whole; what was there for older files goes."""
    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = Path(tempfile.mkdtemp(prefix="new-", dir=folder.parent))
    try:
        (fresh / "gpg.conf").write_text(_GPG_CONF)
        (fresh / "signers").write_text(signers, "utf-8")
        (fresh / "revoked").write_bytes(revoked)
        for number, content in enumerate(gpg):
            (fresh / f"{number}.keys").write_bytes(content)
        names = [str(path) for path in sorted(fresh.glob("*.keys"))]
        if names:
            _gpg(fresh, "--import", "--", *names)
            if not _owners(fresh):
                raise _unusable("none of `gpg_keys` holds a public key that gpg accepts")
        if not folder.exists():
            fresh.rename(folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    for old in folder.parent.iterdir():
        if old != folder and not (old.name.startswith("new-") and _is_young(old)):
            shutil.rmtree(old, ignore_errors=True)


def _is_young(folder: Path) -> bool:
    """May another process still be making it?"""
    try:
        return time.time() - folder.stat().st_mtime < 3600
    except OSError:
        return False


def _owners(home: Path) -> dict[str, tuple[Signature, ...]]:
    """Primary fingerprint → its owner's names; none of a revoked or expired name.

    Format: gnupg's doc/DETAILS, ``--with-colons``: record type, validity, …, the tenth is the text.
    """
    owners: dict[str, list[Signature]] = {}
    primary, awaited = "", False
    for line in _gpg(home, "--list-keys", "--with-colons").splitlines():
        field = [*line.split(":"), *[""] * 10]
        if field[0] == "pub":
            primary, awaited = "", True
        elif field[0] == "fpr" and awaited:
            primary, awaited = field[9], False
            owners[primary] = []
        elif field[0] == "uid" and primary and field[1] not in ("r", "e", "i"):
            owners[primary].append(_person(field[9]))
    return {key: tuple(people) for key, people in owners.items() if people}


def _person(uid: str) -> Signature:
    text = re.sub(r"\\x([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), uid)
    found = _UID.match(text)
    if found is None:
        return Signature(text.strip(), text.strip() if "@" in text else "")
    return Signature(found["name"].strip(), found["mail"].strip())


def _gpg(home: Path, *argv: str) -> str:
    ended = run(
        ("--batch", "--quiet", "--no-tty", *argv),
        executable=program("gpg", "gpg"),
        folder=home,
        timeout=_TIME,
        with_=Approach({"GNUPGHOME": str(home)}),
    )
    return ended.stdout.decode("utf-8", "replace")


def _valid_now(content: bytes) -> str:
    """The allowed signers whose time has come and is not over.

    Git asks ssh-keygen who was allowed at the time the commit *claims*: with a key that is no
    longer valid anybody could still sign by dating commits back.
    """
    lines = content.decode("utf-8", "replace").split("\n")
    kept = [line for line in lines if _in_time(line, time.time())]
    if not any(line.strip() and not line.lstrip().startswith("#") for line in kept):
        raise _unusable("`ssh_signers` names nobody whose key is valid now")
    return "\n".join([*kept, ""])


def _in_time(line: str, now: float) -> bool:
    for found in _UNTIL.finditer(line):
        bound, text, zulu = found.groups()
        try:
            limit = datetime.strptime(text, "%Y%m%d%H%M%S"[: len(text) - 2])  # noqa: DTZ007 - below
        except ValueError:
            return False
        limit = limit.replace(tzinfo=UTC) if zulu else limit.astimezone()
        if (now >= limit.timestamp()) is (bound.lower() == "before"):
            return False
    return True


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()[: _KEY_FILE + 1]
    except OSError as error:
        raise _unusable(f"{path} cannot be read: {error.strerror}") from None
    if len(content) > _KEY_FILE:
        raise _unusable(f"{path} is too large for keys")
    if b"PRIVATE KEY" in content:
        raise _unusable(f"{path} holds a private key, which has no business here")
    return content


def _unusable(message: str) -> SourceProblem:
    return SourceProblem(
        message,
        state=SourceState.INVALID,
        hint="mend the files named at `verify:` of this source",
    )
