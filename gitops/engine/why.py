"""Why is this lane where it is? The causal chain, in words.

Pure: given everything known about a lane, it says what holds it up, who could act, and what comes
next. Called by the API for ``gitops why`` and later by the page and chat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gitops.engine.lanes import Trouble
from gitops.gate import nobody_can
from gitops.model.approval import Electorate, MemberState, Request
from gitops.model.cluster import ClusterState, ClusterStatus
from gitops.model.delivery import (
    Cause,
    ChangeRecord,
    ChangeState,
    DeliveryRecord,
    Hold,
    LaneRecord,
    Pause,
)
from gitops.model.fleet import ApplicationSpec
from gitops.model.health import Ailment
from gitops.model.ids import short
from gitops.model.plan import Plan
from gitops.model.source import SourceState, SourceStatus


@dataclass(frozen=True, slots=True)
class Story:
    """Everything known about one lane."""

    spec: ApplicationSpec
    lane: LaneRecord
    source: SourceStatus
    cluster: ClusterStatus | None
    current: ChangeRecord | None
    last: ChangeRecord | None
    """The newest change that ended."""
    plan: Plan | None
    request: Request | None
    group: Electorate | None
    trouble: Trouble | None
    now: float
    queue: tuple[str, ...] = ()
    """Of a Terraform root: what is run for it, or waits for whom."""
    pause: Pause | None = None
    """The one that holds now."""
    earlier: DeliveryRecord | None = None
    """What it could be rolled back to."""
    ailments: tuple[Ailment, ...] = ()
    """Of what was delivered."""
    blind: str = ""
    """Why nothing is known of its pods; empty where something is."""


def why(story: Story) -> tuple[str, ...]:
    """Sentences from the source to the cluster; the last one says what happens next."""
    return tuple(_tell(story))


def _tell(story: Story) -> Iterator[str]:
    yield from _source(story)
    yield from _cluster(story)
    yield from _pause(story)
    yield from _ailments(story)
    if story.current is not None:
        yield from _current(story, story.current)
    else:
        yield from _at_rest(story)
    if story.trouble is not None:
        yield from _trouble(story.trouble, story)


def _source(story: Story) -> Iterator[str]:
    source = story.source
    at = f" at {short(source.revision.id)}" if source.revision else ""
    seen = f", looked at {_ago(story.now - source.checked_at)} ago" if source.checked_at else ""
    if source.state is SourceState.READY:
        yield f"Source {source.source} is{at}{seen}."
    elif source.state is SourceState.NEW:
        yield f"Source {source.source} has not been looked at yet."
    else:
        yield f"Source {source.source} is {source.state}: {source.message}."
        if source.revision:
            yield f"The last good revision{at} stays in force."


def _cluster(story: Story) -> Iterator[str]:
    if story.spec.terraform is not None:
        yield from (f"In the line for the tool: {place}." for place in story.queue)
        return
    target = story.lane.lane.target
    if story.cluster is None:
        yield f"Cluster {target} has not been connected to yet."
    elif story.cluster.state is not ClusterState.READY:
        yield f"Cluster {target} is {story.cluster.state}: {story.cluster.message}."


def _ailments(story: Story) -> Iterator[str]:
    for ailment in story.ailments:
        lasts = _ago(story.now - ailment.since)
        yield f"{ailment.object} is not well for {lasts}: {ailment.reason}."
    if story.blind:
        yield f"Whether its pods crash is not known: {story.blind}."


def _pause(story: Story) -> Iterator[str]:
    if story.pause is not None:
        left = _ago(story.pause.until - story.now)
        yield (
            f"It is {story.pause.told} ({left} left). What is being applied goes on, nothing else "
            f"of it is asked or applied. To end it: gitops resume {story.spec.name}"
        )


def _current(story: Story, current: ChangeRecord) -> Iterator[str]:
    change, back = current.change, current.change.rollback
    cause = {
        Cause.COMMIT: f"Revision {short(change.revision.id)} changes what it reads",
        Cause.DRIFT: "What is live was changed by somebody else",
        Cause.COMMAND: f"Somebody asked to {change.occasion}"
        if change.occasion
        else "It was asked for",
        Cause.ROLLBACK: f"{back.by if back else 'Somebody'} asked to go back to "
        f"{short(change.revision.id)}{f': {back.why}' if back and back.why else ''}",
    }[change.cause]
    yield f"{cause} (change {short(change.id)}, {_ago(story.now - current.opened_at)} old)."
    if current.state is ChangeState.ASKING:
        yield from _asking(story)
    else:
        yield {
            ChangeState.OPEN: "It is being rendered, checked and planned."
            if story.pause is None
            else "It is asked about once the pause is over.",
            ChangeState.BLOCKED: _blocked(story, current),
            ChangeState.APPLYING: "It was approved and is being applied.",
            ChangeState.VERIFYING: "It is applied; its health is being waited for.",
        }.get(current.state, f"It is {current.state}: {current.reason}.")


def _blocked(story: Story, current: ChangeRecord) -> str:
    """Whether a commit or the fleet file mends it only the finding can say."""
    hints = [finding.hint for finding in story.plan.blocked_by] if story.plan else []
    first = hints[0].splitlines()[0].rstrip(".") if hints and hints[0] else ""
    then = "It is looked at again when its source or the fleet file changes."
    hint = f"{first[0].upper()}{first[1:]}. " if first else ""
    return f"A check blocks it: {current.reason}. {hint}{then}"


def _asking(story: Story) -> Iterator[str]:
    request, group = story.request, story.group
    if request is None or group is None or story.current is None:
        return
    member = next((m for m in request.members if m.change == story.current.change.id), None)
    plan = f" ({story.plan.risk})" if story.plan else ""
    yield f"Request {short(request.id)} asks for approval{plan}; {group.note}."
    answered = sorted({v.person for v in request.verdicts})
    if answered:
        yield f"Answered so far: {', '.join(answered)}."
    if group.possible:
        yield f"It needs {group.needed} of: {', '.join(group.eligible)}."
    else:
        yield nobody_can(group, story.spec.approval)
    if member is not None and member.state is MemberState.APPROVED and story.spec.needs:
        follows = ", ".join(sorted({need.application for need in story.spec.needs.values()}))
        yield f"It is approved and goes out once what it takes from {follows} is there."
    if member is not None and member.state is MemberState.ASKING:
        yield f"It expires in {_ago(member.expires_at - story.now)}."


def _at_rest(story: Story) -> Iterator[str]:
    lane = story.lane
    if lane.delivered is not None:
        at = short(lane.delivered.revision.id)
        yield f"Delivered: {at}, {_ago(story.now - lane.delivered.at)} ago."
    else:
        yield "Nothing has been delivered yet."
    if story.last is not None and story.last.state is not ChangeState.UNCHANGED:
        state, reason = story.last.state.value, story.last.reason
        told = reason if reason.startswith(state) else f"{state}: {reason}"
        yield f"The last change is {told}."
    if lane.rollback is not None:
        why = f": {lane.rollback.why}" if lane.rollback.why else ""
        yield (
            f"Rolled back to {short(lane.rollback.revision.id)} by {lane.rollback.by}{why}. It "
            f"stays there until the source moves, or: gitops ask {story.spec.name}"
        )
    if lane.hold is not None:
        yield from _held(story, lane.hold)
    if lane.drift_hold is not None:
        yield (
            f"A drift is left alone: {lane.drift_hold.why}. "
            f"To be asked again: gitops ask {story.spec.name}"
        )
    held = any((lane.hold, lane.drift_hold, lane.rollback))
    if not held and lane.delivered is not None and story.trouble is None:
        yield "Nothing is waiting."


def _held(story: Story, hold: Hold) -> Iterator[str]:
    last = story.last
    failed = last is not None and (last.state, last.reason) == (ChangeState.FAILED, hold.why)
    failed = failed or hold.failed
    told = last is not None and last.reason == hold.why
    held = "Held" if told else f"Held: {hold.why}. It is left alone"
    yield (
        f"{held} until the source moves, or: "
        f"gitops {'retry' if failed else 'ask'} {story.spec.name}"
    )
    if failed and story.earlier is not None:
        there = short(story.earlier.change.change.revision.id)
        yield f"To go back to {there}, which was healthy: gitops rollback {story.spec.name}"


def _trouble(trouble: Trouble, story: Story) -> Iterator[str]:
    if trouble.waits:
        yield f"It waits: {trouble.message}. It goes on by itself then."
        return
    yield f"The last try ended early: {trouble.message}."
    if trouble.lock:
        command = f"gitops unlock {story.spec.name} {trouble.lock}"
        yield f"If nobody works on it any more, ask for the lock to be forced: {command}"
    elif trouble.hint:
        yield trouble.hint
    wait, attempt = trouble.retry_at - story.now, f"(attempt {trouble.attempts + 1})"
    yield (
        f"It is tried again in {_ago(wait)} {attempt}."
        if wait > 0
        else f"It tries again {attempt}."
    )


def _ago(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
