"""One object has one owner."""

from __future__ import annotations

from pathlib import Path

from gitops.model.cluster import Resource
from gitops.model.delivery import LaneId
from gitops.model.finding import Severity
from gitops.model.ids import ApplicationName, TargetName
from planners.checks.overlap import Options, Overlap, build
from tests.unit.check_cases import Catalogue, job, manifests, services

ONE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: x}\n"
TWO = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: x}\n"
ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\n"


async def test_an_object_written_twice_in_one_application_blocks_naming_both_places() -> None:
    (finding,) = await Overlap().run(job(f"{ONE}---\n{ONE}"))
    assert finding.severity is Severity.ERROR
    assert "a.yaml:1" in finding.message
    assert finding.place == "a.yaml:5"


async def test_an_object_of_another_application_blocks_the_one_who_came_later() -> None:
    check = Overlap()
    assert await check.run(job(ONE, application="first")) == []
    (finding,) = await check.run(job(ONE, application="second", path="b.yaml"))
    assert finding.severity is Severity.ERROR
    assert "first" in finding.message
    assert "a.yaml:1" in finding.message
    assert "b.yaml:1" in finding.hint


async def test_the_one_who_came_first_is_told_but_not_blocked() -> None:
    check = Overlap()
    await check.run(job(ONE, application="first"))
    await check.run(job(ONE, application="second"))
    (finding,) = await check.run(job(ONE, application="first"))
    assert finding.severity is Severity.WARNING


async def test_the_first_stays_first_when_it_edits_the_object() -> None:
    check = Overlap()
    await check.run(job(ONE, application="first"))
    await check.run(job(ONE, application="second"))
    (finding,) = await check.run(job(ONE + "data: {k: v}\n", application="first"))
    assert finding.severity is Severity.WARNING
    assert check.freed() == frozenset()


async def test_one_application_on_two_targets_is_no_overlap() -> None:
    check = Overlap()
    for target in ("prod", "staging"):
        assert await check.run(job(ONE, target=target)) == []


async def test_a_default_namespace_makes_two_objects_one() -> None:
    check = Overlap()
    bare = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    await check.run(job(ONE, application="first"))
    assert await check.run(job(bare, application="second", namespace="x"))
    assert await check.run(job(bare, application="third", namespace="y")) == []


async def test_objects_without_namespace_meet_whatever_the_applications_namespaces() -> None:
    check = Overlap()
    await check.run(job(ROLE, application="first", namespace="x"))
    assert await check.run(job(ROLE, application="second", namespace="y"))


async def test_the_target_itself_says_what_is_namespaced() -> None:
    check = Overlap()
    odd = Catalogue([Resource("", "v1", "ConfigMap", "configmaps", namespaced=False)])
    await check.run(job(ONE, application="first", catalogue=odd))
    bare = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
    assert await check.run(job(bare, application="second", catalogue=odd))


async def test_giving_an_object_up_frees_the_other() -> None:
    check = Overlap()
    await check.run(job(f"{ONE}---\n{TWO}", application="first"))
    await check.run(job(ONE, application="second"))
    await check.run(job(TWO, application="first"))
    assert check.freed() == {LaneId(ApplicationName("second"), TargetName("prod"))}
    assert check.freed() == frozenset()
    assert await check.run(job(ONE, application="second")) == []


async def test_an_application_that_left_claims_nothing() -> None:
    check = Overlap()
    await check.run(job(ONE, application="first"))
    check.forget(LaneId(ApplicationName("first"), TargetName("prod")))
    assert await check.run(job(ONE, application="second")) == []


async def test_only_what_differs_is_looked_into() -> None:
    class Counting(Catalogue):
        asked = 0

        async def resource(self, group: str, kind: str, version: str = "") -> Resource | None:
            Counting.asked += 1
            return Resource(group, "v1", kind, "x", namespaced=True)

    check, catalogue = Overlap(), Counting([])
    made = manifests("---\n".join(ONE.replace("name: a", f"name: a{i}") for i in range(50)))
    await check.run(job(made=made, catalogue=catalogue))
    before = Counting.asked
    await check.run(job(made=made, catalogue=catalogue))
    assert Counting.asked == before


def test_each_fleet_has_an_index_of_its_own(tmp_path: Path) -> None:
    assert build(Options(), services(tmp_path)) is not build(Options(), services(tmp_path))
