"""No two applications claim the same addresses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gitops.cidr import Found, claims_in_plan
from gitops.errors import ConfigError
from gitops.model.delivery import LaneId
from gitops.model.finding import Finding, Severity
from gitops.model.ids import ApplicationName, TargetName, combine
from gitops.model.manifest import Desired
from gitops.model.source import Closure
from gitops.model.terraform import Need, TerraformSpec
from gitops.plugins import Role, plugins
from gitops.ports import CheckJob
from planners.checks.cidr_overlap import NAME, CidrOverlap, Options, build
from planners.checks.fleet import FleetChecker
from planners.checks.run import Checkup
from tests.unit.check_cases import file, job, services

POOL = """\
apiVersion: crd.projectcalico.org/v1
kind: IPPool
metadata: {name: pods}
spec: {cidr: %s}
"""
VPC = 'resource "aws_vpc" "main" {\n  cidr_block = "%s"\n}\n'


@pytest.fixture
def check(tmp_path: Path) -> CidrOverlap:
    return build(Options(), services(tmp_path))


def root(
    text: str = "",
    name: str = "net",
    *,
    variables: Mapping[str, Any] | None = None,
    needs: tuple[str, ...] = (),
    path: str = "",
    delivered: bool = False,
) -> CheckJob:
    path = path or name
    files = (file(text, f"{path}/main.tf"),)
    made = replace(
        job(application=name, target="default").application,
        path=path,
        terraform=TerraformSpec(variables=variables or {}),
        needs={other: Need(other, "x") for other in needs},
    )
    desired = Desired((), Closure(()), combine(text), "terraform 1", files)
    lane = LaneId(made.name, TargetName("default"))
    return CheckJob(lane, made, desired, files, None, delivered=delivered)


@pytest.mark.slow
async def test_two_roots_that_claim_the_same_addresses_are_told_of_both_places(
    check: CidrOverlap,
) -> None:
    assert await check.run(root(VPC % "10.0.0.0/16", "first")) == []
    (finding,) = await check.run(root(VPC % "10.0.128.0/17", "second"))
    assert finding.severity is Severity.ERROR
    assert finding.place == "second/main.tf:2"
    assert finding.message == (
        "10.0.128.0/17 (second/main.tf:2: aws_vpc.main.cidr_block) overlaps 10.0.0.0/16, which "
        "application first on default claims (first/main.tf:2: aws_vpc.main.cidr_block)"
    )


async def test_a_root_and_a_cluster_s_pool_meet_as_well(check: CidrOverlap) -> None:
    await check.run(job(POOL % "10.48.0.0/16", application="cni"))
    (finding,) = await check.run(root(VPC % "10.0.0.0/8"))
    assert "a.yaml:1: IPPool.crd.projectcalico.org pods spec.cidr" in finding.message


async def test_the_operator_s_variables_are_claims(check: CidrOverlap) -> None:
    text = 'variable "vpc_cidr" {}\n'
    await check.run(root(text, "a", variables={"vpc_cidr": "10.0.0.0/16"}, path="shared"))
    assert not await check.run(
        root(text, "b", variables={"vpc_cidr": "10.1.0.0/16"}, path="shared")
    )
    (finding,) = await check.run(
        root(text, "c", variables={"vpc_cidr": "10.1.0.0/24"}, path="shared")
    )
    assert "the fleet file's var.vpc_cidr" in finding.message


async def test_subnets_of_one_application_are_its_own_affair(check: CidrOverlap) -> None:
    subnet = 'resource "aws_subnet" "a" {\n  cidr_block = "10.0.1.0/24"\n}\n'
    assert await check.run(root(VPC % "10.0.0.0/16" + subnet)) == []
    (finding,) = await check.run(root(VPC % "10.0.1.0/24", "other"))
    assert "10.0.0.0/16" in finding.message


async def test_ranges_apart_are_nobody_s_concern(check: CidrOverlap) -> None:
    for number in range(20):
        assert await check.run(root(VPC % f"10.{number}.0.0/16", f"a{number}")) == []


async def test_one_application_on_two_clusters_is_one_decision(check: CidrOverlap) -> None:
    for target in ("prod", "staging"):
        assert await check.run(job(POOL % "10.48.0.0/16", application="cni", target=target)) == []


async def test_a_line_of_locals_that_two_roots_read_is_no_claim_of_both(check: CidrOverlap) -> None:
    text = 'locals {\n  vpc_cidrs = { a = "10.0.0.0/16", b = "10.1.0.0/16" }\n}\n'
    for name in ("a", "b"):
        assert await check.run(root(text, name, path="shared")) == []
    assert await check.run(root(text, "c", path="elsewhere"))


async def test_who_was_first_is_told_but_not_blocked(check: CidrOverlap) -> None:
    first, second = root(VPC % "10.0.0.0/16", "first"), root(VPC % "10.0.0.0/16", "second")
    await check.run(first)
    await check.run(second)
    (finding,) = await check.run(first)
    assert finding.severity is Severity.WARNING
    (finding,) = await check.run(root("# a comment\n" + VPC % "10.0.0.0/16", "first"))
    assert finding.severity is Severity.WARNING, "the claim only moved to another line"


async def test_who_has_delivered_comes_before_who_was_looked_at_first(check: CidrOverlap) -> None:
    await check.run(root(VPC % "10.0.0.0/16", "newcomer"))
    (finding,) = await check.run(root(VPC % "10.0.0.0/16", "old", delivered=True))
    assert finding.severity is Severity.WARNING
    (finding,) = await check.run(root(VPC % "10.0.0.0/16", "newcomer"))
    assert finding.severity is Severity.ERROR


async def test_who_takes_another_s_outputs_builds_within_its_network(check: CidrOverlap) -> None:
    network, inner = root(VPC % "10.0.0.0/16"), root(VPC % "10.0.1.0/24", "eks", needs=("net",))
    await check.run(network)
    assert await check.run(inner) == []
    assert await check.run(network) == []
    assert await check.run(root(VPC % "10.0.0.0/8", "eks", needs=("net",))), "wider than it"


async def test_a_subnet_in_another_s_network_is_told_but_blocks_nobody(check: CidrOverlap) -> None:
    subnet = 'resource "aws_subnet" "a" {\n  cidr_block = "10.0.1.0/24"\n}\n'
    await check.run(root(VPC % "10.0.0.0/16"))
    (finding,) = await check.run(root(subnet, "a"))
    assert finding.severity is Severity.WARNING
    findings = await check.run(root(subnet, "b"))
    assert {f.severity for f in findings} == {Severity.WARNING, Severity.ERROR}


async def test_options_soften_or_silence_it_and_still_see_everybody(tmp_path: Path) -> None:
    lent = services(tmp_path)
    strict = build(Options(), lent)
    mild = build(Options(severity="warning"), lent)
    deaf = build(Options(ignore=["10.0.0.0/8"]), lent)
    await strict.run(root(VPC % "10.0.0.0/16", "a"))
    (finding,) = await mild.run(root(VPC % "10.0.0.0/16", "b"))
    assert finding.severity is Severity.WARNING
    assert await deaf.run(root(VPC % "10.0.0.0/16", "c")) == []


@pytest.mark.parametrize("options", [Options(severity="fatal"), Options(ignore=["ten"])])
def test_options_that_mean_nothing_are_refused(tmp_path: Path, options: Options) -> None:
    with pytest.raises(ConfigError, match=r"'fatal'|'ten'"):
        build(options, services(tmp_path))


async def test_moving_away_frees_the_other(check: CidrOverlap) -> None:
    await check.run(root(VPC % "10.0.0.0/16", "first"))
    second = root(VPC % "10.0.0.0/16", "second")
    await check.run(second)
    assert check.freed() == frozenset()
    await check.run(root(VPC % "10.1.0.0/16", "first"))
    assert check.freed() == {second.lane}
    assert check.freed() == frozenset()
    assert await check.run(second) == []


async def test_an_application_that_left_claims_nothing(check: CidrOverlap) -> None:
    first = root(VPC % "10.0.0.0/16", "first")
    await check.run(first)
    await check.run(root(VPC % "10.0.0.0/16", "second"))
    check.forget(first.lane)
    assert [str(lane) for lane in check.freed()] == ["second@default"]
    assert await check.run(root(VPC % "10.0.0.0/16", "second")) == []


async def test_planned_values_are_claims_until_the_files_are_others(check: CidrOverlap) -> None:
    text = "locals {\n  size = 3\n}\n"
    await check.run(root(VPC % "10.0.0.0/16", "first"))
    second = root(text, "second")
    assert await check.run(second) == []
    resource = {"address": "aws_vpc.b", "type": "aws_vpc", "values": {"cidr_block": "10.0.0.0/20"}}
    shown = {"planned_values": {"root_module": {"resources": [resource]}}}
    (finding,) = check.planned(second.lane, second.application, claims_in_plan(shown))
    assert "10.0.0.0/20 (aws_vpc.b.cidr_block) overlaps" in finding.message
    assert len(await check.run(second)) == 1
    assert await check.run(root(text + "# other\n", "second")) == []


async def test_the_fleet_is_judged_by_planned_values_and_knows_who_is_freed(tmp_path: Path) -> None:
    checker = FleetChecker(Checkup({NAME: plugins(Role.CHECK)[NAME]}, services(tmp_path)))

    async def look(job: CheckJob) -> tuple[Finding, ...]:
        return await checker.check(
            job.lane, job.application, job.desired, None, delivered=job.delivered
        )

    mild = {NAME: {"severity": "warning"}}
    first, second = root(VPC % "10.0.0.0/16", "first"), root("locals {}", "second")
    second = replace(second, application=replace(second.application, checks=mild))
    assert await look(first) == await look(second) == ()
    claims = claims_in_plan(
        {"resource_changes": [{"type": "x", "change": {"after": {"cidr": "10.0.0.0/20"}}}]}
    )
    (finding,) = checker.planned(second.lane, second.application, claims)
    assert finding.severity is Severity.WARNING, "its own options count"
    off = replace(second.application, checks={NAME: {"enabled": False}})
    assert checker.planned(second.lane, off, claims) == ()
    checker.forget(first.lane)
    assert checker.freed() == {second.lane}


async def test_names_of_strangers_are_made_safe_to_print(check: CidrOverlap) -> None:
    lane = LaneId(ApplicationName("first"), TargetName("default"))
    (claim,) = claims_in_plan(
        {
            "resource_changes": [
                {
                    "address": "x\x1b[2J\u202e" + "y" * 5_000,
                    "type": "aws_vpc",
                    "change": {"after": {"cidr": "10.0.0.0/16"}},
                }
            ]
        }
    )
    check.planned(lane, root(name="first").application, [claim])
    (finding,) = await check.run(root(VPC % "10.0.0.0/16", "second"))
    assert "\x1b" not in finding.message
    assert "\u202e" not in finding.message
    assert len(finding.message) < 1_000


async def test_what_meets_everybody_is_bounded(check: CidrOverlap) -> None:
    def nets(shift: int) -> list[Found]:
        shown = {
            "type": "x",
            "change": {"after": {"cidrs": [f"10.{n}.{shift}.0/24" for n in range(250)]}},
        }
        return list(claims_in_plan({"resource_changes": [shown]}))

    for name in ("a", "b", "c"):
        lane = LaneId(ApplicationName(name), TargetName("default"))
        findings = check.planned(lane, root(name=name).application, nets(0))
    assert len(findings) == 200


def test_each_fleet_has_an_index_of_its_own(tmp_path: Path) -> None:
    one, two = build(Options(), services(tmp_path)), build(Options(), services(tmp_path))
    assert one._register is not two._register
