"""One cluster's connection pool and the one function every request goes through.

Bytes in, bytes out. Used by every other module of this package and by nothing else. It retries
only what cannot do harm: a real write whose answer is lost becomes AnswerLost, never a second
write. It must never log or raise a header, a body or a credential.
"""

from __future__ import annotations

import asyncio
import io
import random
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode
from weakref import WeakSet

import aiohttp
import orjson
from multidict import CIMultiDict
from yarl import URL

from gitops.errors import (
    AnswerLost,
    ClusterRefused,
    ClusterUnavailable,
    ConfigError,
    GitopsError,
)
from gitops.kube.answers import Context, refusal
from gitops.kube.pace import LONGEST_HOLD, Pace, backoff
from gitops.kube.standing import Standing
from gitops.model.manifest import ObjectId
from gitops.ports import Clock

if TYPE_CHECKING:
    from gitops.kube.access import Access  # the kubernetes package takes 0.6 s to import

_ATTEMPTS = 5
_THROTTLED_ATTEMPTS = 60
"""About a minute and a half of a server that says one second each time."""
_FAREWELL_LOOKS = 50
_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9.-]{0,252}/[a-z0-9][a-z0-9.-]{0,252}")
_CONNECT = 10.0
_IN_ONE_PIECE = 256 << 10
_NO_TOTAL = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT)
LARGEST_ANSWER = 128 << 20
"""Bytes; a LIST page of 500 objects of 200 KiB each fits."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request as a value."""

    method: str
    path: str
    """Already quoted."""
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    etag: str = ""
    run_as: str = ""
    """``NAMESPACE/NAME`` of the service account to impersonate."""
    writes: bool = False
    """Changes something: neither a read nor a dry-run."""
    seconds: float = 30.0
    """For one attempt, from leaving the queue to the last byte."""
    about: ObjectId | None = None
    place: str = ""
    """For messages, where ``about`` does not say it."""
    kind: str = ""

    @property
    def verb(self) -> str:
        """What it is counted as: ``get``, ``apply``, ``dry-run``, ``delete``, ``watch`` …"""
        asked = dict(self.query)
        if self.method == "GET":
            return "watch" if "watch" in asked else "get"
        if "dryRun" in asked:
            return "dry-run"
        return {"PATCH": "apply"}.get(self.method, self.method.lower())

    @property
    def context(self) -> Context:
        place = str(self.about) if self.about else self.place or self.path
        return Context(place, self.about.kind if self.about else self.kind, self.writes)


@dataclass(frozen=True, slots=True)
class Reply:
    code: int
    body: bytes
    warnings: tuple[str, ...] = ()
    etag: str = ""

    def json(self) -> dict[str, Any]:
        """Raises ClusterUnavailable when a proxy's page came with a success."""
        try:
            told = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            told = None
        if not isinstance(told, dict):
            raise ClusterUnavailable("something answered for the API server that is not it")
        return told


