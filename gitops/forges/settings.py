"""What a forge's client is told: the source's address and sign-in, and where the API is.

Shared by every client's ``build``. Pure but for what :func:`signer` and :func:`basic_signer` make,
which reads the token when it is needed. No message ever holds a part of it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from gitops.egress.addresses import is_loopback, split
from gitops.errors import ConfigError
from gitops.model.fleet import GitCredentials
from gitops.model.secret import SecretRef
from gitops.secrets import read_secret

Sign = Callable[[], Awaitable[Mapping[str, str]]]
"""The headers a request is signed with, fetched anew for every errand."""

_PART = re.compile(r"[A-Za-z0-9_.~][A-Za-z0-9_.~+-]*\Z")
_SCP = re.compile(r"(?:[^@/:]+@)?([^@/:\[\]]+):(?!/?/)(.+)\Z")


@dataclass(frozen=True, slots=True)
class Options:
    """How the forge of a source is reached."""

    url: str = ""
    """The source's own address."""
    credentials: GitCredentials = GitCredentials()
    """The source's own sign-in."""
    api: str = ""
    """Address of the API, such as ``https://git.example.com/api/v4``; default: what the forge
    documents for the source's host."""
    repository: str = ""
    """``OWNER/NAME`` as the forge knows it; default: the path of the source's address."""
    token: SecretRef | None = None
    """Token for the API; default: the one of the source's ``credentials:``."""


@dataclass(frozen=True, slots=True)
class Target:
    """One repository of one forge."""

    api: str
    """Without a slash at the end."""
    repository: str
    """``OWNER/NAME``, at GitLab ``GROUP/SUBGROUP/NAME``."""
    public: bool = False
    """The forge's own public host, which is never in a private network."""


@dataclass(frozen=True, slots=True)
class Documented:
    """Where a forge documents its API to be."""

    kind: str
    path: str
    """Beneath the host, on servers of one's own."""
    public_host: str = ""
    public_api: str = ""
    parts: tuple[int, int] = (2, 2)
    """How many path segments a repository's name has, at least and at most."""


def target(options: Options, documented: Documented) -> Target:
    """Raises ConfigError when the address does not lead to an API or names no repository."""
    host, prefix, path = _address(options.url)
    repository = _repository(options.repository or path, documented)
    public = bool(host) and host == documented.public_host
    if options.api:
        return Target(_api(options.api), repository)
    if public:
        return Target(documented.public_api, repository, public=True)
    if not host:
        raise ConfigError(
            f"where the API of {documented.kind} is cannot be told from the source's address",
            hint=f"write forge: {{{documented.kind}: {{api: https://HOST{documented.path}}}}}",
        )
    if not documented.path:
        raise ConfigError(
            f"{documented.kind} is on {documented.public_host} only",
            hint="name the forge this source is on",
        )
    return Target(_api(f"{prefix}{documented.path}"), repository)


def signer(options: Options, scheme: str = "Bearer") -> Sign:
    """Signs with the token, or with nothing where there is none."""
    ref = options.token or options.credentials.token

    async def sign() -> Mapping[str, str]:
        if ref is None:
            return {}
        return {"Authorization": _authorization(read_secret(ref), "", scheme)}

    return sign


def basic_signer(options: Options) -> Sign:
    """Bitbucket Cloud takes an account's API token only as Basic (RFC 7617) with the account's
    e-mail, which is then the ``username``; any other token as :func:`signer` sends it."""
    ref = options.token or options.credentials.token
    name = options.credentials.username
    account = name if "@" in name else ""

    async def sign() -> Mapping[str, str]:
        if ref is None:
            return {}
        return {"Authorization": _authorization(read_secret(ref), account, "Bearer")}

    return sign


def _authorization(token: str, account: str, scheme: str) -> str:
    if not token.isascii() or not token.isprintable():
        raise ConfigError(
            "the forge's token holds characters that no header may", hint="copy it once more"
        )
    if account:
        return "Basic " + base64.b64encode(f"{account}:{token}".encode()).decode()
    return f"{scheme} {token}"


def _address(url: str) -> tuple[str, str, str]:
    """(host, https address in front of the repository's path, that path) of a source's URL."""
    if "://" not in url and (found := _SCP.match(url)):
        return found[1].lower(), f"https://{found[1].lower()}", found[2]
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        return "", "", ""
    if parts.scheme == "ssh":
        return host, f"https://{host}", parts.path
    if parts.scheme not in ("https", "http") or not host:
        return "", "", ""
    shown = f"[{host}]" if ":" in host else host
    return host, f"{parts.scheme}://{shown}{f':{port}' if port else ''}", parts.path


def _repository(path: str, documented: Documented) -> str:
    least, most = documented.parts
    parts = [unquote(part) for part in path.strip("/").removesuffix(".git").split("/")]
    if documented.kind == "bitbucket-dc":  # https://HOST/CONTEXT/scm/PROJECT/NAME.git
        parts = parts[-2:]
    if not least <= len(parts) <= most or not all(_PART.match(part) for part in parts):
        raise ConfigError(
            "the source's address names no repository of a forge",
            hint=f"write forge: {{{documented.kind}: {{repository: OWNER/NAME}}}}",
        )
    if any(part in (".", "..") for part in parts):
        raise ConfigError("the repository's name steps out of its folder")
    return "/".join(parts)


def _api(url: str) -> str:
    url = url.rstrip("/")
    try:
        parts = split(url)
        host = parts.hostname or ""
    except ValueError:
        host, parts = "", urlsplit("")
    if not host or parts.scheme not in ("https", "http") or parts.query or parts.fragment:
        raise ConfigError(
            "the address of the forge's API is none", hint="write https://HOST/PATH, and no query"
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            "the address of the forge's API holds credentials",
            hint="take them out (and change them); name them by reference: token: {env: VARIABLE}",
        )
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError("http:// sends the token in the clear", hint="write https://")
    return url
