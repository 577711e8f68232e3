"""Fetches charts from chart repositories and OCI registries: pinned, and from allowed hosts only.

A version alone can be published again with other content, so a digest is required and what does not
match it is refused. The archive is kept under its digest; a chart is fetched once. Hosts come from
the operator's fleet file alone. Called by the helm renderer; the only part of rendering that opens
a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from gitops import yamlio
from gitops.errors import RenderError, SourceUnavailable
from planners.render import charts

if TYPE_CHECKING:
    import aiohttp

MAX_INDEX = 32 << 20
MAX_MANIFEST = 1 << 20
INDEX_NODES = 4_000_000
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_SECONDS = 60.0
_REDIRECTS = 5


@dataclass(frozen=True, slots=True)
class Pin:
    """A chart somewhere else, exactly."""

    repository: str
    """``https://host/path`` of a chart repository, or ``oci://host/path`` without the name."""
    name: str
    version: str
    digest: str
    """``sha256:…``: of the archive, for a registry of the manifest, as ``helm push`` prints it."""
    place: str

    def __str__(self) -> str:
        return f"{self.repository.rstrip('/')}/{self.name}:{self.version}"


class Charts:
    """Pinned charts, kept on disk by digest."""

    def __init__(self, folder: Path, hosts: Sequence[str]) -> None:
        self._folder = folder
        self._hosts = frozenset(host.lower() for host in hosts)
        self._busy: dict[str, asyncio.Lock] = {}

    async def pull(self, pin: Pin) -> bytes:
        """The archive. Raises RenderError (not allowed, not there, other content) or
        SourceUnavailable."""
        self._check(pin)
        async with self._busy.setdefault(pin.digest, asyncio.Lock()):
            held = await asyncio.to_thread(self._held, pin)
            if held is not None:
                return held
            archive = await (self._oci(pin) if _is_oci(pin) else self._index(pin))
            self._verify_version(archive, pin)
            await asyncio.to_thread(self._keep, pin, archive)
            return archive

    def _check(self, pin: Pin) -> None:
        if not _DIGEST.fullmatch(pin.digest):
            raise RenderError(
                f"the chart {pin} is not pinned by a digest",
                hint="add `digest: sha256:…` as the registry or the repository's index shows it",
                place=pin.place,
            )
        if not pin.version:
            raise RenderError(f"the chart {pin.name} has no version", place=pin.place)
        self._allow(_http(pin.repository), pin)

    def _allow(self, url: str, pin: Pin) -> str:
        """The URL itself, if its host may be asked."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        try:
            port = parts.port
        except ValueError as error:
            raise RenderError(f"{pin.repository} is no valid address", place=pin.place) from error
        if parts.username or parts.password:
            raise RenderError("an address of a chart holds a password", place=pin.place)
        if not {host, f"{host}:{port}"} & self._hosts:
            raise RenderError(
                f"the host {host} is not allowed to give us charts",
                hint="add it to `chart_hosts` in the fleet file",
                place=pin.place,
            )
        if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
            raise RenderError(f"charts come over https, not {parts.scheme}", place=pin.place)
        return url

    # --- chart repositories ---

    async def _index(self, pin: Pin) -> bytes:
        base = pin.repository.rstrip("/") + "/"
        async with _session() as session:
            raw = await self._get(session, urljoin(base, "index.yaml"), MAX_INDEX, pin)
            entry = await asyncio.to_thread(_entry, raw, pin)
            said = str(entry.get("digest") or "").removeprefix("sha256:")
            if said and said != pin.digest.removeprefix("sha256:"):
                raise RenderError(
                    f"{pin} now has the digest sha256:{said[:64]}, another than the pinned one",
                    hint="it was published again: look at it, then pin the new digest",
                    place=pin.place,
                )
            urls = entry.get("urls")
            if not isinstance(urls, list) or not urls or not isinstance(urls[0], str):
                raise RenderError(f"the index gives no address for {pin}", place=pin.place)
            url = self._allow(urljoin(base, urls[0]), pin)
            archive = await self._get(session, url, charts.MAX_ARCHIVE, pin)
        _verify(archive, pin.digest, pin)
        return archive

    # --- registries ---

    async def _oci(self, pin: Pin) -> bytes:
        root, repository = _registry(pin)
        async with _session() as session:
            url = f"{root}/v2/{repository}/manifests/{pin.digest}"
            raw = await self._get(session, url, MAX_MANIFEST, pin, accept=_MANIFEST)
            _verify(raw, pin.digest, pin)
            layer = _layer(raw, pin)
            url = f"{root}/v2/{repository}/blobs/{layer}"
            archive = await self._get(session, url, charts.MAX_ARCHIVE, pin)
        _verify(archive, layer, pin)
        return archive

    # --- transport ---

    async def _get(
        self, session: aiohttp.ClientSession, url: str, limit: int, pin: Pin, accept: str = "*/*"
    ) -> bytes:
        import aiohttp  # noqa: PLC0415 — heavy, and only needed when a chart is fetched

        headers = {"Accept": accept}
        try:
            for _ in range(_REDIRECTS):
                async with session.get(url, headers=headers, allow_redirects=False) as answer:
                    if answer.status in (301, 302, 303, 307, 308):
                        url = self._allow(urljoin(url, answer.headers.get("Location", "")), pin)
                        headers.pop("Authorization", None)
                        continue
                    if answer.status == 401 and "Authorization" not in headers:
                        challenge = answer.headers.get("WWW-Authenticate", "")
                        headers["Authorization"] = await self._token(session, challenge, pin)
                        continue
                    return await _body(answer, limit, pin)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise SourceUnavailable(
                f"the host {urlsplit(url).hostname} does not answer", place=pin.place
            ) from error
        raise RenderError(f"{pin} redirects without end", place=pin.place)

    async def _token(self, session: aiohttp.ClientSession, challenge: str, pin: Pin) -> str:
        """An anonymous token, as public registries hand out."""
        fields = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if not challenge.lower().startswith("bearer ") or "realm" not in fields:
            raise RenderError(
                f"{pin} needs credentials",
                hint="copy the chart into the repository",
                place=pin.place,
            )
        query = {key: fields[key] for key in ("service", "scope") if key in fields}
        url = self._allow(fields["realm"], pin)
        async with session.get(url, params=query, allow_redirects=False) as answer:
            given = json.loads(await _body(answer, MAX_MANIFEST, pin))
        token = given.get("token") or given.get("access_token") if isinstance(given, dict) else None
        if not isinstance(token, str):
            raise RenderError(f"{pin} needs credentials", place=pin.place)
        return f"Bearer {token}"

    # --- disk ---

    def _file(self, pin: Pin) -> Path:
        """By all of the pin: a registry's digest names a manifest, the archive has another."""
        name = hashlib.sha256(f"{pin.repository}\0{pin.name}\0{pin.digest}".encode()).hexdigest()
        return self._folder / f"{name}.tgz"

    def _held(self, pin: Pin) -> bytes | None:
        try:
            raw = self._file(pin).read_bytes()
        except OSError:
            return None
        said, _, archive = raw.partition(b"\n")
        return archive if hashlib.sha256(archive).hexdigest().encode() == said else None

    def _keep(self, pin: Pin, archive: bytes) -> None:
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".part-", dir=self._folder)
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(archive).hexdigest().encode() + b"\n" + archive)
            Path(name).replace(self._file(pin))

    def _verify_version(self, archive: bytes, pin: Pin) -> None:
        found = charts.meta(charts.unpack(archive, str(pin))["Chart.yaml"], f"{pin}/Chart.yaml")
        if (found.name, found.version) != (pin.name, pin.version):
            raise RenderError(
                f"the digest pinned for {pin} is that of {found.name} {found.version}",
                hint="make version and digest agree",
                place=pin.place,
            )


