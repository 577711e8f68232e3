"""Fetches charts from chart repositories and OCI registries: pinned, and from allowed hosts only.

A version alone can be published again with other content, so a digest is required and what does not
match it is refused. The archive is kept under its digest; a chart is fetched once. Hosts come from
the operator's fleet file alone; what they answer is fetched through :mod:`gitops.egress`. Called by
the helm renderer; the only part of rendering that opens a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from gitops import yamlio
from gitops.egress.addresses import Reach, is_loopback, reach_of
from gitops.egress.answers import failure
from gitops.egress.client import Client, opened, shown
from gitops.egress.registry import DIGEST, Reference, Registry, parse_reference
from gitops.errors import RenderError, SourceProblem, SourceUnavailable
from gitops.model.source import SourceState
from planners.render import charts

MAX_INDEX = 32 << 20
INDEX_NODES = 4_000_000
_CONTENT = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


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
        if not DIGEST.fullmatch(pin.digest):
            raise RenderError(
                f"the chart {pin} is not pinned by a digest",
                hint="add `digest: sha256:…` as the registry or the repository's index shows it",
                place=pin.place,
            )
        if not pin.version:
            raise RenderError(f"the chart {pin.name} has no version", place=pin.place)
        self._allow(_http(pin.repository), pin)

    def _allow(self, url: str, pin: Pin) -> Reach:
        """What may be connected to for this URL, if its host may be asked at all."""
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
        if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
            raise RenderError(f"charts come over https, not {parts.scheme}", place=pin.place)
        # The operator wrote the host down: one in a network of their own is meant.
        return reach_of(host, private=True)

    # --- chart repositories ---

    async def _index(self, pin: Pin) -> bytes:
        base = pin.repository.rstrip("/") + "/"
        with _told(pin):
            async with opened(lambda url: self._allow(url, pin)) as client:
                raw = await _get(client, urljoin(base, "index.yaml"), MAX_INDEX)
                entry = await asyncio.to_thread(_entry, raw, pin)
                url = urljoin(base, _address(entry, pin))
                archive = await _get(client, url, charts.MAX_ARCHIVE)
        _verify(archive, pin.digest, pin)
        return archive

    # --- registries ---

    async def _oci(self, pin: Pin) -> bytes:
        with _told(pin):
            async with opened(lambda url: self._allow(url, pin)) as client:
                registry = Registry(client, _reference(pin), token_host=None)
                _, manifest = await registry.manifest(pin.digest)
                return await registry.blob(_layer(manifest, pin), charts.MAX_ARCHIVE)

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
    return f"{'http' if is_loopback(host) else 'https'}://{rest}"


def _reference(pin: Pin) -> Reference:
    try:
        return parse_reference(f"{pin.repository.rstrip('/')}/{pin.name}")
    except ValueError as error:
        raise RenderError(f"the chart's address {error}", place=pin.place) from error


def _layer(manifest: Mapping[str, Any], pin: Pin) -> str:
    try:
        found = [each["digest"] for each in manifest["layers"] if each["mediaType"] == _CONTENT]
    except (KeyError, TypeError) as error:
        raise RenderError(f"{pin} is no manifest of a chart", place=pin.place) from error
    if len(found) != 1 or not DIGEST.fullmatch(str(found[0])):
        raise RenderError(f"{pin} is no chart", place=pin.place)
    return str(found[0])


def _address(entry: Mapping[str, Any], pin: Pin) -> str:
    """Where an index says the archive is, if it still is the one pinned."""
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
    return urls[0]


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


async def _get(client: Client, url: str, limit: int) -> bytes:
    answer = await client.ask(url, limit=limit)
    if answer.status != 200:
        raise failure(answer, "such file", shown(url))
    return answer.body


@contextlib.contextmanager
def _told(pin: Pin) -> Iterator[None]:
    """A chart that cannot be had is a problem of whoever names it, and said there."""
    try:
        yield
    except SourceProblem as error:
        hint = error.hint
        if error.state is SourceState.REFUSED:
            hint = "charts are fetched without credentials: copy the chart into the repository"
        raise RenderError(f"{pin}: {error.message}", hint=hint, place=pin.place) from error
    except SourceUnavailable as error:
        message = f"{pin}: {error.message}"
        raise SourceUnavailable(message, place=pin.place, retry_after=error.retry_after) from error
