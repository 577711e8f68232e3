"""One change through the whole sentence: git, checks, plan, ask, apply, verify."""

from __future__ import annotations

import pytest

from gitops.errors import NotAllowed
from gitops.model.delivery import ChangeState
from gitops.model.ids import PersonName, SourceName
from gitops.model.plan import Action
from tests.e2e.rig import Rig, config_map

pytestmark = pytest.mark.e2e


async def test_a_commit_reaches_the_cluster_after_one_approval(rig: Rig) -> None:
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    commit = rig.commit("paint the sky")
    async with rig.controller() as system:
        await system.nudge()
        plan = await system.plan()
        assert [change.action for change in plan.changes] == [Action.CREATE]
        assert rig.data("colours") is None, "nothing is applied before somebody said yes"
        record = await system.approve("bob")
    assert record.state is ChangeState.HEALTHY
    assert record.change.revision.id == commit
    assert rig.data("colours") == {"sky": "blue"}


async def test_an_update_shows_and_changes_the_one_field(rig: Rig) -> None:
    rig.write("app/colours.yaml", config_map("colours", sky="blue", sea="green"))
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        rig.write("app/colours.yaml", config_map("colours", sky="grey", sea="green"))
        rig.commit("winter")
        await system.nudge()
        plan = await system.plan()
        assert [(f.path, f.before, f.after) for c in plan.changes for f in c.fields] == [
            ("data.sky", "blue", "grey")
        ]
        await system.approve()
    assert rig.data("colours") == {"sky": "grey", "sea": "green"}


async def test_the_author_cannot_approve(rig: Rig) -> None:
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        with pytest.raises(NotAllowed, match="ada is an author"):
            await system.answer("ada")
    assert rig.data("colours") is None


async def test_what_leaves_the_source_is_deleted_only_after_it_was_asked(rig: Rig) -> None:
    for name in "abcd":
        rig.write(f"app/{name}.yaml", config_map(name, v="1"))
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        rig.remove("app/a.yaml")
        rig.commit("drop a")
        await system.nudge()
        plan = await system.plan()
        assert [(c.action, c.object.name) for c in plan.changes if c.object] == [
            (Action.DELETE, "a")
        ]
        assert rig.data("a") is not None
        await system.approve()
    assert rig.data("a") is None
    assert rig.data("b") == {"v": "1"}


async def test_prune_false_leaves_what_left_the_source(rig: Rig) -> None:
    rig.app["prune"] = False
    for name in "abcd":
        rig.write(f"app/{name}.yaml", config_map(name, v="1"))
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        rig.remove("app/a.yaml")
        rig.commit("drop a")
        await system.nudge()
        assert not await system.requests()
    assert rig.data("a") == {"v": "1"}


async def test_deletes_over_the_budget_need_their_own_confirmation(rig: Rig) -> None:
    for name in "abc":
        rig.write(f"app/{name}.yaml", config_map(name, v="1"))
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        rig.remove("app/a.yaml")
        rig.remove("app/b.yaml")
        rig.commit("drop most")
        await system.nudge()
        assert (await system.plan()).over_budget
        with pytest.raises(NotAllowed, match="more than its budget"):
            await system.answer("bob")
        with pytest.raises(NotAllowed, match="more than its budget"):
            await system.answer("bob", confirmation="delete 3")
        assert rig.data("a") is not None
        await system.approve(confirmation="delete 2")
    assert rig.data("a") is None
    assert rig.data("b") is None
    assert rig.data("c") == {"v": "1"}


async def test_a_removed_folder_is_a_delete_plan_that_is_asked(rig: Rig) -> None:
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.write("keep.txt", "so that the tree is not empty")
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        rig.remove("app/a.yaml")
        rig.commit("remove everything")
        await system.nudge()
        plan = await system.plan()
        assert plan.over_budget
        assert rig.data("a") is not None
        await system.approve(confirmation="delete 1")
    assert rig.data("a") is None


async def test_a_kind_and_its_first_object_go_out_in_one_commit(rig: Rig) -> None:
    group = f"{rig.namespace}.example.com"
    rig.write("app/crd.yaml", crd(group))
    rig.write("app/widget.yaml", widget(group, "one", size=3))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        plan = await system.plan()
        assert {(c.object.kind, c.predicted) for c in plan.changes if c.object} == {
            ("CustomResourceDefinition", False),
            ("Widget", True),
        }
        record = await system.approve()
    assert record.state is ChangeState.HEALTHY, record.reason
    found = rig.live(f"widgets.{group}", "one")
    assert found
    assert found["spec"] == {"size": 3}
    rig.kubectl("delete", "crd", f"widgets.{group}")


async def test_a_namespace_and_its_contents_go_out_in_one_commit(rig: Rig) -> None:
    inner = f"{rig.namespace}-in"
    rig.write("app/ns.yaml", f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {inner}}}\n")
    rig.write(
        "app/cm.yaml",
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a, namespace: {inner}}}\n"
        "data: {v: '1'}\n",
    )
    rig.commit()
    async with rig.controller() as system:
        record = await system.deliver()
    assert record.state is ChangeState.HEALTHY
    assert "v" in rig.kubectl("-n", inner, "get", "configmap", "a", "-o", "jsonpath={.data}")
    rig.kubectl("delete", "namespace", inner, "--wait=false")


