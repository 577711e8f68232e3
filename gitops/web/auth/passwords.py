"""Passwords of people who sign in at the controller itself, and how often somebody guessed.

For the start, and for where there is no identity provider. Argon2id with the parameters of the
OWASP Password Storage Cheat Sheet, in the PHC string format. A guess is counted, durably, *before*
it is looked at, so that killing the controller between two guesses wins nothing (CVE-2024-21652 at
Argo CD was a counter that a crash reset). Used by the sign-in routes and ``gitops user``.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from gitops.engine.ledger import Ledger
from gitops.errors import NotAllowed
from gitops.model.fleet import Fleet
from gitops.model.ids import PersonName
from gitops.ports import Clock, Transaction
from gitops.web.auth.roles import known

T = TypeVar("T")

OWNER, FAILURES = "web/password", "web/failures"
SHORTEST, LONGEST = 12, 256
"""Characters (NIST SP 800-63B asks for at least 8, and that long ones be taken)."""
FREE = 5
"""Wrong guesses before the next one has to wait: 1, 2, 4 … seconds, then :data:`LONGEST_WAIT`."""
LONGEST_WAIT = 900.0
_MEMORY, _PASSES, _LANES = 19_456, 2, 1
"""KiB, iterations, parallelism."""
_AT_ONCE = 2
"""Each takes 19 MiB and a twentieth of a second of a core."""
_NOBODY = "?"


@dataclass(frozen=True, slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next guess is looked at."""
        if self.count < FREE:
            return 0.0
        pause = min(2.0 ** min(self.count - FREE, 20), LONGEST_WAIT)
        return max(0.0, self.last + pause - now)


class Passwords:
    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def set(self, fleet: Fleet, person: PersonName, password: str) -> None:
        """Raises NotAllowed for a stranger, or a password too short or too long."""
        known(fleet, person)
        if not SHORTEST <= len(password) <= LONGEST:
            raise NotAllowed(
                f"a password has {SHORTEST} to {LONGEST} characters",
                hint="several words in a row are easy to remember and hard to guess",
            )
        made = await self._work(_hash, password)

        def work(tx: Transaction) -> None:
            tx.memorise(OWNER, person, made)
            tx.memorise(FAILURES, person, None)

        await self._ledger.write(work)

    async def remove(self, person: PersonName) -> None:
        await self._ledger.write(lambda tx: tx.memorise(OWNER, person, None))

    async def names(self) -> Sequence[Mapping[str, object]]:
        """Who has one, and since when."""
        rows = await self._ledger.read(lambda reading: reading.memos(OWNER, limit=10_000))
        return [{"person": row.key, "since": row.at} for row in sorted(rows, key=lambda r: r.key)]

    async def check(self, fleet: Fleet, name: str, password: str) -> PersonName | None:
        """The person, if this is their password and there were not too many guesses. Whoever is
        refused cannot tell why, nor by the time it takes whether there is such a person."""
        person = PersonName(name)
        stored = None
        if person in fleet.people.persons:
            stored = await self._ledger.read(lambda reading: reading.memo(OWNER, person))
        counted = await self._count(person if stored else PersonName(_NOBODY))
        text = password[: LONGEST + 1]
        right = await self._work(_verify, text, stored or _DUMMY)
        if stored is None or not counted or not right:
            return None
        await self._ledger.write(lambda tx: tx.memorise(FAILURES, person, None))
        return person

    async def _count(self, person: PersonName) -> bool:
        """Takes the guess for a wrong one until it is known to be right; False: it is too early
        for another."""
        now = self._clock.now()

        def work(tx: Transaction) -> bool:
            text = tx.memo(FAILURES, person)
            found = _Failures(**json.loads(text)) if text else _Failures()
            if found.wait(now) > 0:
                return False
            told = json.dumps({"count": found.count + 1, "last": now})
            tx.memorise(FAILURES, person, told)
            return True

        return await self._ledger.write(work)

    async def _work(self, what: Callable[..., T], *given: str) -> T:
        async with self._turn:
            return await asyncio.to_thread(what, *given)


def _kdf() -> Argon2id:
    return Argon2id(
        salt=os.urandom(16), length=32, iterations=_PASSES, lanes=_LANES, memory_cost=_MEMORY
    )


def _hash(password: str) -> str:
    return _kdf().derive_phc_encoded(password.encode("utf-8", "surrogatepass"))


def _verify(password: str, stored: str) -> bool:
    try:
        Argon2id.verify_phc_encoded(password.encode("utf-8", "surrogatepass"), stored)
    except InvalidKey:
        return False
    return True


_DUMMY = (
    f"$argon2id$v=19$m={_MEMORY},t={_PASSES},p={_LANES}"
    "$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)
"""Nobody's: looking a stranger up costs what looking at a person's does."""