def _is_oci(pin: Pin) -> bool:
    return pin.repository.startswith("oci://")


def _http(repository: str) -> str:
    if not repository.startswith("oci://"):
        return repository
    rest = repository.removeprefix("oci://")
    host = urlsplit(f"//{rest}").hostname or ""
    return f"{'http' if host in _LOOPBACK else 'https'}://{rest}"


def _registry(pin: Pin) -> tuple[str, str]:
    parts = urlsplit(_http(pin.repository))
    repository = f"{parts.path.strip('/')}/{pin.name}".strip("/")
    if not re.fullmatch(r"[a-z0-9]+([._/-]+[a-z0-9]+)*", repository):
        raise RenderError(f"{repository!r} is no repository of a registry", place=pin.place)
    return f"{parts.scheme}://{parts.netloc}", repository


def _layer(raw: bytes, pin: Pin) -> str:
    try:
        layers = json.loads(raw)["layers"]
        found = [each["digest"] for each in layers if each["mediaType"] == _CONTENT]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise RenderError(f"{pin} is no manifest of a chart", place=pin.place) from error
    if len(found) != 1 or not _DIGEST.fullmatch(str(found[0])):
        raise RenderError(f"{pin} is no chart", place=pin.place)
    return str(found[0])


def _entry(raw: bytes, pin: Pin) -> Mapping[str, Any]:
    place = f"{pin.repository}/index.yaml"
    found = yamlio.documents(raw, place, nodes=INDEX_NODES)
    entries = found[0].value.get("entries") if found else None
    listed = entries.get(pin.name) if isinstance(entries, dict) else None
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict) and str(entry.get("version")) == pin.version:
            return entry
    raise RenderError(f"{pin.repository} has no {pin.name} {pin.version}", place=pin.place)


def _verify(content: bytes, digest: str, pin: Pin) -> None:
    found = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if found != digest:
        raise RenderError(
            f"{pin} has the content {found}, another than the pinned {digest}",
            hint="it was published again, or the pin is wrong: look at it before you pin it",
            place=pin.place,
        )


def _session() -> aiohttp.ClientSession:
    import aiohttp  # noqa: PLC0415 — heavy, and only needed when a chart is fetched

    timeout = aiohttp.ClientTimeout(total=_SECONDS, sock_connect=10, sock_read=20)
    return aiohttp.ClientSession(
        timeout=timeout, trust_env=False, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
    )


async def _body(answer: aiohttp.ClientResponse, limit: int, pin: Pin) -> bytes:
    host = answer.url.host
    if answer.status == 429 or answer.status >= 500:
        raise SourceUnavailable(f"the host {host} answered {answer.status}", place=pin.place)
    if answer.status in (401, 403):
        raise RenderError(
            f"the host {host} refuses {pin}: it needs credentials",
            hint="copy the chart into the repository",
            place=pin.place,
        )
    if answer.status != 200:
        raise RenderError(f"the host {host} answered {answer.status} for {pin}", place=pin.place)
    held = bytearray()
    async for chunk in answer.content.iter_chunked(1 << 16):
        held += chunk
        if len(held) > limit:
            raise RenderError(f"{pin}: the answer is over {limit >> 20} MiB", place=pin.place)
    return bytes(held)
