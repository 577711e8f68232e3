"""Falling ill and getting well are told once each, through flapping, deliveries and restarts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from gitops.engine.cases import Patience
from gitops.engine.ledger import Ledger
from gitops.engine.vigil import Vigil
from gitops.errors import ClusterRefused, GitopsError
from gitops.kube.dependents import PODS, REPLICA_SETS, Dependents, _pod, _set, _Yard
from gitops.kube.follower import Follower, Scope
from gitops.kube.held import hold
from gitops.kube.memory import Memory
from gitops.model.approval import AnswerKind
from gitops.model.cluster import OWNER_LABEL, LiveEvent, LiveEventKind, Resource
from gitops.model.delivery import Cause, ChangeState
from gitops.model.events import ApplyFinished, ChangeClosed, HealthMoved
from gitops.model.fleet import ApprovalPolicy, AutoApprove
from gitops.model.manifest import ObjectId
from gitops.ports import Cluster, Reading
from tests.contract.store_story import lane
from tests.engine.test_desk import Office
from tests.engine.test_desk import office as office  # noqa: PLC0414 - the fixture

DEPLOYMENT = Resource("apps", "v1", "Deployment", "deployments", namespaced=True)
WEB = ObjectId("apps", "Deployment", "shop", "web")
PATIENCE = Patience(crashing=5, degraded=15, unwell=300, recovered=30, relapse=3_600, longest=1_800)


@dataclass
class Silent:
    """Stands in for a follower: the test says what the server tells."""

    trouble: GitopsError | None = None

    def start(self) -> None: ...

    async def close(self) -> None: ...


@dataclass
class Stage:
    """A cluster's memory without the cluster, and a vigil over it."""

    office: Office
    yards: dict[str, _Yard] = field(default_factory=dict)
    revision: int = 0

    def __post_init__(self) -> None:
        self.memory = Memory()
        self.live = self.memory
        self.followers: list[Silent] = []
        self.pods = Dependents(self.office.clock, self._follow)
        self.restart()

    def _follow(self, resource: Resource, yard: _Yard, scope: Scope) -> Follower:
        self.yards[scope.namespace] = yard
        self.followers.append(Silent())
        return cast(Follower, self.followers[-1])

    @property
    def cluster(self) -> Cluster:
        return cast(Cluster, self)

    def restart(self) -> None:
        """Another process: only the store is the same."""
        mask = lambda text: text.replace("hunter22", "<hidden>")  # noqa: E731
        self.vigil = Vigil(self.office.ledger, self.office.clock, mask, PATIENCE)
        self.vigil.awake = True

    # --- what the cluster says ----------------------------------------------------------------

    def deployment(self, available: int = 2, uid: str = "d1", **status: Any) -> None:
        self.revision += 1
        body = {
            "metadata": {
                "name": "web",
                "namespace": "shop",
                "uid": uid,
                "resourceVersion": str(self.revision),
                "generation": 1,
                "labels": {OWNER_LABEL: "shop"},
            },
            "spec": {"replicas": 2},
            "status": {
                "observedGeneration": 1,
                "replicas": 2,
                "updatedReplicas": 2,
                "availableReplicas": available,
                **status,
            },
        }
        told = hold(DEPLOYMENT, body)
        self.memory.put(told)
        self.vigil.heard(lane(), self.cluster, LiveEvent(LiveEventKind.CHANGED, told))

    def deleted(self) -> None:
        told = self.memory.owned("shop")[WEB]
        self.memory.gone(WEB, self.revision)
        self.vigil.heard(lane(), self.cluster, LiveEvent(LiveEventKind.DELETED, told))

    async def pod(self, state: Mapping[str, Any] | None, restarts: int = 0, **ended: Any) -> None:
        """One of the deployment's pods, by way of a ReplicaSet."""
        yard = self.yards["shop"]
        self.revision += 1
        head = {"namespace": "shop", "resourceVersion": str(self.revision)}
        owned = lambda uid: [{"uid": uid, "controller": True}]  # noqa: E731
        sets = {"name": "web-x", "uid": "rs", "ownerReferences": owned("d1"), **head}
        yard.put(_set(REPLICA_SETS, {"metadata": sets}))
        container = {
            "name": "app",
            "restartCount": restarts,
            "state": state or {"running": {}},
            "lastState": {"terminated": ended} if ended else {},
        }
        body = {
            "metadata": {"name": "web-x-1", "uid": "p1", "ownerReferences": owned("rs"), **head},
            "status": {"phase": "Running", "containerStatuses": [container]},
        }
        yard.put(_pod(PODS, body))
        async for owner in self.pods.moves():
            self.vigil._dirty.update(
                {key: None for key in [self.vigil._workloads[lane().target].get(owner)] if key}
            )
            if not self.pods._moved:
                break

    async def crash(self, restarts: int = 3) -> None:
        waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "token hunter22"}}
        await self.pod(waiting, restarts, exitCode=137, reason="OOMKilled")

    # --- time and outcome ---------------------------------------------------------------------

    async def wait(self, seconds: float, step: float = 1.0) -> None:
        end = self.office.clock.time + seconds
        while self.office.clock.time < end:
            self.office.clock.time += step
            await self.vigil.look()

    async def told(self) -> list[HealthMoved]:
        def query(reading: Reading) -> list[HealthMoved]:
            changes = reading.changes(open_only=False)
            events = [e for change in changes for e in reading.events(change.change.id)]
            found = [e.event for e in sorted(events, key=lambda each: each.sequence)]
            return [event for event in found if isinstance(event, HealthMoved)]

        return await self.office.ledger.read(query)

    async def states(self) -> list[bool]:
        return [each.well for each in await self.told()]


