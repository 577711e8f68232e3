"""Plans drawn against, and carried out on, a real API server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest

from gitops.errors import AccountMissing, AnswerLost, ClusterUnavailable
from gitops.kube.cluster import KubeCluster
from gitops.model.cluster import FIELD_MANAGER, OWNER_LABEL, Resource
from gitops.model.finding import Severity
from gitops.model.fleet import ConflictPolicy
from gitops.model.health import Health
from gitops.model.manifest import ObjectId
from gitops.model.plan import ABSENT, Action
from gitops.sandbox.layout import SandboxInfo
from tests.e2e.kube_support import (
    CONFIG_MAP,
    CRD,
    DEPLOYMENT,
    NAMESPACE,
    SECRET,
    make_namespace,
    reach_sandbox,
)
from tests.e2e.plan_stage import Stage

pytestmark = pytest.mark.e2e

SERVICE = Resource("", "v1", "Service", "services", True)
POD = Resource("", "v1", "Pod", "pods", True)
SLICE = Resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", True)


@dataclass
class Watched:
    """A real cluster that counts what is asked of it, and can lose an answer."""

    inner: KubeCluster
    calls: list[tuple[str, ObjectId, bool]] = field(default_factory=list)
    lose: set[ObjectId] = field(default_factory=set)
    away: int = 0
    """Writes that meet a server that does not answer."""
    accountless: int = 0
    """Dry-runs that come before the namespace's default account was made."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def get(self, resource: Resource, id: ObjectId) -> Any:
        self.calls.append(("get", id, False))
        return await self.inner.get(resource, id)

    async def apply(
        self, resource: Resource, id: ObjectId, body: bytes, *, dry_run: bool, **more: Any
    ) -> Any:
        self.calls.append(("apply", id, dry_run))
        if self.away and not dry_run:
            self.away -= 1
            raise ClusterUnavailable("connection refused", retry_after=0.01)
        if self.accountless and dry_run:
            self.accountless -= 1
            raise AccountMissing("not found", account=f"{id.namespace}/default")
        written = await self.inner.apply(resource, id, body, dry_run=dry_run, **more)
        if id in self.lose and not dry_run:
            self.lose.discard(id)
            raise AnswerLost("the connection broke", place=str(id))
        return written

    async def delete(
        self, resource: Resource, id: ObjectId, *, uid: str, dry_run: bool = False, **more: Any
    ) -> None:
        self.calls.append(("delete", id, dry_run))
        await self.inner.delete(resource, id, uid=uid, dry_run=dry_run, **more)

    @property
    def writes(self) -> list[tuple[str, ObjectId]]:
        return [(verb, id) for verb, id, dry in self.calls if verb != "get" and not dry]


@pytest.fixture
async def stage(sandbox: SandboxInfo, namespace: str) -> AsyncIterator[Stage]:
    cluster, other = await reach_sandbox(sandbox), await reach_sandbox(sandbox)
    await make_namespace(other, namespace)
    yield Stage(Watched(cluster), other, namespace)
    await cluster.close()
    await other.close()
    await asyncio.sleep(0.05)  # closed sockets are let go of by the loop, a turn later


def watched(stage: Stage) -> Watched:
    assert isinstance(stage.cluster, Watched)
    return stage.cluster


def pod_as(account: str) -> str:
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: solo}}
spec:
  schedulerName: nobody
  serviceAccountName: {account}
  containers: [{{name: web, image: "example.com/web:1"}}]
"""


def config_map(name: str, **data: str) -> str:
    lines = "".join(f"\n  {key}: {value!r}" for key, value in data.items())
    return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:{lines or ' {}'}\n"


def together(*parts: str) -> str:
    return "\n---\n".join(parts)


def deployment(name: str, image: str = "registry.invalid/web:1", replicas: int = 1) -> str:
    return f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - name: web
        image: {image}
        resources: {{requests: {{cpu: 1000m, memory: 0.5Gi}}}}
"""


async def edit(
    stage: Stage, resource: Resource, name: str, patch: Any, manager: str = "kubectl-edit"
) -> None:
    """A change by somebody else, as ``kubectl edit`` makes it."""
    from gitops.kube.paths import single
    from gitops.kube.transport import Call

    id = stage.id(resource, name)
    await stage.other._transport.send(
        Call(
            "PATCH",
            single(resource, id),
            (("fieldManager", manager),),
            body=orjson.dumps(patch),
            content_type="application/merge-patch+json",
            writes=True,
            about=id,
        )
    )
    await seen(stage, resource, name)


