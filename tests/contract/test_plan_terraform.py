"""Plans of real roots by the real tools: read, kept, used again, applied, refused."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gitops import sealing
from gitops.masking import Masker
from gitops.model.delivery import Cause, Change
from gitops.model.finding import Finding, Severity
from gitops.model.ids import Digest, SourceName
from gitops.model.plan import ABSENT, Action, Plan
from gitops.model.sealed import SealedRun
from gitops.model.source import Revision
from gitops.ports import Drawn
from gitops.ports.terraform import UNKNOWN, OutputValue, Root, RootJob, Workspace
from gitops.records import dumps
from planners.plan.terraform.planner import TerraformPlanner
from planners.plan.terraform.veil import UNKNOWN_YET
from tests.conftest import absent
from tests.contract.terraform_rig import FOLDER, Host, find, settings

CANARY = "s3cr3t-Canary-0815"
TEXT = """variable "size" {
  type    = number
  default = 1
}

variable "token" {
  type      = string
  sensitive = true
  default   = "s3cr3t-Canary-0815"
}

resource "terraform_data" "web" {
  input = { size = var.size, token = var.token }
}

resource "terraform_data" "bound" {
  input            = var.size
  triggers_replace = var.size
}

output "size" {
  value = terraform_data.web.output.size
}

