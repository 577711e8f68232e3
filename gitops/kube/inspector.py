"""A look at one object for a person: its events, the end of a log, the Jobs of a CronJob.

Made by :class:`gitops.kube.cluster.KubeCluster`. Reads only, through the one transport with its
pace; a few at a time, each with a deadline, and whoever asks the same within two seconds gets the
same answer, so that people who reload a page cost the API server nothing and deliveries wait for
nobody who is curious.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar, cast

from gitops.errors import ClusterUnavailable
from gitops.health.status import items, number, obj
from gitops.kube.dependents import PODS
from gitops.kube.held import hold
from gitops.kube.paths import collection, single
from gitops.kube.transport import Call, Transport
from gitops.model.cluster import LiveObject, Resource
from gitops.model.manifest import ObjectId
from gitops.ports import Clock
from gitops.ports.inspecting import LINES, MOST_EVENTS, Happening, Happenings, Log

T = TypeVar("T")

EVENTS = Resource("", "v1", "Event", "events", namespaced=True)
JOBS = Resource("batch", "v1", "Job", "jobs", namespaced=True)
LOG_BYTES = 48 << 10
"""Of one log: what a person reads in a page, and what a page may weigh."""
_PAGE = 500
"""Objects in one answer. Of more events than this of one object the oldest are not seen."""
_FRESH = 2.0
"""Seconds an answer stands for the same question."""
_KEPT = 256
_AT_ONCE = 4
_DEADLINE = 10.0
"""Seconds, all tries together: a person waits."""
_MAKERS = {
    ("batch", "CronJob"): (JOBS, ""),  # its Jobs carry no label that names it
    ("batch", "Job"): (PODS, "batch.kubernetes.io/controller-uid"),
}
_LONGEST = 1_000
"""Characters of one event's message (the API server takes 1,024)."""


@dataclass(slots=True)
class _Answer:
    at: float
    task: asyncio.Task[Any]


class Inspector:
    """Plays :class:`gitops.ports.inspecting.Inspector`."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport = transport
        self._clock = clock
        self._answers: OrderedDict[tuple[str, ...], _Answer] = OrderedDict()
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def made_by(self, id: ObjectId, uid: str) -> Sequence[LiveObject]:
        kind = (id.group, id.kind)
        if kind not in _MAKERS:
            return ()
        resource, selector = _MAKERS[kind]
        query = (("labelSelector", f"{selector}={uid}"),) if selector else ()
        key = ("made", resource.kind, id.namespace, uid if selector else "")
        found = await self._once(key, lambda: self._made(resource, id.namespace, query))
        return tuple(each for each in found if _made_by(each.body, uid))

    async def events(self, about: ObjectId, uid: str) -> Happenings:
        return await self._once(("events", str(about), uid), lambda: self._events(about, uid))

    async def log(self, pod: ObjectId, container: str, *, previous: bool = False) -> Log:
        key = ("log", str(pod), container, "previous" if previous else "")
        return await self._once(key, lambda: self._log(pod, container, previous=previous))

    # --- asking -------------------------------------------------------------------------------

    async def _made(
        self, resource: Resource, namespace: str, query: tuple[tuple[str, str], ...]
    ) -> Sequence[LiveObject]:
        whole = (*query, ("limit", str(_PAGE)))
        call = Call("GET", collection(resource, namespace), whole, kind=resource.kind)
        found = items((await self._transport.send(call)).json(), "items")
        held = [hold(resource, dict(each)) for each in found]
        return sorted(held, key=lambda job: _time(obj(job.body, "metadata")) or 0.0, reverse=True)

    async def _events(self, about: ObjectId, uid: str) -> Happenings:
        selector = f"involvedObject.uid={uid}" if uid else f"involvedObject.name={about.name}"
        # Events of what lives in no namespace are kept here (client-go, record).
        path = collection(EVENTS, about.namespace or "default")
        query = (("fieldSelector", selector), ("limit", str(_PAGE)))
        told = (await self._transport.send(Call("GET", path, query, kind="Event"))).json()
        found = [_happening(each) for each in items(told, "items")]
        found.sort(key=lambda each: each.last or 0.0, reverse=True)
        more = len(found) > MOST_EVENTS or bool(obj(told, "metadata").get("continue"))
        return Happenings(tuple(found[:MOST_EVENTS]), more)

    async def _log(self, pod: ObjectId, container: str, *, previous: bool) -> Log:
        query = [
            ("container", container),
            ("tailLines", str(LINES)),
            ("limitBytes", str(LOG_BYTES)),
            *([("previous", "true")] if previous else []),
        ]
        call = Call("GET", f"{single(PODS, pod)}/log", tuple(query), accept="*/*", place=str(pod))
        body = (await self._transport.send(call)).body
        return Log(body[:LOG_BYTES].decode("utf-8", "replace"), len(body) >= LOG_BYTES)

    async def _once(self, key: tuple[str, ...], ask: Callable[[], Awaitable[T]]) -> T:
        """What was said a moment ago, or is being asked; errors too."""
        now = self._clock.monotonic()
        known = self._answers.get(key)
        if known is None or (known.task.done() and now - known.at > _FRESH):
            known = _Answer(now, asyncio.ensure_future(self._in_turn(ask)))
            known.task.add_done_callback(_seen)
            self._answers[key] = known
            self._answers.move_to_end(key)
            while len(self._answers) > _KEPT:
                self._answers.popitem(last=False)
        # Who goes away must not take the answer from the others who wait for it.
        return cast(T, await asyncio.shield(known.task))

    async def _in_turn(self, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(_DEADLINE), self._turns:
                return await ask()
        except TimeoutError:
            raise ClusterUnavailable(
                f"the cluster did not answer within {_DEADLINE:.0f} seconds",
                hint="try again; `gitops status` says how it stands with the cluster",
            ) from None

    async def close(self) -> None:
        tasks = [each.task for each in self._answers.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._answers.clear()


def _seen(task: asyncio.Task[Any]) -> None:
    """An error nobody waits for any more is no news."""
    if not task.cancelled():
        task.exception()


def _made_by(body: Mapping[str, Any], uid: str) -> bool:
    owners = items(obj(body, "metadata"), "ownerReferences")
    return any(owner.get("uid") == uid and owner.get("controller") is True for owner in owners)


def _happening(event: Mapping[str, Any]) -> Happening:
    """From either generation of the API: counted by ``count``, or by ``series``."""
    series = obj(event, "series")
    at = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    last = next((told for each in at if (told := seconds(each)) is not None), None)
    source = obj(event, "source").get("component") or event.get("reportingComponent") or ""
    return Happening(
        warning=event.get("type") == "Warning",
        reason=str(event.get("reason") or "")[:128],
        message=str(event.get("message") or event.get("note") or "")[:_LONGEST],
        source=str(source)[:128],
        times=max(1, number(event, "count"), number(series, "count")),
        last=last if last is not None else _time(obj(event, "metadata")),
    )


def _time(metadata: Mapping[str, Any]) -> float | None:
    return seconds(metadata.get("creationTimestamp"))


def seconds(text: object) -> float | None:
    """A time as Kubernetes writes it (RFC 3339), in seconds since the epoch; None for none."""
    try:
        return datetime.fromisoformat(str(text)).timestamp() if text else None
    except (ValueError, OverflowError):
        return None
