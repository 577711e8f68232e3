"""Going back to what was healthy before: asked like anything else, held until the source moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops.errors import NotAllowed
from gitops.model.delivery import Cause, ChangeState
from gitops.model.ids import PersonName
from gitops.office import FrontOffice
from tests.e2e.process import Process, approve, delivered, token
from tests.e2e.rig import Rig, System, config_map
from tests.e2e.root_rig import RootRig
from tests.e2e.test_delivery import deployment

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
        begun = await system.orders.rollback(painted.application, ADA, reason="it is cold")
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
            await system.orders.rollback(painted.application, ADA)
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

        # The latest wish wins, whichever it is: the rollback, then the commit after it.
        for colour in ("teal", "gold"):
            painted.write("app/colours.yaml", config_map("colours", sky=colour))
            painted.commit(colour)
            await system.nudge()
            assert (await system.request()).title.endswith(colour)
            if colour == "teal":
                await system.orders.rollback(painted.application, ADA)
                await system.quiet()
                assert (await system.request()).title.startswith("rollback of")
        ended = [(each.change.cause, each.state) for each in (await system.changes())[1:3]]
        assert ended == [
            (Cause.ROLLBACK, ChangeState.SUPERSEDED),
            (Cause.COMMIT, ChangeState.SUPERSEDED),
        ]
    assert painted.data("colours") == {"sky": "azure"}
    assert painted.data("shapes") is None


async def test_after_a_failure_the_way_back_is_told_and_the_way_forward_asked_anew(
    rig: Rig,
) -> None:
    rig.app["verify_timeout"] = "2s"
    rig.write("app/web.yaml", deployment("web", fail="false"))
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        rig.write("app/web.yaml", deployment("web", fail="true"))
        rig.commit("breaks")
        await system.nudge()
        assert (await system.approve("bob")).state is ChangeState.FAILED
        assert "which was healthy: gitops rollback" in await told(system)
        # What was healthy is in no branch of the remote any more.
        rig.git("checkout", "--quiet", "--orphan", "rewritten")
        rig.commit("breaks")
        await system.nudge()
        await system.orders.rollback(rig.application, ADA)
        await system.quiet()
        assert (await system.approve("bob")).state is ChangeState.HEALTHY
        await system.nudge()
        assert not await system.requests()
        assert "Held" not in await told(system), "what failed is behind it"
        with pytest.raises(NotAllowed, match="nothing to retry"):
            await system.orders.retry(rig.application, ADA)
        await system.orders.again(rig.application, ADA)
        assert (await system.request()).title.endswith("breaks")


async def told(system: System) -> str:
    told = await FrontOffice(system.controller).why(system.lane.application)
    return " ".join(told[str(system.lane)])


async def test_killed_between_the_yes_and_the_claim_it_is_carried_out_and_still_holds(
    painted: Rig,
) -> None:
    async with painted.controller() as system:
        await grey(system)
    process, name = Process(painted, "claim"), painted.application
    ada, bob = token(process, "ada"), token(process, "bob")
    process.until(lambda api: api.post("applications", name, "rollback", body={}), ada)
    approve(process, bob)
    process.wait_killed()
    process = Process(painted)
    process.until(lambda api: len(delivered(api) or ()) == 3)
    process.until(lambda api: api.post("sources", "config", "nudge"))
    found = process.until(lambda api: api.get("deliveries", application=name))
    assert found["live"] == [found["deliveries"][0]["id"]]
    assert process.until(lambda api: api.get("status"))["requests"] == []
    (told,) = process.until(lambda api: api.get("why", name)).values()
    assert "stays there until" in " ".join(told)
    process.stop()
    assert painted.data("colours") == {"sky": "blue"}


async def test_a_root_goes_back_by_a_plan_of_its_old_files_against_its_present_state(
    tmp_path: Path, a_terraform: tuple[str, Path]
) -> None:
    binary, path = a_terraform
    rig = RootRig(tmp_path, binary=binary, path=path)

    def files(text: str) -> None:
        rig.write("infra/main.tf", f'resource "terraform_data" "one" {{\n  input = "{text}"\n}}\n')
        rig.commit(text)

    files("first")
    async with rig.controller() as system:
        await system.deliver()
        files("second")
        await system.deliver()
        await system.orders.rollback(system.lane.application, ADA)
        await system.quiet()
        with pytest.raises(NotAllowed, match="ada is an author"):
            await system.answer("ada")
        record = await system.approve("bob")
        assert (record.change.cause, record.state) == (Cause.ROLLBACK, ChangeState.HEALTHY)
        assert rig.resources()["terraform_data.one"]["input"]["value"] == "first"
        await system.nudge()
        assert not await system.requests()
        files("third")
        await system.deliver()
    assert rig.resources()["terraform_data.one"]["input"]["value"] == "third"
