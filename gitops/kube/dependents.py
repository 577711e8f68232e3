"""The pods of what was delivered, kept current by one watch on Pods and one on ReplicaSets in each
namespace concerned.

Made by :class:`gitops.kube.cluster.KubeCluster` and followed by the engine's vigil. Pods carry no
label of ours, so these watches see every pod of their namespace: of each only what says why it does
not run is kept, of ReplicaSets only whose they are. Unlike in the live view a deletion is believed
without a question: nothing is ever written because of a pod.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any

from gitops.errors import ClusterUnavailable
from gitops.health.crashes import reduced, seen
from gitops.kube.follower import Follower, Scope
from gitops.kube.held import revision
from gitops.model.cluster import Resource
from gitops.model.manifest import ObjectId
from gitops.model.pods import Pod, ReplicaSet
from gitops.ports import Clock

PODS = Resource("", "v1", "Pod", "pods", namespaced=True)
REPLICA_SETS = Resource("apps", "v1", "ReplicaSet", "replicasets", namespaced=True)
_REFUSED = 600.0
"""Seconds: without the right to look at pods all else works, in however many namespaces."""
METADATA_ONLY = "application/json;as=PartialObjectMetadata{};g=meta.k8s.io;v=v1"
"""(kubernetes.io/docs/reference/using-api/api-concepts, receiving resources as metadata only)"""


class _Yard:
    """The pods and ReplicaSets of one namespace. Plays what a follower keeps."""

    def __init__(self, clock: Clock, moved: Callable[[str], None]) -> None:
        self._clock = clock
        self._moved = moved
        self._things: dict[ObjectId, Pod | ReplicaSet] = {}
        self._pods: dict[str, dict[ObjectId, Pod]] = {}
        """By the uid of their controller."""
        self._owners: dict[str, ReplicaSet] = {}
        """Of pods, by uid."""
        self._sets: dict[str, set[str]] = {}
        """uids of ReplicaSets by that of their owner."""

    def put(self, told: Pod | ReplicaSet, *, rewound: bool = False) -> None:
        known = self._things.get(told.id)
        same = known is not None and known.uid == told.uid
        if same and not rewound and known is not None and not _is_newer(told, known):
            return
        if isinstance(told, Pod) and not told.owner:
            self._drop(known)
            return
        if isinstance(told, Pod) and (isinstance(known, Pod) or known is None):
            told = replace(told, restarted=seen(told, known, self._clock.monotonic()))
        self._drop(known)
        self._things[told.id] = told
        if isinstance(told, Pod):
            self._pods.setdefault(told.owner, {})[told.id] = told
        else:
            self._owners[told.uid] = told
            self._sets.setdefault(told.owner, set()).add(told.uid)
        self._tell(told)

    def of_kind(self, resource: Resource) -> tuple[ObjectId, ...]:
        return tuple(id for id in self._things if id.kind == resource.kind)

    def gone(self, id: ObjectId, at: int) -> None:
        known = self._things.get(id)
        self._drop(known)
        if known is not None:
            self._tell(known)

    def of(self, owner: str) -> Iterable[Pod]:
        for uid in (owner, *sorted(self._sets.get(owner, ()))):
            yield from self._pods.get(uid, {}).values()

    def sets(self, owner: str) -> Iterable[ReplicaSet]:
        return (self._owners[uid] for uid in self._sets.get(owner, ()))

    def _drop(self, known: Pod | ReplicaSet | None) -> None:
        if known is None:
            return
        del self._things[known.id]
        if isinstance(known, Pod):
            of_owner = self._pods.get(known.owner, {})
            of_owner.pop(known.id, None)
            if not of_owner:
                self._pods.pop(known.owner, None)
            return
        self._owners.pop(known.uid, None)
        siblings = self._sets.get(known.owner, set())
        siblings.discard(known.uid)
        if not siblings:
            self._sets.pop(known.owner, None)

    def _tell(self, thing: Pod | ReplicaSet) -> None:
        self._moved(thing.owner)
        if thing.owner in self._owners:
            self._moved(self._owners[thing.owner].owner)


def _is_newer(told: Pod | ReplicaSet, known: Pod | ReplicaSet) -> bool:
    return revision(told.resource_version) > revision(known.resource_version)


class Dependents:
    """Plays ``Pods`` for one cluster."""

    def __init__(
        self, clock: Clock, follower: Callable[[Resource, _Yard, Scope], Follower]
    ) -> None:
        self._clock = clock
        self._make = follower
        self._yards: dict[str, _Yard] = {}
        self._followers: dict[str, tuple[Follower, ...]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._moved: OrderedDict[str, None] = OrderedDict()
        self._filled = asyncio.Event()
        self._closed = False

    def attend(self, namespaces: Collection[str]) -> None:
        if self._closed:
            return
        for namespace in [known for known in self._followers if known not in namespaces]:
            del self._yards[namespace]
            for follower in self._followers.pop(namespace):
                task = asyncio.ensure_future(follower.close())
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)
        for namespace in namespaces:
            if namespace not in self._followers:
                self._start(namespace)

    def of(self, owner: str) -> Sequence[Pod]:
        found = [pod for yard in self._yards.values() for pod in yard.of(owner)]
        return sorted(found, key=lambda pod: pod.id)

    def sets(self, owner: str) -> Sequence[ReplicaSet]:
        found = [each for yard in self._yards.values() for each in yard.sets(owner)]
        return sorted(found, key=lambda each: (-each.revision, each.id))

    async def moves(self) -> AsyncIterator[str]:
        while not self._closed:
            while self._moved:
                yield self._moved.popitem(last=False)[0]
            self._filled.clear()
            await self._filled.wait()

    def unseen(self, namespace: str) -> str:
        troubles = [f.trouble for f in self._followers.get(namespace, ())]
        return next((each.message for each in troubles if each is not None), "")

    async def close(self) -> None:
        self._closed = True
        self._filled.set()
        followers = [each for pair in self._followers.values() for each in pair]
        await asyncio.gather(*(each.close() for each in followers), *self._leaving)

    def _start(self, namespace: str) -> None:
        yard = self._yards[namespace] = _Yard(self._clock, self._put)
        whole = Scope(namespace, "", _pod, refused=_REFUSED)
        heads = Scope(namespace, "", _set, METADATA_ONLY, _REFUSED)
        pods, sets = self._make(PODS, yard, whole), self._make(REPLICA_SETS, yard, heads)
        self._followers[namespace] = (sets, pods)
        for follower in (sets, pods):
            follower.start()

    def _put(self, owner: str) -> None:
        self._moved[owner] = None
        self._filled.set()


async def never(_resource: Resource, _id: ObjectId) -> None:
    """What a follower asks before it lets something go: here its word is enough."""


def _pod(_resource: Resource, body: dict[str, Any]) -> Pod:
    try:
        return reduced(body)
    except (KeyError, TypeError, AttributeError) as broken:
        raise ClusterUnavailable("the API server answered something that is no Pod") from broken


def _set(_resource: Resource, body: dict[str, Any]) -> ReplicaSet:
    try:
        metadata = body["metadata"]
        owners = [o["uid"] for o in metadata.get("ownerReferences") or () if o.get("controller")]
        return ReplicaSet(
            ObjectId("apps", "ReplicaSet", metadata["namespace"], metadata["name"]),
            metadata["uid"],
            metadata["resourceVersion"],
            owners[0] if owners else "",
            _number(metadata.get("annotations")),
        )
    except (KeyError, TypeError, AttributeError) as broken:
        raise ClusterUnavailable(
            "the API server answered something that is no ReplicaSet"
        ) from broken


_REVISION = "deployment.kubernetes.io/revision"


def _number(annotations: Any) -> int:
    """Which roll-out of its Deployment a ReplicaSet is; 0 where nobody says."""
    said = str((annotations or {}).get(_REVISION, ""))
    return int(said) if said.isdecimal() and len(said) < 10 else 0
