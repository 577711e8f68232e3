"""Why a pod does not run, from the little that is kept of it."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from gitops.health.crashes import LATELY, LONGEST, ailment, cause, reduced, seen
from gitops.model.pods import Pod

KILLED = {"exitCode": 137, "reason": "OOMKilled", "message": "no memory"}


def container(
    name: str = "web",
    restarts: int = 0,
    state: dict[str, Any] | None = None,
    last: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return {
        "name": name,
        "restartCount": restarts,
        "ready": state is None,
        "state": state or {"running": {}},
        "lastState": {"terminated": last} if last else {},
    }


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


def pod(*containers: dict[str, Any], name: str = "web-1", **more: Any) -> Pod:
    body = {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "ownerReferences": [{"uid": "rs", "controller": True}, {"uid": "other"}],
            **more.pop("metadata", {}),
        },
        "status": {"phase": "Running", "containerStatuses": list(containers), **more},
    }
    return reduced(body)


@pytest.mark.parametrize(
    "reason",
    [
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "RunContainerError",
    ],
)
def test_a_container_that_cannot_run_is_named_with_its_reason(reason: str) -> None:
    said = ailment(pod(container(state=waiting(reason, "said the kubelet"))), 0.0)
    assert said == f"container web: {reason}: said the kubelet"


def test_a_crash_loop_is_named_with_how_it_ended_last() -> None:
    found = pod(container(restarts=4, state=waiting("CrashLoopBackOff", "back-off"), last=KILLED))
    assert ailment(found, 0.0) == (
        "container web: CrashLoopBackOff: back-off; it ended with OOMKilled (exit code 137): "
        "no memory"
    )


@pytest.mark.parametrize(
    "fine",
    [
        pod(container()),
        pod(container(state=waiting("ContainerCreating"))),
        pod(container(state=waiting("PodInitializing"))),
        pod(container(restarts=50, last=KILLED)),  # long ago, before anybody looked
        pod(container(state={"terminated": {"exitCode": 0, "reason": "Completed"}})),
        pod(container(state=waiting("CrashLoopBackOff")), phase="Failed"),
        pod(container(state=waiting("CrashLoopBackOff")), metadata={"deletionTimestamp": "now"}),
        pod(),
    ],
)
def test_what_starts_runs_or_is_over_is_not_ill(fine: Pod) -> None:
    assert ailment(fine, 0.0) == ""


def test_an_init_container_counts_too() -> None:
    found = pod(initContainerStatuses=[container("migrate", 3, waiting("CrashLoopBackOff"))])
    assert ailment(found, 0.0).startswith("container migrate: CrashLoopBackOff")


def after(before: Pod, now: Pod, at: float) -> Pod:
    return replace(now, restarted=seen(now, before, at))


def test_one_restart_is_an_accident_and_two_are_not_until_it_stays_up() -> None:
    first = pod(container(restarts=7))
    once = after(first, pod(container(restarts=8, last={"exitCode": 1, "reason": "Error"})), 100.0)
    assert ailment(once, 101.0) == ""
    twice = after(once, pod(container(restarts=9, last={"exitCode": 1, "reason": "Error"})), 200.0)
    assert ailment(twice, 201.0) == (
        "container web: restarted 9 times; it ended with Error (exit code 1)"
    )
    assert ailment(twice, 200.0 + LATELY + 1) == ""


def test_one_that_was_killed_for_its_memory_is_told_at_once() -> None:
    killed = after(pod(container()), pod(container(restarts=1, last=KILLED)), 100.0)
    assert "restarted once; it ended with OOMKilled" in ailment(killed, 101.0)


def test_another_pod_of_the_same_name_starts_anew() -> None:
    old = replace(pod(container(restarts=3)), uid="another", restarted=(1.0, 2.0))
    assert seen(pod(container(restarts=9)), old, 10.0) == ()


def test_the_worst_of_several_pods_speaks_for_them() -> None:
    loop = pod(container(restarts=9, state=waiting("CrashLoopBackOff")), name="web-2")
    less = pod(container(restarts=1, state=waiting("CrashLoopBackOff")), name="web-3")
    homeless = pod(
        name="web-4",
        phase="Pending",
        conditions=[
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": "full",
            }
        ],
    )
    assert cause([pod(container()), less, loop, homeless], 0.0) == (
        "pod web-2: container web: CrashLoopBackOff (and 2 more of its pods)"
    )
    assert cause([homeless], 0.0) == "pod web-4: no node takes it: Unschedulable: full"
    assert ailment(homeless, 0.0) == "", "it may just wait for a node"
    assert cause([pod(container())], 0.0) == ""


def test_little_is_kept_of_a_pod_however_much_there_is_of_it() -> None:
    big = {"exitCode": 1, "reason": "Error" * 1_000, "message": "x" * 100_000}
    sick = pod(container(state=waiting("CrashLoopBackOff", "y" * 100_000), last=big))
    (kept,) = sick.containers
    assert kept.ended is not None
    assert len(kept.message) == len(kept.ended.message) == LONGEST
    fine = pod(
        *[container(f"c{n}") for n in range(50)], metadata={"annotations": {"a": "z" * 9999}}
    )
    assert fine.containers == ()
    assert sum(sys.getsizeof(getattr(fine, name)) for name in fine.__slots__) < 1_000


@pytest.mark.parametrize(
    "status",
    [None, [], "x", {"containerStatuses": {"a": 1}}, {"containerStatuses": [None, 7, {}]}],
)
def test_a_status_of_another_shape_says_nothing(status: Any) -> None:
    body = {"metadata": {"name": "a", "namespace": "b"}, "status": status}
    assert ailment(reduced(body), 0.0) == ""
