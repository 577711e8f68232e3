"""What is tried out on the checks of a whole fleet leaves no trace in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops.model.finding import Severity
from gitops.plugins import Role, plugins
from planners.checks.fleet import FleetChecker
from planners.checks.overlap import Overlap
from planners.checks.run import Checkup
from tests.unit.check_cases import job, services
from tests.unit.test_check_cidr_overlap import VPC, root

ONE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: x}\n"
OTHER = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b, namespace: x}\n"


def checker(folder: Path) -> FleetChecker:
    return FleetChecker(Checkup(plugins(Role.CHECK), services(folder)))


async def test_a_trial_sees_everybody_and_nobody_sees_the_trial() -> None:
    real = Overlap()
    await real.run(job(ONE, application="first"))
    trial = real.aside({})
    (finding,) = await trial.run(job(ONE, application="second", path="b.yaml"))
    assert finding.severity is Severity.ERROR
    assert "first" in finding.message
    assert await real.run(job(ONE, application="first")) == []
    assert await real.run(job(OTHER, application="third")) == []


async def test_what_a_trial_gives_up_is_not_free() -> None:
    real = Overlap()
    await real.run(job(ONE + "---\n" + OTHER, application="first"))
    await real.run(job(ONE, application="second"))
    trial = real.aside({})
    await trial.run(job(OTHER, application="first"))
    assert await trial.run(job(ONE, application="second")) == []
    assert real.freed() == frozenset()
    (finding,) = await real.run(job(ONE, application="second"))
    assert finding.severity is Severity.ERROR


async def test_an_object_may_move_from_one_application_to_another_in_one_trial() -> None:
    real = Overlap()
    await real.run(job(ONE, application="first"))
    await real.run(job(OTHER, application="second"))
    trial = real.aside({})
    for _ in range(2):  # claims of all first, then what is wrong with them
        await trial.run(job(f"{ONE}---\n{OTHER}", application="second"))
        last = await trial.run(job("", application="first"))
    assert last == []
    assert await trial.run(job(f"{ONE}---\n{OTHER}", application="second")) == []


async def test_two_trials_at_once_do_not_meet() -> None:
    real = Overlap()
    one, two = real.aside({}), real.aside({})
    assert await one.run(job(ONE, application="first")) == []
    assert await two.run(job(ONE, application="second")) == []


@pytest.mark.slow
async def test_ranges_of_addresses_are_tried_out_aside_whatever_the_options(tmp_path: Path) -> None:
    real = checker(tmp_path)
    net = root(VPC % "10.0.0.0/16", "net")
    await real.check(net.lane, net.application, net.desired, None, delivered=True)
    trial = real.aside()
    new = root(VPC % "10.0.0.0/20", "new")

    async def overlaps(one: FleetChecker) -> list[str]:
        found = await one.check(new.lane, new.application, new.desired, None, delivered=False)
        return [each.message for each in found if each.check == "cidr-overlap"]

    assert len(await overlaps(trial)) == 1
    again = await real.check(net.lane, net.application, net.desired, None, delivered=True)
    assert not [each for each in again if each.check == "cidr-overlap"]
    trial.forget(net.lane)
    assert await overlaps(trial) == []
    assert len(await overlaps(real)) == 1


def test_a_stranger_s_files_are_linted_and_nothing_is_fetched_or_told_of_others(
    tmp_path: Path,
) -> None:
    known = checker(tmp_path)
    spec = root("", "net").application
    assert {"overlap", "cidr-overlap", "terraform-validate"} & set(known.names(spec))
    left = set(known.names(known.lint_only(spec)))
    assert left == set(known.names(spec)) - {"overlap", "cidr-overlap", "terraform-validate"}
    assert "terraform" in left
