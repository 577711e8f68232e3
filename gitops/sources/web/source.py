"""Looks at a web host: whether it has something new, and what.

Built by the package's ``build``. A host is asked "still the same?" by its own marks (``ETag``, else
``Last-Modified``: RFC 9110 section 13), but what is new is decided by the digest of the bytes, and
every so often the whole is asked for, since hosts and caches in front of them are wrong at times.
Nothing is kept of a look that went wrong, its marks included: the next one asks for the same again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime

from gitops.egress.addresses import Reach
from gitops.egress.answers import Answer, failure
from gitops.egress.client import Client, Garbled, Patience, opened
from gitops.errors import ConfigError, SourceProblem, SourceUnavailable
from gitops.model.fleet import GitCredentials
from gitops.model.ids import PersonName
from gitops.model.source import Authorship, Read, Revision, SourceState
from gitops.ports import Look
from gitops.secrets import read_secret
from gitops.sources.fetched import Bounds, unfit
from gitops.sources.fetched.kept import Head, Kept
from gitops.sources.fetched.packs import PackSnapshot, PackWriter
from gitops.sources.fetched.unpack import unpack
from gitops.sources.web.address import Site
from gitops.sources.web.listing import refuse_binary, refuse_page, sums
from gitops.sources.web.signatures import MAX_SIGNATURE, Verifier

_TOGETHER = 8
"""Files of a folder fetched at one time."""
_ETAG = re.compile(r'(W/)?"[\x21\x23-\x7e]{0,1000}"')
"""RFC 9110 section 8.8.3, without what only old hosts send."""
_SETTLED = 2.0
"""Seconds: a file changed less than this before it was sent may have changed again within the same
second, which its ``Last-Modified`` would not show (RFC 9110 section 8.8.2.2)."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What is asked for, and what is taken."""

    site: Site
    credentials: GitCredentials = GitCredentials()
    allow_local: bool = False
    patience: Patience = Patience()
    bounds: Bounds = Bounds()
    strip: int = 0
    pin: str = ""
    """``sha256:…`` of the only content taken."""
    full_every: int = 20

    def permit(self, url: str) -> Reach:
        return self.site.permit(url, allow_local=self.allow_local)