async def seen(stage: Stage, resource: Resource, name: str) -> None:
    """Returns once the application's watch knows what the server has."""
    id = stage.id(resource, name)
    async with asyncio.timeout(20):
        events = stage.cluster.live.events()
        while True:
            there = await stage.other.get(resource, id)
            known = stage.cluster.live.owned(stage.spec.name).get(id)
            mine = there is not None and there.application == stage.spec.name
            if (known and known.resource_version) == (there.resource_version if mine else None):
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.2):
                    await anext(events)


class TestOrdinaryLife:
    async def test_a_first_plan_creates_and_a_second_one_asks_nothing(self, stage: Stage) -> None:
        text = together(config_map("one", a="1"), deployment("web"))
        drawn = await stage.plan(text)
        assert [c.action for c in drawn.plan.changes] == [Action.CREATE, Action.CREATE]
        assert await stage.get(CONFIG_MAP, "one") is None, "planning wrote"
        executed = await stage.apply(drawn.sealed)
        assert not executed.failed
        assert (await stage.get(CONFIG_MAP, "one"))["data"] == {"a": "1"}

        watched(stage).calls.clear()
        again = await stage.plan(text)
        assert again.plan.empty
        assert again.plan.unchanged == 2
        assert watched(stage).calls == []

    async def test_a_change_shows_its_field_and_only_that_object_is_asked_about(
        self, stage: Stage
    ) -> None:
        await stage.deliver(together(config_map("one", a="1"), deployment("web")))
        watched(stage).calls.clear()
        text = together(config_map("one", a="1"), deployment("web", "registry.invalid/web:2"))
        drawn = await stage.plan(text)
        [change] = drawn.plan.changes
        assert change.action is Action.UPDATE
        assert [(f.path, f.before, f.after) for f in change.fields] == [
            (
                "spec.template.spec.containers[name=web].image",
                "registry.invalid/web:1",
                "registry.invalid/web:2",
            )
        ]
        assert {id for _, id, _ in watched(stage).calls} == {stage.id(DEPLOYMENT, "web")}
        assert ("registry.invalid/web", "2") in drawn.plan.versions

    async def test_drawing_twice_gives_one_digest(self, stage: Stage) -> None:
        service = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
