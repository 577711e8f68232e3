"""How an apply ended, put into words: what no real tool can be brought to do at will.

Everything else is held on the real tools, in ``tests/contract/test_plan_terraform.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from gitops.errors import GitopsError, RenderError, StalePlan, StateLocked
from gitops.masking import Masker
from gitops.model.delivery import Cause, Change, LaneId
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, Digest, SourceName, TargetName, combine
from gitops.model.sealed import SealedFile, SealedRun, StateFacts
from gitops.model.secret import SecretRef
from gitops.model.source import Revision
from gitops.model.terraform import Environment, TerraformSpec
from gitops.ports import Executed
from gitops.ports.terraform import AddressOutcome, ApplyRun, PlanRun, Root, RootJob
from planners.plan.terraform.inputs import inputs_of, sha256_of
from planners.plan.terraform.planner import TerraformPlanner

LANE = LaneId(ApplicationName("net"), TargetName("default"))
CHANGE = Change(LANE, 1, combine("after"), Cause.COMMIT, Revision(SourceName("repo"), "c" * 40))
SHOWN = {
    "format_version": "1.2",
    "output_changes": {
        "token": {
            "actions": ["create"],
            "before": None,
            "after": "canary-secret",
            "after_sensitive": True,
        }
    },
}


class Keyed:
    def of(self, data: bytes) -> Digest:
        return Digest(hashlib.blake2b(data, digest_size=32, key=b"k").hexdigest())


@dataclass
class Scripted:
    """Ends as it is told to."""

    ends: ApplyRun | GitopsError = field(default_factory=lambda: ApplyRun(True, ()))
    shows: Mapping[str, Any] | GitopsError = field(default_factory=lambda: SHOWN)
    was_begun: bool = False
    now: StateFacts = StateFacts(3, "line")
    applied: int = 0
    shown: int = 0

    def identity(self, root: Root) -> str:
        return "local:default"

    async def tool(self, root: Root) -> str:
        return "terraform 1.11.4"

    async def state(self, root: Root) -> StateFacts:
        return self.now

    async def begun(self, root: Root, run: str) -> bool:
        return self.was_begun

    async def show(self, root: Root, plan_file: bytes) -> Mapping[str, Any]:
        self.shown += 1
        if isinstance(self.shows, GitopsError):
            raise self.shows
        return self.shows

    async def plan(
        self, root: Root, *, refresh_only: bool = False, locking: bool = True
    ) -> PlanRun:
        return PlanRun(b"plan", SHOWN, self.now, "terraform 1.11.4")

    async def apply(self, root: Root, plan_file: bytes, run: str) -> ApplyRun:
        self.applied += 1
        if isinstance(self.ends, GitopsError):
            raise self.ends
        return self.ends


def root_of(**settings: Any) -> Root:
    application = ApplicationSpec(
        LANE.application, SourceName("repo"), "net", terraform=TerraformSpec(**settings)
    )
    return Root(LANE, application, (SealedFile("net/main.tf", b"# nothing\n"),))


def sealed_for(root: Root) -> SealedRun:
    return SealedRun(
        LANE,
        "net",
        root.files,
        b"plan",
        sha256_of(b"plan"),
        "",
        "terraform 1.11.4",
        (),
        StateFacts(3, "line"),
        "local:default",
    )


async def carry_out(workspace: Any) -> Executed:
    planner = TerraformPlanner(workspace, Keyed(), Masker(Keyed()))
    return await planner.execute(root_of(), sealed_for(root_of()), "run")


async def test_each_resource_has_its_outcome_and_no_secret_is_in_it() -> None:
    ended = ApplyRun(
        False,
        (
            AddressOutcome("a.b", True),
            AddressOutcome('a.c["canary-secret"]', False, "refused: canary-secret\nis bad"),
        ),
    )
    done = await carry_out(Scripted(ended))
    assert [(o.address, o.done, o.message) for o in done.outcomes] == [
        ("a.b", True, ""),
        ('a.c["<hidden>"]', False, "refused: <hidden>⏎is bad"),
    ]


@pytest.mark.parametrize("outcomes", [(), (AddressOutcome("a.b", True),)])
async def test_an_apply_that_did_not_end_well_has_a_failed_outcome_whatever_it_tells(
    outcomes: tuple[AddressOutcome, ...],
) -> None:
    done = await carry_out(Scripted(ApplyRun(False, outcomes, "the disk is full")))
    [failed] = done.failed
    assert (failed.address, failed.message) == ("workspace default of net", "the disk is full")


async def test_an_apply_of_outputs_alone_is_told_of_too() -> None:
    done = await carry_out(Scripted(ApplyRun(True, ())))
    assert [(o.address, o.done) for o in done.outcomes] == [("workspace default of net", True)]


async def test_words_that_may_hold_secrets_nobody_knows_are_not_passed_on() -> None:
    ended = ApplyRun(False, (AddressOutcome("a.b", False, "canary-secret"),))
    done = await carry_out(Scripted(ended, shows=RenderError("unreadable")))
    assert [o.address for o in done.failed] == ["a.b"]
    assert "canary" not in str(done)


async def test_a_plan_drawn_here_is_not_shown_again_to_know_its_secrets() -> None:
    said = Scripted(ApplyRun(False, (AddressOutcome("a.b", False, "refused: canary-secret"),)))
    planner = TerraformPlanner(said, Keyed(), Masker(Keyed()))  # type: ignore[arg-type]
    drawn = await planner.draw(RootJob(CHANGE, root_of()))
    assert isinstance(drawn.sealed, SealedRun)
    done = await planner.execute(root_of(), drawn.sealed, "run")
    assert done.outcomes[0].message == "refused: <hidden>"
    assert said.shown == 0


async def test_a_stale_plan_is_void_so_that_it_is_planned_anew() -> None:
    done = await carry_out(Scripted(StalePlan("Saved plan is stale")))
    assert done.void.startswith("Saved plan is stale")
    assert not done.outcomes


async def test_a_held_lock_is_raised_so_that_it_is_tried_again() -> None:
    with pytest.raises(StateLocked):
        await carry_out(Scripted(StateLocked("locked", lock="1", who="ada")))


async def test_the_state_may_have_moved_once_our_own_apply_was_begun() -> None:
    moved = StateFacts(4, "line")
    fresh = Scripted(now=moved)
    assert (await carry_out(fresh)).void
    assert fresh.applied == 0
    begun = Scripted(now=moved, was_begun=True)
    assert not (await carry_out(begun)).void
    assert begun.applied == 1


def test_a_plan_depends_on_variables_and_the_environment_it_is_made_in() -> None:
    plain = root_of()
    others = [
        root_of(variables={"a": 1}),
        root_of(variable_files=("prod.tfvars",)),
        root_of(workspace="blue"),
        root_of(environment=Environment(plan={"TF_VAR_a": "1"})),
        root_of(environment=Environment(plan={"TF_VAR_a": SecretRef(env="A")})),
        replace(plain, variables={"a": 1}),
    ]
    digests = {inputs_of(root, Keyed()) for root in (plain, *others)}
    assert len(digests) == len(others) + 1
    same = root_of(environment=Environment(apply={"AWS_SECRET_ACCESS_KEY": "x"}))
    assert inputs_of(same, Keyed()) == inputs_of(plain, Keyed())
