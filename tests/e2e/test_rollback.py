"""Going back to what was healthy before: asked like anything else, and held until the source moves."""

from __future__ import annotations

import pytest

from gitops.errors import NotAllowed
from gitops.model.delivery import Cause, ChangeState
from gitops.model.ids import PersonName
from tests.e2e.rig import Rig, System, config_map

pytestmark = pytest.mark.e2e
ADA = PersonName("ada")


@pytest.fixture
def painted(rig: Rig) -> Rig:
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rig.write("app/shapes.yaml", config_map("shapes", sun="round"))
    rig.commit("summer")
    return rig


async def grey(system: System) -> None:
    """Blue was delivered, and then what nobody wants."""
    await system.deliver()
    system.rig.write("app/colours.yaml", config_map("colours", sky="grey"))
    system.rig.remove("app/shapes.yaml")
    system.rig.commit("winter")
    await system.deliver(confirmation="delete 1")


async def test_a_rollback_is_asked_delivered_and_held_until_its_source_moves(painted: Rig) -> None:
    async with painted.controller() as system:
        await grey(system)
        begun = await system.controller.rollback(painted.application, ADA, reason="it is cold")
        assert set(begun.changes) == {system.lane}
        await system.quiet()
        request = await system.request()
        assert request.title.endswith(": it is cold")
        with pytest.raises(NotAllowed, match="ada is an author"):
            await system.answer("ada")
        record = await system.approve("bob")
        assert (record.change.cause, record.state) == (Cause.ROLLBACK, ChangeState.HEALTHY)
        assert painted.data("colours") == {"sky": "blue"}
        assert painted.data("shapes") == {"sun": "round"}

        painted.write("docs/readme.txt", "outside of what it reads")
        painted.commit("docs")
        await system.nudge()
        assert not await system.requests(), "the newest commit is not asked about again"
        with pytest.raises(NotAllowed, match="never healthy before"):
            await system.controller.rollback(painted.application, ADA)
        # The newest commit has no such object, what is delivered has.
        painted.kubectl("-n", painted.namespace, "delete", "configmap", "shapes")
        plan = await system.plan()
        assert [change.address.split()[0] for change in plan.changes] == ["ConfigMap"]
        assert (await system.approve("ada")).change.cause is Cause.DRIFT
        assert painted.data("shapes") == {"sun": "round"}

    async with painted.controller() as system:
        await system.nudge()
        assert not await system.requests(), "a restart moves nothing"
        painted.write("app/colours.yaml", config_map("colours", sky="azure"))
        painted.commit("spring")
        record = await system.deliver(confirmation="delete 1")
        assert (record.change.cause, record.state) == (Cause.COMMIT, ChangeState.HEALTHY)
    assert painted.data("colours") == {"sky": "azure"}
    assert painted.data("shapes") is None
