"""Sessions of browsers: kept by us, known by a random cookie, ended whenever we say so.

What the cookie holds is stored as a hash, so a copy of the database signs nobody in. A session gets
a new id whenever somebody signs in (fixation, CWE-384), ends when it is not used, and in any case.
Used by the guard and the sign-in routes.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from gitops.engine.ledger import Ledger
from gitops.errors import GitopsError
from gitops.jsonable import from_json, to_json
from gitops.model.ids import PersonName
from gitops.model.serving import SignInSpec
from gitops.ports import Clock, Transaction

OWNER = "web/session"
MOST = 10_000
"""Sessions looked through when they are listed or ended."""
TOUCH = 60.0
"""Seconds of use that are not written down."""


@dataclass(frozen=True, slots=True)
class Session:
    """One browser's. ``person`` is None for somebody the fleet file does not know."""

    person: PersonName | None
    name: str
    """How the identity provider calls them: foreign text."""
    groups: tuple[str, ...]
    """Of the identity provider."""
    csrf: str
    way: str
    """``local`` or ``oidc``."""
    made: float
    seen: float
    subject: str = ""
    """``ISSUER|SUBJECT``; empty for who signed in with a password."""


class Sessions:
    def __init__(self, ledger: Ledger, clock: Clock, spec: Callable[[], SignInSpec]) -> None:
        self._ledger, self._clock, self._spec = ledger, clock, spec

    async def begin(
        self,
        person: PersonName | None,
        way: str,
        *,
        subject: str = "",
        name: str = "",
        groups: Sequence[str] = (),
        instead_of: str = "",
    ) -> str:
        """The cookie of a new session; the one the browser had before is over."""
        cookie, now = secrets.token_urlsafe(32), self._clock.now()
        made = Session(
            person, name, tuple(groups), secrets.token_urlsafe(24), way, now, now, subject
        )
        old = now - self._spec().idle.total_seconds() - 2 * TOUCH

        def work(tx: Transaction) -> None:
            tx.forget_memos(OWNER, old)
            tx.memorise(OWNER, _key(cookie), _text(made))
            if instead_of:
                tx.memorise(OWNER, _key(instead_of), None)

        await self._ledger.write(work)
        return cookie

    async def of(self, cookie: str, *, used: bool = True) -> Session | None:
        """The session a cookie belongs to, while it lasts; ``used``: by a person."""
        key = _key(cookie)
        text = await self._ledger.read(lambda reading: reading.memo(OWNER, key))
        found = _session(text) if text else None
        if found is None or not self._lasts(found):
            return None
        if used and self._clock.now() - found.seen > TOUCH:
            await self._touch(key)
        return found

    async def _touch(self, key: str) -> None:
        now = self._clock.now()

        def work(tx: Transaction) -> None:
            text = tx.memo(OWNER, key)
            if text is not None:  # else it was ended meanwhile, and stays so
                tx.memorise(OWNER, key, _text(replace(_session(text), seen=now)))

        # Who only looks is let look where nothing can be written now.
        with suppress(GitopsError):
            await self._ledger.write(work)

    def _lasts(self, session: Session) -> bool:
        spec, now = self._spec(), self._clock.now()
        used = now - session.seen <= spec.idle.total_seconds()
        return used and now - session.made <= spec.longest.total_seconds()

    async def end(self, cookie: str) -> None:
        await self._forget((_key(cookie),))

    async def end_all(self, person: PersonName) -> int:
        """Every session of a person; how many there were."""
        theirs = [key for key, session in await self._all() if session.person == person]
        await self._forget(theirs)
        return len(theirs)

    async def listed(self) -> Sequence[Session]:
        """Those that last, last used first."""
        return [session for _, session in await self._all() if self._lasts(session)]

    async def _forget(self, keys: Sequence[str]) -> None:
        def work(tx: Transaction) -> None:
            for key in keys:
                tx.memorise(OWNER, key, None)

        await self._ledger.write(work)

    async def _all(self) -> Sequence[tuple[str, Session]]:
        rows = await self._ledger.read(lambda reading: reading.memos(OWNER, limit=MOST))
        return [(row.key, _session(row.value)) for row in rows]


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()


def _text(session: Session) -> str:
    return json.dumps(to_json(session))


def _session(text: str) -> Session:
    return from_json(Session, json.loads(text))