async def test_an_immutable_field_is_shown_as_a_replacement_and_replaced(rig: Rig) -> None:
    rig.write("app/cm.yaml", config_map("fixed", v="1") + "immutable: true\n")
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        before = rig.live("configmap", "fixed")
        rig.write("app/cm.yaml", config_map("fixed", v="2") + "immutable: true\n")
        rig.commit("change what cannot change")
        await system.nudge()
        plan = await system.plan()
        assert [c.action for c in plan.changes] == [Action.REPLACE]
        record = await system.approve(confirmation=f"delete {plan.deletes}")
    after = rig.live("configmap", "fixed")
    assert record.state is ChangeState.HEALTHY, record.reason
    assert before
    assert after
    assert after["data"] == {"v": "2"}
    assert after["metadata"]["uid"] != before["metadata"]["uid"]


async def test_an_existing_object_is_adopted_after_it_was_asked(rig: Rig) -> None:
    rig.kubectl("-n", rig.namespace, "create", "configmap", "old", "--from-literal=v=by-hand")
    rig.write("app/old.yaml", config_map("old", v="from-git"))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        plan = await system.plan()
        (change,) = plan.changes
        assert change.action is Action.UPDATE
        assert any("adopts" in note for note in change.notes)
        assert [f.taken_from for f in change.fields if f.path == "data.v"] == ["kubectl-create"]
        await system.approve()
    assert rig.data("old") == {"v": "from-git"}


async def test_an_object_that_appears_after_the_question_is_asked_about(rig: Rig) -> None:
    rig.write("app/new.yaml", config_map("new", ours="1"))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        asked = await system.request()
        rig.kubectl("-n", rig.namespace, "create", "configmap", "new", "--from-literal=theirs=1")
        await system.answer("bob", request=asked)
        await system.quiet()
        assert rig.data("new") == {"theirs": "1"}, "it is not what was approved"
        plan = await system.plan()
        assert any("adopts" in note for change in plan.changes for note in change.notes)
        request = await system.request()
        assert "changed" in next(m.moved for m in request.members if m.state.value == "asking")
        await system.approve("bob")
    assert rig.data("new") == {"theirs": "1", "ours": "1"}


@pytest.mark.parametrize("policy", ["ask", "fail", "leave"])
async def test_a_field_somebody_else_owns_is_handled_as_the_policy_says(
    rig: Rig, policy: str
) -> None:
    rig.app["conflicts"] = policy
    rig.app["drift"] = "ignore"
    rig.write("app/cm.yaml", config_map("shared", ours="1", theirs="1"))
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        rig.kubectl(
            "-n",
            rig.namespace,
            "patch",
            "configmap",
            "shared",
            "--field-manager=autoscaler",
            "--patch",
            '{"data": {"theirs": "9"}}',
        )
        rig.write("app/cm.yaml", config_map("shared", ours="2", theirs="2"))
        rig.commit("both")
        await system.nudge()
        if policy == "fail":
            record = await system.last()
            assert record.state is ChangeState.BLOCKED
            assert "autoscaler" in record.reason
            assert rig.data("shared") == {"ours": "1", "theirs": "9"}
            return
        plan = await system.plan()
        taken = {f.path: f.taken_from for c in plan.changes for f in c.fields}
        assert taken.get("data.theirs", "") == ("autoscaler" if policy == "ask" else "")
        await system.approve()
    expected = "2" if policy == "ask" else "9"
    assert rig.data("shared") == {"ours": "2", "theirs": expected}


async def test_a_failing_rollout_is_reported_and_can_be_retried(rig: Rig) -> None:
    rig.app["verify_timeout"] = "4s"
    rig.kubectl("-n", rig.namespace, "create", "quota", "none", "--hard=pods=0")
    rig.write("app/web.yaml", deployment("web", fail="false"))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        record = await system.approve()
        assert record.state is ChangeState.FAILED
        assert "0 of 2 replicas" in record.reason
        await system.nudge()
        assert (await system.last()).change.id == record.change.id, "not tried again by itself"
        # Whatever was wrong outside git is repaired.
        rig.kubectl("-n", rig.namespace, "delete", "quota", "none")
        rig.kubectl("-n", rig.namespace, "rollout", "status", "deployment/web", "--timeout=60s")
        await system.orders.again(system.lane.application, PersonName("bob"))
        await system.quiet()
        again = await system.last()
        assert again.state is ChangeState.UNCHANGED
        assert "healthy" in again.reason


async def test_a_commit_that_repairs_a_hanging_rollout_does_not_wait_for_it(rig: Rig) -> None:
    rig.app["verify_timeout"] = "10m"
    rig.write("app/web.yaml", deployment("web", fail="true"))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        await system.answer("bob")
        await system.until(lambda: rig.live("deployment", "web") is not None)
        rig.write("app/web.yaml", deployment("web", fail="false"))
        rig.commit("repair")
        await system.orders.nudge(SourceName("config"))
        record = await system.approve()
    assert record.state is ChangeState.HEALTHY, record.reason


def crd(group: str) -> str:
    return f"""
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
                      properties:
                        size: {{type: integer}}
        """


def widget(group: str, name: str, *, size: int) -> str:
    return f"""
        apiVersion: {group}/v1
        kind: Widget
        metadata: {{name: {name}}}
        spec: {{size: {size}}}
        """


def deployment(name: str, *, fail: str) -> str:
    return f"""
        apiVersion: apps/v1
        kind: Deployment
        metadata: {{name: {name}}}
        spec:
          replicas: 2
          progressDeadlineSeconds: 600
          selector: {{matchLabels: {{app: {name}}}}}
          template:
            metadata:
              labels: {{app: {name}}}
              annotations: {{sandbox.gitops-controller.dev/fail: "{fail}"}}
            spec:
              containers:
                - name: web
                  image: registry.example/web:1.4.1
        """
