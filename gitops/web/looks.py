"""A closer look at one object: its events, the end of a log, the Jobs of a CronJob.

For the application's page and the API. Asked of the cluster when a person asks, never for a page
that only lists objects; what comes back is masked here, off the loop since it is long, and stays
foreign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import TypeVar

from gitops import health
from gitops.controller import Controller
from gitops.errors import ClusterRefused, GitopsError, Unknown
from gitops.foreign import one_line
from gitops.health.crashes import reduced
from gitops.model.cluster import LiveObject
from gitops.model.ids import TargetName
from gitops.ports.inspecting import Happening, Happenings, Inspecting, Inspector, Log
from gitops.web.objects import Node, Trees, key_of
from gitops.web.rights import advice, missing_rule
from gitops.web.secrecy import Secrecy

T = TypeVar("T")

MOST_JOBS = 20
_WITH_PODS = 3
"""Of the Jobs of a CronJob, the newest ones."""
_LAST_OF_ONE_LINE = 4_096


@dataclass(frozen=True, slots=True)
class Unseen:
    """Why something could not be looked at."""

    said: str
    """Masked; foreign."""
    hint: str
    rule: str = ""
    """The rule that gives the missing right; empty where that is not it."""


@dataclass(frozen=True, slots=True)
class Look:
    """What is shown of one object."""

    events: Happenings | Unseen
    jobs: tuple[Node, ...] | Unseen = ()
    container: str = ""
    """Whose log it is."""
    previous: bool = False
    log: Log | Unseen | None = None
    """None for what writes none."""


class Looks:
    def __init__(self, controller: Controller, trees: Trees, secrecy: Secrecy) -> None:
        self._controller = controller
        self._trees = trees
        self._secrecy = secrecy

    async def at(
        self,
        target: TargetName,
        node: Node,
        container: str = "",
        *,
        previous: bool | None = None,
        logs: bool = True,
    ) -> Look:
        """Everything of one object; what cannot be looked at says why. ``previous`` None: of the
        container before its last restart where that is what tells why it crashes."""
        events = await self._tried(self.events(target, node))
        look = Look(events, await self._tried(self.jobs(target, node)))
        if not node.containers or not logs:
            return look
        named = container if container in node.containers else node.containers[0]
        before = node.restarts > 0 and not node.well if previous is None else previous
        log = await self._tried(self.log(target, node, named, previous=before))
        return replace(look, container=named, previous=before, log=log)

    async def events(self, target: TargetName, node: Node) -> Happenings:
        """The newest first. Raises what the cluster says."""
        if not node.uid:
            return Happenings(())
        await self._secrecy.learn_namespace(target, node.id.namespace)
        found = await self._asked(self._inspector(target).events(node.id, node.uid))
        return await asyncio.to_thread(self._shown, found)

    async def jobs(self, target: TargetName, node: Node) -> tuple[Node, ...]:
        """What a CronJob made, the newest first; nothing of other kinds."""
        if not node.uid or (node.id.group, node.id.kind) != ("batch", "CronJob"):
            return ()
        inspector = self._inspector(target)
        found = (await self._asked(inspector.made_by(node.id, node.uid)))[:MOST_JOBS]
        jobs = [self._job(job) for job in found]
        for place, job in enumerate(jobs[:_WITH_PODS]):
            pods = await self._asked(inspector.made_by(job.id, job.uid))
            made = tuple(self._trees.pod(reduced(pod.body)) for pod in pods)
            jobs[place] = replace(job, made=made)
        return tuple(jobs)

    async def log(
        self, target: TargetName, node: Node, container: str, *, previous: bool = False
    ) -> Log:
        """The end of one container's log. Raises Unknown for no container of the object, and what
        the cluster says."""
        if container not in node.containers:
            known = ", ".join(node.containers) or "none"
            raise Unknown(
                f"{node.id} has no container {one_line(container, 63)!r}",
                hint=f"containers: {known}",
            )
        await self._secrecy.learn_namespace(target, node.id.namespace)
        inspector = self._inspector(target)
        found = await self._asked(inspector.log(node.id, container, previous=previous))
        text = await asyncio.to_thread(self._secrecy.mask, _whole_lines(found))
        return Log(text, found.cut)

    def _job(self, job: LiveObject) -> Node:
        found = health.assess(job.body)
        reason = self._secrecy.mask(found.reason)
        return Node(key_of(job.id), job.id, job.uid, found.health, reason)

    def _shown(self, found: Happenings) -> Happenings:
        return replace(found, newest=tuple(map(self._masked, found.newest)))

    def _masked(self, each: Happening) -> Happening:
        mask = self._secrecy.mask
        return replace(each, reason=mask(each.reason), message=mask(each.message))

    def _inspector(self, target: TargetName) -> Inspector:
        cluster: object = self._controller.clusters.connected.get(target)
        if not isinstance(cluster, Inspecting):
            raise Unknown(f"{target} cannot be looked into", hint="`gitops status` says more of it")
        return cluster.inspector

    async def _asked(self, asking: Awaitable[T]) -> T:
        """Says of a refusal which right is missing."""
        try:
            return await asking
        except ClusterRefused as refused:
            said = self._secrecy.mask(refused.message)
            hint = advice(said) or _hint(refused)
            raise ClusterRefused(said, code=refused.code, hint=hint, place=refused.place) from None

    async def _tried(self, asking: Awaitable[T]) -> T | Unseen:
        try:
            return await asking
        except GitopsError as error:
            said, rule = self._secrecy.mask(error.message), missing_rule(error.message)
            return Unseen(said, _ADD if rule else _hint(error), rule)


_ADD = "Add this rule to a role of the controller's account:"


def _hint(error: GitopsError) -> str:
    """A 400 is the kubelet's: no container yet, or none before it. It says so itself."""
    own = isinstance(error, ClusterRefused) and error.code == 400
    return "" if own else error.hint


def _whole_lines(log: Log) -> str:
    """A log that was cut may end in the middle of a value that has to be hidden."""
    if not log.cut:
        return log.text
    whole, newline, _ = log.text.rpartition("\n")
    return f"{whole}{newline}" if newline else log.text[:-_LAST_OF_ONE_LINE]