class Transport:
    """Keep-alive connections to one API server. Open inside a running loop; close it."""

    def __init__(self, access: Access, standing: Standing, clock: Clock, *, width: int = 16):
        self._access = access
        self._standing = standing
        self._pace = Pace(clock, width)
        self._clock = clock
        self._sockets: WeakSet[socket.socket] = WeakSet()
        # Watches hold a connection each for minutes: they must not use up the requests' pool.
        self._requests = self._session(width)
        self._watches = self._session(0)

    def _session(self, limit: int) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=limit,
            ssl=self._access.tls if self._access.tls is not None else True,
            socket_factory=self._socket,
            keepalive_timeout=50,  # below the 60 s at which load balancers hang up
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        # On a connection that broke it would send PUT and DELETE a second time by itself; what
        # may be repeated is decided here.
        session._retry_connection = False
        return session

    async def send(self, call: Call) -> Reply:
        """The answer to a call, if it is a success or 304. Raises what
        :func:`gitops.kube.answers.refusal` says, ClusterUnavailable, or AnswerLost."""
        attempt = throttled = 0
        renewed = False
        while True:
            try:
                return await self._attempt(call)
            except ClusterRefused as refused:
                if refused.code != 401 or renewed:
                    raise
                renewed = True
                self._access.renew()
            except _Throttled as told:
                # Turned away at the door, writes included: nothing happened.
                throttled += 1
                if throttled >= _THROTTLED_ATTEMPTS:
                    raise
                await asyncio.sleep(_pause(told.retry_after, 1.0))
            except ClusterUnavailable as trouble:
                attempt += 1
                if attempt >= _ATTEMPTS or (call.writes and not isinstance(trouble, _Unsent)):
                    raise
                await asyncio.sleep(max(backoff(attempt), _pause(trouble.retry_after, 0.0)))

    async def _attempt(self, call: Call) -> Reply:
        async with self._pace.turn():
            headers = await self._headers(call)
            try:
                async with asyncio.timeout(call.seconds):
                    code, body, told = await self._exchange(call, headers)
            except (
                OSError,
                TimeoutError,
                asyncio.IncompleteReadError,
                aiohttp.ClientError,
            ) as lost:
                self._lost(call, lost)
        return self._judge(call, code, body, told)

    async def _exchange(self, call: Call, headers: CIMultiDict[str]) -> tuple[int, bytes, Any]:
        async with self._requests.request(
            call.method,
            _url(self._access.url, call),
            data=_payload(call.body),
            headers=headers,
            allow_redirects=False,
            proxy=self._access.proxy,
            server_hostname=self._access.server_name,
            timeout=_NO_TOTAL,
        ) as answer:
            return answer.status, await _bounded(answer), answer.headers

    def _judge(self, call: Call, code: int, body: bytes, headers: Any) -> Reply:
        self._standing.requests[call.verb, str(code)] += 1
        if code == 429:
            pause = retry_after(headers.get("Retry-After"), self._clock.now())
            self._pace.throttled(pause)
            raise _Throttled(refusal(code, body, call.context, retry_after=pause))
        self._pace.served()
        if code in {200, 201, 202, 304}:
            self._standing.accepted()
            said = tuple(headers.getall("Warning", ()))
            return Reply(code, body, said, headers.get("ETag", ""))
        self._standing.reached()
        pause = retry_after(headers.get("Retry-After"), self._clock.now())
        refused = refusal(code, body, call.context, retry_after=pause)
        if code == 401:
            self._standing.refused(refused.message)
        raise refused

    @asynccontextmanager
    async def stream(self, call: Call, *, silence: float) -> AsyncIterator[AsyncIterator[bytes]]:
        """Lines of a watch. No limit in all; ``silence`` seconds without a byte end it.

        Raises like :meth:`send`, but never retries; trouble while reading is ClusterUnavailable.
        """
        headers = await self._headers(call)
        try:
            async with self._watches.request(
                call.method,
                _url(self._access.url, call),
                headers=headers,
                allow_redirects=False,
                proxy=self._access.proxy,
                server_hostname=self._access.server_name,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=silence),
            ) as answer:
                if answer.status != 200:
                    self._judge(call, answer.status, await _bounded(answer), answer.headers)
                else:
                    self._standing.requests[call.verb, "200"] += 1
                self._standing.accepted()
                try:
                    yield _lines(answer)
                finally:
                    _abort(answer)
        except (OSError, TimeoutError, aiohttp.ClientError) as lost:
            self._lost(call, lost)

    async def _headers(self, call: Call) -> CIMultiDict[str]:
        headers = CIMultiDict({"Accept": call.accept, "User-Agent": "gitops-controller"})
        if call.body is not None:
            headers["Content-Type"] = call.content_type
        if call.etag:
            headers["If-None-Match"] = call.etag
        if authorization := await self._access.authorization():
            headers["Authorization"] = authorization
        for name, value in impersonation(call.run_as):
            headers.add(name, value)
        return headers

    def _lost(self, call: Call, lost: BaseException) -> NoReturn:
        self._standing.requests[call.verb, "lost"] += 1
        message = f"the API server at {self._access.url} {_reason(lost)}"
        if isinstance(lost, aiohttp.ClientConnectorCertificateError):
            self._standing.refused(message)
            raise ClusterRefused(
                message,
                code=0,
                hint="its CA must be the one the kubeconfig names",
                place=call.context.place,
            ) from lost
        self._standing.unreachable(message)
        if isinstance(lost, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
            raise _Unsent(message, place=call.context.place) from lost
        if call.writes:
            raise AnswerLost(
                f"{message}; the write was sent and may have happened", place=call.context.place
            ) from lost
        raise ClusterUnavailable(message, place=call.context.place) from lost

    async def close(self) -> None:
        await self._requests.close()
        await self._watches.close()
        # What was cut off in mid-request waits up to half a minute for the server's TLS farewell,
        # and a command's loop ends right after this: our side hears the end at once instead.
        for _ in range(_FAREWELL_LOOKS):
            await asyncio.sleep(0)
            if not (still := [made for made in self._sockets if made.fileno() != -1]):
                return
            for made in still:
                with suppress(OSError):  # it has ended by itself
                    made.shutdown(socket.SHUT_RDWR)
            await asyncio.sleep(0.01)

    def _socket(self, address: Any) -> socket.socket:
        """A peer that vanished without a word is noticed by the kernel after about a minute."""
        family, kind, protocol = address[0], address[1], address[2]
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, option):
                made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self._sockets.add(made)
        return made


