"""Kustomize, Helm and discovered folders, from the commit to the cluster.

What concerns an application is what its rendering reads: nobody lists paths. A folder that goes
away is a delete plan that is asked, before and after a restart.
"""

from __future__ import annotations

import pytest

from gitops.errors import NotAllowed
from gitops.model.approval import Request
from gitops.model.delivery import ChangeRecord, ChangeState, LaneId
from gitops.model.ids import ChangeId
from gitops.model.plan import Action, Plan
from tests.e2e.rig import BOB, Rig, System, asking, config_map

pytestmark = pytest.mark.e2e


def overlay(suffix: str, colour: str) -> str:
    return f"""\
        resources: [../../base]
        nameSuffix: -{suffix}
        patches:
          - target: {{kind: ConfigMap, name: colours}}
            patch: '[{{"op": "add", "path": "/data/door", "value": "{colour}"}}]'
        """


@pytest.fixture
def overlays(rig: Rig) -> Rig:
    """Two overlays of one base, each an application."""
    rig.app["path"] = "envs/prod"
    rig.fleet["applications"][f"{rig.application}-test"] = {
        "path": "envs/test",
        "namespace": rig.namespace,
    }
    rig.write("base/kustomization.yaml", "resources: [colours.yaml]\n")
    rig.write("base/colours.yaml", config_map("colours", sky="blue"))
    rig.write("envs/prod/kustomization.yaml", overlay("prod", "red"))
    rig.write("envs/test/kustomization.yaml", overlay("test", "green"))
    rig.commit("two overlays")
    return rig


async def test_a_commit_concerns_the_overlays_that_read_it(overlays: Rig) -> None:
    rig = overlays
    async with rig.controller() as system:
        await system.nudge()
        assert await asked(system) == {rig.application, f"{rig.application}-test"}
        await approved(system)
        assert rig.data("colours-prod") == {"sky": "blue", "door": "red"}
        assert rig.data("colours-test") == {"sky": "blue", "door": "green"}

        rig.write("envs/test/kustomization.yaml", overlay("test", "white"))
        rig.commit("only the test overlay")
        await system.nudge()
        assert await asked(system) == {f"{rig.application}-test"}
        await approved(system)

        rig.write("base/colours.yaml", config_map("colours", sky="grey"))
        rig.commit("the base")
        await system.nudge()
        assert await asked(system) == {rig.application, f"{rig.application}-test"}
        plans = await plans_of(system)
        assert {
            (f.path, f.before, f.after) for p in plans for c in p.changes for f in c.fields
        } == {("data.sky", "blue", "grey")}
        await approved(system)
        assert rig.data("colours-prod") == {"sky": "grey", "door": "red"}
        assert rig.data("colours-test") == {"sky": "grey", "door": "white"}

        rig.write("base/README.md", "nothing reads this")
        rig.commit("docs")
        await system.nudge()
        assert not await system.requests()


@pytest.fixture
def chart(rig: Rig) -> Rig:
    """A chart in one folder, its values in another."""
    rig.app.update(
        path="apps/web",
        renderer={"helm": {"chart": "../../charts/web", "files": ["../../values/prod.yaml"]}},
    )
    rig.write("apps/web/README.md", "The chart and its values lie elsewhere.")
    rig.write("charts/web/Chart.yaml", chart_yaml("1.2.3"))
    rig.write("charts/web/values.yaml", "colour: blue\nreplicas: 1\n")
    rig.write(
        "charts/web/templates/colours.yaml",
        """\
        apiVersion: v1
        kind: ConfigMap
        metadata:
          name: "{{ .Release.Name }}"
          namespace: "{{ .Release.Namespace }}"
          labels: {helm.sh/chart: "{{ .Chart.Name }}-{{ .Chart.Version }}"}
        data:
          sky: {{ .Values.colour | quote }}
          version: {{ .Chart.Version | quote }}
        """,
    )
    rig.write(
        "charts/web/templates/migrate.yaml",
        """\
        apiVersion: batch/v1
        kind: Job
        metadata:
          name: migrate
          annotations: {helm.sh/hook: pre-install}
        spec:
          template:
            spec:
              restartPolicy: Never
              containers: [{name: migrate, image: example.com/migrate:1}]
        """,
    )
    rig.write("values/prod.yaml", "colour: grey\n")
    rig.commit("a chart")
    return rig


def chart_yaml(version: str) -> str:
    return f"apiVersion: v2\nname: web\nversion: {version}\nappVersion: '9'\n"


async def test_a_chart_is_delivered_with_its_values_and_its_hook_only_shown(chart: Rig) -> None:
    rig = chart
    async with rig.controller() as system:
        await system.nudge()
        plan = await system.plan()
        assert [c.object.kind for c in plan.changes if c.object] == ["ConfigMap"]
        assert plan.versions == (("chart web", "1.2.3"),)
        hooks = [f.message for f in plan.findings if "hook" in f.message]
        assert len(hooks) == 1, plan.findings
        assert "migrate" in hooks[0]
        await approved(system)
        assert rig.data(rig.application) == {"sky": "grey", "version": "1.2.3"}
        assert rig.live("job", "migrate") is None

        rig.write("values/prod.yaml", "colour: red\n")
        rig.commit("other values")
        await system.nudge()
        plan = await system.plan()
        assert [(f.path, f.after) for c in plan.changes for f in c.fields] == [("data.sky", "red")]
        await approved(system)

        rig.write("charts/web/Chart.yaml", chart_yaml("1.3.0"))
        rig.commit("a new version of the chart")
        await system.nudge()
        plan = await system.plan()
        assert plan.versions == (("chart web", "1.3.0"),)
        await approved(system)
        assert rig.data(rig.application) == {"sky": "red", "version": "1.3.0"}

        rig.write("values/test.yaml", "colour: none\n")
        rig.commit("values nobody reads")
        await system.nudge()
        assert not await system.requests()


