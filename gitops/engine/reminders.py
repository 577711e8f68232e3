"""Brings open questions to mind before they expire, and says of one at once that nobody can answer.

Run by the controller as one task. A reminder is an event of its change, written together with a
mark that it was given, so that a crash neither loses one nor gives it twice. It asks nothing anew
and never changes how long a question stays open.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gitops.engine.ledger import Ledger
from gitops.errors import StaleWrite, Transient
from gitops.gate import electorate, nobody_can
from gitops.model.approval import Member, MemberState
from gitops.model.delivery import LaneId
from gitops.model.events import Reminded
from gitops.model.fleet import ApplicationSpec, Fleet
from gitops.model.ids import ApplicationName, RequestId
from gitops.ports import Clock, Reading, Transaction

SHARES = (0.5, 0.9)
"""Of its time, at which a question is brought to mind."""
EVERY = 5.0
"""Seconds between two looks; each is one read of the open requests."""
OWNER = "reminders"
_KEPT = 60 * 86_400.0
"""Seconds: longer than any question stays open."""
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Due:
    """One reminder of one member."""

    request: RequestId
    member: Member
    lane: LaneId
    keys: tuple[str, ...]
    """Under which it is remembered as given; a later one stands for the earlier, too."""
    stuck: str = ""


class Reminders:
    def __init__(
        self,
        ledger: Ledger,
        fleet: Callable[[], Fleet],
        spec: Callable[[ApplicationName], ApplicationSpec | None],
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._fleet = fleet
        self._spec = spec
        self._clock = clock
        self._next: dict[str, float] = {}
        """Question → when there is something to say about it, so that waiting costs nothing."""

    async def run(self) -> None:
        """For ever."""
        while True:
            with contextlib.suppress(Transient, StaleWrite):
                await self.look()
            await asyncio.sleep(EVERY)

    async def look(self) -> None:
        """Gives every reminder that is due and was not given."""
        later: dict[str, float] = {}
        due = await self._ledger.read(lambda reading: list(self._due(reading, later)))
        if due:
            await self._ledger.write(lambda tx: self._give(tx, due))
        self._next = later

    def _due(self, reading: Reading, later: dict[str, float]) -> Iterator[Due]:
        """``later`` collects when each question is to be looked at next."""
        now = self._clock.now()
        for request in reading.requests(open_only=True, limit=_MOST):
            for member in request.members:
                if member.state is not MemberState.ASKING:
                    continue
                question = _key(member)
                later[question] = self._next.get(question, 0.0)
                if later[question] <= now:
                    yield from self._of(reading, request.id, member, later)

    def _of(
        self, reading: Reading, request: RequestId, member: Member, later: dict[str, float]
    ) -> Iterator[Due]:
        record = reading.change(member.change)
        spec = self._spec(record.change.lane.application) if record else None
        if record is None or spec is None:
            return
        lasts, now = spec.approval.expires_after.total_seconds(), self._clock.now()
        times = {share: member.expires_at - lasts * (1 - share) for share in SHARES}
        keys = [_key(member, share) for share, at in times.items() if at <= now]
        later[_key(member)] = min((at for at in times.values() if at > now), default=math.inf)
        group = electorate(spec.approval, record.change.authorship, self._fleet().people)
        stuck = "" if group.possible else nobody_can(group, spec.approval)
        if stuck:
            keys.append(_key(member, "stuck"))
        if any(reading.memo(OWNER, key) is None for key in keys):
            yield Due(request, member, record.change.lane, tuple(keys), stuck)

    def _give(self, tx: Transaction, due: list[Due]) -> None:
        """One for all members of a request that are of one application and one environment: they
        are told to the same people."""
        tx.forget_memos(OWNER, self._clock.now() - _KEPT)
        told: dict[tuple[object, ...], Due] = {}
        for each in due:
            first = [tx.memorise_first(OWNER, key, each.request) for key in each.keys]
            if any(first):
                told.setdefault(self._hearers(each), each)
        for each in told.values():
            at = each.member.expires_at
            tx.append(Reminded(each.member.change, each.request, at, each.stuck))

    def _hearers(self, due: Due) -> tuple[object, ...]:
        cluster = self._fleet().clusters.get(due.lane.target)
        labels = tuple(sorted(cluster.labels.items())) if cluster else ()
        return due.request, due.lane.application, labels, due.stuck


def _key(member: Member, *what: object) -> str:
    """A question that is asked anew is another one."""
    return "/".join(map(str, (member.change, member.seal, round(member.expires_at), *what)))
