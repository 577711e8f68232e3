"""Keeps one kind's owned objects current: one LIST, then one WATCH after the other.

Run by :class:`gitops.kube.live.Live`, one instance a kind, as one background task. What it must
never do is believe in an absence it was not told of: a DELETED event or an object missing from a
*complete* list is only a doubt, and a GET answering 404 settles it. A list that broke off, an
empty page with an error, a server whose history went back yield no deletion.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from gitops.errors import ClusterRefused, ClusterUnavailable, GitopsError, NotFound
from gitops.kube.held import hold, revision
from gitops.kube.identity import Identity
from gitops.kube.pace import backoff
from gitops.kube.paths import collection
from gitops.kube.transport import Call, Transport
from gitops.model.cluster import OWNER_LABEL, Resource
from gitops.model.manifest import ObjectId
from gitops.ports import Clock

PAGE = 500
_WATCH_SECONDS = 290
_LIST_RESTARTS = 3
_GOOD_WHILE = 60.0
"""Seconds a watch has to last for the next failure to count as a first one."""


class Kept(Protocol):
    """Where a follower puts what it is told: :class:`gitops.kube.memory.Memory`, or the like."""

    def put(self, told: Any, *, rewound: bool = False) -> None: ...
    def of_kind(self, resource: Resource) -> tuple[ObjectId, ...]: ...
    def gone(self, id: ObjectId, at: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Scope:
    """Which objects of a kind, and what is made of each."""

    namespace: str = ""
    """Empty: of the whole cluster."""
    selector: str = OWNER_LABEL
    """Of labels; empty: all."""
    take: Callable[[Resource, dict[str, Any]], Any] = hold
    """Gives something with an ``id`` and a ``resource_version``."""
    accept: str = ""
    """Another representation than the whole objects; ``{}`` holds ``List`` where one is asked."""

    refused: float = 30.0
    """Seconds between two tries, at most, while we may not look."""

    @property
    def query(self) -> list[tuple[str, str]]:
        return [("labelSelector", self.selector)] if self.selector else []


class _Expired(Exception):
    """410: the server no longer has the history we ask to continue from."""


class Follower:
    def __init__(
        self,
        resource: Resource,
        memory: Kept,
        transport: Transport,
        identity: Identity,
        get: Callable[[Resource, ObjectId], Awaitable[Any]],
        now: Callable[[Resource], Awaitable[Resource | None]],
        clock: Clock,
        watch_seconds: int = _WATCH_SECONDS,
        scope: Scope = Scope(),
    ) -> None:
        self._scope = scope
        self._resource = resource
        self._memory = memory
        self._transport = transport
        self._identity = identity
        self._get = get
        self._now = now
        self._clock = clock
        self._watch_seconds = watch_seconds
        self._at = ""
        """resourceVersion to go on from; empty: list first."""
        self._highest = -1
        """The newest revision ever told of, to notice a history that went back."""
        self._attempted = asyncio.Event()
        self._asked = asyncio.Event()
        self._trouble: GitopsError | None = None
        self._has_listed = False
        self._task: asyncio.Task[None] | None = None

    @property
    def has_listed(self) -> bool:
        return self._has_listed

    @property
    def trouble(self) -> GitopsError | None:
        """What keeps the next list from being."""
        return self._trouble

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"follow {self._resource.plural}")

    async def listed(self) -> None:
        """Returns once there was a complete list; raises what kept the next one from being."""
        if self._has_listed:
            return
        if self._trouble is not None:
            self._attempted.clear()
            self._asked.set()  # somebody waits: do not sleep out the pause
        await self._attempted.wait()
        if self._trouble is not None:
            raise self._trouble

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                await self._turn(after_failure=failures > 0)
                failures = 0
            except _Expired:
                self._at = ""
            except GitopsError as trouble:
                if self._clock.monotonic() - began > _GOOD_WHILE:
                    failures = 0
                failures += 1
                self._note(trouble)
                await self._pause(failures, trouble)
            except Exception as surprise:
                # An answer nobody foresaw must not end the following unseen.
                failures += 1
                self._at = ""
                unforeseen = ClusterUnavailable(
                    f"following {self._resource.plural} failed: {type(surprise).__name__}"
                )
                self._note(unforeseen)
                await self._pause(failures, unforeseen)

    async def _pause(self, failures: int, trouble: GitopsError) -> None:
        # A refusal will not pass by itself: ask seldom, but ask, since rights are granted.
        first, longest = 0.1, 30.0
        if isinstance(trouble, ClusterRefused):
            first, longest = 5.0, self._scope.refused
        wait = backoff(failures, first=first, longest=longest)
        self._asked.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._asked.wait(), wait)

    async def _turn(self, *, after_failure: bool) -> None:
        if after_failure:
            await self._identity.confirm()
            await self._check_history()
        if not self._at:
            await self._list()
            self._note(None)
        await self._watch()

    def _note(self, trouble: GitopsError | None) -> None:
        self._trouble = trouble
        self._has_listed = self._has_listed or trouble is None
        self._attempted.set()

    # --- list -----------------------------------------------------------------------------

    async def _list(self) -> None:
        for _ in range(_LIST_RESTARTS):
            try:
                found, at = await self._pages()
                break
            except _Expired:
                continue  # cut off between pages: half a list is no list
        else:
            raise ClusterUnavailable(
                f"listing {self._resource.plural} was cut off {_LIST_RESTARTS} times",
                place=self._resource.plural,
            )
        rewound = -1 < revision(at) < self._highest
        for told in found:
            self._memory.put(told, rewound=rewound)
        present = {told.id for told in found}
        for id in self._memory.of_kind(self._resource):
            if id not in present:
                await self._settle(id, revision(at))
        self._reached(at, rewound=rewound)

    async def _pages(self) -> tuple[list[Any], str]:
        found: list[Any] = []
        token = ""
        while True:
            page = await self._page(token)
            found += [self._scope.take(self._resource, item) for item in page.get("items") or []]
            metadata = page["metadata"]
            token = str(metadata.get("continue", ""))
            if not token:
                return found, str(metadata.get("resourceVersion", ""))

    async def _page(self, token: str, limit: int = PAGE) -> dict[str, Any]:
        """Without a resourceVersion: a quorum read, never what some cache remembers."""
        query = [*self._scope.query, ("limit", str(limit))]
        if token:
            query.append(("continue", token))
        try:
            page = (await self._transport.send(self._call(query, "List"))).json()
        except NotFound as missing:
            return await self._vanished(missing)
        except ClusterRefused as refused:
            if refused.code == 410:
                raise _Expired from refused
            raise
        if not isinstance(page.get("items") or [], list) or not isinstance(
            page.get("metadata"), dict
        ):
            raise ClusterUnavailable(f"the list of {self._resource.plural} is no list")
        return page

    async def _vanished(self, missing: NotFound) -> dict[str, Any]:
        """Another version is served instead: go on with that. Or the kind itself is gone (its
        CRD was deleted): what we knew of it is settled one by one, then the trouble is told."""
        present = await self._now(self._resource)
        if present is not None and present != self._resource:
            self._resource = present
            raise _Expired from missing
        for id in self._memory.of_kind(self._resource):
            await self._settle(id, -1)
        self._has_listed = False
        raise NotFound(
            f"the cluster does not serve {self._resource.kind} any more",
            code=404,
            hint="apply its CustomResourceDefinition again, or remove the objects",
            place=missing.place,
        )

    async def _check_history(self) -> None:
        """After a restored backup a watch from the future is silent for ever: ask where the
        server's history stands before going on from where ours does."""
        if not self._at:
            return
        page = await self._page("", limit=1)
        now = revision(str(page["metadata"].get("resourceVersion", "")))
        if -1 < now < self._highest:
            self._at = ""

    def _reached(self, at: str, *, rewound: bool = False) -> None:
        self._at = at
        self._highest = revision(at) if rewound else max(self._highest, revision(at))

    # --- watch ----------------------------------------------------------------------------

    async def _watch(self) -> None:
        seconds = int(self._watch_seconds * (0.9 + random.random() / 5))  # noqa: S311
        query = [
            *self._scope.query,
            ("watch", "1"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._at),
            ("timeoutSeconds", str(seconds)),
        ]
        began = self._clock.monotonic()
        try:
            async with self._transport.stream(self._call(query), silence=seconds + 30) as lines:
                async for line in lines:
                    await self._event(line)
        except ClusterRefused as refused:
            if refused.code in {404, 410}:  # a list will say whether the kind itself is gone
                raise _Expired from refused
            raise
        if self._clock.monotonic() - began < seconds - 1:
            raise ClusterUnavailable(f"the watch of {self._resource.plural} was broken off")

    async def _event(self, line: bytes) -> None:
        try:
            event = orjson.loads(line)
            what, told = event["type"], event["object"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as broken:
            raise ClusterUnavailable("a watch event is cut off or no event") from broken
        if what == "ERROR":
            raise self._error(told)
        if what == "BOOKMARK":
            self._reached(str(told["metadata"]["resourceVersion"]))
            return
        found = self._scope.take(self._resource, told)
        if what == "DELETED":
            await self._settle(found.id, revision(found.resource_version))
        else:
            self._memory.put(found)
        self._reached(found.resource_version)

    def _error(self, told: Any) -> Exception:
        code = told.get("code") if isinstance(told, dict) else None
        if code == 410:
            return _Expired()
        self._at = ""
        return ClusterUnavailable(f"the watch of {self._resource.plural} ended with code {code}")

    # --- doubt ----------------------------------------------------------------------------

    async def _settle(self, id: ObjectId, at: int) -> None:
        """Asks for the one object. Trouble while asking leaves it in memory: the next list will
        doubt it again."""
        try:
            found = await self._get(self._resource, id)
        except GitopsError:
            self._at = ""
            raise
        if found is None:
            self._memory.gone(id, at)
        else:
            self._memory.put(found)

    def _call(self, query: list[tuple[str, str]], shape: str = "") -> Call:
        return Call(
            "GET",
            collection(self._resource, self._scope.namespace),
            tuple(query),
            accept=self._scope.accept.replace("{}", shape) or "application/json",
            kind=self._resource.kind,
            place=f"{self._resource.plural}.{self._resource.group}".rstrip("."),
            seconds=60.0,
        )
