"""Checks that carry on from the last set say what they would say of it anew, whatever moved."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops.model.cluster import ClusterFacts, Resource
from gitops.model.finding import Finding, Severity
from gitops.model.manifest import Manifest, ObjectId, RenderedFile
from gitops.ports import Check, CheckJob, Scope
from planners.checks.cache import FindingCache
from planners.checks.kube_schema import KubeSchema, Options
from planners.checks.overlap import Overlap
from planners.checks.run import Configured, run_checks
from tests.unit.check_cases import Catalogue, file, job, manifests
from tests.unit.test_check_kube_schema import COMPONENTS

OPTIONS = Options(skip_kinds=("CustomResourceDefinition",))
KNOWN = [
    Resource("", "v1", "Thing", "things", True),
    Resource("", "v1", "Secret", "secrets", False),
]
TEXTS = (
    "apiVersion: v1\nkind: Thing\nmetadata: {name: a}\n",
    "apiVersion: v1\nkind: Thing\nmetadata: {name: a}\ndata: {x: '1'}\n",
    "apiVersion: v1\nkind: Thing\nmetadata: {name: b}\ndata: {x: '2'}\n",
    "apiVersion: v1\nkind: Thing\nmetadata: {name: b, namespace: default}\n",
    "apiVersion: v1\nkind: Thing\nmetadata: {name: c}\nport: true\n",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n",
    "apiVersion: v1\nkind: Endpoints\nmetadata: {name: a}\n",
    "apiVersion: x.org/v1\nkind: Odd\nmetadata: {name: a}\nsize: 1\n",
    "apiVersion: x.org/v1\nkind: Odd\nmetadata: {name: b}\nsize: true\n",
    *(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
        "metadata: {name: odds.x.org}\nspec: {group: x.org, scope: Namespaced, names: {kind: Odd},"
        " versions: [{name: v1, served: true, schema: {openAPIV3Schema: {type: object, properties: "
        f"{{size: {{type: {kind}}}}}}}}}}}]}}\n"
        for kind in ("integer", "boolean")
    ),
)


class Remarks:
    """Says something of every other file."""

    name, version, scope = "remarks", "1", Scope.FILE

    async def run(self, job: CheckJob) -> list[Finding]:
        return [
            Finding("remarks", list(Severity)[len(f.text) % 3], "said", path=f.path)
            for f in job.files
            if len(f.text) % 2
        ]


class World:
    """Two applications whose files come, change and go."""

    def __init__(self, seed: int, texts: Sequence[str] = TEXTS) -> None:
        self.dice = random.Random(seed)
        # A few in each world, so that in some of them nothing is wrong for a while.
        self.texts = self.dice.sample(texts, k=self.dice.randrange(3, 7))
        self.files: dict[str, dict[str, tuple[RenderedFile, tuple[Manifest, ...]]]] = {
            "one": {},
            "two": {},
        }
        self.namespace = "default"
        self.known = list(KNOWN)

    def move(self) -> None:
        match self.dice.randrange(7):
            case 0:
                self.namespace = self.dice.choice(("default", "default", "other"))
            case 1 | 2:
                for files in self.files.values():
                    if files:
                        del files[self.dice.choice(sorted(files))]
            case _:
                path = f"{self.dice.choice('pqrs')}.yaml"
                text = self.dice.choice(self.texts)
                shown = (file(text, path), manifests(text, path))
                self.files[self.dice.choice(("one", "two"))][path] = shown

    def job(self, application: str) -> CheckJob:
        files = self.files[application]
        made = [each for path in sorted(files) for each in files[path][1]]
        asked = job(
            application=application,
            namespace=self.namespace,
            made=tuple(made),
            files=tuple(files[path][0] for path in sorted(files)),
            catalogue=Catalogue(self.known, COMPONENTS),
        )
        return replace(asked, facts=ClusterFacts("uid", "v1", tuple(k.kind for k in self.known)))


SEEDS = st.tuples(st.integers(0, 2**32), st.integers(1, 15))


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_the_schema_and_the_file_checks_find_the_same_carried_on_as_anew(
    told: tuple[int, int],
) -> None:
    asyncio.run(_same(*told))


async def _same(seed: int, rounds: int) -> None:
    world = World(seed)
    kept: list[Check] = [KubeSchema(OPTIONS), Remarks()]
    cache = FindingCache()
    for _ in range(rounds):
        world.move()
        if world.dice.random() < 0.2:
            world.known = [kind for kind in KNOWN if world.dice.random() < 0.8]
        asked = world.job("one")
        new: list[Check] = [KubeSchema(OPTIONS), Remarks()]
        for check, fresh in zip(kept, new, strict=True):
            carried = await run_checks(asked, [Configured(check, check.name)], cache)
            anew = await run_checks(asked, [Configured(fresh, fresh.name)], FindingCache())
            assert carried == anew


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_every_object_with_two_owners_is_found_and_no_other(told: tuple[int, int]) -> None:
    asyncio.run(_contested(*told))


async def _contested(seed: int, rounds: int) -> None:
    plain = [text for text in TEXTS if "Definition" not in text]
    world, check = World(seed, plain), Overlap()
    for number in range(rounds):
        world.move()
        if number == rounds // 2:  # what could not be placed now can
            world.known.append(Resource("x.org", "v1", "Odd", "odds", True))
        for name in ("one", "two", "one"):
            found = await check.run(world.job(name))
        assert {finding.object for finding in found} == _claimed_twice(world)


def _claimed_twice(world: World) -> set[ObjectId]:
    """Objects of application *one* that somebody writes besides."""
    kinds = {(r.group, r.kind): r.namespaced for r in world.known}
    owners: dict[ObjectId, list[str]] = defaultdict(list)
    for name in ("one", "two"):
        made = [m.id for _, each in world.files[name].values() for m in each]
        for id in made:
            namespaced = kinds.get((id.group, id.kind))
            if namespaced is not None:
                space = (id.namespace or world.namespace) if namespaced else ""
                owners[ObjectId(id.group, id.kind, space, id.name)].append(name)
    return {id for id, names in owners.items() if len(names) > 1 and "one" in names}
