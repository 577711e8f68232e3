"""Fetches one thing over HTTP from a host that may lie, be slow, or send us elsewhere.

Opened for one errand (a look at a source, a chart) and closed after it. Whoever opens it passes
``permit``, which judges every URL before it is asked, redirects included, and says what its
address may be; that is checked again for each address a socket is about to connect to. No proxy,
cookie, netrc or certificate of the environment is used; ``Authorization`` never leaves the origin
it was meant for.

Errors are those of sources (:class:`SourceProblem`, :class:`SourceUnavailable`); other callers turn
them into their own. No message holds a header, a query or a body.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from gitops.egress.addresses import PERMITTED, Reach, origin
from gitops.egress.answers import Answer, too_large
from gitops.errors import SourceProblem, SourceUnavailable
from gitops.foreign import one_line
from gitops.model.source import SourceState

if TYPE_CHECKING:
    import ssl

    import aiohttp

Permit = Callable[[str], Reach]
"""Judges a URL: what its address may be. Raises SourceProblem for one that is not asked at all."""

REDIRECTS = 5
SLOWEST = 100
"""Bytes a second, averaged over a stall: below it a host is given up."""
_MOVED = (301, 302, 303, 307, 308)
_CONNECT = 10.0
_CHUNK = 1 << 16


class Garbled(SourceUnavailable):
    """There was an answer, or the beginning of one, that is no HTTP."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a host may take."""

    timeout: float = 60.0
    """Seconds for one answer in all."""
    stall: float = 20.0
    """Seconds in which a host may send (almost) nothing."""


@contextlib.asynccontextmanager
async def opened(
    permit: Permit, *, ca_file: Path | None = None, patience: Patience = Patience()
) -> AsyncIterator[Client]:
    """A client for one errand. Raises SourceProblem when ``ca_file`` cannot be used."""
    client = Client(permit, _tls(ca_file), patience)
    try:
        yield client
    finally:
        await client.close()


