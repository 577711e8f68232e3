"""The vault: approved bytes, encrypted at rest, and the keyring everything keyed comes from.

Built by ``app.py``; planning puts what people are asked about, apply gets it back by its seal, and
the content is discarded once the change is terminal. A file that does not decrypt under this key
and this very seal counts as lost: the seal is void then and people are asked again. Keys and
contents never reach a log, an error text or a file name.

One key (32 bytes) is the root of two subkeys (HKDF-SHA256, RFC 5869), so that the digests which
are stored and shown say nothing about the key that encrypts.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from gitops.errors import ConfigError, StoreUnavailable
from gitops.model.ids import Digest

_log = structlog.get_logger(__name__)

KEY_SIZE = 32
_MAGIC = b"gitops-vault-1\n"
_NONCE = 12
_SEAL = re.compile(r"[0-9a-f]{64}\Z")
_INCOMING = ".incoming-"
_ABANDONED = 3600.0
"""Seconds after which a file still being written belongs to a process that died."""


class Keyring:
    """The keys derived from the operator's one key. Plays :class:`gitops.ports.Digester`."""

    __slots__ = ("_digest", "_encryption")

    def __init__(self, key: bytes) -> None:
        """Raises ConfigError unless ``key`` is exactly 32 bytes."""
        if len(key) != KEY_SIZE:
            raise ConfigError(
                f"the vault's key has {len(key)} bytes, {KEY_SIZE} are needed",
                hint="make one with: openssl rand -base64 32",
            )
        self._encryption = _derive(key, b"gitops-controller/vault/encryption/1")
        self._digest = _derive(key, b"gitops-controller/vault/digest/1")

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """From 32 bytes written as hex or base64 (either alphabet), as the fleet file's reference
        resolves to. Raises ConfigError; the text is never quoted."""
        return cls(_decode(text.strip()))

    @classmethod
    def kept_in(cls, folder: Path) -> Keyring:
        """From the key file of the state folder, made at first use (``vault.key``, 0600).

        Raises ConfigError when others can read the file or it holds no key.
        """
        path = folder / "vault.key"
        if not path.exists():
            _make_key_file(path)
        return cls(_read_key_file(path))

    @classmethod
    def throwaway(cls) -> Keyring:
        """A key nobody else has and nobody keeps: for ``gitops render`` and tests."""
        return cls(secrets.token_bytes(KEY_SIZE))

    def of(self, data: bytes) -> Digest:
        """Keyed BLAKE2b-256, 64 hex digits: equal bytes are seen, guessing them is not helped."""
        return Digest(hashlib.blake2b(data, key=self._digest, digest_size=32).hexdigest())

    def encrypt(self, content: bytes, bound_to: bytes) -> bytes:
        """AES-256-GCM under a fresh nonce; opens only with the same ``bound_to``."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        nonce = secrets.token_bytes(_NONCE)
        return nonce + AESGCM(self._encryption).encrypt(nonce, content, bound_to)

    def decrypt(self, sealed: bytes, bound_to: bytes) -> bytes | None:
        """The content, or None when it was made with another key, for another seal, or altered."""
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415

        if len(sealed) < _NONCE + 16:
            return None
        try:
            opened = AESGCM(self._encryption).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound_to)
        except InvalidTag:
            return None
        return bytes(opened)

    def __repr__(self) -> str:
        return "Keyring(…)"


def _derive(key: bytes, purpose: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF  # noqa: PLC0415

    return bytes(HKDF(SHA256(), KEY_SIZE, salt=None, info=purpose).derive(key))


def _decode(text: str) -> bytes:
    if re.fullmatch(r"[0-9a-fA-F]{64}", text):
        return bytes.fromhex(text)
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        return base64.b64decode(padded.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(
            "the vault's key is neither hex nor base64",
            hint="make one with: openssl rand -base64 32",
        ) from None


# --- the key file -----------------------------------------------------------------------------


def _make_key_file(path: Path) -> None:
    """Two processes that start together end with one key: linking fails for the second."""
    text = base64.b64encode(secrets.token_bytes(KEY_SIZE)) + b"\n"
    with _disk(path.parent):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        incoming = _write_incoming(path.parent, text)
        try:
            with suppress(FileExistsError):
                os.link(incoming, path)
        finally:
            incoming.unlink()
        _sync_folder(path.parent)


def _read_key_file(path: Path) -> bytes:
    with _disk(path):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o007:
            raise ConfigError(
                f"the vault's key can be read by everybody (mode {mode:04o})",
                place=str(path),
                hint=f"chmod 600 {path}, and consider what it protected as seen",
            )
        if mode & 0o070:
            # A volume mounted with a group of its own opens every file to it; close it again.
            with suppress(PermissionError):
                path.chmod(0o600)
        return _decode(path.read_text("ascii", errors="replace").strip())


# --- the folder -------------------------------------------------------------------------------


class FolderVault:
    """Plays :class:`gitops.ports.Vault` with one encrypted file per seal, 0600 in 0700 folders."""

    def __init__(self, folder: Path, keyring: Keyring) -> None:
        self._folder = folder
        self._keyring = keyring

    async def put(self, seal: Digest, content: bytes) -> None:
        """Durable when it returns. Raises StoreUnavailable when the disk does not take it."""
        await asyncio.to_thread(self._put, seal, content)

    async def get(self, seal: Digest) -> bytes | None:
        """None when lost, altered, or written under another key. Raises StoreUnavailable when
        the disk cannot be read at all, which is not the same as lost."""
        return await asyncio.to_thread(self._get, seal)

    async def discard(self, seal: Digest) -> None:
        """Removes the content; fine when there is none."""
        await asyncio.to_thread(self._discard, seal)

    async def held(self) -> tuple[Digest, ...]:
        """Every seal with a content, for the removal of those whose change is terminal. What
        processes killed while writing left behind goes on the way."""

        def look() -> tuple[Digest, ...]:
            self.tidy()
            return tuple(self._held())

        return await asyncio.to_thread(look)

    def _held(self) -> Iterator[Digest]:
        for shard in sorted(self._folder.glob("[0-9a-f][0-9a-f]")):
            for path in sorted(shard.iterdir()):
                if _SEAL.match(path.name):
                    yield Digest(path.name)

    def tidy(self) -> None:
        """Removes what processes killed while writing left behind."""
        for path in self._folder.glob(f"*/{_INCOMING}*"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()

    def _put(self, seal: Digest, content: bytes) -> None:
        path = self._path(seal)
        sealed = _MAGIC + self._keyring.encrypt(content, _MAGIC + seal.encode("ascii"))
        with _disk(path):
            _make_folders(path.parent, self._folder)
            incoming = _write_incoming(path.parent, sealed)
            incoming.replace(path)
            _sync_folder(path.parent)

    def _get(self, seal: Digest) -> bytes | None:
        path = self._path(seal)
        with _disk(path):
            try:
                sealed = path.read_bytes()
            except FileNotFoundError:
                return None
        content = None
        if sealed.startswith(_MAGIC):
            bound_to = _MAGIC + seal.encode("ascii")
            content = self._keyring.decrypt(sealed[len(_MAGIC) :], bound_to)
        if content is None:
            _log.warning("vault content is unreadable and counts as lost", seal=seal)
        return content

    def _discard(self, seal: Digest) -> None:
        path = self._path(seal)
        with _disk(path), suppress(FileNotFoundError):
            path.unlink()
            _sync_folder(path.parent)

    def _path(self, seal: Digest) -> Path:
        if not _SEAL.match(seal):
            raise ValueError("a seal is 64 hex digits")
        return self._folder / seal[:2] / seal


def _make_folders(folder: Path, root: Path) -> None:
    """A new folder is durable only once its parent is synced."""
    if folder.is_dir():
        return
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync_folder(root)
    _sync_folder(root.parent)


def _write_incoming(folder: Path, content: bytes) -> Path:
    path = folder / f"{_INCOMING}{secrets.token_hex(8)}"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _disk(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreUnavailable(
            f"the vault's disk refuses: {error.strerror or type(error).__name__}",
            place=str(place),
            hint="check that the folder exists, is ours to write, and has room",
        ) from None
