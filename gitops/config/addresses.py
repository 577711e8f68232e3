"""Rules for addresses in the fleet file: git remotes, the store, the API's listener.

Pure functions from text to text or a :class:`Refused`; none ever repeats a password. No transport
that runs programs (``ext::``, git-remote-ext(1)), nothing in clear but to this machine, no
credentials in an address.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from gitops.egress.addresses import is_loopback
from gitops.egress.registry import parse_reference

_HELPER = re.compile(r"[A-Za-z0-9+.-]+::")
_SCP = re.compile(r"(?:([^@/:\s]+)@)?(\[[0-9A-Fa-f:.]+\]|[^@/:\s]+):(?!//)(.+)")
_HOST = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_USER = re.compile(r"[A-Za-z0-9_][-A-Za-z0-9._]*")
_BY_REFERENCE = "write it under credentials: {token: {env: VARIABLE}}, and change it if it was real"


class Refused(Exception):
    """An address that is not allowed: the rest of a sentence about it, and what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def is_remote(url: str) -> bool:
    """Does a git address name another machine (or a transport) rather than a path?"""
    return "://" in url or bool(_HELPER.match(url)) or bool(_SCP.fullmatch(url))


def check_git(url: str, *, allow_local: bool) -> None:
    """Raises Refused for a git address that must not be used."""
    if not url or url != url.strip() or any(c.isspace() or not c.isprintable() for c in url):
        raise Refused("is empty or holds white space", "write https://HOST/PATH")
    if url.startswith("-"):
        raise Refused("starts with a dash", "git would take it for an option")
    if _HELPER.match(url):
        raise Refused("names a transport that runs programs", "use https:// or ssh://")
    if "://" in url:
        _check_url(url, allow_local)
    elif scp := _SCP.fullmatch(url):
        _check_scp(*scp.groups())
    elif not allow_local:
        raise Refused("is a path on this machine", "write allow_local: true to permit it")


def check_api(url: str) -> None:
    """Raises Refused for the address of an API that credentials must not be sent to."""
    if any(c.isspace() or not c.isprintable() for c in url) or "://" not in url:
        raise Refused("is not an address", "write https://HOST/PATH")
    if _split(url).scheme not in ("https", "http"):
        raise Refused("has a scheme that is not allowed", "use https://")
    _check_url(url, allow_local=False)


def _check_url(url: str, allow_local: bool) -> None:
    parts = _split(url)
    if parts.scheme == "file":
        if not allow_local:
            raise Refused("is a path on this machine", "write allow_local: true to permit it")
        return
    if parts.scheme not in ("https", "http", "ssh"):
        raise Refused("has a scheme that is not allowed", "use https:// or ssh://")
    _check_user(parts)
    _check_host(parts.hostname or "")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise Refused("is plain http, which anybody on the way can read and change", "use https://")
    if parts.query or parts.fragment:
        raise Refused("has a query or fragment", "write the repository's clone address")


def check_web(url: str) -> None:
    """Raises Refused for a web host's address that must not be used."""
    if any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        raise Refused("is not an address", "write https://HOST/PATH")
    parts = _split(url)
    if parts.scheme not in ("https", "http"):
        raise Refused("is not a web address", "write https://HOST/PATH")
    _check_user(parts)
    _check_host(parts.hostname or "")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise Refused("is plain http, which anybody on the way can read and change", "use https://")
    if parts.query or parts.fragment:
        raise Refused("has a query or fragment", _BY_REFERENCE)
    if not parts.path:
        raise Refused("names no file", "write https://HOST/FILE, or https://HOST/FOLDER/")


def check_oci(url: str) -> None:
    """Raises Refused for the address of an OCI artifact that must not be used."""
    try:
        parse_reference(url)
    except ValueError as error:
        raise Refused(
            str(error), "write HOST/REPOSITORY:TAG, or HOST/REPOSITORY@sha256:…"
        ) from None


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port, parts.hostname
    except ValueError:
        raise Refused("is not an address", "write https://HOST/PATH") from None
    return parts


