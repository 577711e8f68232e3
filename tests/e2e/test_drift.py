"""Drift: what somebody changes by hand is noticed like a thermostat notices."""

from __future__ import annotations

import pytest

from gitops.model.delivery import Cause, ChangeState
from gitops.model.plan import Action
from tests.e2e.rig import Rig, System, config_map
from tests.e2e.test_delivery import deployment

pytestmark = pytest.mark.e2e


@pytest.fixture
def painted(rig: Rig) -> Rig:
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rig.write("app/shapes.yaml", config_map("shapes", sun="round"))
    rig.commit()
    return rig


def edit(rig: Rig, colour: str) -> None:
    rig.kubectl(
        *("-n", rig.namespace, "patch", "configmap", "colours"),
        *("--field-manager=kubectl-edit", "--patch", f'{{"data": {{"sky": "{colour}"}}}}'),
    )


async def drifted(system: System) -> bool:
    return bool(await system.requests())


async def test_a_hand_edit_is_asked_about_and_put_back(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.deliver()
        edit(painted, "red")
        plan = await system.plan()
        (field,) = [f for c in plan.changes for f in c.fields]
        assert (field.path, field.before, field.after) == ("data.sky", "red", "blue")
        assert field.taken_from == "kubectl-edit"
        record = await system.approve("ada")
        assert record.change.cause is Cause.DRIFT
        assert record.state is ChangeState.HEALTHY
    assert painted.data("colours") == {"sky": "blue"}


async def test_the_same_drift_twice_is_asked_twice(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.deliver()
        for _ in range(2):
            edit(painted, "red")
            await system.until_async(lambda: drifted(system))
            record = await system.approve("ada")
            assert record.state is ChangeState.HEALTHY
            assert painted.data("colours") == {"sky": "blue"}
        ids = {record.change.id for record in await system.changes()}
        assert len(ids) == 3


async def test_a_denied_drift_is_not_asked_again_but_the_next_one_is(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.deliver()
        edit(painted, "red")
        await system.until_async(lambda: drifted(system))
        await system.deny("ada", "leave it for the incident")
        await system.nudge()
        assert not await system.requests()
        edit(painted, "green")
        await system.until_async(lambda: drifted(system))
    assert painted.data("colours") == {"sky": "green"}


async def test_an_undone_drift_withdraws_the_question(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.deliver()
        edit(painted, "red")
        await system.until_async(lambda: drifted(system))
        manager = "--field-manager=gitops-controller"
        painted.kubectl(
            *("-n", painted.namespace, "apply", "--server-side", "--force-conflicts", manager),
            *("-f", "-"),
            stdin=config_map("colours", sky="blue").replace(
                "name: colours",
                "name: colours\n  labels: {gitops-controller.dev/application: "
                f"{painted.application}}}",
            ),
        )
        await system.until_async(lambda: withdrawn(system))
        assert (await system.last()).state is ChangeState.SUPERSEDED


async def withdrawn(system: System) -> bool:
    return not await system.requests()


async def test_a_deleted_object_comes_back(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.deliver()
        painted.kubectl("-n", painted.namespace, "delete", "configmap", "colours")
        plan = await system.plan()
        assert [c.action for c in plan.changes] == [Action.CREATE]
        await system.approve("ada")
    assert painted.data("colours") == {"sky": "blue"}


async def test_policy_heal_puts_back_what_was_approved_without_asking(painted: Rig) -> None:
    painted.app["drift"] = "heal"
    async with painted.controller() as system:
        await system.deliver()
        edit(painted, "red")
        await system.until(lambda: painted.data("colours") == {"sky": "blue"})
        await system.quiet()
        assert (await system.last()).change.cause is Cause.DRIFT


async def test_policy_report_says_it_once_and_changes_nothing(painted: Rig) -> None:
    painted.app["drift"] = "report"
    async with painted.controller() as system:
        await system.deliver()
        edit(painted, "red")
        await system.until_async(lambda: reported(system))
        await system.nudge()
        states = [record.state for record in await system.changes()]
        assert states == [ChangeState.REPORTED, ChangeState.HEALTHY]
    assert painted.data("colours") == {"sky": "red"}


async def reported(system: System) -> bool:
    return (await system.last()).state is ChangeState.REPORTED


async def test_drift_is_seen_although_it_happened_while_no_controller_ran(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.deliver()
    edit(painted, "red")
    async with painted.controller() as system:
        plan = await system.plan()
        assert [f.before for c in plan.changes for f in c.fields] == ["red"]


async def test_while_a_newer_commit_is_denied_drift_returns_to_what_was_approved(
    painted: Rig,
) -> None:
    async with painted.controller() as system:
        await system.deliver()
        painted.write("app/colours.yaml", config_map("colours", sky="grey"))
        painted.commit("winter")
        await system.nudge()
        await system.deny("bob")
        edit(painted, "red")
        plan = await system.plan()
        assert [f.after for c in plan.changes for f in c.fields] == ["blue"]
        await system.approve("ada")
        assert not await system.requests(), "the denied commit stays denied"
    assert painted.data("colours") == {"sky": "blue"}


async def test_a_scaled_workload_says_who_scaled_it(rig: Rig) -> None:
    rig.write("app/web.yaml", deployment("web", fail="false"))
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        rig.kubectl("-n", rig.namespace, "scale", "deployment/web", "--replicas=5")
        plan = await system.plan()
        (field,) = [f for c in plan.changes for f in c.fields]
        assert (field.path, field.before, field.after) == ("spec.replicas", 5, 2)
        assert field.taken_from == "kubectl"