"""
        text = together(deployment("web"), service, config_map("one", a="1"))
        one, two = await stage.plan(text), await stage.plan(text)
        assert one.plan.digest == two.plan.digest
        assert one.artifact == two.artifact
        await stage.deliver(text)
        text = text.replace("NodePort", "LoadBalancer")
        one, two = await stage.plan(text), await stage.plan(text)
        assert one.plan.digest == two.plan.digest

    async def test_a_lost_record_costs_a_dry_run_and_no_write(self, stage: Stage) -> None:
        text = together(config_map("one", a="1"), deployment("web"))
        await stage.deliver(text)
        stage.applied.clear()
        drawn = await stage.plan(text)
        assert drawn.plan.empty
        assert len(drawn.settled) == 2
        watched(stage).calls.clear()
        assert (await stage.plan(text)).plan.empty
        assert watched(stage).calls == []

    async def test_a_rollout_is_waited_for_on_events(self, stage: Stage) -> None:
        await stage.deliver(deployment("web", replicas=2))
        id = stage.id(DEPLOYMENT, "web")
        found = await stage.healthy(id)
        assert found[id].health is Health.HEALTHY
        live = await stage.get(DEPLOYMENT, "web")
        assert live["status"]["availableReplicas"] == 2

    async def test_a_deadline_says_what_is_missing(self, stage: Stage) -> None:
        stuck = deployment("web").replace(
            "      containers:", "      nodeSelector: {not: there}\n      containers:"
        )
        await stage.deliver(stuck)
        id = stage.id(DEPLOYMENT, "web")
        found = await stage.healthy(id, seconds=1)
        assert found[id].health is Health.PROGRESSING
        assert "0 of 1 replicas are available" in found[id].reason

    async def test_a_rollout_that_gave_up_is_not_waited_for(self, stage: Stage) -> None:
        hopeless = deployment("web").replace(
            "spec:\n  replicas: 1", "spec:\n  progressDeadlineSeconds: 1\n  replicas: 1", 1
        )
        hopeless = hopeless.replace(
            "      containers:", "      nodeSelector: {not: there}\n      containers:"
        )
        await stage.deliver(hopeless)
        id = stage.id(DEPLOYMENT, "web")
        found = await stage.healthy(id, seconds=600)
        assert found[id].health is Health.DEGRADED
        assert "ProgressDeadlineExceeded" in found[id].reason


class TestDrift:
    async def test_an_edit_of_our_field_is_seen_and_healed(self, stage: Stage) -> None:
        text = deployment("web", replicas=1)
        await stage.deliver(text)
        before = stage.applied[stage.id(DEPLOYMENT, "web")]
        await edit(stage, DEPLOYMENT, "web", {"spec": {"replicas": 3}})
        drawn = await stage.plan(text)
        [change] = drawn.plan.changes
        assert [(f.path, f.before, f.after) for f in change.fields] == [("spec.replicas", 3, 1)]
        assert change.takes[0].taken_from == "kubectl-edit"
        assert not (await stage.apply(drawn.sealed)).failed
        assert (await stage.get(DEPLOYMENT, "web"))["spec"]["replicas"] == 1
        assert stage.applied[stage.id(DEPLOYMENT, "web")] == before
        await seen(stage, DEPLOYMENT, "web")
        assert (await stage.plan(text)).plan.empty

    async def test_somebody_elses_field_is_no_drift(self, stage: Stage) -> None:
        text = config_map("one", a="1")
        await stage.deliver(text)
        await edit(stage, CONFIG_MAP, "one", {"data": {"theirs": "x"}})
        watched(stage).calls.clear()
        assert (await stage.plan(text)).plan.empty
        assert watched(stage).calls == []

    async def test_a_deleted_object_is_created_again(self, stage: Stage) -> None:
        text = config_map("one", a="1")
        await stage.deliver(text)
        id = stage.id(CONFIG_MAP, "one")
        live = await stage.other.get(CONFIG_MAP, id)
        assert live
        await stage.other.delete(CONFIG_MAP, id, uid=live.uid)
        await seen(stage, CONFIG_MAP, "one")
        drawn = await stage.deliver(text)
        assert [c.action for c in drawn.plan.changes] == [Action.CREATE]
        assert await stage.get(CONFIG_MAP, "one")


class TestConflicts:
    async def _contested(self, stage: Stage) -> str:
        await stage.deliver(deployment("web", replicas=1))
        await edit(stage, DEPLOYMENT, "web", {"spec": {"replicas": 3}}, "autoscaler")
        return deployment("web", "registry.invalid/web:2", replicas=1)

    async def test_fail_names_manager_and_field(self, stage: Stage) -> None:
        text = await self._contested(stage)
        stage.policy(conflicts=ConflictPolicy.FAIL)
        plan = (await stage.plan(text)).plan
        [found] = plan.blocked_by
        assert "spec.replicas belongs to autoscaler" in found.message
        assert found.place == "app.yaml:1:1"

    async def test_leave_sends_the_rest_and_settles(self, stage: Stage) -> None:
        text = await self._contested(stage)
        stage.policy(conflicts=ConflictPolicy.LEAVE)
        drawn = await stage.deliver(text)
        [change] = drawn.plan.changes
        assert "leaves spec.replicas to autoscaler" in change.notes
        live = await stage.get(DEPLOYMENT, "web")
        assert live["spec"]["replicas"] == 3
        assert live["spec"]["template"]["spec"]["containers"][0]["image"].endswith(":2")
        await seen(stage, DEPLOYMENT, "web")
        assert (await stage.plan(text)).plan.empty

    async def test_ask_takes_what_the_plan_said_and_from_nobody_else(self, stage: Stage) -> None:
        text = await self._contested(stage)
        drawn = await stage.plan(text)
        [change] = drawn.plan.changes
        assert [(f.path, f.taken_from) for f in change.takes] == [("spec.replicas", "autoscaler")]
        image = "spec.template.spec.containers[name=web].image"
        assert image in [f.path for f in change.fields]
        [write] = drawn.sealed.writes
        assert write.force
        assert write.takes == (("autoscaler", ".spec.replicas"),)
        await edit(stage, DEPLOYMENT, "web", {"spec": {"replicas": 4}}, "somebody")
        executed = await stage.apply(drawn.sealed)
        [failed] = executed.failed
        assert "neither what was shown nor what was approved" in failed.message
        assert (await stage.get(DEPLOYMENT, "web"))["spec"]["replicas"] == 4

    async def test_force_never_covers_a_newcomer_with_the_same_value(self, stage: Stage) -> None:
        text = await self._contested(stage)
        drawn = await stage.plan(text)
        # The same values, another owner: only the ownership moved.
        await edit(stage, DEPLOYMENT, "web", {"spec": {"replicas": 5}}, "newcomer")
        await edit(stage, DEPLOYMENT, "web", {"spec": {"replicas": 3}}, "newcomer")
        executed = await stage.apply(drawn.sealed)
        [failed] = executed.failed
        assert "spec.replicas belongs to newcomer" in failed.message

    async def test_an_existing_object_is_adopted_and_said_so(self, stage: Stage) -> None:
        await edit_new(stage, "one", {"a": "1", "b": "theirs"})
        drawn = await stage.deliver(config_map("one", a="2"))
        [change] = drawn.plan.changes
        assert change.action is Action.UPDATE
        assert "adopts an existing object" in change.notes
        assert [(f.path, f.taken_from) for f in change.takes] == [("data.a", "kubectl-create")]
        live = await stage.get(CONFIG_MAP, "one")
        assert live["data"] == {"a": "2", "b": "theirs"}
        assert live["metadata"]["labels"][OWNER_LABEL] == stage.spec.name

    async def test_another_applications_object_is_not_touched(self, stage: Stage) -> None:
        await stage.deliver(config_map("one", a="1"))
        mine = stage.spec.name
        stage.applied.clear()
        stage.policy(name=type(mine)("app-other"))
        plan = (await stage.plan(config_map("one", a="2"))).plan
        [found] = plan.blocked_by
        assert f"belongs to the application {mine}" in found.message


async def edit_new(stage: Stage, name: str, data: dict[str, str]) -> None:
    from gitops.kube.paths import collection
    from gitops.kube.transport import Call

    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": stage.namespace},
        "data": data,
    }
    await stage.other._transport.send(
        Call(
            "POST",
            collection(CONFIG_MAP, stage.namespace),
            (("fieldManager", "kubectl-create"),),
            body=orjson.dumps(body),
            writes=True,
            about=stage.id(CONFIG_MAP, name),
        )
    )


class TestDeleting:
    async def test_what_left_the_set_is_deleted_after_the_rest_is_written(
        self, stage: Stage
    ) -> None:
        names = [f"c{n}" for n in range(8)]
        await stage.deliver(together(*(config_map(name, a="1") for name in names)))
        watched(stage).calls.clear()
        rest = [config_map(name, a="1") for name in names[:6]] + [config_map("c6", a="2")]
        drawn = await stage.deliver(together(*rest))
        assert [(c.action, c.object) for c in drawn.plan.changes] == [
            (Action.UPDATE, stage.id(CONFIG_MAP, "c6")),
            (Action.DELETE, stage.id(CONFIG_MAP, "c7")),
        ]
        assert drawn.plan.over_budget == ()
        assert [verb for verb, _ in watched(stage).writes] == ["apply", "delete"]
        assert await stage.get(CONFIG_MAP, "c7") is None
        assert len(await stage.cluster.inventory.read(stage.spec.name) or ()) == 7
        again = await stage.plan(together(*rest))
        assert again.plan.empty

    async def test_an_empty_set_is_a_delete_plan_over_its_budget(self, stage: Stage) -> None:
        await stage.deliver(config_map("one", a="1"))
        drawn = await stage.plan("")
        assert [c.action for c in drawn.plan.changes] == [Action.DELETE]
        assert drawn.plan.over_budget == ("1 of 1 objects would be deleted, more than 1/3",)

    async def test_a_lost_inventory_deletes_nothing_and_is_rebuilt(self, stage: Stage) -> None:
        names = [f"c{n}" for n in range(4)]
        await stage.deliver(together(*(config_map(name, a="1") for name in names)))
        await self._lose_inventory(stage)
        rest = together(*(config_map(name, a="1") for name in names[:3]), config_map("c9", a="1"))
        drawn = await stage.deliver(rest)
        assert [c.action for c in drawn.plan.changes] == [Action.CREATE]
        [said] = [f for f in drawn.plan.findings if f.severity is Severity.WARNING]
        assert "nothing is deleted" in said.message
        assert await stage.get(CONFIG_MAP, "c3")
        then = await stage.plan(rest)
        assert [c.object for c in then.plan.changes] == [stage.id(CONFIG_MAP, "c3")]

    async def _lose_inventory(self, stage: Stage) -> None:
        id = ObjectId("", "ConfigMap", "gitops-system", f"inventory-{stage.spec.name}")
        live = await stage.other.get(CONFIG_MAP, id)
        assert live is not None
        await stage.other.delete(CONFIG_MAP, id, uid=live.uid)
        watched(stage).inner.inventory._known.clear()

    async def test_an_annotation_or_a_policy_keeps_an_object(self, stage: Stage) -> None:
        kept = config_map("kept", a="1").replace(
            "name: kept", "name: kept, annotations: {gitops-controller.dev/prune: disabled}"
        )
        base = [config_map(f"c{n}", a="1") for n in range(4)]
        await stage.deliver(together(*base, kept))
        drawn = await stage.plan(together(*base))
        assert drawn.plan.empty
        assert "says so" in drawn.plan.findings[0].message
        assert stage.id(CONFIG_MAP, "kept") in drawn.sealed.inventory
        stage.policy(prune=False)
        assert "prune is off" in (await stage.plan(together(*base[:3]))).plan.findings[0].message

    async def test_objects_that_only_copied_our_label_are_not_ours_to_delete(
        self, stage: Stage
    ) -> None:
        service = """
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
        own = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: own}
