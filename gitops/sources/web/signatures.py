"""Signatures that lie beside what they sign: minisign's and OpenSSH's.

Called by the web source with new content before anything of it is kept. Whoever controls the host
can change the content and the signature, but not make one that the operator's key accepts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gitops.errors import ConfigError, Permanent
from gitops.foreign import one_line
from gitops.ports import Children, Command, Limits
from gitops.sources.fetched import unfit

MAX_SIGNATURE = 64 << 10
_SIGNED = "sign it with the key this source names, and upload both"


class Verifier(Protocol):
    """Judges one kind of signature."""

    @property
    def ending(self) -> str:
        """What the signature's address has more than that of the content."""

    async def verify(self, content: bytes, signature: bytes, place: str) -> str:
        """Who signed, for people. Raises SourceProblem when it does not fit."""


@dataclass(frozen=True, slots=True)
class Minisign:
    """Ed25519 over the content, or over its BLAKE2b-512 (https://jedisct1.github.io/minisign/)."""

    key_id: bytes
    key: bytes
    ending: str = ".minisig"

    @classmethod
    def parse(cls, text: str) -> Minisign:
        """The key as ``minisign -G`` prints it. Raises ConfigError."""
        raw = _decoded(text)
        if len(raw) != 42 or raw[:2] != b"Ed":
            raise ConfigError(
                "web source: `minisign` is no public key of minisign",
                hint="the second line of minisign.pub: it begins with RW",
            )
        return cls(raw[2:10], raw[10:])

    async def verify(self, content: bytes, signature: bytes, place: str) -> str:
        # Here, so that no command loads it that verifies nothing.
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415
            Ed25519PublicKey,
        )

        algorithm, key_id, signed, comment, over_all = self._parsed(signature, place)
        if key_id != self.key_id:
            raise unfit("the signature is by another minisign key", place, _SIGNED)
        message = content
        if algorithm == b"ED":
            message = hashlib.blake2b(content, digest_size=64).digest()
        key = Ed25519PublicKey.from_public_bytes(self.key)
        try:
            key.verify(signed, message)
            key.verify(over_all, signed + comment)
        except InvalidSignature:
            raise unfit("the signature does not fit the content", place, _SIGNED) from None
        # minisign prints an id as one little-endian number.
        return f"minisign key {self.key_id[::-1].hex().upper()}"

    def _parsed(self, text: bytes, place: str) -> tuple[bytes, bytes, bytes, bytes, bytes]:
        """(algorithm, key id, signature, trusted comment, signature over both)"""
        lines = text.replace(b"\r\n", b"\n").split(b"\n")
        trusted = b"trusted comment: "
        if len(lines) >= 4 and lines[2].startswith(trusted):
            first, last = _decoded(lines[1]), _decoded(lines[3])
            if len(first) == 74 and first[:2] in (b"Ed", b"ED") and len(last) == 64:
                comment = lines[2].removeprefix(trusted)
                return first[:2], first[2:10], first[10:], comment, last
        raise unfit("there is no minisign signature where one should be", place, _SIGNED)


@dataclass(frozen=True, slots=True)
class Signers:
    """``ssh-keygen -Y verify`` against a file of allowed signers (ssh-keygen(1))."""

    allowed: Path
    signer: str
    namespace: str
    children: Children
    scratch: Path
    ending: str = ".sig"

    async def verify(self, content: bytes, signature: bytes, place: str) -> str:
        program = shutil.which("ssh-keygen")
        if program is None:
            raise unfit("no ssh-keygen to verify with", place, "apt-get install openssh-client")
        self.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".part-", dir=self.scratch) as folder:
            file = Path(folder) / "signature"
            file.write_bytes(signature)
            start = (program, "-Y")
            files = ("-f", str(self.allowed), "-s", str(file))
            found = (self.signer,) if self.signer else await self._principals(start, files, folder)
            for principal in found:
                verify = ("verify", "-n", self.namespace, "-I", principal, *files)
                if await self._run((*start, *verify), folder, content) is not None:
                    return one_line(principal, 200)
        raise unfit("no allowed signer signed the content", place, _SIGNED)

    async def _principals(
        self, start: tuple[str, ...], files: tuple[str, ...], folder: str
    ) -> tuple[str, ...]:
        """Whose key it claims to be; that it is theirs is what ``verify`` then says."""
        said = await self._run((*start, "find-principals", *files), folder)
        names = (said or b"").decode("utf-8", "replace").splitlines()
        return tuple(name for name in names if name and not name.startswith("-"))

    async def _run(self, argv: tuple[str, ...], folder: str, stdin: bytes = b"") -> bytes | None:
        """What it printed; None when it says no."""
        limits = Limits(seconds=30, output=1 << 20)
        command = Command(argv, Path(folder), stdin=stdin, limits=limits)
        try:
            done = await self.children.run(command)
        except Permanent:
            return None
        return done.stdout if done.code == 0 else None


def _decoded(text: str | bytes) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