def _check_user(parts: SplitResult) -> None:
    if parts.password is not None:
        raise Refused("holds a password", _BY_REFERENCE)
    if parts.username is None:
        return
    if parts.scheme != "ssh":
        raise Refused("holds a user name or token", _BY_REFERENCE)
    if not _USER.fullmatch(parts.username):
        raise Refused("has a user name that is not allowed", "most forges want git@HOST")


def _check_host(host: str) -> None:
    if not _HOST.fullmatch(host):
        raise Refused("has no valid host", "write https://HOST/PATH or git@HOST:PATH")


def _check_scp(user: str | None, host: str, path: str) -> None:
    if user is not None and not _USER.fullmatch(user):
        raise Refused("has a user name that is not allowed", "most forges want git@HOST:PATH")
    _check_host(host.strip("[]"))
    if path.startswith("-"):
        raise Refused("has a path that starts with a dash", "git would take it for an option")
    if "@" in host or "@" in (user or ""):
        raise Refused("is not an address", "write git@HOST:PATH")


def check_ref(ref: str) -> None:
    """Raises Refused unless git itself would accept the name (git check-ref-format) and it cannot
    be taken for an option."""
    forbidden = any(c in " ~^:?*[\\" or ord(c) < 32 or ord(c) == 127 for c in ref)
    parts = ref.split("/")
    if (
        forbidden
        or not ref
        or ref.startswith("-")
        or ".." in ref
        or "@{" in ref
        or ref == "@"
        or ref.endswith(".")
        or any(not p or p.startswith(".") or p.endswith(".lock") for p in parts)
    ):
        raise Refused("is not the name of a branch or tag", "for example main, or refs/tags/v1")


def check_store(url: str) -> None:
    """SQLite or PostgreSQL, and no password in it."""
    parts = _split(url)
    if parts.password is not None or "password" in parts.query.lower():
        raise Refused("holds a password", "write it as password: {env: VARIABLE}, and change it")
    if parts.scheme not in ("sqlite", "postgresql", "postgresql+psycopg"):
        raise Refused(
            "is not a database we know", "sqlite:////PATH or postgresql+psycopg://USER@HOST/NAME"
        )


def check_listen(text: str) -> None:
    """``ADDRESS:PORT``: an address of this machine, no name that could come to mean another."""
    hint = "write 127.0.0.1:PORT, or 0.0.0.0:PORT for every address of this machine"
    parts = _split(f"//{text}")
    if parts.port is None or parts.username is not None or parts.path or parts.query:
        raise Refused("is not ADDRESS:PORT", hint)
    host = parts.hostname or ""
    if host != "localhost" and not _is_address(host):
        raise Refused("is not an address with a port", hint)


def listens_locally(text: str) -> bool:
    """Is this listener reached from this machine alone?"""
    return is_loopback(_split(f"//{text}").hostname or "")


def check_public(url: str) -> None:
    """The address people and forges call: https, or http where it is this machine's own."""
    hint = "write https://HOST, such as https://gitops.example.com"
    if any(c.isspace() or not c.isprintable() or c == "\\" for c in url):
        raise Refused("is not an address", hint)
    parts = _split(url)
    host = parts.hostname or ""
    if parts.scheme not in ("https", "http"):
        raise Refused("is not a web address", hint)
    _check_user(parts)
    _check_host(host)
    if parts.scheme == "http" and not is_loopback(host):
        raise Refused("is plain http, which anybody on the way can read and change", hint)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise Refused("has a path", "the pages and /hooks/ are at its root: " + hint)


def check_network(text: str) -> None:
    """An IP address or network, such as 10.0.0.0/8."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        raise Refused("is not an address or network", "write 10.1.2.3 or 10.1.0.0/16") from None
    if network.prefixlen == 0:
        raise Refused("is the whole world", "name the proxies' own network")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_folder(path: str) -> str:
    """A path inside a source, normalised; ``""`` is the root. Raises Refused if it leaves it."""
    if path.startswith(("/", "~")) or "\\" in path or any(not c.isprintable() for c in path):
        raise Refused("is not a path inside the source", "write it from the root: apps/shop")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts or ".git" in parts:
        raise Refused("leaves the source", "write it from the root, without ..")
    return "/".join(parts)
