"""Events as rows: the kind's versioned name, canonical JSON, and the chain they belong to.

Called by the transaction (writing) and the reading side. A kind's name is written down once and
for all: when an event's fields change in a way a default cannot bridge, it gets a new number and
the old class keeps the old name.
"""

from __future__ import annotations

from gitops.model import events as e
from gitops.model.approval import Verdict
from gitops.model.events import Event
from gitops.records import Unreadable, dumps, loads

KINDS: dict[str, type[Event]] = {
    "change-opened.1": e.ChangeOpened,
    "change-planned.1": e.ChangePlanned,
    "change-blocked.1": e.ChangeBlocked,
    "request-opened.1": e.RequestOpened,
    "member-asked.1": e.MemberAsked,
    "answered.1": e.Answered,
    "member-decided.1": e.MemberDecided,
    "auto-approved.1": e.AutoApproved,
    "claimed.1": e.Claimed,
    "apply-finished.1": e.ApplyFinished,
    "noted.1": e.Noted,
    "reminded.1": e.Reminded,
    "health-moved.1": e.HealthMoved,
    "change-closed.1": e.ChangeClosed,
    "hold-lifted.1": e.HoldLifted,
    "rollback-lifted.1": e.RollbackLifted,
    "application-paused.1": e.ApplicationPaused,
    "application-resumed.1": e.ApplicationResumed,
    "source-looked.1": e.SourceLooked,
    "token-created.1": e.TokenCreated,
    "token-revoked.1": e.TokenRevoked,
}
_NAMES = {kind: name for name, kind in KINDS.items()}


def kind_of(event: Event) -> str:
    return _NAMES[type(event)]


def encode(event: Event) -> str:
    """The canonical payload. Raises Unreadable for what cannot be kept."""
    return dumps(type(event), event)


def decode(kind: str, payload: str) -> Event:
    """The event of a row. Raises Unreadable for an unknown kind or a payload of another shape."""
    if kind not in KINDS:
        raise Unreadable(
            f"an event of unknown kind {kind!r}", hint="was it written by a newer version?"
        )
    return loads(KINDS[kind], payload)


def subject_of(event: Event) -> str:
    """The chain an event belongs to: a change's id, a request's, or a prefixed name."""
    match event:
        case e.ChangeOpened(change=change):
            subject: str = change.id
        case e.RequestOpened(request=request) | e.Answered(verdict=Verdict(request=request)):
            subject = request
        case e.HoldLifted(lane=lane) | e.RollbackLifted(lane=lane):
            subject = f"lane:{lane}"
        case e.ApplicationPaused(application=name) | e.ApplicationResumed(application=name):
            subject = f"application:{name}"
        case e.SourceLooked(status=status):
            subject = f"source:{status.source}"
        case e.TokenCreated(token=token) | e.TokenRevoked(token=token):
            subject = f"token:{token}"
        case _:
            subject = event.change
    return subject
