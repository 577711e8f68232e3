"""One change through the whole sentence: git, checks, plan, ask, apply, verify."""

from __future__ import annotations

import pytest

from gitops.model.delivery import ChangeState
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
        with pytest.raises(Exception, match="ada is an author"):
            await system.answer("ada")
    assert rig.data("colours") is None