addressType: IPv4
endpoints: []
"""
        await stage.deliver(together(service, own, deployment("web")))
        await stage.healthy(stage.id(DEPLOYMENT, "web"))
        async with asyncio.timeout(20):
            events = stage.cluster.live.events()
            while not self._copies(stage):
                await anext(events)
        drawn = await stage.plan(together(service, own, deployment("web")))
        assert drawn.plan.empty

    def _copies(self, stage: Stage) -> list[ObjectId]:
        owned = stage.cluster.live.owned(stage.spec.name)
        return [id for id in owned if id.kind == "EndpointSlice" and id.name != "own"]


class TestReplacing:
    async def test_an_immutable_field_is_a_replacement(self, stage: Stage) -> None:
        await stage.deliver(deployment("web"))
        old = (await stage.get(DEPLOYMENT, "web"))["metadata"]["uid"]
        text = deployment("web").replace("app: web", "app: other")
        drawn = await stage.plan(text)
        [change] = drawn.plan.changes
        assert change.action is Action.REPLACE
        assert change.uid == old
        assert any(note.startswith("forces replacement: ") for note in change.notes)
        assert ("spec.selector.matchLabels.app", "web", "other") in [
            (f.path, f.before, f.after) for f in change.fields
        ]
        assert not change.predicted
        assert drawn.plan.over_budget
        assert not (await stage.apply(drawn.sealed)).failed
        live = await stage.get(DEPLOYMENT, "web")
        assert live["metadata"]["uid"] != old
        assert live["spec"]["selector"]["matchLabels"] == {"app": "other"}
        await seen(stage, DEPLOYMENT, "web")
        assert (await stage.plan(text)).plan.empty

    async def test_a_replacement_stopped_in_the_middle_is_finished(self, stage: Stage) -> None:
        await stage.deliver(deployment("web"))
        text = deployment("web").replace("app: web", "app: other")
        drawn = await stage.plan(text)
        id = stage.id(DEPLOYMENT, "web")
        await stage.other.delete(DEPLOYMENT, id, uid=drawn.plan.changes[0].uid)
        assert not (await stage.apply(drawn.sealed)).failed
        assert not (await stage.apply(drawn.sealed)).failed, "a second run finds it done"
        live = await stage.get(DEPLOYMENT, "web")
        assert live["spec"]["selector"]["matchLabels"] == {"app": "other"}


class TestPredicted:
    async def test_an_account_and_the_pod_that_runs_as_it_go_in_one_plan(
        self, stage: Stage
    ) -> None:
        account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: runner}\n"
        drawn = await stage.plan(f"{account}---\n{pod_as('runner')}")
        assert not drawn.plan.blocked_by, drawn.plan.blocked_by
        assert {c.object.kind for c in drawn.plan.changes if c.object and c.predicted} == {"Pod"}
        executed = await stage.apply(drawn.sealed)
        assert not executed.failed, executed.failed
        live = await stage.get(POD, "solo")
        assert live["spec"]["serviceAccountName"] == "runner"

    async def test_a_pod_of_an_account_nobody_brings_is_refused_with_its_name(
        self, stage: Stage
    ) -> None:
        drawn = await stage.plan(pod_as("stranger"))
        (found,) = drawn.plan.blocked_by
        assert f"{stage.namespace}/stranger" in found.message
        assert f"create the ServiceAccount {stage.namespace}/stranger" in found.hint

    async def test_the_default_account_of_a_young_namespace_is_waited_for(
        self, stage: Stage
    ) -> None:
        """It is made by a controller, some time after the namespace."""
        watched(stage).accountless = 2
        drawn = await stage.plan(pod_as("default"))
        assert watched(stage).accountless == 0
        assert not drawn.plan.blocked_by, drawn.plan.blocked_by
        assert not any(change.predicted for change in drawn.plan.changes)

    async def test_a_namespace_and_its_contents_go_in_one_plan(self, stage: Stage) -> None:
        name = f"{stage.namespace}-new"
        inside = deployment("web").replace("name: web}", f"name: web, namespace: {name}}}", 1)
        space = f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n"
        text = together(inside, space)
        drawn = await stage.plan(text)
        by_kind = {c.object.kind: c for c in drawn.plan.changes if c.object}
        assert by_kind["Deployment"].predicted
        assert not by_kind["Namespace"].predicted
        executed = await stage.apply(drawn.sealed)
        assert not executed.failed
        live = await stage.get(DEPLOYMENT, "web", name)
        resources = live["spec"]["template"]["spec"]["containers"][0]["resources"]
        assert resources["requests"]["cpu"] == "1", "the server spells it its own way"
        assert (await stage.plan(text)).plan.empty
        removed = await stage.plan(config_map("left", a="1"))
        assert any("deletes Namespace" in reason for reason in removed.plan.over_budget)

    async def test_a_definition_and_its_object_go_in_one_plan(self, stage: Stage) -> None:
        group = f"{stage.namespace}.example.com"
        crd = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: widgets.{group}}}
spec:
  group: {group}
  scope: Namespaced
  names: {{kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {{size: {{type: integer}}, color: {{type: string, default: red}}}}
"""
        widget = f"""
apiVersion: {group}/v1
kind: Widget
metadata: {{name: one}}
spec: {{size: 3}}
"""
        text = together(widget, crd)
        drawn = await stage.plan(text)
        assert not drawn.plan.blocked_by
        assert {c.predicted for c in drawn.plan.changes} == {False, True}
        assert not (await stage.apply(drawn.sealed)).failed
        kind = Resource(group, "v1", "Widget", "widgets", True)
        assert (await stage.get(kind, "one"))["spec"] == {"size": 3, "color": "red"}
        first = await stage.plan(text)
        assert first.plan.empty
        assert (await stage.healthy(stage.id(CRD, f"widgets.{group}"))).popitem()[1].health is (
            Health.HEALTHY
        )

    async def test_an_unknown_kind_is_refused_with_the_nearest(self, stage: Stage) -> None:
        plan = (await stage.plan(deployment("web").replace("Deployment", "Deploymint"))).plan
        [found] = plan.blocked_by
        assert "does not know the kind apps/v1/Deploymint" in found.message
        assert "apps/v1/Deployment" in found.hint

    async def test_an_object_twice_and_one_in_our_own_namespace_are_refused(
        self, stage: Stage
    ) -> None:
        stage.fence = "gitops-system"
        twice = config_map("one", a="1").replace(
            "name: one", f"name: one, namespace: {stage.namespace}"
        )
        fenced = config_map("two").replace("name: two", "name: two, namespace: gitops-system")
        await stage.plan(together(config_map("one", a="2"), twice, fenced))
        plan = (await stage.plan(together(config_map("one", a="2"), twice, fenced))).plan
        messages = " | ".join(found.message for found in plan.blocked_by)
        assert "is there twice: also at app.yaml:1:1" in messages
        assert "where the controller keeps its own state" in messages


