"""Roots with a real provider, so with a world outside the state: drift, lock file, mirror, cache.

What is asserted is read from the file system, where the provider makes its files.
"""

from __future__ import annotations

import asyncio
import textwrap
from pathlib import Path

import pytest

from gitops.model.delivery import Cause, ChangeRecord, ChangeState
from gitops.model.ids import PersonName
from gitops.model.plan import Action
from gitops.ports import Drawn
from gitops.ports.terraform import RootJob
from tests.e2e.rig import System
from tests.e2e.root_rig import RootRig
from tests.providers import LOCK_FILE, ProviderMirror

pytestmark = pytest.mark.slow


class Greeting(RootRig):
    """A root whose one resource is a file."""

    mirror: ProviderMirror

    @property
    def file(self) -> Path:
        return self.folder / "world" / "greeting.txt"

    def code(self, content: str = "hello", file: Path | None = None) -> str:
        return textwrap.dedent(
            f"""\
            terraform {{
              required_providers {{
                local = {{
                  source = "hashicorp/local"
                }}
              }}
            }}

            resource "local_file" "greeting" {{
              filename = "{file or self.file}"
              content  = "{content}"
            }}
            """
        )

    def lock(self, path: str = "infra") -> None:
        """Writes the lock file, as a person would."""
        self.mirror.lock(self.path, self.work / path)

    def locked(self) -> Path:
        return self.work / "infra" / LOCK_FILE


@pytest.fixture
def root(
    tmp_path: Path, a_terraform: tuple[str, Path], provider_mirror: ProviderMirror
) -> Greeting:
    name, path = a_terraform
    rig = Greeting(tmp_path, binary=name, path=path)
    rig.mirror = provider_mirror
    rig.fleet["terraform"]["mirror"] = str(provider_mirror.folder)
    rig.terraform["allow"] = {"providers": ["hashicorp/local"]}
    rig.write("infra/main.tf", rig.code())
    rig.lock()
    rig.commit("a file")
    return rig


def due(system: System) -> None:
    """As if the time for a look at drift had come."""
    spec = system.controller.roster.spec(system.lane.application)
    assert spec is not None
    system.controller.roots.look_again(system.lane, spec)


async def look(system: System) -> None:
    due(system)
    system.controller.lanes.offer(system.lane)
    await system.quiet()


async def refused(root: Greeting) -> ChangeRecord:
    """What becomes of a commit that cannot be planned."""
    async with root.controller() as system:
        await system.nudge()
        return await system.last()


# --- lock file, mirror, cache -----------------------------------------------------------------


async def test_a_provider_of_the_mirror_makes_what_was_approved(root: Greeting) -> None:
    async with root.controller() as system:
        await system.nudge()
        plan = await system.plan()
        assert [(c.address, c.action) for c in plan.changes] == [
            ("local_file.greeting", Action.CREATE)
        ]
        versions = dict(plan.versions)
        assert versions[root.mirror.address(root.binary)] == root.mirror.version
        assert not root.file.exists(), "nothing before the answer"
        record = await system.approve()
        assert record.state is ChangeState.HEALTHY, record.reason
    assert root.file.read_text() == "hello"


async def test_a_missing_lock_file_is_refused_with_the_command_that_makes_it(
    root: Greeting,
) -> None:
    root.locked().unlink()
    root.commit("no lock file")
    async with root.controller() as system:
        await system.nudge()
        record = await system.last()
        plan = await system.controller.ledger.read(lambda r: r.plan(record.change.id))
        assert plan is not None
    assert record.state is ChangeState.BLOCKED
    assert f"there is no {LOCK_FILE}" in record.reason
    hints = " ".join(finding.hint for finding in plan.findings)
    assert f"{root.binary} -chdir=infra providers lock" in hints


async def test_an_altered_lock_file_is_refused(root: Greeting) -> None:
    text = root.locked().read_text()
    head, _, tail = text.partition('"h1:')
    other = "B" if tail[0] == "A" else "A"
    root.locked().write_text(f'{head}"h1:{other}{tail[1:]}')
    root.commit("another provider's checksum")
    async with root.controller() as system:
        await system.nudge()
        record = await system.last()
        assert record.state is ChangeState.BLOCKED, record.reason
        assert "checksum" in record.reason
        assert not await system.requests()
    assert not root.file.exists()