async def delivered(office: Office, state: ChangeState = ChangeState.HEALTHY, why: str = "") -> str:
    """A change that went all the way; its id."""
    office.policy(ApprovalPolicy(auto=AutoApprove(always=True)))
    record = await office.open(cause=Cause.COMMIT, wish=f"wish {office.clock.time}")
    answer = await office.ask(record)
    assert answer.kind is AnswerKind.APPROVED
    await office.claim(record, answer)
    id = record.change.id
    await office.ledger.append(ApplyFinished(id, "done"), ChangeClosed(id, state, why))
    return id


@pytest.fixture
async def stage(office: Office) -> Stage:
    made = Stage(office)
    await delivered(office)
    made.deployment()
    await made.vigil.look()
    return made


async def test_a_crash_loop_is_told_once_with_its_reason_and_secrets_masked(stage: Stage) -> None:
    await stage.crash()
    await stage.wait(4)
    assert await stage.told() == [], "it has to last for a moment"
    await stage.wait(26)
    (told,) = await stage.told()
    assert not told.well
    assert told.reason == (
        "Deployment.apps shop/web: pod web-x-1: container app: CrashLoopBackOff: token <hidden>; "
        "it ended with OOMKilled (exit code 137)"
    )
    await stage.crash(restarts=9)
    await stage.wait(600)
    assert len(await stage.told()) == 1
    (ailment,) = stage.vigil.ailments(lane())
    assert ailment.object == str(WEB)


async def test_it_is_told_of_the_last_delivery(stage: Stage) -> None:
    stage.office.clock.time += 10
    newest = await delivered(stage.office)
    await stage.crash()
    await stage.wait(10)
    assert [each.change for each in await stage.told()] == [newest]


async def test_getting_well_is_told_once_when_it_lasts(stage: Stage) -> None:
    await stage.crash()
    await stage.wait(10)
    await stage.pod(None, restarts=3)
    await stage.wait(29)
    assert await stage.states() == [False]
    await stage.wait(2)
    assert await stage.states() == [False, True]
    await stage.wait(600)
    assert await stage.states() == [False, True]
    assert stage.vigil.ailments(lane()) == ()


async def test_what_goes_up_and_down_is_told_of_less_and_less(stage: Stage) -> None:
    for _ in range(40):
        await stage.crash()
        await stage.wait(20)
        await stage.pod(None, restarts=3)
        await stage.wait(70)
    told = await stage.states()
    assert told[:2] == [False, True]
    assert len(told) <= 5, "an hour of it"


async def test_a_short_dip_is_nobodys_business(stage: Stage) -> None:
    for _ in range(5):
        stage.deployment(available=1)
        await stage.wait(60, step=5)
        stage.deployment(available=2)
        await stage.wait(60, step=5)
    assert await stage.told() == []


async def test_a_workload_that_stays_short_of_replicas_is_told(stage: Stage) -> None:
    stage.deployment(available=1)
    await stage.wait(1)
    await stage.wait(290, step=10)
    assert await stage.told() == []
    await stage.wait(10)
    (told,) = await stage.told()
    assert "1 of 2 replicas are available" in told.reason


async def test_what_says_it_will_not_recover_is_told_sooner(stage: Stage) -> None:
    failed = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    stage.deployment(conditions=[failed])
    await stage.wait(20)
    (told,) = await stage.told()
    assert "ProgressDeadlineExceeded" in told.reason


async def test_nothing_is_told_while_a_change_is_on_its_way(stage: Stage) -> None:
    office = stage.office
    record = await office.open(wish="next")
    answer = await office.ask(record)
    await office.claim(record, answer)
    await stage.crash()
    await stage.wait(120)
    assert await stage.told() == []
    id = record.change.id
    await office.ledger.append(ApplyFinished(id, "done"), ChangeClosed(id, ChangeState.HEALTHY))
    await stage.wait(20)
    assert await stage.states() == [False], "healthy it was called, and it is not"


