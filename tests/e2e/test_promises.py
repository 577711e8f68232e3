"""Corners in which a promise was once broken, each kept as a story."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from gitops.config import load
from gitops.model.delivery import Cause, ChangeState, LaneId
from gitops.model.ids import ApplicationName, TargetName
from tests.e2e.rig import Rig, System, config_map

pytestmark = pytest.mark.e2e


async def test_healing_never_brings_what_was_denied(rig: Rig) -> None:
    rig.app["drift"] = "heal"
    rig.write("app/a.yaml", config_map("a", sky="approved"))
    rig.write("other/a.yaml", config_map("a", sky="denied"))
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        rig.app["path"] = "other"
        await system.controller.reload(load(rig.save()))
        await system.request()
        await system.deny("bob")
        edit(rig, "a", '{"data": {"sky": "red"}}')
        await system.until_async(lambda: blocked_drift(system))
    assert rig.data("a") == {"sky": "red"}


async def blocked_drift(system: System) -> bool:
    last = await system.last()
    return last.change.cause is Cause.DRIFT and last.state is ChangeState.BLOCKED


async def test_a_delivery_that_failed_half_way_is_repaired_when_the_source_goes_back(
    rig: Rig,
) -> None:
    rig.write("app/a.yaml", config_map("a", v="old"))
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        # Each of two new objects fits into the quota, as their dry-runs say; both do not.
        held = len(rig.kubectl("-n", rig.namespace, "get", "cm", "-o", "name").splitlines())
        rig.kubectl(
            *("-n", rig.namespace, "create", "quota", "few", f"--hard=count/configmaps={held + 1}")
        )
        await system.until(lambda: "used" in rig.kubectl(*QUOTA, rig.namespace))
        rig.write("app/a.yaml", config_map("a", v="new"))
        rig.write("app/b.yaml", config_map("b", v="new"))
        rig.write("app/c.yaml", config_map("c", v="new"))
        rig.commit("too much")
        await system.nudge()
        record = await system.approve()
        assert record.state is ChangeState.FAILED, record
        assert "quota" in record.reason
        rig.git("revert", "--no-commit", "HEAD")
        rig.commit("go back")
        await system.nudge()
        plan = await system.plan()
        record = await system.approve("cyd", confirmation=f"delete {plan.deletes}")
        assert record.state is ChangeState.HEALTHY, record.reason
    assert rig.data("a") == {"v": "old"}
    assert rig.data("b") is None
    assert rig.data("c") is None


QUOTA = ("get", "quota", "few", "-o", "jsonpath={.status}", "-n")


async def test_an_object_nobody_wants_any_more_is_nobody_s_drift(rig: Rig) -> None:
    rig.app["prune"] = False
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.write("app/b.yaml", config_map("b", v="1"))
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        rig.remove("app/b.yaml")
        rig.commit("leave it")
        await system.nudge()
        before = len(await system.changes())
        rig.kubectl("-n", rig.namespace, "delete", "configmap", "b")
        await asyncio.sleep(2.5)  # longer than a drift is left to settle
        await system.quiet()
        assert len(await system.changes()) <= before + 1


async def test_bytes_of_a_denied_change_leave_the_vault(rig: Rig) -> None:
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        assert kept(rig)
        await system.deny()
        assert kept(rig) == []


def kept(rig: Rig) -> list[Path]:
    return [path for path in (rig.folder / "state" / "vault").rglob("*") if path.is_file()]


async def test_another_namespace_in_the_fleet_file_is_a_change_that_is_asked(rig: Rig) -> None:
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.commit()
    moved = f"{rig.namespace}-b"
    rig.kubectl("create", "namespace", moved)
    async with rig.controller() as system:
        await system.deliver()
        rig.app["namespace"] = moved
        await system.controller.reload(load(rig.save()))
        plan = await system.plan()
        assert {c.object.namespace for c in plan.changes if c.object} == {rig.namespace, moved}
    rig.kubectl("delete", "namespace", moved, "--wait=false")


async def test_a_newcomer_s_claim_never_blocks_who_delivered_the_object(rig: Rig) -> None:
    del rig.fleet["applications"][rig.application]
    rig.fleet["discover"] = [
        {"path": "apps/*", "name": f"{{name}}-{rig.namespace}", "namespace": rig.namespace}
    ]
    owner = LaneId(ApplicationName(f"owner-{rig.namespace}"), TargetName(rig.cluster))
    rig.write("apps/owner/a.yaml", config_map("a", v="1"))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        await system.answer("bob")
        await system.quiet()
        assert rig.data("a") == {"v": "1"}
        rig.write("apps/grab/a.yaml", config_map("a", v="mine"))
        rig.commit("grab it")
        await system.nudge()
    async with rig.controller() as system:  # a restart forgets who claimed first
        await system.nudge()
        rig.write("apps/owner/a.yaml", config_map("a", v="2"))
        rig.commit("the owner goes on")
        await system.nudge()
        current = await system.controller.ledger.read(lambda r: r.changes(lane=owner))
        assert [record.state for record in current] == [ChangeState.ASKING]
        rig.remove("apps/grab/a.yaml")
        rig.commit("ungrab")
        await system.nudge()
        names = {str(lane.application) for lane in system.controller.roster.lanes()}
        assert names == {owner.application}
        await system.answer("bob")
        await system.quiet()
    assert rig.data("a") == {"v": "2"}


def edit(rig: Rig, name: str, patch: str) -> None:
    rig.kubectl(
        *("-n", rig.namespace, "patch", "configmap", name),
        *("--field-manager=kubectl-edit", "--patch", patch),
    )


async def test_what_waits_for_a_namespace_goes_on_once_another_application_brought_it(
    rig: Rig,
) -> None:
    space = f"{rig.namespace}-late"
    rig.fleet["applications"] = {
        f"space-{rig.namespace}": {"path": "space"},
        f"guest-{rig.namespace}": {"path": "guest", "namespace": space},
    }
    guest = LaneId(ApplicationName(f"guest-{rig.namespace}"), TargetName(rig.cluster))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}
    rig.write("space/namespace.yaml", yaml.safe_dump(namespace))
    rig.write("guest/a.yaml", config_map("a", v="1"))
    rig.commit()
    async with rig.controller() as system:

        async def states() -> list[ChangeState]:
            found = await system.controller.ledger.read(lambda r: r.changes(lane=guest))
            return [record.state for record in found]

        await system.nudge()
        assert await states() == [ChangeState.BLOCKED]
        await system.answer("bob")
        await system.quiet()
        assert await states() == [ChangeState.ASKING]
        await system.answer("bob")
        await system.quiet()
        assert rig.kubectl("-n", space, "get", "configmap", "a", "-o", "name").strip()
    rig.kubectl("delete", "namespace", space, "--wait=false")