async def test_a_provider_the_mirror_does_not_have_is_named(root: Greeting) -> None:
    root.terraform["allow"] = {"providers": ["hashicorp/local", "hashicorp/null"]}
    source = 'source = "hashicorp/local"\n    }\n    null = {\n      source = "hashicorp/null"'
    root.write("infra/main.tf", root.code().replace('source = "hashicorp/local"', source))
    block = f'\nprovider "{root.mirror.address(root.binary, "null")}" {{\n  version = "3.2.4"\n'
    block += '  hashes = [\n    "h1:127ts0CG8hFk1bHIfrBsKxcnt9bAYQCq3udWM+AACH8=",\n  ]\n}\n'
    root.locked().write_text(root.locked().read_text() + block)
    root.commit("one that is not there")
    record = await refused(root)
    assert record.state is ChangeState.BLOCKED, record.reason
    assert "hashicorp/null" in record.reason


async def test_a_provider_that_is_not_allowed_blocks_before_any_init(root: Greeting) -> None:
    del root.terraform["allow"]
    record = await refused(root)
    assert record.state is ChangeState.BLOCKED
    assert "hashicorp/local" in record.reason
    assert "not allowed" in record.reason
    cache = root.folder / "state" / "terraform" / ".providers"
    assert not list(cache.rglob(root.mirror.platform)), "no init ran"


async def test_two_roots_fill_one_fresh_cache_side_by_side(root: Greeting) -> None:
    cache, packed = root.folder / "cache", root.folder / "packed"
    root.mirror.packed(packed)
    root.fleet["terraform"] |= {"cache": str(cache), "mirror": str(packed)}
    second = root.folder / "world" / "second.txt"
    state = str(root.folder / "second.tfstate")
    settings = {**root.terraform, "backend": {"local": {"path": state}}}
    root.fleet["applications"]["second"] = {"path": "second", "terraform": settings}
    root.write("second/main.tf", root.code("hello too", second))
    root.lock("second")
    root.commit("two roots")
    async with root.controller() as system:
        await system.nudge()
        request = await system.request()
        assert len(request.members) == 2
        await system.answer("bob", request=request)
        await system.quiet()
    assert (root.file.read_text(), second.read_text()) == ("hello", "hello too")
    assert len(list(cache.rglob("terraform-provider-local*"))) == 1, "unpacked once, for both"


# --- drift ------------------------------------------------------------------------------------


def edit(root: Greeting) -> None:
    root.file.write_text("goodbye")


def delete(root: Greeting) -> None:
    root.file.unlink()


async def drifts(system: System, root: Greeting) -> None:
    """What was delivered is changed by hand, and that is noticed."""
    await system.deliver()
    edit(root)
    await look(system)


@pytest.mark.parametrize("tamper", [edit, delete])
async def test_what_was_changed_by_hand_is_shown_asked_about_and_put_back(
    root: Greeting, tamper: object
) -> None:
    assert callable(tamper)
    async with root.controller() as system:
        await system.deliver()
        tamper(root)
        await look(system)
        plan = await system.plan()
        (change,) = plan.changes
        assert (change.address, change.action) == ("local_file.greeting", Action.CREATE)
        # To this provider a file with other content is not its file any more.
        assert "removed by somebody else since" in change.notes
        assert any(f.path == "content" and f.after == "hello" for f in change.fields)
        record = await system.approve("ada")
        assert record.change.cause is Cause.DRIFT
        assert record.state is ChangeState.HEALTHY, record.reason
        assert root.file.read_text() == "hello"
        await look(system)
        assert len(await system.changes()) == 2, "nothing differs any more"


async def test_a_denied_drift_is_left_alone_until_somebody_asks(root: Greeting) -> None:
    async with root.controller() as system:
        await drifts(system, root)
        await system.deny("ada", "it is meant to be so for now")
        await look(system)
        assert not await system.requests()
        assert root.file.read_text() == "goodbye"
        await system.orders.again(system.lane.application, PersonName("bob"))
        await system.quiet()
        record = await system.approve("ada")
        assert record.state is ChangeState.HEALTHY, record.reason
    assert root.file.read_text() == "hello"