class TestTrouble:
    async def test_what_the_server_refuses_is_a_finding_at_its_origin(self, stage: Stage) -> None:
        bad = config_map("one").replace("data: {}", "data: {a: {b: c}}")
        plan = (await stage.plan(together(config_map("ok", a="1"), bad))).plan
        [found] = plan.blocked_by
        assert found.place == "app.yaml:2:1"
        assert "the server refuses" in found.message

    async def test_an_answer_lost_is_read_back_and_not_written_twice(self, stage: Stage) -> None:
        await stage.deliver(config_map("one", a="1"))
        drawn = await stage.plan(together(config_map("one", a="2"), config_map("two", a="1")))
        watched(stage).lose = {stage.id(CONFIG_MAP, "one"), stage.id(CONFIG_MAP, "two")}
        watched(stage).calls.clear()
        assert not (await stage.apply(drawn.sealed)).failed
        assert len(watched(stage).writes) == 2
        assert (await stage.get(CONFIG_MAP, "one"))["data"] == {"a": "2"}
        assert (
            await stage.plan(together(config_map("one", a="2"), config_map("two", a="1")))
        ).plan.empty

    async def test_a_server_that_comes_back_in_time_is_waited_for(self, stage: Stage) -> None:
        drawn = await stage.plan(config_map("one", a="1"))
        watched(stage).away = 3
        assert not (await stage.apply(drawn.sealed)).failed
        assert await stage.get(CONFIG_MAP, "one")

    async def test_one_that_stays_away_is_said_and_the_set_is_finished_later(
        self, stage: Stage
    ) -> None:
        text = together(*(config_map(f"c{n}", a="1") for n in range(3)))
        drawn = await stage.plan(text)
        watched(stage).away = 100
        with pytest.raises(ClusterUnavailable):
            await stage.apply(drawn.sealed)
        watched(stage).away = 0
        assert not (await stage.apply(drawn.sealed)).failed
        assert (await stage.plan(text)).plan.empty

    async def test_a_set_carried_out_twice_changes_nothing(self, stage: Stage) -> None:
        await stage.deliver(together(config_map("one", a="1"), config_map("out", a="1")))
        stage.policy(delete_budget=replace(stage.spec.delete_budget, fraction=1.0))
        drawn = await stage.plan(together(config_map("one", a="2"), config_map("new", a="1")))
        assert not (await stage.apply(drawn.sealed)).failed
        versions = [
            (await stage.get(CONFIG_MAP, name))["metadata"]["resourceVersion"]
            for name in ("one", "new")
        ]
        again = await stage.apply(drawn.sealed)
        assert not again.failed
        assert versions == [
            (await stage.get(CONFIG_MAP, name))["metadata"]["resourceVersion"]
            for name in ("one", "new")
        ]

    async def test_an_edit_between_plan_and_write_is_never_overwritten(self, stage: Stage) -> None:
        await stage.deliver(config_map("one", a="1"))
        drawn = await stage.plan(config_map("one", a="2"))
        await edit(stage, CONFIG_MAP, "one", {"data": {"a": "theirs"}})
        [failed] = (await stage.apply(drawn.sealed)).failed
        assert failed.message == "not taken: data.a belongs to kubectl-edit"
        assert (await stage.get(CONFIG_MAP, "one"))["data"] == {"a": "theirs"}

    async def test_a_foreign_field_moved_meanwhile_does_not_matter(self, stage: Stage) -> None:
        await stage.deliver(config_map("one", a="1"))
        drawn = await stage.plan(config_map("one", a="2"))
        await edit(stage, CONFIG_MAP, "one", {"data": {"b": "theirs"}})
        assert not (await stage.apply(drawn.sealed)).failed
        assert (await stage.get(CONFIG_MAP, "one"))["data"] == {"a": "2", "b": "theirs"}

    async def test_an_object_that_appeared_meanwhile_is_reported(self, stage: Stage) -> None:
        drawn = await stage.plan(config_map("one", a="1"))
        await edit_new(stage, "one", {"a": "theirs"})
        [failed] = (await stage.apply(drawn.sealed)).failed
        assert failed.message
        assert (await stage.get(CONFIG_MAP, "one"))["data"] == {"a": "theirs"}

    async def test_an_object_being_deleted_is_left_alone_and_others_go_on(
        self, stage: Stage
    ) -> None:
        held = config_map("held", a="1").replace(
            "name: held", "name: held, finalizers: [example.com/hold]"
        )
        await stage.deliver(together(held, config_map("one", a="1")))
        id = stage.id(CONFIG_MAP, "held")
        live = await stage.other.get(CONFIG_MAP, id)
        assert live
        await stage.other.delete(CONFIG_MAP, id, uid=live.uid)
        await seen(stage, CONFIG_MAP, "held")
        drawn = await stage.plan(together(held, config_map("one", a="2")))
        assert [c.object for c in drawn.plan.changes] == [stage.id(CONFIG_MAP, "one")]
        assert "waits for example.com/hold" in drawn.plan.findings[0].message
        await edit(stage, CONFIG_MAP, "held", {"metadata": {"finalizers": None}})

    async def test_a_failure_keeps_later_stages_and_deletes_from_starting(
        self, stage: Stage
    ) -> None:
        texts = [config_map(f"c{n}", a="1") for n in range(4)]
        await stage.deliver(together(*texts))
        drawn = await stage.plan(together(*texts[:2], config_map("c2", a="2")))
        await edit(stage, CONFIG_MAP, "c2", {"data": {"a": "theirs"}})
        executed = await stage.apply(drawn.sealed)
        assert {out.address: out.message[:9] for out in executed.failed} == {
            str(stage.id(CONFIG_MAP, "c2")): "not taken",
            str(stage.id(CONFIG_MAP, "c3")): "not tried",
        }
        assert await stage.get(CONFIG_MAP, "c3")