async def test_what_a_failed_delivery_said_is_not_said_again_but_its_recovery_is(
    stage: Stage,
) -> None:
    office = stage.office
    record = await office.open(wish="next")
    answer = await office.ask(record)
    await office.claim(record, answer)
    await stage.crash()
    await stage.wait(20)
    failed = ChangeClosed(record.change.id, ChangeState.FAILED, f"{WEB} is degraded: it crashes")
    await office.ledger.append(ApplyFinished(record.change.id, "done"), failed)
    await stage.wait(60)
    assert await stage.told() == []
    assert len(stage.vigil.ailments(lane())) == 1
    await stage.pod(None, restarts=3)
    await stage.wait(40)
    assert await stage.states() == [True]


async def test_what_gets_well_says_so_before_it_has_lasted(stage: Stage) -> None:
    await stage.crash()
    await stage.wait(20)
    (ill,) = stage.vigil.ailments(lane())
    await stage.pod(None, restarts=3)
    await stage.wait(2)
    (better,) = stage.vigil.ailments(lane())
    assert better.reason.startswith("it is well again")
    assert better.reason.endswith(ill.reason)
    assert better.since == ill.since
    await stage.wait(40)
    assert stage.vigil.ailments(lane()) == ()


async def test_a_restart_tells_nothing_twice_and_misses_no_recovery(stage: Stage) -> None:
    await stage.crash()
    await stage.wait(10)
    for _ in range(3):
        stage.restart()
        await stage.vigil.load()
        assert len(stage.vigil.ailments(lane())) == 1
        stage.deployment()
        await stage.crash()
        await stage.wait(600, step=5)
        assert await stage.states() == [False]
    stage.restart()
    await stage.vigil.load()
    stage.deployment()
    await stage.pod(None, restarts=3)
    await stage.wait(60)
    assert await stage.states() == [False, True]
    stage.restart()
    await stage.vigil.load()
    assert stage.vigil.ailments(lane()) == ()


async def test_a_cluster_that_is_away_after_a_restart_changes_nothing(stage: Stage) -> None:
    await stage.crash()
    await stage.wait(10)
    stage.restart()
    await stage.vigil.load()
    await stage.wait(3_600, step=60)
    assert len(stage.vigil.ailments(lane())) == 1
    stage.deployment()
    await stage.crash()
    await stage.wait(120)
    assert await stage.states() == [False]


async def test_what_was_taken_away_while_nobody_looked_is_forgotten_in_silence(
    stage: Stage,
) -> None:
    await stage.crash()
    await stage.wait(10)
    stage.deleted()
    await stage.wait(120)
    assert await stage.states() == [False]
    assert stage.vigil.ailments(lane()) == ()
    stage.restart()
    await stage.vigil.load()
    assert stage.vigil.ailments(lane()) == ()


async def test_what_a_newer_delivery_mended_its_own_word_says(stage: Stage) -> None:
    await stage.crash()
    await stage.wait(10)
    await delivered(stage.office)
    await stage.pod(None, restarts=3)
    await stage.wait(60)
    assert await stage.states() == [False]
    assert stage.vigil.ailments(lane()) == ()


async def test_nothing_of_the_well_is_remembered(stage: Stage) -> None:
    await stage.wait(10)
    assert not stage.vigil._cases
    assert not stage.vigil._dirty
    assert stage.vigil._until_next() is None, "and nothing is waited for"


async def test_a_look_at_a_plan_is_no_vigil(stage: Stage) -> None:
    stage.vigil.forget(lane())
    stage.vigil.awake = False
    stage.deployment(uid="d2")
    assert not stage.pods._followers
    assert not stage.vigil._dirty


async def test_what_was_never_delivered_is_not_judged(office: Office) -> None:
    stage = Stage(office)
    stage.deployment()
    await stage.vigil.look()
    await stage.crash()
    await stage.wait(60)
    assert stage.vigil.ailments(lane()) == ()
    assert not stage.vigil._cases


async def test_pods_are_followed_where_a_workload_is_and_no_longer(stage: Stage) -> None:
    assert list(stage.pods._followers) == ["shop"]
    assert len(stage.followers) == 2, "one watch on pods, one on ReplicaSets"
    stage.deployment(available=2)
    assert len(stage.followers) == 2
    stage.deleted()
    assert list(stage.pods._followers) == []
    stage.deployment(uid="d2")
    assert list(stage.pods._followers) == ["shop"]
    stage.vigil.forget(lane())
    assert list(stage.pods._followers) == []


async def test_that_pods_may_not_be_watched_is_said(stage: Stage) -> None:
    assert stage.vigil.blind(lane()) == ""
    stage.followers[1].trouble = ClusterRefused("may not list pods", code=403)
    assert stage.vigil.blind(lane()) == "may not list pods"


async def test_a_failed_write_tells_it_later(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    await stage.crash()
    with monkeypatch.context() as patched:
        patched.setattr(stage.office.ledger, "epoch", None)
        with pytest.raises(GitopsError):
            await stage.wait(10)
    await stage.wait(2)
    assert await stage.states() == [False]
    assert isinstance(stage.office.ledger, Ledger)
