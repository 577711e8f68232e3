"""The audit trail: events across all subjects, and whether their chains hold.

Called by :class:`gitops.store.reading.SqlReading`. Every question is bounded: a page walks an index
or gives up after a while and says how far it came, a check reads rows in portions. A row that can
no longer be decoded is told as such, for that is when somebody needs the trail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, and_, func, literal, or_, select, union_all
from sqlalchemy.sql.elements import ColumnElement

from gitops.model.delivery import LaneId
from gitops.model.events import Event
from gitops.model.ids import Digest, combine
from gitops.model.trail import Asked, Broken, Soundness, Spread, Stretch, Trail, TrailEvent
from gitops.records import Unreadable, loads
from gitops.store import tables as t
from gitops.store.chain import link_hash
from gitops.store.codec import KINDS, decode

MOST_EVENTS = 1_000
"""Of one page."""
WINDOW = 20_000
"""Events whose text is looked through by one statement."""
PATIENCE = 1.0
"""Seconds after which looking through texts is left to the next page."""
_PORTION = 50
"""Rows with their payload held at once: a plan may be large."""
T = TypeVar("T")
_LATEST = 1e11
"""Seconds since the epoch: what was tampered with may say any time."""
_E = t.event.c
_NAMES = tuple(KINDS)


def trail(
    connection: Connection,
    asked: Asked,
    tell: Callable[[TrailEvent], T | None],
    before: int,
    limit: int,
    patience: float = PATIENCE,
) -> Trail[T]:
    """See :meth:`gitops.ports.Reading.trail`."""
    most = max(1, min(limit, MOST_EVENTS))
    floor, top = _bounds(connection, asked, before)
    until = time.monotonic() + patience
    found: list[T] = []
    while top > floor + 1:
        window = max(floor, top - 1 - WINDOW) if asked.words else floor
        room = most - len(found)
        places = _placed(connection, asked, window, top, room)
        rows = (tell(each) for each in _rows(connection, places))
        found += [each for each in rows if each is not None]
        top = places[-1] if len(places) == room else window + 1
        if len(found) == most or time.monotonic() > until:
            break
    if top <= floor + 1:
        return Trail(tuple(found))
    return Trail(tuple(found), top, _when(connection, top))


def _bounds(connection: Connection, asked: Asked, before: int) -> tuple[int, int]:
    """The places above the first and below the second are looked at: the time, as a walk along its
    own index, so that a year ago is not behind a year of events."""
    # Apart: together SQLite would read the whole index for what stands at its two ends.
    ends = (func.min(_E.sequence), func.max(_E.sequence))
    each = (select(end).where(*_times(asked)).scalar_subquery() for end in ends)
    low, high = connection.execute(select(*each)).one()
    if low is None:
        return 0, 0
    return low - 1, min(before, high + 1) if before > 0 else high + 1


def _times(asked: Asked) -> list[ColumnElement[bool]]:
    times = []
    if asked.since is not None:
        times.append(_E.at >= asked.since)
    if asked.until is not None:
        times.append(_E.at < asked.until)
    return times


def _placed(
    connection: Connection, asked: Asked, above: int, below: int, limit: int
) -> Sequence[int]:
    """Newest first, from indexes alone wherever no text is looked through."""
    places = _places(asked).where(_E.sequence > above, _E.sequence < below)
    return connection.execute(places.order_by(_E.sequence.desc()).limit(limit)).scalars().all()


def _rows(connection: Connection, places: Sequence[int]) -> Iterator[TrailEvent]:
    for start in range(0, len(places), _PORTION):
        mine = _E.sequence.in_(places[start : start + _PORTION])
        rows = connection.execute(_ROWS.where(mine)).all()
        asked = {row.subject for row in rows if row.title is not None}
        spreads = _spreads(connection, asked) if asked else {}
        yield from (_told(row, spreads.get(row.subject)) for row in rows)


def _spreads(connection: Connection, requests: set[str]) -> dict[str, Spread]:
    rows = connection.execute(_SPREAD.where(_M.request.in_(sorted(requests)))).all()
    return {
        row.request: Spread(
            row.count_,
            row.application if row.application == row.last_application else None,
            row.target if row.target == row.last_target else None,
        )
        for row in rows
    }


def _places(asked: Asked) -> Select[Any]:
    query = select(_E.sequence).where(*_times(asked))
    if asked.kinds:
        names = [name for name in _NAMES if _plain(name) in asked.kinds]
        # By the chains where there are some: joined to nothing it is no column of an index.
        kind = _E.kind + "" if asked.about else _E.kind
        query = query.where(kind.in_(names))
    if asked.about:
        query = query.where(_E.subject.in_(_subjects(asked)))
    if asked.words:
        query = query.where(or_(*(_E.payload.icontains(w, autoescape=True) for w in asked.words)))
    return query


def _subjects(asked: Asked) -> Any:
    """Chains that are about the application, the target, or both: changes, the requests they were
    asked in, lanes; and of an application its pauses."""

    def mine(table: Any) -> list[ColumnElement[bool]]:
        named = [table.c.application == asked.application] if asked.application else []
        return named + ([table.c.target == asked.target] if asked.target else [])

    lane = literal("lane:") + t.lane.c.application + literal("@") + t.lane.c.target
    parts = [
        select(t.change.c.id).where(*mine(t.change)),
        select(t.request_member.c.request)
        .join(t.change, t.change.c.id == t.request_member.c.change)
        .where(*mine(t.change)),
        select(lane).where(*mine(t.lane)),
    ]
    if asked.application:
        parts.append(select(literal(f"application:{asked.application}")))
    return union_all(*parts)


_ROWS = (
    select(
        t.event,
        t.change.c.application,
        t.change.c.target,
        t.request.c.title,
        t.delivery.c.versions,
    )
    .join_from(t.event, t.change, t.change.c.id == _E.subject, isouter=True)
    .join(t.request, t.request.c.id == _E.subject, isouter=True)
    .join(t.delivery, t.delivery.c.change == _E.subject, isouter=True)
    .order_by(_E.sequence.desc())
)


_M, _C = t.request_member.c, t.change.c
_SPREAD = (
    select(
        _M.request,
        func.count().label("count_"),
        func.min(_C.application).label("application"),
        func.max(_C.application).label("last_application"),
        func.min(_C.target).label("target"),
        func.max(_C.target).label("last_target"),
    )
    .join_from(t.request_member, t.change, _C.id == _M.change)
    .group_by(_M.request)
)


def _told(row: Row[Any], spread: Spread | None) -> TrailEvent:
    lane = LaneId(row.application, row.target) if row.application is not None else None
    versions = loads(tuple[tuple[str, str], ...], row.versions) if row.versions else ()
    return TrailEvent(
        row.sequence,
        row.subject,
        _plain(row.kind),
        row.at if 0 <= row.at < _LATEST else 0.0,
        _readable(row),
        Digest(row.hash),
        lane,
        row.title or "",
        versions,
        spread,
    )


def _readable(row: Row[Any]) -> Event | None:
    try:
        return decode(row.kind, row.payload)
    except Unreadable:
        return None


def _plain(kind: str) -> str:
    return kind.rpartition(".")[0] or kind


def _when(connection: Connection, sequence: int) -> float | None:
    query = select(_E.at).where(_E.sequence >= sequence).order_by(_E.sequence).limit(1)
    return connection.execute(query).scalar()


# --- chains -----------------------------------------------------------------------------------


def sound(connection: Connection, subject: str, most: int) -> Soundness:
    """See :meth:`gitops.ports.Reading.sound`."""
    mine = _E.subject == subject
    count = connection.execute(select(func.count()).where(mine)).scalar_one()
    first = 0
    if count > most:
        newest = select(_E.sequence).where(mine).order_by(_E.sequence.desc())
        first = connection.execute(newest.offset(most - 1).limit(1)).scalar_one()
    since, broken = _walk(connection, subject, first)
    return Soundness(subject, count, since, broken, whole=not first)


def _walk(connection: Connection, subject: str, first: int) -> tuple[float | None, int | None]:
    """(time of the first row, first row that does not follow) from a place on. Where it begins in
    the middle, the first row is compared with the row before it."""
    after, since = first - 1, None
    while rows := connection.execute(
        _LINKED.where(_E.subject == subject, _E.sequence > after).limit(_PORTION)
    ).all():
        since = rows[0].at if since is None else since
        for row in rows:
            if not _follows(row):
                return since, row.sequence
        after = rows[-1].sequence
    return since, None


def verified(connection: Connection, after: int, head: str, limit: int, until: int) -> Stretch:
    """See :meth:`gitops.ports.Reading.verified`."""
    end = after
    linked = _LINKED.where(_E.sequence <= until) if until else _LINKED
    checked, broken = 0, []
    while checked < limit:
        room = min(_PORTION, limit - checked)
        rows = connection.execute(linked.where(_E.sequence > end).limit(room)).all()
        for row in rows:
            head = combine(head, row.sequence, row.hash)
            if not _follows(row):
                broken.append(Broken(row.sequence, row.subject))
        checked += len(rows)
        end = rows[-1].sequence if rows else end
        if len(rows) < room:
            return Stretch(checked, end, head, tuple(broken), done=True)
    return Stretch(checked, end, head, tuple(broken))


_EARLIER = t.event.alias("earlier")
_LINKED = select(
    t.event,
    select(_EARLIER.c.hash)
    .where(and_(_EARLIER.c.subject == _E.subject, _EARLIER.c.sequence < _E.sequence))
    .order_by(_EARLIER.c.sequence.desc())
    .limit(1)
    .scalar_subquery()
    .label("before"),
).order_by(_E.sequence)
"""Each row with the hash of the one before it in its chain, as that one says of itself."""


def _follows(row: Row[Any]) -> bool:
    """What :func:`gitops.store.chain.verify_chain` asks of a row, of one alone: a chain whose every
    row follows from the one before it is whole."""
    made = link_hash(row.previous, row.subject, row.kind, row.payload, row.at)
    return bool(row.previous == (row.before or "") and row.hash == made)
