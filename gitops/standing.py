"""How a lane stands: in one word, since when, and why. Pure.

The one place that decides it. The board, ``status``, metrics, badges, chats and pages all show what
is made here, so that the same lane is never called by two names. It knows nothing of colours on a
particular face: it gives tones, and each face has its own way to show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gitops.model.delivery import CLAIMED, ChangeRecord, ChangeState, LaneId, LaneRecord, Pause
from gitops.model.health import Ailment
from gitops.model.ids import short
from gitops.model.source import Authorship
from gitops.ports.office import Standing

TONES: Mapping[str, str] = MappingProxyType(
    {
        "failed": "bad",
        "degraded": "bad",
        "blocked": "bad",
        "held": "wait",
        "drifted": "wait",
        "asking": "wait",
        "applying": "work",
        "verifying": "work",
        "open": "work",
        "paused": "wait",
        "new": "",
        "healthy": "good",
    }
)
"""Every word there is, what needs somebody first, with its tone: ``good``, ``bad``, ``wait`` (for a
person), ``work``, or empty for what is neither."""
WORST_FIRST = tuple(TONES)
_RANKS = {state: rank for rank, state in enumerate(WORST_FIRST)}


@dataclass(frozen=True, slots=True)
class Open:
    """A lane's open change, as far as it is shown."""

    id: str
    state: ChangeState
    revision: str
    since: float
    """When it came to that state, in seconds since the epoch."""
    reason: str
    request: str
    authorship: Authorship | None
    """While people are asked: it decides who of them may answer."""

    @classmethod
    def of(cls, record: ChangeRecord) -> Open:
        asking = record.state is ChangeState.ASKING
        return cls(
            record.change.id,
            record.state,
            short(record.change.revision.id),
            record.updated_at,
            record.reason,
            record.request or "" if asking else "",
            record.change.authorship if asking else None,
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What the store has of a lane, as far as it is shown; the default is a lane never seen."""

    revision: str = ""
    since: float | None = None
    """When something was delivered last."""
    hold: str = ""
    """``failed``, ``held`` or ``drifted``: why nothing is tried by itself; empty where it is."""
    why: str = ""
    back: str = ""
    """``rolled back by ada: it is cold``"""
    open: Open | None = None

    @classmethod
    def of(cls, lane: LaneRecord, current: ChangeRecord | None) -> Kept:
        there = lane.delivered
        hold, why = _held(lane)
        return cls(
            short(there.revision.id) if there else "",
            there.at if there else None,
            hold,
            why,
            _back(lane),
            Open.of(current) if current else None,
        )


NOTHING = Kept()


def standing(
    lane: LaneId,
    kept: Kept,
    *,
    labels: Mapping[str, str],
    pause: Pause | None = None,
    ill: Ailment | None = None,
    trouble: str = "",
) -> Standing:
    """``pause``: one that is in force. ``ill``: the first thing that is not well of what was
    delivered. ``trouble``: why the last round ended early, which is told beside any state."""
    word, note, since = _told(kept, pause, ill)
    shown = None if pause and not _carried_out(kept) else kept.open
    if shown is None:
        return Standing(lane, word, kept.revision, since, note, labels, trouble=trouble)
    revision = shown.revision if word == shown.state.value else kept.revision
    return Standing(lane, word, revision, since, note, labels, shown.id, shown.request, trouble)


def rank(state: str) -> int:
    """How much it needs somebody: 0 the most. Of a word that is none of ours, the least."""
    return _RANKS.get(state, len(_RANKS))


def _told(kept: Kept, pause: Pause | None, ill: Ailment | None) -> tuple[str, str, float | None]:
    """(word, note, since). What is being carried out goes on under a pause and is what is shown.
    Nothing else that is under way, and no pause, hides that what is live does not work."""
    open_ = kept.open
    under_way = (open_.state.value, open_.reason, open_.since) if open_ else None
    if under_way and _carried_out(kept):
        return under_way
    broken = _broken(kept, pause, ill)
    if pause is not None:
        return broken or ("paused", pause.told, kept.since)
    return broken or under_way or _resting(kept)


def _broken(
    kept: Kept, pause: Pause | None, ill: Ailment | None
) -> tuple[str, str, float | None] | None:
    """What is live does not work. What is told beside it comes first: a long reason is cut."""
    beside = f"a newer change is {kept.open.state.value}; " if kept.open else ""
    beside = f"{pause.told}; " if pause else beside
    if kept.hold == "failed":
        return "failed", beside + kept.why, kept.since
    if ill is not None:
        return "degraded", f"{beside}{ill.object}: {ill.reason}", ill.since
    return None


def _carried_out(kept: Kept) -> bool:
    return kept.open is not None and kept.open.state in CLAIMED


def _resting(kept: Kept) -> tuple[str, str, float | None]:
    if kept.hold:
        return kept.hold, kept.why, kept.since
    return "healthy" if kept.since is not None else "new", kept.back, kept.since


def _held(lane: LaneRecord) -> tuple[str, str]:
    """(word, why). A drift that is left alone is the least of them. Who holds what is live itself
    says that it did not become healthy."""
    if (hold := lane.hold or lane.drift_hold) is None:
        return "", ""
    if hold.failed or (lane.delivered is not None and hold.closure == lane.delivered.closure):
        return "failed", hold.why
    return "held" if lane.hold else "drifted", hold.why


def _back(lane: LaneRecord) -> str:
    if lane.rollback is None:
        return ""
    why = f": {lane.rollback.why}" if lane.rollback.why else ""
    return f"rolled back by {lane.rollback.by}{why}"
