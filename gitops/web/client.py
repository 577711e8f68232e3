"""The command line's side of the controller's API.

Called by the commands that ask a running controller or change something. They find it over its
Unix socket or on loopback; ``--server`` or ``GITOPS_API`` (``unix:/path`` or a URL) names another
place, for which no fleet file is needed; ``GITOPS_CA_FILE`` certificates of one's own. A person's
token is in ``GITOPS_TOKEN`` or in the file ``GITOPS_TOKEN_FILE`` names. The token is never
sent in the clear to another machine, proxies of the environment are not used, and redirects are not
followed.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from gitops.config.addresses import listens_locally
from gitops.egress.addresses import is_loopback
from gitops.errors import (
    ConfigError,
    GitopsError,
    NotAllowed,
    Outdated,
    Permanent,
    Transient,
    Unknown,
)
from gitops.foreign import one_line
from gitops.model.fleet import Fleet
from gitops.model.serving import ApiSpec

SECONDS = 60.0
"""For one answer; a nudge waits for a look at a repository."""
LARGEST_ANSWER = 64 << 20
_TOKEN = re.compile(r"[\x21-\x7e]{8,512}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where the controller answers. ``socket`` or ``url`` is set."""

    socket: Path | None = None
    url: str = "http://controller"
    token: str = field(default="", repr=False)
    ca_file: str = ""
    """Certificates to verify it against, instead of the system's."""

    def __str__(self) -> str:
        return f"unix:{self.socket}" if self.socket else self.url


def address_of(fleet: Fleet, env: Mapping[str, str] | None = None) -> Address:
    """Of the fleet's own controller, or the one the environment names.

    Raises ConfigError for an address that would carry the token in the clear, or a token file that
    cannot be read.
    """
    env = os.environ if env is None else env
    if named := env.get("GITOPS_API", ""):
        return address_named(named, env)
    socket = fleet.api.socket or fleet.state_dir / "api.sock"
    if not socket.exists() and fleet.api.listen:
        return address_named(reached_at(fleet.api), env)
    return Address(socket, token=_token(env))


def address_named(named: str, env: Mapping[str, str] | None = None) -> Address:
    """``unix:/path`` or a URL, with the environment's token. Raises ConfigError as above."""
    env = os.environ if env is None else env
    token = _token(env)
    if named.startswith("unix:"):
        return Address(Path(named.removeprefix("unix:")), token=token)
    return Address(url=_checked(named), token=token, ca_file=env.get("GITOPS_CA_FILE", ""))


def reached_at(api: ApiSpec) -> str:
    """The address to call: on this machine directly, else the public one."""
    if api.tls is None and listens_locally(api.listen):
        return f"http://{api.listen}"
    return api.url or f"https://{api.listen}"


def _token(env: Mapping[str, str]) -> str:
    text = env.get("GITOPS_TOKEN", "").strip()
    file = env.get("GITOPS_TOKEN_FILE", "")
    if not text and file:
        try:
            text = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(
                "the token file named by GITOPS_TOKEN_FILE cannot be read", place=file
            ) from error
    if text and not _TOKEN.fullmatch(text):
        raise ConfigError(
            "the token has a form no token has", hint="make one with `gitops token create PERSON`"
        )
    return text


def _checked(url: str) -> str:
    parts = urlsplit(url)
    plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or not (plain or parts.scheme == "https") or parts.username:
        raise ConfigError(
            "a controller's address has to be unix:PATH, https:, or http: on loopback, without a "
            "user name",
            hint="e.g. --server https://gitops.example.com, or GITOPS_API=http://127.0.0.1:8080",
        )
    return url.rstrip("/")


def _trust(address: Address) -> ssl.SSLContext:
    """The system's certificates, or the file's. Raises ConfigError."""
    if not address.url.startswith("https:"):
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # not used: reading them all takes a while
    try:
        return ssl.create_default_context(cafile=address.ca_file or None)
    except OSError as error:
        raise ConfigError(
            "the certificates named by GITOPS_CA_FILE cannot be read", place=address.ca_file
        ) from error