output "token" {
  value     = var.token
  sensitive = true
}
"""


class Keyed:
    def of(self, data: bytes) -> Digest:
        return Digest(hashlib.blake2b(data, digest_size=32, key=b"k").hexdigest())


@dataclass
class Counting:
    """The real workspace, and a note of every call."""

    inner: Any
    calls: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name == "identity":
            return found

        def noted(*args: Any, **options: Any) -> Awaitable[Any]:
            self.calls.append(name)
            result: Awaitable[Any] = found(*args, **options)
            return result

        return noted


@dataclass
class Bench:
    """A planner of one controller; :meth:`another` is the controller after a restart."""

    host: Host
    workspace: Counting
    masker: Masker
    planner: TerraformPlanner

    @classmethod
    def at(cls, host: Host) -> Bench:
        masker = Masker(Keyed())
        workspace = Counting(host.workspaces(masker.text))
        return cls(host, workspace, masker, TerraformPlanner(_port(workspace), Keyed(), masker))

    def another(self) -> Bench:
        return Bench.at(self.host)

    def root(self, text: str = TEXT, **settings: Any) -> Root:
        return self.host.root(text, **settings)

    async def draw(self, root: Root, kept: SealedRun | None = None) -> Drawn:
        change = Change(
            root.lane, 1, Digest("after"), Cause.COMMIT, Revision(SourceName("config"), "abc")
        )
        return await self.planner.draw(RootJob(change, root, (), kept))

    async def apply(self, root: Root, run: str = "first") -> SealedRun:
        sealed = sealed_of(await self.draw(root))
        done = await self.planner.execute(root, sealed, run)
        assert not done.failed, done
        return sealed


def _port(counting: Any) -> Workspace:
    port: Workspace = counting
    return port


def sealed_of(drawn: Drawn) -> SealedRun:
    assert isinstance(drawn.sealed, SealedRun)
    return drawn.sealed


@pytest.fixture(params=["terraform", "tofu"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    binary = find(request.param)
    if binary is None:
        absent(f"{request.param} is not here; run: gitops sandbox tools {request.param}")
    return Bench.at(Host(tmp_path / "state", request.param, binary))


@pytest.fixture
def either(tmp_path: Path, a_terraform: tuple[str, Path]) -> Bench:
    """With whichever tool is here: for what it has no part in."""
    return Bench.at(Host(tmp_path / "state", *a_terraform))


def rows(plan: Plan) -> Mapping[str, Action]:
    return {change.address: change.action for change in plan.changes}


async def test_a_root_is_planned_applied_and_then_at_rest(bench: Bench) -> None:
    root = bench.root()
    drawn = await bench.draw(root)
    assert rows(drawn.plan) == {
        "terraform_data.bound": Action.CREATE,
        "terraform_data.web": Action.CREATE,
        "output.size": Action.CREATE,
        "output.token": Action.CREATE,
    }
    assert drawn.outputs == {"size": UNKNOWN, "token": OutputValue(CANARY, sensitive=True)}
    assert drawn.plan.hides, "a value nobody can see is not for a policy to approve"
    done = await bench.planner.execute(root, sealed_of(drawn), "first")
    assert {outcome.address for outcome in done.outcomes} >= {"terraform_data.web"}
    assert not done.failed
    again = await bench.draw(root)
    assert again.plan.empty
    assert again.plan.unchanged == 2
    assert again.outputs["size"] == OutputValue(1, sensitive=False)


async def test_two_plans_of_one_state_differ_in_bytes_and_not_in_digest(bench: Bench) -> None:
    root = bench.root()
    one = await bench.draw(root)
    await asyncio.sleep(2.1)  # what differs is the time in the file, to two seconds
    other = await bench.draw(root)
    assert sealed_of(one).sha256 != sealed_of(other).sha256
    assert one.artifact != other.artifact
    assert one.plan.digest == other.plan.digest
    larger = settings(root, variables={"size": 2})
    assert (await bench.draw(larger)).plan.digest != one.plan.digest


async def test_a_changed_value_shows_and_a_secret_does_not(bench: Bench) -> None:
    await bench.apply(bench.root())
    drawn = await bench.draw(bench.root(TEXT.replace("0815", "4711"), variables={"size": 5}))
    by_address = {change.address: change for change in drawn.plan.changes}
    web = {f.path: (f.before, f.after) for f in by_address["terraform_data.web"].fields}
    assert web['input["size"]'] == (1, 5)
    assert web["output"][1] == UNKNOWN_YET
    assert by_address["terraform_data.bound"].action is Action.REPLACE
    assert "forces replacement: triggers_replace" in by_address["terraform_data.bound"].notes
    assert ("terraform" if bench.host.tool == "terraform" else "tofu") in dict(drawn.plan.versions)
    kept = dumps(Plan, drawn.plan)
    assert "Canary" not in kept
    assert "Canary" not in bench.masker.text("it was s3cr3t-Canary-4711")


async def test_a_kept_plan_is_used_again_after_a_restart(either: Bench) -> None:
    root = either.root()
    first = await either.draw(root)
    kept = sealing.decode(sealing.encode(sealed_of(first)))
    assert isinstance(kept, SealedRun)
    restarted = either.another()
    second = await restarted.draw(root, kept)
    assert (second.sealed, second.artifact) == (first.sealed, first.artifact)
    assert second.plan == first.plan
    assert "plan" not in restarted.workspace.calls
    assert restarted.workspace.calls.count("show") == 1
    await restarted.draw(root, kept)
    assert restarted.workspace.calls.count("show") == 1
    done = await restarted.planner.execute(root, kept, "first")
    assert not done.failed


Alter = Callable[[Root], Root]


@pytest.mark.parametrize(
    "alter",
    [
        lambda root: replace(
            root, files=tuple(replace(f, content=f.content + b"\n") for f in root.files)
        ),
        lambda root: settings(root, variables={"size": 2}),
        lambda root: replace(root, variables={"size": 3}),
    ],
    ids=["files", "variables", "outputs of others"],
)
async def test_a_kept_plan_is_not_used_for_anything_else(either: Bench, alter: Alter) -> None:
    root = either.root()
    kept = sealed_of(await either.draw(root))
    other = await either.draw(alter(root), kept)
    assert sealed_of(other).sha256 != kept.sha256
    assert either.workspace.calls.count("plan") == 2


async def test_a_kept_plan_is_not_used_once_the_state_moved(either: Bench) -> None:
    root = either.root()
    kept = sealed_of(await either.draw(root))
    await either.apply(root)
    again = await either.draw(root, kept)
    assert again.plan.empty


async def test_nothing_is_applied_on_a_state_that_moved(either: Bench) -> None:
    root = either.root()
    stale = sealed_of(await either.draw(settings(root, variables={"size": 9})))
    await either.apply(root)
    done = await either.planner.execute(settings(root, variables={"size": 9}), stale, "second")
    assert "the state moved" in done.void
    assert not done.outcomes
    assert (await either.draw(root)).plan.empty


TAMPERED: Mapping[str, Callable[[SealedRun], SealedRun]] = {
    "saved plan is not the one": lambda s: replace(s, plan_file=s.plan_file[:-1] + b"x"),
    "the saved plan is not": lambda s: replace(s, sha256="0" * 64),
    "planned by terraform 0.0.1": lambda s: replace(s, tool="terraform 0.0.1"),
    "lock file is not the one": lambda s: replace(s, lock_sha256="1" * 64),
    "backend or workspace": lambda s: replace(s, target="local:other:x"),
    "files are not those": lambda s: replace(s, files=()),
    "root is not the one": lambda s: replace(s, path="roots/other"),
}


async def test_a_seal_that_does_not_fit_applies_nothing_and_says_what_differs(
    either: Bench,
) -> None:
    root = either.root()
    sealed = sealed_of(await either.draw(root))
    for word, tamper in TAMPERED.items():
        done = await either.planner.execute(root, tamper(sealed), "first")
        assert word in done.void
        assert not done.outcomes
    assert "apply" not in either.workspace.calls


async def test_a_swapped_plan_of_another_root_applies_nothing(either: Bench) -> None:
    root = either.root()
    mine = sealed_of(await either.draw(root))
    other = sealed_of(await either.draw(either.root(TEXT.replace("web", "evil"))))
    done = await either.planner.execute(root, replace(mine, plan_file=other.plan_file), "first")
    assert done.void
    assert len((await either.draw(root)).plan.changes) == 4


async def test_an_apply_that_was_begun_is_told_of_and_not_begun_again(either: Bench) -> None:
    root = either.root()
    sealed = sealed_of(await either.draw(root))
    first = await either.planner.execute(root, sealed, "one")
    told = await either.another().planner.execute(root, sealed, "one")
    assert told == first
    assert "the state moved" in (await either.planner.execute(root, sealed, "two")).void


async def test_what_fails_in_the_middle_is_told_by_address_without_secrets(bench: Bench) -> None:
    failing = (
        TEXT
        + """