class Client:
    """Connections of one errand. Use :func:`opened`."""

    def __init__(self, permit: Permit, tls: ssl.SSLContext | None, patience: Patience) -> None:
        self._permit = permit
        self._tls = tls
        self._patience = patience
        self._lines: dict[Reach, _Line] = {}

    async def ask(
        self,
        url: str,
        *,
        limit: int,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """The answer, whatever its status; its body has at most ``limit`` bytes.

        Raises SourceProblem (not permitted, certificate, over the limit) or SourceUnavailable
        (no answer, cut short, too slow). Only what reads follows a redirect.
        """
        sent = {"Accept": "*/*", "Accept-Encoding": "identity", **(headers or {})}
        for _ in range(REDIRECTS + 1):
            line = self._line(self._permit(url))
            with _explained(url, line, self._patience):
                found = await self._once(line, method, url, sent, limit, body)
            if isinstance(found, Answer):
                return found
            if method not in ("GET", "HEAD"):
                raise SourceProblem(
                    "the host sends a write elsewhere", state=SourceState.INVALID, place=shown(url)
                )
            if origin(found) != origin(url):
                sent.pop("Authorization", None)
            url = found
        raise SourceProblem(
            "the host redirects without end", state=SourceState.INVALID, place=shown(url)
        )

    async def close(self) -> None:
        """End every connection."""
        for line in self._lines.values():
            await line.session.close()

    async def _once(
        self,
        line: _Line,
        method: str,
        url: str,
        headers: Mapping[str, str],
        limit: int,
        sent: bytes | None,
    ) -> Answer | str:
        """An answer, or the address it sends us to."""
        from yarl import URL  # noqa: PLC0415 - comes with aiohttp

        address = URL(url, encoded=True)
        async with line.session.request(
            method, address, headers=headers, data=sent, allow_redirects=False
        ) as answer:
            if answer.status in _MOVED:
                return _target(url, answer.headers.get("Location", ""))
            told = {name.lower(): value for name, value in reversed(list(answer.headers.items()))}
            body = b"" if method == "HEAD" else await self._body(answer, limit, url)
            return Answer(url, answer.status, told, body)

    async def _body(self, answer: aiohttp.ClientResponse, limit: int, url: str) -> bytes:
        if (answer.content_length or 0) > limit:
            raise too_large(limit, shown(url))
        held = bytearray()
        stall, ended = self._patience.stall, False
        while not ended:
            enough = len(held) + int(SLOWEST * stall)
            async with asyncio.timeout(stall):
                while len(held) < enough and not ended:
                    chunk = await answer.content.read(_CHUNK)
                    held += chunk
                    ended = not chunk
                    if len(held) > limit:
                        raise too_large(limit, shown(url))
        return bytes(held)

    def _line(self, reach: Reach) -> _Line:
        if reach not in self._lines:
            self._lines[reach] = _Line(reach, self._tls, self._patience)
        return self._lines[reach]


@dataclass(slots=True)
class _Line:
    """Connections that go no further than ``reach``."""

    reach: Reach
    tls: ssl.SSLContext | None
    patience: Patience
    refused: str = ""
    """Why the last address was not connected to."""
    session: aiohttp.ClientSession = field(init=False)

    def __post_init__(self) -> None:
        import aiohttp  # noqa: PLC0415 - heavy, and only needed when something is fetched

        connector = aiohttp.TCPConnector(
            ssl=self.tls if self.tls is not None else True,
            resolver=aiohttp.ThreadedResolver(),
            socket_factory=self._socket,
        )
        wait = aiohttp.ClientTimeout(
            total=self.patience.timeout, sock_connect=_CONNECT, sock_read=self.patience.stall
        )
        self.session = aiohttp.ClientSession(
            connector=connector,
            timeout=wait,
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": "gitops-controller"},
        )

    def _socket(self, info: Any) -> socket.socket:
        """Called with each address just before it is connected to: nothing can change after."""
        family, kind, protocol, _, address = info
        objection = self.reach.objection(str(address[0]))
        if objection:
            self.refused = objection
            raise OSError("not an address that may be connected to")
        return socket.socket(family, kind, protocol)


def shown(url: str) -> str:
    """A URL as people may see it: what follows a ``?`` can be a secret."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return one_line(f"{parts.scheme}://{host}{parts.path}", 300)


def _target(url: str, location: str) -> str:
    target = urljoin(url, location)
    try:
        scheme, host, _ = origin(target)
    except ValueError:
        scheme = host = ""
    if not location or not host or scheme not in ("http", "https"):
        raise SourceProblem(
            "the host sends us to something that is no address",
            state=SourceState.INVALID,
            place=shown(url),
        )
    return target


def _tls(ca_file: Path | None) -> ssl.SSLContext | None:
    if ca_file is None:
        return None
    import ssl  # noqa: PLC0415 - only where certificates are the operator's own

    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:  # ssl.SSLError is one
        raise SourceProblem(
            f"the certificates in {ca_file} cannot be used",
            state=SourceState.REFUSED,
            hint="`ca_file` is a PEM file the controller may read",
        ) from error


@contextlib.contextmanager
def _explained(url: str, line: _Line, patience: Patience) -> Iterator[None]:
    """Turns what the libraries raise into what happened."""
    import aiohttp  # noqa: PLC0415 - see _Line

    place, host = shown(url), one_line(urlsplit(url).hostname or "", 100)
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise _untrusted(error.certificate_error, place) from error
    except aiohttp.ClientConnectorDNSError as error:
        raise SourceUnavailable(f"the name {host} cannot be looked up", place=place) from error
    except aiohttp.ClientConnectorError as error:
        if line.refused:
            raise _unreached(line.refused, host, place) from error
        raise SourceUnavailable(
            f"the host {host} does not answer{_said(error)}", place=place
        ) from error
    except aiohttp.ClientPayloadError as error:
        raise SourceUnavailable("the answer was cut short", place=place) from error
    except TimeoutError as error:
        seconds = f"{patience.stall:g} s without an answer, or slower than {SLOWEST} bytes a second"
        raise SourceUnavailable(f"the host {host} is too slow: {seconds}", place=place) from error
    except aiohttp.InvalidURL as error:
        raise SourceProblem("not an address", state=SourceState.INVALID, place=place) from error
    except (aiohttp.ServerDisconnectedError, OSError) as error:
        raise SourceUnavailable(f"the host {host} hung up", place=place) from error
    except aiohttp.ClientError as error:
        raise Garbled(f"the host {host} does not answer as a web host does", place=place) from error


def _said(error: aiohttp.ClientConnectorError) -> str:
    words = error.os_error.strerror or ""
    return f" ({one_line(words.lower(), 120)})" if words else ""


def _unreached(refused: str, host: str, place: str) -> SourceProblem:
    hint = "nothing permits that: look at what its name leads to"
    if refused in PERMITTED:
        hint = "if the host is meant to be in a network of your own, permit it: `allow_local: true`"
    return SourceProblem(
        f"the host {host} is {refused}, which is not connected to",
        state=SourceState.REFUSED,
        hint=hint,
        place=place,
    )


def _untrusted(error: Exception, place: str) -> SourceProblem:
    said = one_line(str(getattr(error, "verify_message", "") or "it cannot be verified"), 200)
    return SourceProblem(
        f"the host's certificate cannot be trusted: {said}",
        state=SourceState.REFUSED,
        hint="check its name and expiry, or name its CA as `ca_file` under `credentials:`",
        place=place,
    )
