"""Pure: which remote addresses and ref names may reach git at all.

Called when a source is built. Both come from the operator's fleet file, yet a mistake there must
not run a command: git knows transports that execute programs (``ext::``), and programs it starts
read a leading dash as an option.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from gitops.egress.addresses import is_loopback
from gitops.errors import ConfigError

_COMMIT = re.compile(r"[0-9a-f]{40}\Z")
_SCP = re.compile(
    r"(?:(?P<user>[^@/:]+)@)?(?P<host>[^@/:\[\]]+|\[[0-9A-Fa-f:.]+\]):(?P<path>[^:].*)\Z"
)
_NAME = re.compile(r"[A-Za-z0-9_.+~%][A-Za-z0-9_.+~%-]*\Z")
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a repository is, without anything secret: safe to show."""

    url: str
    """As handed to git."""
    scheme: str
    """``https``, ``http``, ``ssh`` or ``file``: the one transport git may use for it."""
    host: str = ""


def parse_address(text: str, *, allow_local: bool) -> Address:
    """Raises ConfigError, which never repeats a password."""
    if not text or _control(text) or _control(unquote(text)):
        raise _refused("the address is empty or holds control characters")
    if text.startswith("-"):
        raise _refused("the address begins with a dash")
    if "://" in text:
        return _url(text, allow_local=allow_local)
    if re.match(r"[A-Za-z0-9+.-]*::", text):
        raise _refused("git's `name::` transports run programs", "write https:// or ssh://")
    if text.startswith(("/", "./", "../")):
        return _local(text, allow_local=allow_local)
    if (found := _SCP.match(text)) and found["host"] not in ("file", "http", "https", "ssh"):
        host, user = found["host"], found["user"]
        _check_ssh(host.strip("[]"), user or "", found["path"])
        return Address(text, "ssh", host)
    raise _refused("not an address git sources know", "write https://HOST/PATH or ssh://HOST/PATH")


def candidates(ref: str) -> tuple[str, ...]:
    """Full names a ref may stand for, best first. Raises ConfigError for an impossible name.

    Rules: git-check-ref-format(1); a leading dash is refused as well.
    """
    if ref == "HEAD" or is_commit(ref):
        return (ref,)
    bad = (
        not ref
        or ref == "@"
        or ref[0] in "-/"
        or ref[-1] in "/."
        or _REF_FORBIDDEN.search(ref) is not None
        or any(part.startswith(".") or part.endswith(".lock") for part in ref.split("/"))
    )
    if bad:
        raise ConfigError(
            f"{ref[:100]!r} is no name git accepts for a branch or tag",
            hint="write a branch (`main`), a tag, a full `refs/…` name or a full commit id",
        )
    if ref.startswith("refs/"):
        return (ref,)
    return (f"refs/heads/{ref}", f"refs/tags/{ref}")


def is_commit(ref: str) -> bool:
    """Is it a full commit id? Then the source is pinned and never asks the remote again."""
    return _COMMIT.match(ref) is not None


def _url(text: str, *, allow_local: bool) -> Address:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise _refused("the address cannot be read") from error
    if parts.scheme == "file":
        return _local(text, allow_local=allow_local)
    if parts.scheme not in ("https", "http", "ssh"):
        raise _refused(
            f"{parts.scheme[:20]}:// is not a transport git sources use",
            "write https:// or ssh://",
        )
    if parts.password is not None or (parts.scheme != "ssh" and parts.username is not None):
        raise _refused(
            "the address holds credentials",
            "take them out and name them by reference under `credentials:`",
        )
    if parts.query or parts.fragment or " " in text:
        raise _refused("the address holds a query, a fragment or a space")
    if not host or port == 0:
        raise _refused("the address names no host")
    if parts.scheme == "http" and not is_loopback(host):
        raise _refused("http:// sends everything in the clear", "write https://")
    _check_ssh(host, parts.username or "", parts.path.lstrip("/") if parts.scheme == "ssh" else "")
    return Address(text, parts.scheme, host)


def _local(text: str, *, allow_local: bool) -> Address:
    if not allow_local:
        raise _refused(
            "the address is a folder of this machine",
            "say `allow_local: true` at this source if that is meant",
        )
    path = text.removeprefix("file://")
    if not path.startswith(("/", "./", "../")):
        raise _refused("file:// needs an absolute path", "write file:///PATH")
    return Address(text if text.startswith("file://") else path, "file")


def _check_ssh(host: str, user: str, path: str) -> None:
    """ssh(1) takes a host, and the remote shell a path, that begins with a dash for an option."""
    literal = ":" in host
    if (not literal and not _NAME.match(host)) or (user and not _NAME.match(user)):
        raise _refused("the address names an impossible host or user")
    if path.startswith("-"):
        raise _refused("the path in the address begins with a dash")


def _control(text: str) -> bool:
    return any(ord(char) < 32 or ord(char) == 127 for char in text)


def _refused(message: str, hint: str = "") -> ConfigError:
    return ConfigError(f"git source: {message}", hint=hint)