def _over(socket: Path) -> httpx.HTTPTransport:
    """Nothing is encrypted there: reading the machine's certificates, as httpx does unless told
    otherwise, takes longer than a whole question. What trusts nobody serves as well."""
    return httpx.HTTPTransport(uds=str(socket), verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


class Api:
    """A conversation with one controller. Synchronous: a command has nothing else to do.

    Every method raises NotAllowed (401, 403), Unknown (404), Outdated (409), another Permanent
    (4xx), or a Transient when the controller cannot answer now.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        transport = _over(address.socket) if address.socket else None
        headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
        self._client = httpx.Client(
            base_url=address.url,
            transport=transport,
            verify=_trust(address),
            headers=headers,
            timeout=httpx.Timeout(SECONDS, connect=5),
            trust_env=False,
        )

    @classmethod
    def of(cls, fleet: Fleet, env: Mapping[str, str] | None = None) -> Api:
        return cls(address_of(fleet, env))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def get(self, *path: str, **query: str | int | bool) -> Any:
        """``get("show", id)`` asks ``/api/v1/show/<id>``; parts are quoted."""
        return self._ask("GET", path, query=query)

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._ask("POST", path, body=body)

    def delete(self, *path: str) -> Any:
        return self._ask("DELETE", path)

    def _ask(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: Mapping[str, str | int | bool] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        if self._address.socket and not self._address.socket.exists():
            raise self._absent()
        url = "/".join(("/api/v1", *(quote(part, safe="") for part in path)))
        try:
            with self._client.stream(method, url, params=query, json=body) as response:
                content = self._read(response)
        except httpx.ConnectError as error:
            raise self._absent() from error
        except httpx.HTTPError as error:
            raise Transient(
                f"the controller did not answer ({type(error).__name__})",
                hint="whether it did what was asked is not known; look with `gitops status`",
                place=str(self._address),
            ) from error
        if response.is_success:
            return _json(response, content, self._address)
        raise _problem(response, content)

    def _read(self, response: httpx.Response) -> bytes:
        content = bytearray()
        for part in response.iter_bytes():
            content += part
            if len(content) > LARGEST_ANSWER:
                raise Permanent("the controller's answer is too large", place=str(self._address))
        return bytes(content)

    def _absent(self) -> GitopsError:
        socket = self._address.socket
        if socket and socket.exists() and not os.access(socket, os.W_OK):
            return NotAllowed(
                "the controller's socket belongs to another account",
                hint="name its loopback address with GITOPS_API and put a token into GITOPS_TOKEN",
                place=str(self._address),
            )
        return Transient(
            "no controller answers here",
            hint="start it with `gitops run`, or name another with --server or GITOPS_API",
            place=str(self._address),
        )


def _json(response: httpx.Response, content: bytes, address: Address) -> Any:
    try:
        return httpx.Response(response.status_code, content=content).json()
    except ValueError as error:
        raise Permanent(
            "what answers here is not a gitops controller", place=str(address)
        ) from error


def _problem(response: httpx.Response, content: bytes) -> GitopsError:
    """The error of our own tree that a problem document (RFC 9457) stands for."""
    try:
        told = httpx.Response(response.status_code, content=content).json()
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    hint, place = (one_line(str(told.get(key, "")), 2000) for key in ("hint", "place"))
    message = one_line(str(told.get("title") or f"the controller answered {response.status_code}"))
    code = response.status_code
    if code in (401, 403):
        hint = hint or ("put your token into GITOPS_TOKEN" if code == 401 else "")
        return NotAllowed(message, hint=hint, place=place)
    if code in (404, 409):
        return (Unknown if code == 404 else Outdated)(message, hint=hint, place=place)
    kind = Transient if code >= 500 else Permanent
    return kind(message, hint=hint, place=place)
