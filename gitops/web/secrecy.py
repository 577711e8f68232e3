"""Has the Secrets of a cluster known before anything that may quote them is shown.

Planning learns a Secret's values when it draws a plan; after a restart an application that is at
rest was not planned yet, and its pods print what they like. Used by what shows texts of a cluster.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitops.controller import Controller
from gitops.foreign import readable
from gitops.masking import secret_values
from gitops.model.cluster import LiveObject
from gitops.model.ids import TargetName
from gitops.model.manifest import ObjectId
from gitops.ports import Cluster, Reading

_REMEMBERED = 20_000


class Secrecy:
    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._learned: dict[str, str] = {}
        """resourceVersion of each Secret that was learned, by uid."""
        self._seen: dict[TargetName, Cluster] = {}
        """Whose Secrets are all seen. What is delivered from then on is learned when planned."""

    def learn(self, things: Iterable[LiveObject]) -> None:
        """What of these is a Secret; what was learned before costs nothing."""
        for thing in things:
            known = self._learned.get(thing.uid) == thing.resource_version
            if _is_secret(thing.id) and not known:
                for value in secret_values(thing.body):
                    self._controller.parts.taint(value)
                if len(self._learned) >= _REMEMBERED:
                    self._learned.clear()  # to learn one again harms nobody
                self._learned[thing.uid] = thing.resource_version

    async def learn_namespace(self, target: TargetName, namespace: str) -> None:
        """Every Secret we manage in a namespace, whichever application it belongs to. Raises what
        keeps them from being listed: then nothing is shown."""
        controller = self._controller
        cluster = controller.clusters.connected.get(target)
        if cluster is None:
            return
        await self._follow(target)
        for name, spec in controller.roster.specs().items():
            if target in spec.targets:
                owned = cluster.live.owned(name).values()
                self.learn(thing for thing in owned if thing.id.namespace == namespace)

    async def _follow(self, target: TargetName) -> None:
        """Has every Secret of ours seen, where there is one: right after a start they may not be
        listed yet, while the pods are. Looked for once a process."""
        cluster = self._controller.clusters.connected[target]
        if self._seen.get(target) is cluster:
            return
        lanes = [lane for lane in self._controller.roster.lanes() if lane.target == target]

        def query(reading: Reading) -> bool:
            return any(_is_secret(id) for lane in lanes for id in reading.applied(lane))

        if await self._controller.ledger.read(query):
            kind = await cluster.resource("", "Secret")
            if kind is not None:
                await cluster.live.follow([kind])
        self._seen[target] = cluster

    def mask(self, text: str) -> str:
        """Without any known value, also one that only appears once escapes are taken out."""
        mask = self._controller.parts.mask
        return mask(readable(mask(text)))


def _is_secret(id: ObjectId) -> bool:
    return (id.kind, id.group) == ("Secret", "")
