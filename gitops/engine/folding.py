"""What of a queue is still worth telling, once it was held up. Pure.

Asked by the sender before anything is sent. After an hour's outage, or at the end of quiet hours,
people want to know how things stand and not each step on the way; of what is still asked, nothing
is lost: the newest word about each subject always stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gitops.model.events import Notice

LATE = 60.0
"""Seconds after which a notice that is still here was held up."""
MOST = 50
"""Notices told in one message."""

_HEALTH = ("degraded", "recovered")
_REMARKS = ("reminder", "stuck", "answered")
"""Say something about a question without saying what became of it."""
_NOTHING_CAME_OF_IT = ("superseded", "left", "unchanged")


def folded(
    notices: Sequence[Notice], now: float, *, unseen: Callable[[Notice], bool]
) -> tuple[list[Notice], list[Notice]]:
    """(still worth telling, obsolete), both in the order given, which is of time.

    Late ones only give way, and only to newer ones of the same notifier and channel: to one about
    the same side of the same change; a remark to whatever says what became of the question.
    ``unseen``: nobody sees what was never told, so a change that came and went while its lane
    moved on is nobody's business (not so where a message is kept up to date)."""
    gone: set[str] = set()
    newest: dict[tuple[str, ...], Notice] = {}
    for notice in reversed(notices):
        key = _key(notice)
        answers = newest.get((*key[:3], "state")) if notice.kind in _REMARKS else None
        if (key in newest or answers) and now - notice.created_at > LATE:
            gone.add(notice.id)
        newest.setdefault(key, notice)
    gone |= _came_and_went(notices, newest, now, unseen)
    return [n for n in notices if n.id not in gone], [n for n in notices if n.id in gone]


def _key(notice: Notice) -> tuple[str, ...]:
    side = "state"
    if notice.kind in _HEALTH:
        side = "health"
    elif notice.kind in _REMARKS:
        side = notice.kind
    return (notice.notifier, notice.channel, notice.subject, side)


def _came_and_went(
    notices: Sequence[Notice],
    newest: dict[tuple[str, ...], Notice],
    now: float,
    unseen: Callable[[Notice], bool],
) -> set[str]:
    last = {(n.notifier, n.channel, n.payload.get("lane")): n.subject for n in notices}
    begun = {
        _key(n) for n in notices if n.kind in ("asked", "blocked") and not n.payload.get("moved")
    }
    return {
        notice.id
        for key, notice in newest.items()
        if notice.kind in _NOTHING_CAME_OF_IT
        and key in begun  # nobody was told of it before
        and now - notice.created_at > LATE
        and last[notice.notifier, notice.channel, notice.payload.get("lane")] != notice.subject
        and unseen(notice)
    }


def batches(notices: Sequence[Notice], now: float, together: bool) -> list[list[Notice]]:
    """What is told in one message each; several only where the notifier can, and of late ones."""
    if not together:
        return [[notice] for notice in notices]
    found: list[list[Notice]] = []
    waiting: dict[str, list[Notice]] = {}
    for notice in notices:
        if now - notice.created_at <= LATE:
            found.append([notice])
            continue
        batch = waiting.get(notice.channel)
        if batch is None or len(batch) >= MOST:
            batch = waiting[notice.channel] = []
            found.append(batch)
        batch.append(notice)
    return found
