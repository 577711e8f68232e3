"""Pods, standing alone: a container that cannot start or keeps crashing is named, with reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gitops.health.status import (
    HEALTHY,
    condition,
    degraded,
    is_false,
    is_true,
    items,
    number,
    obj,
    progressing,
    says,
    spec,
    status,
)
from gitops.model.health import ObjectHealth

KINDS = (("", "Pod"),)

STUCK = frozenset(
    {
        "CrashLoopBackOff",
        "ImagePullBackOff",
        "ErrImagePull",
        "ErrImageNeverPull",
        "InvalidImageName",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)


def assess(body: Mapping[str, Any]) -> ObjectHealth:
    phase = status(body).get("phase")
    if phase == "Succeeded":
        return HEALTHY
    if phase == "Failed":
        return degraded(_failure(body))
    stuck = next(_stuck(body), "")
    if stuck:
        return degraded(stuck)
    return _running(body) if phase == "Running" else _pending(body)


def _running(body: Mapping[str, Any]) -> ObjectHealth:
    if is_true(condition(body, "Ready")):
        return HEALTHY
    if spec(body).get("restartPolicy", "Always") != "Always":
        return progressing("it is running")
    return progressing(says(condition(body, "Ready"), "it is not ready"))


def _pending(body: Mapping[str, Any]) -> ObjectHealth:
    scheduled = condition(body, "PodScheduled")
    if is_false(scheduled):
        return progressing(says(scheduled, "no node takes it"))
    return progressing("it is starting")


def _stuck(body: Mapping[str, Any]) -> Iterator[str]:
    for container in _containers(body):
        waiting = obj(obj(container, "state"), "waiting")
        if waiting.get("reason") in STUCK:
            yield f"container {container.get('name')}: {says(waiting)}{_last(container)}"


def _failure(body: Mapping[str, Any]) -> str:
    for container in _containers(body):
        ended = obj(obj(container, "state"), "terminated")
        if number(ended, "exitCode"):
            return f"container {container.get('name')}: {_ending(ended)}"
    return says(status(body), "the pod failed")


def _containers(body: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    now = status(body)
    return (*items(now, "initContainerStatuses"), *items(now, "containerStatuses"))


def _last(container: Mapping[str, Any]) -> str:
    ended = obj(obj(container, "lastState"), "terminated")
    return f"; it ended with {_ending(ended)}" if ended else ""


def _ending(ended: Mapping[str, Any]) -> str:
    text = f"exit code {number(ended, 'exitCode')}"
    return f"{says(ended)} ({text})" if says(ended) else text
