"""A lock that stands in the way of a change people already approved."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops.errors import Unknown
from gitops.model.delivery import Cause, ChangeState
from gitops.model.ids import PersonName
from tests.e2e.http_state import HttpState, serving
from tests.e2e.rig import System
from tests.e2e.root_rig import RootRig

pytestmark = pytest.mark.slow

LEFT = {
    "ID": "6b1f0a52-3f8e-4a53-9a2b-000000000000",
    "Operation": "OperationTypeApply",
    "Info": "",
    "Who": "cyd@laptop",
    "Version": "1.11.4",
    "Created": "2026-01-01T00:00:00Z",
    "Path": "",
}


@pytest.fixture
def http() -> Iterator[HttpState]:
    with serving() as place:
        yield place


@pytest.fixture
def root(tmp_path: Path, a_terraform: tuple[str, Path], http: HttpState) -> RootRig:
    name, path = a_terraform
    rig = RootRig(tmp_path, binary=name, path=path)
    rig.terraform["backend"] = {"http": http.backend}
    rig.write("infra/main.tf", 'resource "terraform_data" "one" {\n  input = "first"\n}\n')
    rig.commit("one")
    return rig


async def test_a_lock_before_a_claimed_apply_can_be_forced_on_a_persons_word(
    root: RootRig, http: HttpState
) -> None:
    async with root.controller() as system:
        await system.nudge()
        await system.request()
        http.lock = dict(LEFT)
        await system.answer("bob")
        await system.until(lambda: system.controller.lanes.trouble(system.lane))
        assert (await system.last()).state is ChangeState.APPLYING
        with pytest.raises(Unknown, match=f"what it waits for is {LEFT['ID']}"):
            await system.orders.unlock(system.lane.application, PersonName("ada"), "no-such")
        await system.orders.unlock(system.lane.application, PersonName("ada"), LEFT["ID"])
        await system.quiet()
        assert (await system.last()).change.cause is Cause.COMMAND
        put_aside = (await system.changes())[1]
        assert put_aside.state is ChangeState.SUPERSEDED
        assert "nothing was applied" in put_aside.reason
        await system.answer("bob", confirmation="delete 1")
        await system.until(lambda: LEFT["ID"] in http.unlocked)
        record = await system.approve("bob")
        assert (record.change.cause, record.state) == (Cause.COMMIT, ChangeState.HEALTHY)
    assert [r["name"] for r in http.json["resources"]] == ["one"]


async def test_a_lock_that_is_let_go_of_delays_what_was_approved_and_no_more(
    root: RootRig, http: HttpState
) -> None:
    async with root.controller() as system:
        await system.nudge()
        await system.request()
        http.lock = dict(LEFT)
        await system.answer("bob")
        await system.until(lambda: system.controller.lanes.trouble(system.lane))
        http.lock = None
        await system.until_async(lambda: healthy(system))
        assert len(await system.changes()) == 1, "nobody was asked again"


async def healthy(system: System) -> bool:
    return (await system.last()).state is ChangeState.HEALTHY


async def test_a_state_that_moved_while_its_lock_was_waited_for_is_planned_and_asked_about_again(
    root: RootRig, http: HttpState
) -> None:
    async with root.controller() as system:
        await system.nudge()
        asked = await system.request()
        http.lock = dict(LEFT)
        await system.answer("bob")
        await system.until(lambda: system.controller.lanes.trouble(system.lane))
        assert (await system.last()).state is ChangeState.APPLYING
        theirs = {"version": 4, "serial": 7, "lineage": "theirs", "outputs": {}, "resources": []}
        http.state = json.dumps({**theirs, "terraform_version": "1.11.4"}).encode()
        http.lock = None
        again = await system.request()
        assert again.id != asked.id
        put_aside = (await system.changes())[1]
        assert put_aside.state is ChangeState.SUPERSEDED
        assert "the state moved" in put_aside.reason
        assert (await system.approve("bob")).state is ChangeState.HEALTHY
