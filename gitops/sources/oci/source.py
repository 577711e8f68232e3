"""Looks at a tag of a registry: one HEAD request, and the artifact when its digest is another.

Built by the package's ``build``. A manifest's digest names everything beneath it, so that what was
fetched is what the registry named, whoever stored it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitops.egress.addresses import Reach, origin, reach_of
from gitops.egress.client import Patience, opened
from gitops.egress.registry import DIGEST, Login, Reference, Registry
from gitops.errors import ConfigError, SourceProblem, SourceUnavailable
from gitops.foreign import one_line
from gitops.model.fleet import GitCredentials
from gitops.model.ids import PersonName
from gitops.model.source import Authorship, Read, Revision, SourceState
from gitops.ports import Look
from gitops.secrets import read_secret
from gitops.sources.fetched import Bounds, unfit
from gitops.sources.fetched.kept import Head, Kept
from gitops.sources.fetched.packs import PackSnapshot, PackWriter
from gitops.sources.fetched.unpack import Format, unpack

FLUX = "application/vnd.cncf.flux.content.v1.tar+gzip"
"""What ``flux push artifact`` names its one layer (Flux RFC-0003)."""
_TARS = (
    FLUX,
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)


@dataclass(frozen=True, slots=True)
class Pulling:
    """What is asked for, of whom, and what is taken."""

    reference: Reference
    credentials: GitCredentials = GitCredentials()
    allow_local: bool = False
    token_host: str = ""
    blob_hosts: tuple[str, ...] = ()
    patience: Patience = Patience()
    bounds: Bounds = Bounds()
    strip: int = 0

    def permit(self, url: str) -> Reach:
        """The registry, and over https the hosts the operator named beside it."""
        scheme, host, _ = origin(url)
        if origin(url) == origin(self.reference.root):
            return reach_of(host, private=self.allow_local, loopback=self.allow_local)
        named = {self.token_host.lower(), *(each.lower() for each in self.blob_hosts)} - {""}
        if host not in named or scheme != "https":
            raise SourceProblem(
                f"the registry sends us to {one_line(host, 100)}, another host",
                state=SourceState.REFUSED,
                hint="if that is right, permit it: options: {blob_hosts: [HOST]}",
                place=str(self.reference),
            )
        return reach_of(host, private=self.allow_local, loopback=self.allow_local)


class OciSource:
    """Plays ports.Source."""

    def __init__(self, pulling: Pulling, kept: Kept, authors: tuple[PersonName, ...] = ()) -> None:
        self._pulling = pulling
        self._kept = kept
        self._authors = authors
        self._tokens: dict[str, str] = {}
        self._busy = asyncio.Lock()

    async def look(self, last: Revision | None) -> Look:
        """The artifact the tag names at present; with a digest in the address, that one."""
        del last
        seconds = self._pulling.patience.timeout
        try:
            async with self._busy, asyncio.timeout(seconds):
                return Look(self._kept.revision((await self._look()).revision, self._ref))
        except TimeoutError as error:
            message = f"the look was not done in {seconds:g} s"
            raise SourceUnavailable(message, place=self._place) from error

    async def snapshot(self, revision: Revision) -> PackSnapshot:
        """Raises SourceProblem for a state that is not kept any more."""
        return await self._kept.snapshot(revision)

    async def authorship(
        self, since: Revision | None, until: Revision, reads: Sequence[Read]
    ) -> Authorship:
        """The persons of ``authors:``; a registry knows nobody."""
        del since, reads
        return await self._kept.authorship(self._authors, until, "a registry")

    async def retain(self, wanted: Sequence[Revision]) -> None:
        """See ports.Retaining."""
        await self._kept.retain(wanted)

    @property
    def _ref(self) -> str:
        return self._pulling.reference.tag

    @property
    def _place(self) -> str:
        return str(self._pulling.reference)

    async def _look(self) -> Head:
        known, wanted = await self._kept.head(), self._pulling
        if known is not None and known.revision == wanted.reference.digest:
            return known  # pinned
        async with opened(
            wanted.permit, ca_file=wanted.credentials.ca_file, patience=wanted.patience
        ) as client:
            registry = Registry(
                client,
                wanted.reference,
                login=self._login,
                token_host=wanted.token_host,
                tokens=self._tokens,
            )
            digest = await registry.digest()
            if known is not None and known.revision == digest:
                return known
            digest, manifest = await registry.manifest(digest)
            layer, size = _layer(manifest, self._place)
            if size > wanted.bounds.fetched:
                limit = wanted.bounds.fetched >> 20
                raise unfit(f"the artifact is over {limit} MiB", self._place)
            content = await registry.blob(layer, wanted.bounds.fetched)
        return await self._kept.keep(
            Head(digest, digest), lambda writer: self._fill(writer, content)
        )

    def _fill(self, writer: PackWriter, content: bytes) -> Mapping[str, str]:
        wanted = self._pulling
        unpack(content, Format.TAR_GZ, writer, wanted.bounds, self._place, wanted.strip)
        return {}

    def _login(self) -> Login | None:
        """Read when it is asked for, so that a rotated token is found."""
        given = self._pulling.credentials
        if given.token is None:
            return None
        try:
            secret = read_secret(given.token).strip()
        except ConfigError as error:
            raise SourceProblem(
                error.message, state=SourceState.REFUSED, hint=error.hint, place=self._place
            ) from error
        return Login(given.username or "token", secret)


def _layer(manifest: Mapping[str, Any], place: str) -> tuple[str, int]:
    """(digest, bytes) of the one layer that is configuration."""
    layers = manifest.get("layers")
    found = [each for each in layers if isinstance(each, dict)] if isinstance(layers, list) else []
    of_flux = [each for each in found if each.get("mediaType") == FLUX]
    tars = of_flux or [each for each in found if each.get("mediaType") in _TARS]
    if len(tars) != 1:
        kinds = ", ".join(sorted({one_line(str(each.get("mediaType")), 80) for each in found}))
        raise unfit(
            f"the artifact has {len(tars)} layers of tar+gzip; it has to be one",
            place,
            f"it has: {kinds or 'no layer'}. Push it with flux push artifact, or oras push DIR/",
        )
    digest, size = tars[0].get("digest"), tars[0].get("size")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest) or not isinstance(size, int):
        raise unfit("the artifact's manifest is damaged", place)
    return digest, size