async def test_the_same_drift_twice_is_asked_twice(root: Greeting) -> None:
    async with root.controller() as system:
        await system.deliver()
        for _ in range(2):
            edit(root)
            await look(system)
            record = await system.approve("ada")
            assert (record.change.cause, record.state) == (Cause.DRIFT, ChangeState.HEALTHY)
            assert root.file.read_text() == "hello"
        changes = await system.changes()
        drifts = [c.change for c in changes if c.change.cause is Cause.DRIFT]
        assert len({change.id for change in drifts}) == 2
        assert len({change.after for change in drifts}) == 1, "it is the same drift"


async def test_a_drift_undone_by_hand_withdraws_the_question(root: Greeting) -> None:
    async with root.controller() as system:
        await drifts(system, root)
        assert await system.requests()
        root.file.write_text("hello")
        await look(system)
        assert not await system.requests()
        assert (await system.last()).state is ChangeState.SUPERSEDED


async def test_by_policy_drift_is_reported_and_nothing_more(root: Greeting) -> None:
    root.app["drift"] = "report"
    async with root.controller() as system:
        await drifts(system, root)
        record = await system.last()
        assert (record.change.cause, record.state) == (Cause.DRIFT, ChangeState.REPORTED)
        assert not await system.requests()
        await look(system)
        assert len(await system.changes()) == 2, "the same drift is reported once"
    assert root.file.read_text() == "goodbye"


async def test_nobody_looks_for_drift_before_its_time(root: Greeting) -> None:
    root.terraform["drift_every"] = "1h"
    async with root.controller() as system:
        await system.deliver()
        edit(root)
        system.controller.lanes.offer(system.lane)
        await system.quiet()
        root.write("README.md", "no concern of the root's")
        root.commit("elsewhere")
        await system.nudge()
        assert not await system.requests()
        await look(system)
        assert await system.requests()


async def test_a_root_whose_time_has_come_is_looked_at_by_itself(
    root: Greeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.engine.targets.roots.LOOK_EVERY", 0.1)
    async with root.controller() as system:
        await system.deliver()
        edit(root)
        due(system)
        await system.request()
        assert (await system.last()).change.cause is Cause.DRIFT


async def test_a_restart_neither_withdraws_a_question_about_drift_nor_asks_it_twice(
    root: Greeting,
) -> None:
    root.terraform["drift_every"] = "24h"
    async with root.controller() as system:
        await drifts(system, root)
        asked = await system.request()
    async with root.controller() as system:
        await system.nudge()
        assert (await system.request()).root == asked.root
        record = await system.approve("ada")
        assert (record.change.cause, record.state) == (Cause.DRIFT, ChangeState.HEALTHY)
    assert root.file.read_text() == "hello"


async def test_a_drift_denied_before_a_restart_is_left_alone_after_it(root: Greeting) -> None:
    root.terraform["drift_every"] = "24h"
    async with root.controller() as system:
        await drifts(system, root)
        await system.deny("ada", "it is meant to be so for now")
    async with root.controller() as system:
        await system.nudge()
        system.controller.lanes.offer(system.lane)
        await system.quiet()
        await look(system)
        assert not await system.requests()
    assert root.file.read_text() == "goodbye"


async def test_a_root_that_waits_for_people_is_looked_at_once_in_its_time(
    root: Greeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.engine.targets.roots.LOOK_EVERY", 0.05)
    async with root.controller() as system:
        await system.nudge()
        await system.request()
        planner, drawn = system.controller.parts.root_planner, 0
        draw = planner.draw

        async def counted(job: RootJob) -> Drawn:
            nonlocal drawn
            drawn += 1
            return await draw(job)

        monkeypatch.setattr(planner, "draw", counted)
        due(system)
        await system.until(lambda: drawn)
        await system.quiet()
        for _ in range(10):
            await asyncio.sleep(0.06)
            await system.quiet()
        assert drawn == 1


async def test_a_look_at_drift_that_fails_is_told_until_the_next_one(root: Greeting) -> None:
    async with root.controller() as system:
        await system.deliver()
        root.state.write_text("no state")
        await look(system)
        first = system.controller.lanes.trouble(system.lane)
        assert first is not None
        system.controller.lanes.offer(system.lane)
        await system.quiet()
        again = system.controller.lanes.trouble(system.lane)
        assert again is not None
        assert again.message == first.message