resource "terraform_data" "breaks" {
  depends_on = [terraform_data.web]
  provisioner "local-exec" {
    command = "echo ${nonsensitive(var.token)} >&2; exit 3"
  }
}
"""
    )
    root = bench.root(failing)
    sealed = sealed_of(await bench.draw(root))
    done = await bench.another().planner.execute(root, sealed, "first")
    fared = {outcome.address: outcome.done for outcome in done.outcomes}
    assert fared["terraform_data.web"]
    assert not fared["terraform_data.breaks"]
    assert "Canary" not in str(done)
    after = await bench.draw(root)
    assert rows(after.plan)["terraform_data.breaks"] is Action.REPLACE


async def test_what_only_moves_in_the_state_is_asked_about(bench: Bench) -> None:
    await bench.apply(bench.root())
    moved = TEXT.replace('"web"', '"site"').replace("terraform_data.web", "terraform_data.site")
    moved += "moved {\n  from = terraform_data.web\n  to   = terraform_data.site\n}\n"
    drawn = await bench.draw(bench.root(moved))
    [change] = drawn.plan.changes
    assert (change.address, change.action) == ("terraform_data.site", Action.UPDATE)
    assert change.notes == ("moved from terraform_data.web",)


async def test_what_is_taken_out_of_the_state_is_asked_about(bench: Bench) -> None:
    await bench.apply(bench.root())
    start = TEXT.index('resource "terraform_data" "bound"')
    without = TEXT[:start] + TEXT[TEXT.index("output") :]
    without += (
        "removed {\n  from = terraform_data.bound\n  lifecycle {\n    destroy = false\n  }\n}\n"
    )
    drawn = await bench.draw(bench.root(without))
    [change] = drawn.plan.changes
    assert (change.address, change.action) == ("terraform_data.bound", Action.UPDATE)
    assert "goes on existing" in change.notes[0]


async def test_destroying_all_of_it_needs_a_typed_confirmation(bench: Bench) -> None:
    await bench.apply(bench.root())
    drawn = await bench.draw(bench.root("# nothing\n"))
    assert drawn.plan.count(Action.DELETE) == 2
    assert drawn.plan.over_budget
    outputs = {c.address: c.fields[0].after for c in drawn.plan.changes if "output" in c.address}
    assert outputs == {"output.size": ABSENT, "output.token": ABSENT}


async def test_a_root_as_its_state_says_has_not_drifted(bench: Bench) -> None:
    root = bench.root()
    assert await bench.planner.drift(root) is None
    await bench.apply(root)
    assert await bench.planner.drift(root) is None
    assert await bench.planner.drift(bench.root(TEXT, variables={"size": 8})) is None


async def test_two_roots_are_drawn_at_the_same_time(either: Bench) -> None:
    roots = [either.root(name=name) for name in ("one", "two")]
    first, second = await asyncio.gather(*(either.draw(root) for root in roots))
    assert first.plan.application == "one"
    assert second.plan.application == "two"
    assert first.plan.digest == second.plan.digest
    assert sealed_of(first).path == FOLDER


async def test_checks_of_planned_values_see_each_plan_once(either: Bench) -> None:
    seen: list[Any] = []

    def also(root: Root, shown: Mapping[str, Any]) -> Sequence[Finding]:
        seen.append(shown["planned_values"])
        return (Finding("cidr-overlap", Severity.ERROR, "10.0.0.0/8 overlaps"),)

    port = _port(either.workspace)
    either.planner = TerraformPlanner(port, Keyed(), either.masker, also)
    first = await either.draw(either.root())
    second = await either.draw(either.root(), sealed_of(first))
    assert len(seen) == 1
    assert first.plan == second.plan
    assert [f.check for f in first.plan.blocked_by] == ["cidr-overlap"]


async def test_the_tools_own_document_is_what_was_read(bench: Bench) -> None:
    """Guards the golden documents: a newer tool that writes other sections is noticed here."""
    run = await bench.workspace.inner.plan(bench.root())
    assert str(run.shown["format_version"]).startswith("1.")
    known = {
        "action_invocations",
        "applyable",
        "checks",
        "complete",
        "configuration",
        "deferred_changes",
        "errored",
        "format_version",
        "output_changes",
        "planned_values",
        "prior_state",
        "relevant_attributes",
        "resource_changes",
        "resource_drift",
        "terraform_version",
        "timestamp",
        "variables",
    }
    assert set(run.shown) <= known
    assert CANARY in json.dumps(run.shown)
