"""The one way every forge is asked: bounded, judged, tried again where that can help, then rested.

A client opens an errand for each thing it does (:meth:`Line.errand`); connections live no longer.
What a forge may do to us ends here: pages and redirects that lead elsewhere, answers without end,
HTML where JSON was documented, hours of 503. What it may cost others too: a forge that does not
answer rests, and whoever asks meanwhile is told so at once. No message holds a token, a header or
a text of the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

from gitops.egress.addresses import Reach, is_loopback, origin, reach_of, split
from gitops.egress.answers import LONGEST_WAIT, Answer, TooLarge, retry_after
from gitops.egress.client import Client, Patience, opened, shown
from gitops.errors import GitopsError, Permanent, SourceProblem, SourceUnavailable, Transient
from gitops.forges.settings import Sign, Target
from gitops.forges.shapes import read
from gitops.model.source import SourceState
from gitops.ports.forges import Overfull

T = TypeVar("T")

LIMIT = 4 << 20
"""Bytes of one answer; a page of a hundred pull requests is a tenth of it."""
PATIENCE = Patience(timeout=15.0, stall=10.0)
MOST_PAGES = 20
PAGE = 100
SMALL_PAGE = 8
"""Entries, where a hundred of them are over :data:`LIMIT`: texts people write have 64 Ki
characters at GitHub, each up to six bytes in JSON."""
MOST_PULLS = 20
"""Pull requests one commit may be in."""
TRIES = 3
FIRST_PAUSE = 0.3
SHORTEST_REST = 5.0
LONGEST_REST = 120.0
UNTOLD_REST = 60.0
"""Seconds; GitHub asks for a minute where a secondary limit names no time (its documentation,
"Rate limits for the REST API", exceeding the rate limit)."""
_NEXT = re.compile(r"<([^<>]*)>((?:\s*;[^,<]*)*)")
_IS_NEXT = re.compile(r';\s*rel\s*=\s*"?next"?\s*(;|\Z)', re.I)

Query = Mapping[str, str | int]
Pause = Callable[[float], Any]


class Missing(Permanent):
    """404: it is not there, or not for us to see."""


class Denied(Permanent):
    """403: these credentials may not."""


class Unfit(Permanent):
    """400 or 422: the forge does not take it. ``said`` is for the client, never for people."""

    def __init__(self, message: str, *, said: bytes, place: str) -> None:
        super().__init__(message, place=place)
        self.said = said


class Busy(Transient):
    """409: something else is under way."""


class Line:
    """How one API is asked. Keeps nothing but how long it has to rest."""

    def __init__(
        self,
        target: Target,
        sign: Sign,
        *,
        ca_file: Path | None = None,
        headers: Mapping[str, str] | None = None,
        patience: Patience = PATIENCE,
    ) -> None:
        self.api = target.api
        self.place = shown(target.api)
        self._sign = sign
        self._ca_file = ca_file
        self._headers = {"Accept": "application/json", **(headers or {})}
        self._patience = patience
        host = split(target.api).hostname or ""
        self._reach = reach_of(host, private=not target.public, loopback=is_loopback(host))
        self._rest_until = 0.0
        self._failures = 0

    @contextlib.asynccontextmanager
    async def errand(self) -> AsyncIterator[Errand]:
        """Raises Transient at once while the forge rests."""
        left = self._rest_until - time.monotonic()
        if left > 0:
            raise Transient(
                "the forge did not answer a moment ago", place=self.place, retry_after=left
            )
        try:
            signed = {**self._headers, **await self._sign()}
            async with opened(
                self._permit, ca_file=self._ca_file, patience=self._patience
            ) as client:
                yield Errand(self, client, signed)
        except TooLarge as error:
            raise Overfull(error.message, place=self.place) from error
        except SourceProblem as error:
            raise Permanent(error.message, hint=_hint(error), place=self.place) from error
        except Transient as error:
            self._rest(error)
            raise Transient(
                error.message, hint=error.hint, place=self.place, retry_after=error.retry_after
            ) from error
        self._failures = 0

    def judge(self, answer: Answer) -> GitopsError:
        """What an answer that is no success means."""
        status, told = answer.status, answer.headers
        if status == 401:
            hint = "check the token: that it is the right one, and its expiry"
            return Permanent("the forge refuses the credentials (401)", hint=hint, place=self.place)
        if status in (403, 429) and (pause := _limited(status, told, answer.body)) is not None:
            return Transient(
                f"the forge asks us to wait ({status})", place=self.place, retry_after=pause
            )
        if status == 403:
            hint = "check what the token may do; README says what is needed"
            return Denied("the forge does not permit this (403)", hint=hint, place=self.place)
        if status in (404, 410):
            hint = "check the repository, and that the token may see it"
            return Missing(f"the forge knows no such thing ({status})", hint=hint, place=self.place)
        return self._rarer(answer)

    def _rarer(self, answer: Answer) -> GitopsError:
        status = answer.status
        if status == 409:
            return Busy("the forge is busy with the same thing (409)", place=self.place)
        if status >= 500:
            pause = retry_after(answer.headers.get("retry-after", ""), time.time())
            return Transient(f"the forge answered {status}", place=self.place, retry_after=pause)
        words = f"the forge does not take it ({status})"
        return Unfit(words, said=answer.body[:10_000], place=self.place)

    def _permit(self, url: str) -> Reach:
        """Pages and redirects stay with the API they were asked of."""
        try:
            same = origin(url) == origin(self.api)
        except ValueError:
            same = False
        if not same:
            raise SourceProblem(
                "the forge sends us to another host, which is not followed",
                state=SourceState.REFUSED,
                hint="check the address under `forge:` `api:`",
            )
        return self._reach

    def _rest(self, error: Transient) -> None:
        """A limit rests the forge at once, silence from its second time on."""
        if isinstance(error, Busy):
            return
        self._failures += 1
        pause = error.retry_after
        if pause is None:
            if self._failures < 2:
                return
            pause = min(SHORTEST_REST * 2 ** (self._failures - 2), LONGEST_REST)
            error.retry_after = pause
        self._rest_until = time.monotonic() + pause


@dataclass(frozen=True, slots=True)
class Page:
    """One page and the address of the one after it."""

    answer: Answer
    after: str = ""


class Errand:
    """Connections and signature of one errand."""

    def __init__(self, line: Line, client: Client, headers: Mapping[str, str]) -> None:
        self._line = line
        self._client = client
        self._headers = headers

    async def ask(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        send: Mapping[str, Any] | None = None,
        again: bool | None = None,
    ) -> Answer:
        """A success (2xx). ``path`` is beneath the API, its foreign parts quoted by the caller.

        What is idempotent is tried again: everything but POST and PATCH, and those with ``again``.
        Raises Missing, Denied, Unfit, Busy, Permanent, Transient.
        """
        url = f"{self._line.api}{path}" + (f"?{urlencode(query)}" if query else "")
        return await self._ask(method, url, send, method not in ("POST", "PATCH") or bool(again))

    async def read(self, kind: type[T], path: str, *, query: Query | None = None) -> T:
        """A value the forge documents. Raises as :meth:`ask`, and Permanent for another shape."""
        return read(kind, (await self.ask("GET", path, query=query)).body)

    async def pages(
        self, path: str, *, query: Query | None = None, most: int = MOST_PAGES
    ) -> AsyncIterator[bytes]:
        """Bodies of the pages that ``Link: …; rel="next"`` leads through (RFC 8288)."""
        url = f"{self._line.api}{path}?{urlencode({'per_page': PAGE, **(query or {})})}"
        for _ in range(most):
            answer = await self._ask("GET", url, None, again=True)
            yield answer.body
            url = next_link(answer.headers.get("link", ""))
            if not url:
                return
            self.beneath(url)
        raise too_many()

    async def follow(self, url: str) -> Answer:
        """The page at an address the forge gave, if it is one of the API."""
        self.beneath(url)
        return await self._ask("GET", url, None, again=True)

    async def listed(self, kind: type[T], path: str, *, query: Query | None = None) -> Sequence[T]:
        """Everything of a list in pages; in small ones where somebody wrote much in it. ``limit``
        is what Gitea calls the size of a page."""
        try:
            return await self._listed(kind, path, query or {}, MOST_PAGES)
        except TooLarge:
            sizes = dict.fromkeys(("per_page", "limit"), SMALL_PAGE)
            most = MOST_PAGES * PAGE // SMALL_PAGE
            return await self._listed(kind, path, {**(query or {}), **sizes}, most)

    async def _listed(self, kind: type[T], path: str, query: Query, most: int) -> Sequence[T]:
        found: list[T] = []
        async for body in self.pages(path, query=query, most=most):
            found += read(list[kind], body)  # type: ignore[valid-type]
        return found

    def beneath(self, url: str) -> None:
        """Raises Permanent for a page that is not of this API."""
        if not url.startswith(f"{self._line.api}/") or "/../" in url or not url.isascii():
            raise Permanent("the forge's next page is not at the forge", place=self._line.place)

    async def _ask(
        self, method: str, url: str, send: Mapping[str, Any] | None, again: bool
    ) -> Answer:
        body = None if send is None else json.dumps(send).encode("ascii")
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        for attempt in range(TRIES):
            try:
                answer = await self._client.ask(
                    url, limit=LIMIT, method=method, headers=headers, body=body
                )
            except SourceUnavailable:
                if not again or attempt + 1 == TRIES:
                    raise
            else:
                if 200 <= answer.status < 300:
                    return answer
                problem = self._line.judge(answer)
                waits = isinstance(problem, Transient) and problem.retry_after is None
                if not (waits and again) or attempt + 1 == TRIES:
                    raise problem
            await asyncio.sleep(FIRST_PAUSE * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError("unreachable")


def too_many() -> Overfull:
    return Overfull(f"the forge's list goes on after {MOST_PAGES} pages: it is not read further")


def few(numbers: Sequence[int]) -> Sequence[int]:
    """Pure: the pull requests a commit is in, to be read one by one. Raises Overfull: with some of
    them left out, the one that matters could be among those."""
    if len(numbers) > MOST_PULLS:
        raise Overfull(f"the commit is in {len(numbers)} pull requests: they are not read")
    return numbers


def next_link(header: str) -> str:
    """Pure: the address of the next page in a ``Link`` header; empty if there is none."""
    for found in _NEXT.finditer(header[:8_000]):
        if _IS_NEXT.search(found[2]):
            return found[1]
    return ""


def _limited(status: int, told: Mapping[str, str], body: bytes) -> float | None:
    """Pure: seconds a rate limit asks for; None when it is none. GitHub answers 403 for its limits
    too, the secondary ones sometimes without any header."""
    now = time.time()
    after = retry_after(told.get("retry-after", ""), now)
    if after is not None:
        return max(after, 1.0)
    reset = told.get("x-ratelimit-reset", told.get("ratelimit-reset", ""))
    remaining = told.get("x-ratelimit-remaining", told.get("ratelimit-remaining", ""))
    if remaining == "0" and reset.isascii() and reset.isdigit():
        return min(max(float(reset[:12]) - now, 1.0), LONGEST_WAIT)
    if status == 429 or b"secondary rate limit" in body[:2_000]:
        return UNTOLD_REST
    return None


def _hint(error: SourceProblem) -> str:
    return "" if "allow_local" in error.hint else error.hint