class TestSecrets:
    SECRET_VALUE = "correct-horse-battery"

    def _secret(self, value: str) -> str:
        return f"""
apiVersion: v1
kind: Secret
metadata: {{name: keys}}
stringData: {{password: {value}, plain: same-for-ever}}
"""

    async def test_values_show_nowhere_and_their_change_does(self, stage: Stage) -> None:
        await stage.deliver(self._secret(self.SECRET_VALUE))
        text = self._secret("another-horse-entirely")
        leak = config_map("leak", note=f"the password is {self.SECRET_VALUE}")
        drawn = await stage.plan(together(text, leak))
        shown = repr(drawn.plan)
        for value in (self.SECRET_VALUE, "another-horse-entirely", "same-for-ever"):
            assert value not in shown
        secret = next(c for c in drawn.plan.changes if c.object == stage.id(SECRET, "keys"))
        [field_] = secret.fields
        assert field_.path == "data.password"
        assert field_.before != field_.after
        assert str(field_.before).startswith("<hidden: 21 bytes, #")
        assert field_.before is not ABSENT

    async def test_what_is_hidden_outside_secrets_is_said_and_needs_a_person(
        self, stage: Stage
    ) -> None:
        await stage.deliver(self._secret(self.SECRET_VALUE))
        plain = await stage.plan(together(self._secret("another-horse"), config_map("a", b="1")))
        assert (plain.plan.hides, plain.plan.findings) == (False, ())
        leak = config_map("leak", note=f"the password is {self.SECRET_VALUE}")
        drawn = await stage.plan(together(self._secret(self.SECRET_VALUE), leak))
        assert drawn.plan.hides
        [said] = drawn.plan.findings
        assert said.severity is Severity.WARNING
        assert "data" in said.message
        assert said.object == stage.id(CONFIG_MAP, "leak")

    async def test_a_secret_cannot_hide_what_runs(self, stage: Stage) -> None:
        image = "evil.example/backdoor:1"
        drawn = await stage.plan(together(self._secret(image), deployment("web", image=image)))
        web = next(c for c in drawn.plan.changes if c.object == stage.id(DEPLOYMENT, "web"))
        assert image in repr(web.fields)
        assert not drawn.plan.hides

    async def test_live_data_of_other_managers_is_not_shown_either(self, stage: Stage) -> None:
        await stage.deliver(self._secret(self.SECRET_VALUE))
        await edit(stage, SECRET, "keys", {"stringData": {"password": "injected-by-other"}})
        drawn = await stage.plan(self._secret(self.SECRET_VALUE))
        assert len(drawn.plan.changes) == 1
        assert "injected-by-other" not in repr(drawn.plan)


async def test_field_manager_and_namespace_are_what_the_cluster_sees(stage: Stage) -> None:
    await stage.deliver(config_map("one", a="1"))
    live = await stage.get(CONFIG_MAP, "one")
    assert [e["manager"] for e in live["metadata"]["managedFields"]] == [FIELD_MANAGER]
    assert (await stage.get(NAMESPACE, stage.namespace))["metadata"]["name"] == stage.namespace
    assert SERVICE.namespaced
    assert SLICE.namespaced
