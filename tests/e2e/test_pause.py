"""A paused application: nothing of it is asked, applied or mended until that is over."""

from __future__ import annotations

import pytest

from gitops.errors import NotAllowed
from gitops.model.delivery import Cause, ChangeState
from gitops.model.ids import PersonName
from tests.e2e.rig import Rig, System, config_map
from tests.e2e.test_delivery import deployment

pytestmark = pytest.mark.e2e
ADA, HOUR = PersonName("ada"), 3_600.0


async def pause(system: System, seconds: float = HOUR) -> None:
    await system.orders.pause(system.lane.application, ADA, seconds, "the freeze")


async def test_what_is_asked_is_taken_back_and_asked_again_after_a_restart(rig: Rig) -> None:
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        asked = await system.request()
        await pause(system)
        with pytest.raises(NotAllowed, match="too late: paused by ada"):
            await system.answer("bob", request=asked)
    async with rig.controller() as system:
        await system.nudge()
        assert not await system.requests()
        rig.kubectl("-n", rig.namespace, "create", "configmap", "colours", "--from-literal=sky=red")
        system.controller.lanes.offer(system.lane)
        await system.quiet()  # it is planned anew, and nobody is shown
        assert not await system.requests()
        with pytest.raises(NotAllowed, match="is paused by ada"):
            await system.orders.rollback(system.lane.application, ADA)
        await system.orders.resume(system.lane.application, PersonName("bob"))
        again = await system.request()
        assert "ConfigMap" in again.members[0].moved
        await system.approve("bob")
    assert rig.data("colours") == {"sky": "blue"}


async def test_what_is_applied_goes_on_and_what_drifts_waits_for_the_end(rig: Rig) -> None:
    rig.app["drift"] = "heal"
    rig.write("app/web.yaml", deployment("web", fail="false"))
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        await system.answer("bob")
        await system.until_async(lambda: claimed(system))
        await pause(system)
        await system.quiet()
        assert (await system.last()).state is ChangeState.HEALTHY
        rig.kubectl(
            *("-n", rig.namespace, "patch", "configmap", "colours", "--patch"),
            '{"data": {"sky": "red"}}',
        )
        await system.until_async(lambda: drifted(system))
        await system.quiet()
        assert rig.data("colours") == {"sky": "red"}
        await pause(system, 1.0)
        await system.until(lambda: rig.data("colours") == {"sky": "blue"})
        await system.quiet()
        assert (await system.last()).state is ChangeState.HEALTHY


async def claimed(system: System) -> bool:
    return (await system.last()).state in (ChangeState.APPLYING, ChangeState.VERIFYING)


async def drifted(system: System) -> bool:
    return (await system.last()).change.cause is Cause.DRIFT
