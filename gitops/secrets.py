"""Reads a secret from where the fleet file says it is.

The fleet file holds references (:class:`gitops.model.fleet.SecretRef`), never values; adapters call
:func:`read_secret` at the moment they need one, so a rotated file is picked up without a restart
and an apply credential is not in memory before an approval. No message of this module ever holds
any part of a value.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from gitops.errors import ConfigError
from gitops.model.secret import SecretRef

LIMIT = 64 << 10
"""Bytes; no key or token is larger, and a device or a log named by mistake is."""


def read_secret(ref: SecretRef, env: Mapping[str, str] | None = None) -> str:
    """The secret's text without one trailing newline.

    ``env`` is the environment to look in, by default the process's own. Raises ConfigError naming
    the reference when it is missing, empty, not UTF-8 text, too large, or a file that everybody on
    the machine may read or write.
    """
    text = _from_env(ref.env, os.environ if env is None else env) if ref.env else _from_file(ref)
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ConfigError(f"{ref} is empty", hint="put the secret there, or remove the reference")
    return text


def _from_env(name: str, env: Mapping[str, str]) -> str:
    if name not in env:
        raise ConfigError(
            f"environment variable {name} is not set",
            hint=f"set {name} where the controller starts, or refer to a file: {{file: PATH}}",
        )
    return env[name]


def _from_file(ref: SecretRef) -> str:
    if ref.file is None:
        raise ConfigError("an empty secret reference", hint="write {env: NAME} or {file: PATH}")
    try:
        return _read(ref.file).decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{ref} is not text", hint="secrets are UTF-8 text") from None
    except OSError as error:
        raise ConfigError(
            f"{ref} cannot be read: {error.strerror}",
            hint="check the path, and that the controller's user may read it",
        ) from None


def _read(path: Path) -> bytes:
    # O_NONBLOCK: a FIFO must not hang us before we see that it is one. Links are followed on
    # purpose, since mounted Kubernetes Secrets are links; what counts is the file they lead to.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        refuse_exposed(path, os.fstat(descriptor))
        content = file.read(LIMIT + 1)
    if len(content) > LIMIT:
        raise ConfigError(f"file {path} is too large for a secret", hint=f"limit: {LIMIT} bytes")
    return content


def refuse_exposed(path: Path, status: os.stat_result) -> None:
    """Raises ConfigError for anything but a regular file, or one open to everybody."""
    if not stat.S_ISREG(status.st_mode):
        raise ConfigError(f"{path} is not a regular file", hint="name the file with the secret")
    if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ConfigError(
            f"file {path} can be read or written by everybody (mode {status.st_mode & 0o777:04o})",
            hint=f"chmod 600 {path} – for a mounted Kubernetes Secret: defaultMode: 0440",
        )
