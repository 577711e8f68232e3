"""A root that takes another root's output in: who waits for whom, and whose doing a value is.

No cluster: both ends are real tools with local states.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitops.model.approval import Member
from gitops.model.delivery import ChangeRecord, ChangeState, LaneId
from gitops.model.ids import ApplicationName, SourceName, TargetName
from tests.e2e.rig import CYD, System, asking, git, repository
from tests.e2e.root_rig import RootRig

pytestmark = pytest.mark.slow

NET = """\
output "zone" {
  value = "a"
}
"""
HOSTS = """\
variable "zone" {
  type = string
}

resource "terraform_data" "hosts" {
  input = "in ${var.zone}"
}

output "hosts" {
  value = terraform_data.hosts.input
}
"""
HOSTS_LANE = LaneId(ApplicationName("hosts"), TargetName("default"))


class TwoRoots(RootRig):
    """``hosts`` takes the zone of ``network``."""

    def add_hosts(self, **more: Any) -> None:
        state = str(self.folder / "hosts.tfstate")
        self.fleet["applications"]["hosts"] = {
            "path": "hosts",
            "terraform": {"binary": self.binary, "backend": {"local": {"path": state}}},
            "needs": {"zone": "network.zone"},
            **more,
        }

    def second_source(self) -> Path:
        """Where ``network`` is read from, apart from ``hosts``; returns the working copy."""
        remote, work = self.folder / "net.git", self.folder / "net-work"
        repository(remote, work)
        source = {"git": str(remote), "allow_local": True, "interval": "1h"}
        self.fleet["sources"]["net"] = source
        self.app["source"] = "net"
        self.fleet["applications"]["hosts"]["source"] = "config"
        return work


@pytest.fixture
def both(tmp_path: Path, a_terraform: tuple[str, Path]) -> TwoRoots:
    name, path = a_terraform
    rig = TwoRoots(tmp_path, binary=name, path=path)
    rig.add_hosts()
    rig.write("infra/main.tf", NET)
    rig.write("hosts/main.tf", HOSTS)
    rig.commit("both")
    return rig


async def newest(system: System, lane: LaneId = HOSTS_LANE) -> ChangeRecord:
    changes = await system.controller.ledger.read(lambda r: r.changes(open_only=False, lane=lane))
    return changes[0]


async def all_delivered(system: System) -> None:
    await system.until_asking(2)
    await system.answer("bob")
    await system.until_async(lambda: arrived(system))
    await system.quiet()


async def arrived(system: System) -> bool:
    changes = await system.controller.ledger.read(lambda r: r.changes(lane=HOSTS_LANE))
    return not changes and (await newest(system)).state is ChangeState.HEALTHY


async def change_of(system: System, member: Member) -> ChangeRecord:
    record = await system.controller.ledger.read(lambda r: r.change(member.change))
    assert record is not None
    return record


async def approve(system: System, application: str, person: str) -> None:
    """The one member of that application, by itself."""
    for request in await system.requests():
        lanes = [(await change_of(system, member)).change.lane for member in asking(request)]
        if [lane.application for lane in lanes] == [application]:
            await system.answer(person, request=request)
            await system.quiet()
            return
    raise AssertionError(f"nobody is asked about {application} alone")


def emails(record: ChangeRecord) -> set[str]:
    return {signature.email for signature in record.change.authorship.signatures}


async def test_a_commit_that_leaves_the_provider_alone_is_delivered(both: TwoRoots) -> None:
    async with both.controller() as system:
        await system.nudge()
        await all_delivered(system)
        both.write("hosts/main.tf", HOSTS.replace("in $", "now in $"))
        both.commit("only what takes")
        await system.nudge()
        await system.until_asking(1)
        await system.answer("bob")
        await system.until_async(lambda: arrived(system))
    assert "now in a" in (both.folder / "hosts.tfstate").read_text()


async def test_who_wrote_a_value_stays_its_author_after_others_changed_the_root(
    both: TwoRoots,
) -> None:
    async with both.controller() as system:
        await system.nudge()
        await all_delivered(system)
        both.write("infra/main.tf", NET.replace('"a"', '"b"'))
        both.commit("the zone moves", author=CYD)
        await system.nudge()
        await system.until_asking(2)
        assert "cyd@example.com" in emails(await newest(system))
        both.write("infra/main.tf", NET.replace('"a"', '"b"') + 'output "more" {\n  value = 1\n}\n')
        both.commit("something else of the root")
        await system.nudge()
        await system.until_asking(2)
        assert "cyd@example.com" in emails(await newest(system)), "while the root is asked about"


async def test_who_wrote_a_delivered_value_stays_its_author(both: TwoRoots) -> None:
    work = both.second_source()
    net(both, work, NET)
    async with both.controller() as system:
        await looked(system)
        await system.until_asking(2)
        await approve(system, "network", "bob")
        await approve(system, "hosts", "bob")
        net(both, work, NET.replace('"a"', '"b"'), CYD)
        await looked(system)
        await system.until_asking(2)
        await approve(system, "network", "bob")
        net(both, work, NET.replace('"a"', '"b"') + 'output "more" {\n  value = 1\n}\n')
        await looked(system)
        await system.until_asking(2)
        await approve(system, "network", "bob")
        both.write("hosts/README.md", "read anew")
        both.commit("and of its own")
        await looked(system)
        await system.until_asking(1)
        assert "cyd@example.com" in emails(await newest(system))


async def test_a_value_that_moves_under_an_open_question_brings_its_author(
    both: TwoRoots,
) -> None:
    work = both.second_source()
    net(both, work, NET)
    async with both.controller() as system:
        await looked(system)
        await approve(system, "network", "bob")
        await system.until_asking(1)
        assert "cyd@example.com" not in emails(await newest(system))
        net(both, work, NET.replace('"a"', '"b"'), CYD)
        await looked(system)
        await system.until_asking(2)
        assert "cyd@example.com" in emails(await newest(system))


async def looked(system: System) -> None:
    """Both sources, one after the other, and whoever takes from them."""
    for name in ("net", "config"):
        await system.orders.nudge(SourceName(name))
        await system.quiet()


def net(
    both: TwoRoots, work: Path, text: str, author: tuple[str, str] = ("Ada", "ada@example.com")
) -> None:
    (work / "infra").mkdir(exist_ok=True)
    (work / "infra" / "main.tf").write_text(text)
    name, mail = author
    git("-C", str(work), "add", "--all")
    who = ("-c", f"user.name={name}", "-c", f"user.email={mail}")
    git("-C", str(work), *who, "commit", "--quiet", "--message=net")
    git("-C", str(work), "push", "--quiet", "origin", "HEAD:main")


async def test_a_claimed_change_goes_on_while_a_new_value_is_not_there_yet(both: TwoRoots) -> None:
    async with both.controller() as system:
        await system.nudge()
        await system.until_asking(2)
        parts = system.controller.parts

        def crash(step: str, record: object) -> None:
            assert isinstance(record, ChangeRecord)
            if step in ("claimed", "recall") and record.change.lane == HOSTS_LANE:
                raise RuntimeError("as if the process had ended")

        system.controller.parts = replace(parts, reached=crash)
        await system.answer("bob")
        await system.until_async(lambda: state_is(system, ChangeState.APPLYING))
    later = 'resource "terraform_data" "x" {\n}\n\noutput "zone" {\n'
    both.write("infra/main.tf", later + "  value = terraform_data.x.id\n}\n")
    both.commit("known after apply only")
    async with both.controller() as system:
        parts, system.controller.parts = (
            system.controller.parts,
            replace(system.controller.parts, reached=crash),
        )
        await system.nudge()
        await system.until_asking(1)
        system.controller.parts = parts
        await system.until_async(lambda: state_is(system, ChangeState.HEALTHY))
        assert "in a" in (both.folder / "hosts.tfstate").read_text()
        await system.quiet()
        trouble = system.controller.lanes.trouble(HOSTS_LANE)
        assert trouble is not None
        assert "known once its change is applied" in trouble.message


async def test_nothing_goes_out_with_a_value_that_moved_since_the_round_began(
    both: TwoRoots,
) -> None:
    work = both.second_source()
    net(both, work, NET)
    async with both.controller() as system:
        await looked(system)
        await system.until_asking(2)
        await approve(system, "network", "bob")
        reached = system.controller.parts.reached
        moved = [NET.replace('"a"', '"b"')]

        def move(step: str, record: object) -> None:
            assert isinstance(record, ChangeRecord)
            if step == "apply" and record.change.lane == HOSTS_LANE and moved:
                net(both, work, moved.pop(), CYD)
                system.controller.roots.moved(LaneId(network(), TargetName("default")))
            reached(step, record)

        system.controller.parts = replace(system.controller.parts, reached=move)
        (request,) = await system.requests()
        await system.answer("bob", request=request)
        await system.until(lambda: not moved)
        await looked(system)
        await system.until_asking(2)
    assert not (both.folder / "hosts.tfstate").exists()


def network() -> ApplicationName:
    return ApplicationName("network")


async def state_is(system: System, state: ChangeState) -> bool:
    return (await newest(system)).state is state