def impersonation(run_as: str) -> tuple[tuple[str, str], ...]:
    """Headers that make the API server judge us as a service account. Its groups are not named:
    the server adds them itself, and naming them would take the right to impersonate groups."""
    if not run_as:
        return ()
    if not _ACCOUNT.fullmatch(run_as):
        raise ConfigError(
            f"runAs {run_as!r} is no service account", hint="write it as NAMESPACE/NAME"
        )
    namespace, name = run_as.split("/")
    return (("Impersonate-User", f"system:serviceaccount:{namespace}:{name}"),)


def retry_after(header: str | None, now: float) -> float | None:
    """Seconds from a ``Retry-After`` header (RFC 9110: seconds or a date); None without one."""
    if not header:
        return None
    if header.strip().isdigit():
        return float(header[:9])
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except ValueError:
        return None


class _Throttled(ClusterUnavailable):
    """A 429."""

    def __init__(self, error: GitopsError) -> None:
        super().__init__(
            error.message, place=error.place, retry_after=getattr(error, "retry_after", None)
        )


class _Unsent(ClusterUnavailable):
    """No connection came about."""


def _pause(retry_after: float | None, otherwise: float) -> float:
    """At least what the server asked for; up to half more, or all return in the same instant."""
    asked = min(LONGEST_HOLD, otherwise if retry_after is None else retry_after)
    return asked * (1 + random.random() / 2)  # noqa: S311


def _url(base: str, call: Call) -> URL:
    query = f"?{urlencode(call.query)}" if call.query else ""
    return URL(f"{base}{call.path}{query}", encoded=True)


def _abort(answer: aiohttp.ClientResponse) -> None:
    """An unfinished watch is dropped without a TLS farewell, which could take half a minute."""
    connection = answer.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    """Large bodies as a file, which aiohttp sends in pieces; it warns of anything else."""
    return io.BytesIO(body) if body is not None and len(body) > _IN_ONE_PIECE else body


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    parts = []
    size = 0
    async for chunk in answer.content.iter_any():
        size += len(chunk)
        if size > LARGEST_ANSWER:
            answer.close()
            raise ClusterUnavailable(f"an answer is larger than {LARGEST_ANSWER >> 20} MiB")
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """aiohttp's own line reader gives up at 128 KiB; an object may have 1.5 MiB."""
    rest = b""
    async for chunk in answer.content.iter_any():
        rest += chunk
        if b"\n" not in chunk:
            if len(rest) > LARGEST_ANSWER:
                raise ClusterUnavailable("a watch event is larger than we take")
            continue
        *whole, rest = rest.split(b"\n")
        for line in whole:
            if line:
                yield line


def _reason(lost: BaseException) -> str:
    cause = lost.__cause__ or lost
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"shows a certificate we do not trust ({cause.verify_message})"
    if isinstance(lost, TimeoutError):
        return "did not answer in time"
    if isinstance(cause, ConnectionRefusedError):
        return "refuses connections"
    if isinstance(cause, socket.gaierror):
        return "has a name that does not resolve"
    return f"broke the connection off ({type(lost).__name__})"
