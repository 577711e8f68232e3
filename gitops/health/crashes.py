"""What is wrong with a pod, from the little that is remembered of it. Pure.

``reduced`` is used by the cluster's adapter on every pod the server tells of, ``ailment`` by the
vigil, ``cause`` by whoever explains why a workload is not well. Texts of containers are foreign and
may hold secrets: whoever shows them masks and escapes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from sys import intern
from typing import Any

from gitops.health.pod import STUCK
from gitops.health.status import condition, is_false, items, number, obj, says, spec, status
from gitops.model.health import Health, ObjectHealth
from gitops.model.manifest import ObjectId
from gitops.model.pods import Container, Ending, Pod

LONGEST = 400
"""Characters kept of a message."""
RISING = 2
"""Restarts within :data:`LATELY` that are no accident any more."""
LATELY = 600.0
"""Seconds."""
_REMEMBERED = 3
_WORST = ("OOMKilled",)


def reduced(body: Mapping[str, Any]) -> Pod:
    """A pod as the server tells of it, cut to what is needed. Raises KeyError for what is none."""
    metadata = body["metadata"]
    controllers = [owner for owner in items(metadata, "ownerReferences") if owner.get("controller")]
    phase = status(body).get("phase")
    scheduled = condition(body, "PodScheduled")
    running = items(status(body), "containerStatuses")
    return Pod(
        ObjectId("", "Pod", str(metadata.get("namespace", "")), str(metadata["name"])),
        str(metadata.get("uid", "")),
        str(metadata.get("resourceVersion", "")),
        str(controllers[0].get("uid", "")) if controllers else "",
        over="deletionTimestamp" in metadata or phase in {"Succeeded", "Failed"},
        unscheduled=says(scheduled)[:LONGEST] if is_false(scheduled) else "",
        containers=tuple(_containers(body)),
        # The same few words in thousands of pods: each is kept once.
        phase=intern(str(phase or "")[:20]),
        names=tuple(_names(body)),
        ready=sum(1 for each in running if each.get("ready") is True),
        of=len(items(spec(body), "containers")),
    )


def _names(body: Mapping[str, Any]) -> Iterator[str]:
    for each in (*items(spec(body), "containers"), *items(spec(body), "initContainers")):
        yield intern(str(each.get("name", ""))[:63])


def _containers(body: Mapping[str, Any]) -> Iterator[Container]:
    now = status(body)
    for each in (*items(now, "initContainerStatuses"), *items(now, "containerStatuses")):
        waiting = obj(obj(each, "state"), "waiting")
        ended = obj(obj(each, "state"), "terminated") or obj(obj(each, "lastState"), "terminated")
        restarts = number(each, "restartCount")
        if not (restarts or waiting or number(ended, "exitCode")):
            continue
        yield Container(
            str(each.get("name", "")),
            restarts,
            str(waiting.get("reason") or "")[:80],
            str(waiting.get("message") or "")[:LONGEST],
            _ending(ended) if ended else None,
        )


def _ending(ended: Mapping[str, Any]) -> Ending:
    message = str(ended.get("message") or "").strip()
    code = number(ended, "exitCode")
    return Ending(str(ended.get("reason") or "")[:80], code, message[-LONGEST:])


def seen(now: Pod, before: Pod | None, at: float) -> tuple[float, ...]:
    """When its containers were seen to be restarted, given how it was when last looked at. What
    happened before it was first looked at happened long ago."""
    if before is None or before.uid != now.uid:
        return ()
    again = (at,) if now.restarts > before.restarts else ()
    return (*before.restarted, *again)[-_REMEMBERED:]


def ailment(pod: Pod, at: float) -> str:
    """Why its containers do not keep running, with how they ended last; empty when they do.
    ``at`` is the monotonic time of now."""
    if pod.over:
        return ""
    lately = sum(at - when <= LATELY for when in pod.restarted)
    for each in pod.containers:
        if each.waiting in STUCK:
            return f"container {each.name}: {_said(each.waiting, each.message)}{_last(each)}"
        killed = each.ended is not None and each.ended.reason in _WORST
        if lately >= RISING or (killed and lately):
            return f"container {each.name}: restarted {_times(each.restarts)}{_last(each)}"
    return ""


def assessed(pod: Pod, at: float) -> ObjectHealth:
    """How a pod is, from what is remembered of it."""
    if pod.phase == "Succeeded":
        return ObjectHealth(Health.HEALTHY, "it has done its work")
    if pod.phase == "Failed":
        ended = next((_last(each) for each in pod.containers if each.ended), "")
        return ObjectHealth(Health.DEGRADED, f"it failed{ended}")
    if pod.over:
        return ObjectHealth(Health.PROGRESSING, "it is being deleted")
    if ill := ailment(pod, at):
        return ObjectHealth(Health.DEGRADED, ill)
    if pod.phase == "Running" and pod.ready >= pod.of:
        return ObjectHealth(Health.HEALTHY)
    why = _unscheduled(pod) or f"{pod.ready} of {pod.of} containers are ready"
    return ObjectHealth(Health.PROGRESSING, why)


def last_ending(pod: Pod) -> str:
    """How one of its containers ended last, the one restarted most; empty where none did."""
    most = max(pod.containers, key=lambda each: each.restarts, default=None)
    return _last(most).removeprefix("; it ") if most is not None else ""


def gets_better_at(pod: Pod) -> float | None:
    """When an ailment that is only known by restarts is over unless there are more; monotonic."""
    return max(pod.restarted) + LATELY if pod.restarted and not pod.over else None


def cause(pods: Sequence[Pod], at: float) -> str:
    """The worst that is to be said of some pods of one owner, and of how many; empty for nothing.
    Those that no node takes count only here: they may just be waiting for one."""
    found = [(pod, said) for pod in pods if (said := ailment(pod, at) or _unscheduled(pod))]
    if not found:
        return ""
    pod, said = max(found, key=lambda each: (bool(ailment(each[0], at)), each[0].restarts))
    others = f" (and {len(found) - 1} more of its pods)" if len(found) > 1 else ""
    return f"pod {pod.id.name}: {said}{others}"


def _unscheduled(pod: Pod) -> str:
    return f"no node takes it: {pod.unscheduled}" if pod.unscheduled and not pod.over else ""


def _said(reason: str, message: str) -> str:
    return f"{reason}: {message}" if message else reason


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _last(container: Container) -> str:
    ended = container.ended
    if ended is None:
        return ""
    words = f"; it ended with {ended.reason or 'no reason'} (exit code {ended.exit_code})"
    return f"{words}: {ended.message}" if ended.message else words
