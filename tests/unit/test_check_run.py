"""Checks are asked once, cut short visibly, and never take one another along."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import pytest

from gitops.errors import ConfigError, RenderError, ToolMissing
from gitops.model.cluster import ClusterFacts
from gitops.model.finding import Finding, Severity
from gitops.model.ids import combine
from gitops.model.terraform import Allowed, TerraformSpec
from gitops.plugins import Role, plugins
from gitops.ports import CheckJob, Scope
from planners.checks.cache import FindingCache
from planners.checks.run import FINDINGS_PER_CHECK, Checkup, Configured, run_checks
from tests.unit.check_cases import FACTS, Catalogue, file, job, services


class Check:
    """Says what it is told to and counts how often it is asked."""

    version = "1"

    def __init__(
        self, scope: Scope, *, name: str = "c", severity: Severity = Severity.WARNING
    ) -> None:
        self.name, self.scope, self.severity = name, scope, severity
        self.asked: list[list[str]] = []

    async def run(self, job: CheckJob) -> Sequence[Finding]:
        self.asked.append([f.path for f in job.files])
        if any(b"crash" in f.text for f in job.files):
            raise ZeroDivisionError("hunter2")
        return [Finding(self.name, self.severity, "said", path=f.path, line=3) for f in job.files]


def configured(check: Check, key: str = "c 1 x") -> Configured:
    return Configured(check, key)


A, B = file("a: 1\n", "a.yaml"), file("b: 1\n", "b.yaml")


async def test_a_file_that_did_not_change_is_not_checked_again() -> None:
    check, cache = Check(Scope.FILE), FindingCache()
    first = await run_checks(job(made=(), files=[A, B]), [configured(check)], cache)
    changed = file("b: 2\n", "b.yaml")
    second = await run_checks(job(made=(), files=[A, changed]), [configured(check)], cache)
    assert check.asked == [["a.yaml", "b.yaml"], ["b.yaml"]]
    assert [f.path for f in first] == [f.path for f in second] == ["a.yaml", "b.yaml"]


async def test_other_options_or_another_version_ask_again() -> None:
    check, cache = Check(Scope.FILE), FindingCache()
    for key in ("c 1 x", "c 1 y", "c 2 x", "c 1 x"):
        await run_checks(job(made=(), files=[A]), [configured(check, key)], cache)
    assert len(check.asked) == 3


async def test_a_restart_remembers_what_files_gave(tmp_path: Path) -> None:
    check = Check(Scope.FILE)
    for _ in range(2):
        cache = FindingCache(tmp_path)
        found = await run_checks(job(made=(), files=[A, B]), [configured(check)], cache)
    assert len(check.asked) == 1
    assert [f.place for f in found] == ["a.yaml:3", "b.yaml:3"]


async def test_a_damaged_memory_is_ignored(tmp_path: Path) -> None:
    check = Check(Scope.FILE)
    await run_checks(job(made=(), files=[A]), [configured(check)], FindingCache(tmp_path))
    for kept in (tmp_path / "findings").iterdir():
        kept.write_bytes(b'\xff{"a":1}\n["a.yaml"]\n' + kept.read_bytes()[:-9])
    found = await run_checks(job(made=(), files=[A]), [configured(check)], FindingCache(tmp_path))
    assert len(check.asked) == 2
    assert len(found) == 1


async def test_a_check_that_crashes_becomes_a_finding_without_the_errors_own_words() -> None:
    crashing, sound = Check(Scope.APPLICATION), Check(Scope.APPLICATION, name="d")
    files = [file("crash", "a.yaml")]

    class Sound(Check):
        async def run(self, job: CheckJob) -> Sequence[Finding]:
            return [Finding("d", Severity.INFO, "fine")]

    sound = Sound(Scope.APPLICATION, name="d")
    found = await run_checks(
        job(made=(), files=files), [configured(crashing), configured(sound, "d")], FindingCache()
    )
    assert [(f.check, f.severity) for f in found] == [("c", Severity.ERROR), ("d", Severity.INFO)]
    assert "ZeroDivisionError" in found[0].message
    assert "hunter2" not in found[0].message + found[0].hint


async def test_a_tool_that_is_missing_is_no_defect_of_the_check() -> None:
    class Helpless(Check):
        async def run(self, job: CheckJob) -> Sequence[Finding]:
            raise ToolMissing("tofu 1.9.0 is not here", hint="put it on PATH")

    helpless = configured(Helpless(Scope.APPLICATION))
    found = await run_checks(job(made=(), files=[A]), [helpless], FindingCache())
    assert [(f.message, f.hint) for f in found] == [("tofu 1.9.0 is not here", "put it on PATH")]
    assert found[0].severity is Severity.ERROR


async def test_one_file_that_crashes_a_check_leaves_the_others_checked() -> None:
    check = Check(Scope.FILE)
    files = [A, file("crash", "bad.yaml"), B]
    found = await run_checks(job(made=(), files=files), [configured(check)], FindingCache())
    assert [(f.path, f.severity) for f in found] == [
        ("bad.yaml", Severity.ERROR),
        ("a.yaml", Severity.WARNING),
        ("b.yaml", Severity.WARNING),
    ]


async def test_an_application_is_checked_once_per_state_of_itself_and_of_its_target() -> None:
    check, cache = Check(Scope.APPLICATION), FindingCache()
    asked = job("apiVersion: v1\nkind: A\nmetadata: {name: a}\n", catalogue=Catalogue([]))
    newer = ClusterFacts("uid", "v1.36.0", FACTS.api_versions)
    for each in (asked, asked, dataclasses.replace(asked, facts=newer)):
        await run_checks(each, [configured(check)], cache)
    assert len(check.asked) == 2


async def test_a_root_in_which_nothing_was_found_is_not_checked_again_until_it_is_another() -> None:
    check, cache = Check(Scope.APPLICATION), FindingCache()
    root = job(files=[])
    root = dataclasses.replace(
        root, application=dataclasses.replace(root.application, terraform=TerraformSpec())
    )
    allowed = TerraformSpec(allow=Allowed(provisioners=True))
    looser = dataclasses.replace(root.application, terraform=allowed)
    for each in (root, root, dataclasses.replace(root, application=looser)):
        await run_checks(each, [configured(check)], cache)
    assert len(check.asked) == 2
    found = dataclasses.replace(root, files=[A])
    newer = dataclasses.replace(
        found, desired=dataclasses.replace(found.desired, digest=combine("newer"))
    )
    for _ in range(2):
        await run_checks(newer, [configured(check)], cache)
    assert len(check.asked) == 4, "what was found is asked about again: it may not last"


async def test_what_blocks_is_asked_again_each_time() -> None:
    check, cache = Check(Scope.APPLICATION, severity=Severity.ERROR), FindingCache()
    asked = job(
        "apiVersion: v1\nkind: A\nmetadata: {name: a}\n", files=[A], catalogue=Catalogue([])
    )
    for _ in range(2):
        await run_checks(asked, [configured(check)], cache)
    assert len(check.asked) == 2


async def test_findings_beyond_the_cap_are_counted_and_the_worst_are_kept() -> None:
    class Many(Check):
        async def run(self, job: CheckJob) -> Sequence[Finding]:
            few = [Finding("c", Severity.ERROR, "bad", path="z")]
            return [Finding("c", Severity.INFO, f"{i:04}") for i in range(500)] + few

    found = await run_checks(job(), [configured(Many(Scope.APPLICATION))], FindingCache())
    assert len(found) == FINDINGS_PER_CHECK + 1
    assert found[0].severity is Severity.ERROR
    assert "301 more" in found[-1].message


async def test_a_check_that_is_switched_off_is_not_run(tmp_path: Path) -> None:
    checkup = Checkup(plugins(Role.CHECK), services(tmp_path))
    bad = "apiVersion: v1\nkind: A\nmetadata: {name: a}\nx:  y\n"
    assert any(f.check == "yaml-lint" for f in await checkup.run(job(bad)))
    off = job(bad, checks={"yaml-lint": {"enabled": False}})
    assert not any(f.check == "yaml-lint" for f in await checkup.run(off))


async def test_an_option_a_check_does_not_know_is_refused(tmp_path: Path) -> None:
    checkup = Checkup(plugins(Role.CHECK), services(tmp_path))
    with pytest.raises(ConfigError, match="levl"):
        await checkup.run(job(checks={"yaml-lint": {"levl": "info"}}))


async def test_our_own_errors_keep_their_words() -> None:
    class Refusing(Check):
        async def run(self, job: CheckJob) -> Sequence[Finding]:
            raise RenderError("the linter ended with code 9")

    (found,) = await run_checks(job(), [configured(Refusing(Scope.APPLICATION))], FindingCache())
    assert "code 9" in found.message
