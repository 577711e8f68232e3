"""``gitops why``: the sentences as people read them, one golden file a situation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gitops.engine.lanes import Trouble
from gitops.engine.why import Story, why
from gitops.gate import electorate
from gitops.model.approval import Decision, Member, Request, RequestState, Verdict, root_of
from gitops.model.cluster import ClusterState, ClusterStatus
from gitops.model.delivery import (
    Cause,
    Change,
    ChangeRecord,
    ChangeState,
    Delivered,
    DeliveryRecord,
    Hold,
    LaneId,
    LaneRecord,
    Pause,
    Rollback,
)
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec, ApprovalPolicy, People, Person
from gitops.model.ids import (
    ApplicationName,
    ChangeId,
    DeliveryId,
    Digest,
    PersonName,
    RequestId,
    SourceName,
    TargetName,
)
from gitops.model.plan import Action, Plan, ResourceChange
from gitops.model.source import Authorship, Revision, Signature, SourceState, SourceStatus
from gitops.model.terraform import TerraformSpec

GOLDEN = Path(__file__).parents[1] / "golden" / "why"
NOW = 1_000_000.0
LANE = LaneId(ApplicationName("shop"), TargetName("prod"))
CONFIG = SourceName("config")
REVISION = Revision(CONFIG, "a1b2c3d4e5f6" + "0" * 28, "main")
SPEC = ApplicationSpec(ApplicationName("shop"), CONFIG, "app", clusters=(LANE.target,))
PEOPLE = People(
    {PersonName(n): Person(PersonName(n), (f"{n}@example.org",)) for n in ("ada", "bob", "cyd")}
)
BY_ADA = Authorship(signatures=(Signature("Ada", "ada@example.org"),))
SEAL = Digest("5ea1" * 16)
REQUEST = RequestId("0123456789abcdef")


def record(
    state: ChangeState,
    reason: str = "",
    cause: Cause = Cause.COMMIT,
    back: Rollback | None = None,
) -> ChangeRecord:
    change = Change(LANE, 3, Digest("af" * 32), cause, REVISION, BY_ADA, rollback=back)
    object.__setattr__(change, "id", ChangeId("c0ffee" * 10))
    return ChangeRecord(change, state, NOW - 300, NOW - 60, reason, request=REQUEST)


def asked(*yes: str) -> Request:
    change = record(ChangeState.ASKING).change.id
    members = (Member(change, SEAL, Digest("d"), expires_at=NOW + 7_200),)
    root = root_of(members)
    verdicts = tuple(
        Verdict(
            REQUEST, root, PersonName(name), Decision.APPROVE, "", "cli", NOW, ((change, SEAL),)
        )
        for name in yes
    )
    return Request(REQUEST, "o", "t", root, RequestState.OPEN, members, NOW - 60, verdicts)


CALM = Story(
    spec=SPEC,
    lane=LaneRecord(LANE, delivered=Delivered(Digest("c"), REVISION, Digest("a"), NOW - 7_200)),
    source=SourceStatus(CONFIG, SourceState.READY, REVISION, checked_at=NOW - 12),
    cluster=ClusterStatus(ClusterState.READY),
    current=None,
    last=record(ChangeState.HEALTHY, "3 objects are healthy"),
    plan=None,
    request=None,
    group=None,
    trouble=None,
    now=NOW,
)
ROOT = replace(CALM, spec=replace(SPEC, terraform=TerraformSpec()), cluster=None)
PLAN = Plan(
    ChangeId("c"),
    LANE.application,
    LANE.target,
    (ResourceChange(Action.UPDATE, "ConfigMap shop/a"),),
    Digest("d"),
)
BACK = Rollback(DeliveryId("d0" * 8), REVISION, Digest("e"), PersonName("ada"), "it is cold")
PAUSE = Pause(LANE.application, PersonName("ada"), "the freeze", NOW - 60, NOW + 7_140)
ASKING = replace(
    CALM,
    current=record(ChangeState.ASKING),
    request=asked(),
    plan=PLAN,
    group=electorate(ApprovalPolicy(), BY_ADA, PEOPLE),
)
HELD = Hold(Digest("p"), Digest("c"), "denied by bob: not before the freeze")
FAILED = Hold(Digest("p"), Digest("c"), "1 of 2 writes were done", failed=True)
AWAY = SourceStatus(CONFIG, SourceState.UNREACHABLE, REVISION, "connection refused", NOW - 12)
STORIES = {
    "calm": CALM,
    "new": replace(
        CALM,
        lane=LaneRecord(LANE),
        source=SourceStatus(CONFIG, SourceState.NEW),
        cluster=None,
        last=None,
    ),
    "source-away": replace(CALM, source=AWAY),
    "cluster-away": replace(
        CALM,
        cluster=ClusterStatus(ClusterState.UNREACHABLE, "it refuses connections"),
        trouble=Trouble("it refuses connections", "is it up?", NOW - 5, NOW + 27, 4),
    ),
    "asking": ASKING,
    "asking-half": replace(
        ASKING,
        request=asked("bob"),
        group=electorate(ApprovalPolicy(quorum=2), BY_ADA, PEOPLE),
    ),
    "asking-nobody": replace(
        ASKING,
        group=electorate(ApprovalPolicy(people=(PersonName("ada"),)), BY_ADA, PEOPLE),
    ),
    "blocked": replace(
        CALM, current=record(ChangeState.BLOCKED, "app/a.yaml:3: no such field: dota")
    ),
    "blocked-by-the-fleet-file": replace(
        CALM,
        current=record(ChangeState.BLOCKED, "app: there is no 'app' in config@a1b2c3d4e5f6"),
        plan=replace(
            PLAN,
            changes=(),
            findings=(
                Finding(
                    "render",
                    Severity.ERROR,
                    "there is no 'app' in config@a1b2c3d4e5f6",
                    "correct `path` of application 'shop' in the fleet file",
                ),
            ),
        ),
    ),
    "applying": replace(CALM, current=record(ChangeState.APPLYING)),
    "verifying-drift": replace(CALM, current=record(ChangeState.VERIFYING, cause=Cause.DRIFT)),
    "denied": replace(
        CALM,
        lane=replace(CALM.lane, hold=HELD),
        last=record(ChangeState.DENIED, HELD.why),
    ),
    "failed": replace(
        CALM,
        lane=replace(CALM.lane, hold=FAILED),
        last=record(ChangeState.FAILED, FAILED.why),
    ),
    "failed-after-another": replace(
        CALM,
        lane=replace(CALM.lane, hold=replace(FAILED, failed=False)),
        last=record(ChangeState.FAILED, FAILED.why),
        earlier=DeliveryRecord(
            DeliveryId("d0" * 8),
            record(ChangeState.HEALTHY),
            NOW - 9_000,
            NOW - 8_990,
            ChangeState.HEALTHY,
            "",
            ("bob",),
        ),
    ),
    "rollback-asked": replace(
        ASKING,
        current=record(ChangeState.OPEN, cause=Cause.ROLLBACK, back=BACK),
    ),
    "rolled-back": replace(CALM, lane=replace(CALM.lane, rollback=BACK)),
    "paused": replace(CALM, pause=PAUSE),
    "paused-while-asking": replace(
        ASKING, current=record(ChangeState.OPEN, PAUSE.told), pause=PAUSE
    ),
    "drift-left-alone": replace(CALM, lane=replace(CALM.lane, drift_hold=HELD)),
    "state-locked": replace(
        ROOT,
        current=record(ChangeState.OPEN),
        trouble=Trouble("the state is locked by lin", "…", NOW - 5, NOW + 7, 1, lock="1f0c7a52"),
        queue=("plan of shop@default waits for net@default",),
    ),
    "trying-again": replace(CALM, trouble=Trouble("it refuses", "", NOW - 5, NOW - 1, 2)),
    "output-awaited": replace(
        CALM,
        trouble=Trouble("host of net@default is known later", "", NOW, NOW + 9, 7, waits=True),
    ),
    "given-up": replace(
        CALM, trouble=Trouble("app: no such folder", "correct the path", NOW - 5, NOW + 55, 1)
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_the_chain_is_told_in_words(name: str) -> None:
    assert "\n".join(why(STORIES[name])) + "\n" == (GOLDEN / f"{name}.txt").read_text()


def test_every_golden_file_is_told() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(STORIES)
