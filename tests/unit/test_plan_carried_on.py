"""Carrying a plan on from the last one gives what drawing it from nothing gives, whatever moves.

The target is a stand-in that answers as simply as possible: what is compared is two drawings of
one situation, and a situation can be anything. The real one is in tests/e2e.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops import projection
from gitops.kube.held import HeldObject
from gitops.kube.memory import Memory
from gitops.masking import Masker
from gitops.model.cluster import FIELD_MANAGER, OWNER_LABEL, ClusterFacts, LiveObject, Resource
from gitops.model.cluster import Written as Answer
from gitops.model.delivery import AppliedObject, Cause, Change, LaneId
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, Digest, SourceName, TargetName, combine
from gitops.model.manifest import Desired, Manifest, ObjectId, Origin
from gitops.model.source import Closure, Revision
from gitops.ports import DrawJob, Drawn
from planners.plan.manifests import draw
from planners.plan.memory import PlanMemory
from tests.unit.check_cases import Keyed

LANE = LaneId(ApplicationName("shop"), TargetName("here"))
KINDS = (
    Resource("", "v1", "ConfigMap", "configmaps", True),
    Resource("", "v1", "Secret", "secrets", True),
    Resource("", "v1", "Namespace", "namespaces", False),
    Resource("example.com", "v1", "Widget", "widgets", True),
)
CRD = Resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False
)
NAMESPACES = ("", "a", "b")


def fields_of(value: Any) -> Any:
    """FieldsV1 of everything in a value."""
    if not isinstance(value, dict):
        return {}
    return {f"f:{key}": fields_of(each) for key, each in value.items()}


class Target:
    """Kinds, live objects and an inventory; a dry-run answers what it was sent."""

    def __init__(self) -> None:
        self.kinds = {(r.group, r.kind): r for r in (*KINDS, CRD)}
        self.memory = Memory()
        self.recorded: frozenset[ObjectId] | None = None
        self.revision = 0
        self.everything: dict[ObjectId, LiveObject] = {}

    @property
    def live(self) -> Target:
        return self

    @property
    def inventory(self) -> Target:
        return self

    async def follow(self, kinds: Any) -> None: ...

    def owned(self, application: str) -> Any:
        return self.memory.owned(application)

    async def read(self, application: str) -> frozenset[ObjectId] | None:
        return self.recorded

    async def resource(self, group: str, kind: str, version: str = "") -> Resource | None:
        found = self.kinds.get((group, kind))
        return found if found and version in ("", found.version) else None

    async def facts(self) -> ClusterFacts:
        return ClusterFacts("uid", "v1.35.4", ("v1", "v1/ConfigMap"))

    async def get(self, resource: Resource, id: ObjectId) -> LiveObject | None:
        return self.everything.get(id)

    async def apply(
        self, resource: Resource, id: ObjectId, body: bytes, *, dry_run: bool, **_: Any
    ) -> Answer:
        made = self.made(id, orjson.loads(body), bump=False)
        return Answer(made, id not in self.everything)

    async def delete(self, resource: Resource, id: ObjectId, **_: Any) -> None: ...

    def put(self, live: HeldObject) -> None:
        self.everything[live.id] = live
        self.memory.put(live)

    def gone(self, id: ObjectId) -> None:
        self.everything.pop(id, None)
        self.memory.gone(id, self.revision)

    def made(self, id: ObjectId, sent: dict[str, Any], *, bump: bool = True) -> HeldObject:
        self.revision += bump
        sent["metadata"].pop("uid", None)
        sent["metadata"].pop("resourceVersion", None)
        ours = {"manager": FIELD_MANAGER, "operation": "Apply", "fieldsV1": fields_of(sent)}
        sent["metadata"]["managedFields"] = [ours]
        return HeldObject(id, "v1", f"uid {id}", str(self.revision), sent)


@dataclass
class World:
    """One application's life, moved by random steps."""

    dice: random.Random
    target: Target = field(default_factory=Target)
    files: dict[ObjectId, Manifest] = field(default_factory=dict)
    twice: tuple[Manifest, ...] = ()
    applied: dict[ObjectId, AppliedObject] = field(default_factory=dict)
    spec: ApplicationSpec = field(
        default=ApplicationSpec(LANE.application, SourceName("s"), "", namespace="a")
    )
    fence: str = ""
    drawn: Drawn | None = None

    def job(self) -> DrawJob:
        manifests = (*(self.files[id] for id in sorted(self.files)), *self.twice)
        digest = combine(*(m.digest for m in manifests))
        desired = Desired(manifests, Closure(()), digest, "test 1")
        revision = Revision(SourceName("s"), "r")
        change = Change(LANE, 0, desired.digest, Cause.COMMIT, revision)
        target: Any = self.target
        return DrawJob(change, self.spec, desired, (), target, self.applied)

    def an_id(self) -> ObjectId:
        kind = self.dice.choice((*KINDS, CRD))
        namespace = self.dice.choice(NAMESPACES) if kind.namespaced else ""
        return ObjectId(kind.group, kind.kind, namespace, self.dice.choice("pqrs"))

    # --- steps ------------------------------------------------------------------------------

    def write(self) -> None:
        id = self.an_id()
        self.files[id] = self.manifest(id)

    def move_file(self) -> None:
        if self.files:
            id = self.dice.choice(sorted(self.files))
            origin = Origin(self.dice.choice("xyz"), self.dice.randrange(9))
            self.files[id] = replace(self.files[id], origin=origin)

    def remove(self) -> None:
        if self.files:
            del self.files[self.dice.choice(sorted(self.files))]

    def repeat(self) -> None:
        some = sorted(self.files)
        self.twice = (self.files[self.dice.choice(some)],) if some and not self.twice else ()

    def deliver(self) -> None:
        if self.drawn is None:
            return
        for write in self.drawn.sealed.writes:
            if not write.body:
                self.target.gone(write.id)
                self.applied.pop(write.id, None)
                continue
            live = self.target.made(write.id, orjson.loads(write.body))
            self.target.put(live)
            now = projection.digest(live.body, projection.owned(live.body), Keyed())
            self.applied[write.id] = AppliedObject(write.desired, now or Digest(""), live.uid)
        self.target.recorded = frozenset(self.drawn.sealed.inventory)

    def settle(self) -> None:
        for id, found in self.drawn.settled.items() if self.drawn else ():
            if found is None:
                self.applied.pop(id, None)
            else:
                self.applied[id] = found

    def drift(self) -> None:
        id = self.an_id()
        body = self.body(id)
        body["metadata"]["labels"] = {OWNER_LABEL: self.dice.choice((LANE.application, ""))}
        self.target.put(self.target.made(id, body))

    def vanish(self) -> None:
        if held := list(self.target.owned(LANE.application)):
            self.target.gone(self.dice.choice(held))

    def forget_record(self) -> None:
        if self.applied:
            del self.applied[self.dice.choice(sorted(self.applied))]

    def lose_inventory(self) -> None:
        self.target.recorded = None

    def change_inventory(self) -> None:
        known = self.target.recorded or frozenset()
        self.target.recorded = known ^ {
            self.an_id(),
            *self.dice.sample(sorted(known), k=min(len(known), 1)),
        }

    def change_kinds(self) -> None:
        kind = KINDS[3]
        key = (kind.group, kind.kind)
        if self.dice.random() < 0.3:
            self.target.kinds.pop(key, None)
        else:
            self.target.kinds[key] = replace(kind, namespaced=self.dice.random() < 0.5)

    def change_namespace(self) -> None:
        self.spec = replace(self.spec, namespace=self.dice.choice(("a", "b")))

    def change_prune(self) -> None:
        self.spec = replace(self.spec, prune=not self.spec.prune)

    def change_fence(self) -> None:
        self.fence = self.dice.choice(("", "b"))

    def manifest(self, id: ObjectId) -> Manifest:
        raw = orjson.dumps(self.body(id), option=orjson.OPT_SORT_KEYS)
        origin = Origin(f"{id.name}.yaml", self.dice.randrange(9))
        return Manifest(id, "v1", raw, Keyed().of(raw), origin)

    def body(self, id: ObjectId) -> dict[str, Any]:
        metadata = {"name": id.name} | ({"namespace": id.namespace} if id.namespace else {})
        version = f"{id.group}/v1" if id.group else "v1"
        body: dict[str, Any] = {"apiVersion": version, "kind": id.kind, "metadata": metadata}
        match id.kind:
            case "CustomResourceDefinition":
                names = {"kind": "Widget", "plural": "widgets"}
                versions = [{"name": "v1", "served": self.dice.random() < 0.7}]
                body["spec"] = {"group": "example.com", "scope": "Namespaced", "names": names}
                body["spec"]["versions"] = versions
            case "Widget":
                image = f"web:{self.dice.randrange(3)}"
                body["spec"] = {"containers": [{"name": "w", "image": image}]}
            case _:
                body["data"] = {"x": str(self.dice.randrange(3))}
        return body


STEPS: tuple[Callable[[World], None], ...] = (
    World.write, World.write, World.write, World.move_file, World.remove, World.repeat,
    World.deliver, World.deliver, World.settle, World.drift, World.vanish, World.forget_record,
    World.lose_inventory, World.change_inventory, World.change_kinds, World.change_kinds,
    World.change_namespace, World.change_prune, World.change_fence,
)  # fmt: skip


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(st.lists(st.sampled_from(STEPS), max_size=3), max_size=10),
)
def test_a_plan_carried_on_is_the_plan_drawn_anew(
    seed: int, rounds: list[list[Callable[[World], None]]]
) -> None:
    asyncio.run(_live_on(World(random.Random(seed)), rounds))


async def _live_on(world: World, rounds: list[list[Callable[[World], None]]]) -> None:
    memory, digester = PlanMemory(), Keyed()
    begin = (World.write,) * world.dice.randrange(6)
    for steps in ((*begin,), (World.deliver,), *rounds):
        for step in steps:
            step(world)
        job = world.job()
        carried = await draw(job, digester, Masker(digester), memory, world.fence)
        anew = await draw(job, digester, Masker(digester), PlanMemory(), world.fence)
        assert carried == anew
        world.drawn = carried