@pytest.fixture
def discovered(rig: Rig) -> Rig:
    """``apps/*``, three folders of which one needs Kustomize."""
    rig.fleet["applications"] = {}
    rig.fleet["discover"] = [
        {"path": "apps/*", "name": f"{{name}}-{rig.namespace}", "namespace": rig.namespace}
    ]
    rig.write("apps/one/one.yaml", config_map("one", v="1"))
    rig.write("apps/two/two.yaml", config_map("two", v="1"))
    rig.write("apps/three/kustomization.yaml", "resources: [cm.yaml]\nnamePrefix: kustomized-\n")
    rig.write("apps/three/cm.yaml", config_map("three", v="1"))
    rig.write("apps/readme.txt", "a file is no application")
    rig.commit("three applications")
    return rig


async def test_every_folder_becomes_an_application_and_a_new_one_joins(discovered: Rig) -> None:
    rig = discovered
    async with rig.controller() as system:
        await system.nudge()
        assert await asked(system) == {f"{n}-{rig.namespace}" for n in ("one", "two", "three")}
        await approved(system)
        assert rig.data("one") == {"v": "1"}
        assert rig.data("kustomized-three") == {"v": "1"}

        rig.write("apps/four/four.yaml", config_map("four", v="1"))
        rig.write("apps/Not_a_name/x.yaml", config_map("x", v="1"))
        rig.commit("one more, and one that cannot be")
        await system.nudge()
        assert await asked(system) == {f"four-{rig.namespace}"}
        (problem,) = system.controller.roster.problems
        assert "Not_a_name" in str(problem)
        await approved(system)
        assert rig.data("four") == {"v": "1"}


@pytest.mark.parametrize("meanwhile", ["nothing", "a restart", "a reload"])
async def test_a_folder_that_went_away_is_a_delete_plan_that_is_asked(
    discovered: Rig, meanwhile: str
) -> None:
    rig = discovered
    async with rig.controller() as system:
        await system.nudge()
        await approved(system)
        rig.remove("apps/two/two.yaml")
        rig.commit("two is gone", author=BOB)
        if meanwhile != "a restart":
            await system.nudge()
            await asked_to_delete_two(rig, system)
        if meanwhile == "a reload":
            await system.controller.reload(system.controller.fleet)
            await system.quiet()
        if meanwhile != "a restart":
            await deleted_and_brought_back(rig, system)
    if meanwhile == "a restart":
        async with rig.controller() as system:
            await system.nudge()
            await deleted_and_brought_back(rig, system)


async def asked_to_delete_two(rig: Rig, system: System) -> None:
    assert await asked(system) == {f"two-{rig.namespace}"}
    (plan,) = await plans_of(system)
    assert [c.action for c in plan.changes] == [Action.DELETE]
    assert plan.over_budget
    assert rig.data("two") == {"v": "1"}, "nothing is deleted before somebody said yes"


async def deleted_and_brought_back(rig: Rig, system: System) -> None:
    await asked_to_delete_two(rig, system)
    with pytest.raises(NotAllowed, match="more than its budget"):
        await system.answer("cyd")
    await system.answer("cyd", confirmation="delete 1")
    await system.quiet()
    assert rig.data("two") is None
    assert rig.data("one") == {"v": "1"}
    rig.write("apps/two/two.yaml", config_map("two", v="2"))
    rig.commit("two is back")
    await system.nudge()
    assert await asked(system) == {f"two-{rig.namespace}"}
    await approved(system)
    assert rig.data("two") == {"v": "2"}


async def asked(system: System) -> set[str]:
    """The applications the one open request asks about."""
    return {str(lane.application) for lane in await lanes(await system.request(), system)}


async def lanes(request: Request, system: System) -> list[LaneId]:
    return [(await record_of(m.change, system)).change.lane for m in asking(request)]


async def plans_of(system: System) -> list[Plan]:
    """The plans of everything that is asked about, by application."""
    plans = [await plan_of(m.change, system) for m in asking(await system.request())]
    return sorted(plans, key=lambda plan: plan.application)


async def approved(system: System) -> None:
    """Says yes to everything that is asked and sees it healthy."""
    ids = [m.change for m in asking(await system.request())]
    await system.answer("cyd")
    await system.quiet()
    for id in ids:
        record = await record_of(id, system)
        assert record.state is ChangeState.HEALTHY, record


async def record_of(id: ChangeId, system: System) -> ChangeRecord:
    record = await system.controller.ledger.read(lambda reading: reading.change(id))
    assert record is not None
    return record


async def plan_of(id: ChangeId, system: System) -> Plan:
    plan = await system.controller.ledger.read(lambda reading: reading.plan(id))
    assert plan is not None
    return plan
