"""Output of renderers on disk, by content: the same inputs are rendered once.

A key covers everything an output depends on (renderer and its version, the tool's version, options,
namespace, target's facts, closure), so nothing ever has to be invalidated; what was not used for
longest goes when the folder is full. Safe to delete at any time.

Rendered output may hold Secrets (promise 7): it is encrypted, bound to its key, so that a file that
was changed or renamed is ignored rather than delivered.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from gitops.model.ids import Digest
from gitops.ports import Cipher

_SUFFIX = ".out"


class RenderCache:
    """A bounded folder of outputs. Never raises for a full or read-only disk: it only caches, and
    without a cipher not even that."""

    def __init__(self, folder: Path, cipher: Cipher | None, limit: int = 512 << 20) -> None:
        self._folder = folder
        self._cipher = cipher
        self._limit = limit

    def get(self, key: Digest) -> bytes | None:
        """None when it is not there, or is not what was put."""
        if self._cipher is None:
            return None
        path = self._path(key)
        try:
            raw = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        payload = self._cipher.decrypt(raw, _bound(key))
        if payload is None:
            with contextlib.suppress(OSError):
                path.unlink()
        return payload

    def put(self, key: Digest, payload: bytes) -> None:
        if self._cipher is None or len(payload) > self._limit // 8:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            self._write(self._path(key), self._cipher.encrypt(payload, _bound(key)))
            self._shrink()

    def _path(self, key: Digest) -> Path:
        return self._folder / f"{key}{_SUFFIX}"

    def _write(self, path: Path, content: bytes) -> None:
        # mkstemp makes 0600; the rename makes it whole or absent for every other process.
        handle, name = tempfile.mkstemp(prefix=".part-", dir=self._folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(name).replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise

    def _shrink(self) -> None:
        """Drops what was used least recently until the folder is within its limit."""
        held = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                held.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in held)
        for _, size, path in sorted(held):
            if total <= self._limit:
                return
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            total -= size


def _bound(key: Digest) -> bytes:
    return b"render-cache\0" + key.encode()