class WebSource:
    """Plays ports.Source. A look costs one request; a folder's also one for each new file."""

    def __init__(
        self,
        asking: Asking,
        kept: Kept,
        verifier: Verifier | None,
        authors: tuple[PersonName, ...] = (),
    ) -> None:
        self._asking = asking
        self._site = asking.site
        self._kept = kept
        self._verifier = verifier
        self._authors = authors
        self._believed = 0
        """How often the host was believed in a row that nothing changed."""
        self._busy = asyncio.Lock()

    async def look(self, last: Revision | None) -> Look:
        """The host's present state; it has no history, so nothing is ever rewritten."""
        del last
        seconds = self._asking.patience.timeout
        try:
            async with self._busy, asyncio.timeout(seconds):
                return Look(self._kept.revision((await self._look()).revision))
        except TimeoutError as error:
            message = f"the look was not done in {seconds:g} s"
            raise SourceUnavailable(message, place=self._site.asked) from error

    async def snapshot(self, revision: Revision) -> PackSnapshot:
        """Raises SourceProblem for a state that is not kept any more."""
        return await self._kept.snapshot(revision)

    async def authorship(
        self, since: Revision | None, until: Revision, reads: Sequence[Read]
    ) -> Authorship:
        """The persons of ``authors:``; a web host knows nobody."""
        del since, reads
        return await self._kept.authorship(self._authors, until, "a web host")

    async def retain(self, wanted: Sequence[Revision]) -> None:
        """See ports.Retaining."""
        await self._kept.retain(wanted)

    async def _look(self) -> Head:
        known = await self._kept.head()
        if known is not None and known.fetched == self._asking.pin:
            return known  # pinned: nothing the host may say now is wanted
        asking = self._asking
        async with opened(
            asking.permit, ca_file=asking.credentials.ca_file, patience=asking.patience
        ) as client:
            visit = _Visit(self, client, self._authorization())
            answer = await visit.asked(known if self._believed < asking.full_every - 1 else None)
            if answer is None:
                assert known is not None
                self._believed += 1
                return known
            head = await self._taken(visit, answer, known)
        self._believed = 0
        return head

    async def _taken(self, visit: _Visit, answer: Answer, known: Head | None) -> Head:
        place = self._site.asked
        refuse_page(answer.body, answer.headers.get("content-type", ""), place)
        digest = f"sha256:{hashlib.sha256(answer.body).hexdigest()}"
        head = replace(_marks(answer), fetched=digest)
        if known is not None and known.fetched == digest:
            head = replace(head, revision=known.revision)
            if head != known:
                await self._kept.note(head)
            return head
        if self._asking.pin not in ("", digest):
            raise unfit(
                f"the content has the digest {digest}, not the pinned one",
                place,
                "look at what changed, then pin its digest",
            )
        notes = await self._verified(visit, answer.body, place)
        if self._site.kind == "folder":
            held = None if known is None else self._kept.opened(known.revision)
            return await self._folder(visit, answer.body, head, notes, held)
        return await self._kept.keep(
            replace(head, revision=digest), lambda writer: self._fill(writer, answer.body, notes)
        )

    async def _verified(self, visit: _Visit, content: bytes, place: str) -> Mapping[str, str]:
        if self._verifier is None:
            return {}
        url = self._site.asked + self._verifier.ending
        try:
            signature = await visit.get(url, MAX_SIGNATURE, "signature")
        except SourceProblem as error:
            if error.state is SourceState.GONE:
                message = f"the content is not signed: there is no {url.rpartition('/')[2]}"
                raise unfit(message, place, error.hint) from error
            raise
        return {"signed": await self._verifier.verify(content, signature.body, place)}

    def _fill(self, writer: PackWriter, body: bytes, notes: Mapping[str, str]) -> Mapping[str, str]:
        asking, place = self._asking, self._site.asked
        if self._site.format is None:
            refuse_binary(body, place)
            writer.add(self._site.name, body)
        else:
            unpack(body, self._site.format, writer, asking.bounds, place, asking.strip)
        return notes

    # --- folders --------------------------------------------------------------------------------

    async def _folder(
        self,
        visit: _Visit,
        listed: bytes,
        head: Head,
        notes: Mapping[str, str],
        held: PackSnapshot | None,
    ) -> Head:
        """``held``: the last state, of which only what changed is fetched."""
        site, bounds = self._site, self._asking.bounds
        wanted = await asyncio.to_thread(sums, listed, site.name, bounds, site.asked)
        here = held.digests() if held is not None else {}
        missing = {digest: path for path, digest in wanted.items() if digest not in here}
        fetched = await visit.files(missing)

        def fill(writer: PackWriter) -> Mapping[str, str]:
            for path, digest in wanted.items():
                content = fetched.get(digest)
                if content is None and held is not None:
                    content = held.by_sha256(digest)
                if content is None:
                    raise unfit("the copy kept of it is damaged", self._site.beside(path))
                writer.add(path, content)
                if writer.size > self._asking.bounds.unpacked:
                    limit = self._asking.bounds.unpacked >> 20
                    raise unfit(f"the folder holds over {limit} MiB", self._site.asked)
            return notes

        return await self._kept.keep(head, fill)

    # --- asking ---------------------------------------------------------------------------------

    def _authorization(self) -> dict[str, str]:
        """Read anew at each look, so that a rotated token is found."""
        given = self._asking.credentials
        if given.token is None:
            return {}
        try:
            token = read_secret(given.token).strip()
        except ConfigError as error:
            raise SourceProblem(
                error.message, state=SourceState.REFUSED, hint=error.hint, place=self._site.asked
            ) from error
        if not token.isprintable():
            message = "the token holds characters that cannot be sent"
            raise SourceProblem(message, state=SourceState.REFUSED, place=self._site.asked)
        if given.username:
            pair = base64.b64encode(f"{given.username}:{token}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}  # RFC 7617
        return {"Authorization": f"Bearer {token}"}  # RFC 6750

    @property
    def asking(self) -> Asking:
        return self._asking


@dataclass(frozen=True, slots=True)
class _Visit:
    """One look's requests."""

    source: WebSource
    client: Client
    authorization: Mapping[str, str]

    async def asked(self, known: Head | None) -> Answer | None:
        """The present content; None when the host says it is the known one."""
        site, limit = self.source.asking.site, self.source.asking.bounds.fetched
        condition = _condition(known) if known is not None else {}
        try:
            answer = await self._ask(site.asked, limit, condition)
        except Garbled:
            if not condition:
                raise
            # Some hosts send a body with 304, which garbles the line.
            condition, answer = {}, await self._ask(site.asked, limit, {})
        if answer.status == 304 and condition:
            return None
        if answer.status == 304:
            # It was asked for the whole: some cache answers for it.
            answer = await self._ask(site.asked, limit, {"Cache-Control": "no-cache"})
        if answer.status == 304:
            raise unfit("the host answers “not modified” to whoever has nothing", site.asked)
        self._whole(answer, site.asked, site.name)
        return answer

    async def get(self, url: str, limit: int, what: str) -> Answer:
        """Something beside it. Raises SourceProblem for anything but the whole."""
        answer = await self._ask(url, limit, {})
        self._whole(answer, url, what)
        return answer

    async def files(self, missing: Mapping[str, str]) -> Mapping[str, bytes]:
        """Content by digest, of paths by digest."""
        found: dict[str, bytes] = {}
        pending, size = list(missing.items()), 0

        async def work() -> None:
            nonlocal size
            while pending:
                digest, path = pending.pop()
                found[digest] = await self._file(path, digest, size)
                size += len(found[digest])

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(_TOGETHER, len(pending))):
                    group.create_task(work())
        except BaseExceptionGroup as error:
            raise error.exceptions[0] from error
        return found

    async def _file(self, path: str, digest: str, so_far: int) -> bytes:
        asking = self.source.asking
        url = asking.site.beside(path)
        left = min(asking.bounds.file, asking.bounds.fetched - so_far)
        body = (await self.get(url, max(left, 0), "such file")).body
        if hashlib.sha256(body).hexdigest() != digest:
            raise unfit(
                f"the file is not the one {asking.site.name} lists",
                url,
                "is somebody uploading? Upload the files first, then the list",
            )
        return body

    async def _ask(self, url: str, limit: int, headers: Mapping[str, str]) -> Answer:
        sent = {**self.authorization, **headers}
        return await self.client.ask(url, limit=limit, headers=sent)

    def _whole(self, answer: Answer, place: str, what: str) -> None:
        if answer.status != 200:
            raise failure(answer, what, place)
        if not answer.delimited:
            raise unfit("the host does not say where its answer ends", place, _LENGTH)
        coding = answer.headers.get("content-encoding", "identity").strip().lower()
        # Some hosts call a .gz file one that they compressed.
        if coding not in ("identity", "") and self.source.asking.site.format is None:
            raise unfit("the host compresses what was asked for as it is", place)


_LENGTH = "let it send Content-Length: without it an answer cut short looks whole"


def _condition(known: Head) -> dict[str, str]:
    if known.etag:
        return {"If-None-Match": known.etag}
    return {"If-Modified-Since": known.modified} if known.modified else {}


def _marks(answer: Answer) -> Head:
    etag = answer.headers.get("etag", "")
    modified = answer.headers.get("last-modified", "")
    try:
        date = parsedate_to_datetime(answer.headers.get("date", ""))
        settled = (date - parsedate_to_datetime(modified)).total_seconds() >= _SETTLED
    except (ValueError, TypeError, OverflowError):
        settled = False
    return Head("", "", etag if _ETAG.fullmatch(etag) else "", modified if settled else "")
