"""Pods that a change replaces are counted from what runs now."""

from __future__ import annotations

from typing import Any

import pytest

from gitops.diff import RawFieldChange
from gitops.model.cluster import LiveObject
from gitops.model.ids import Digest
from gitops.model.manifest import ObjectId
from gitops.model.plan import Action
from planners.plan.outlook import Outlook
from planners.plan.restarts import restarts

PAUSED = ("spec", "paused")
IMAGE = ("spec", "template", "spec", "containers", "[name=web]", "image")


def live(kind: str = "Deployment", spec: Any = None, **status: Any) -> LiveObject:
    id = ObjectId("apps", kind, "shop", "web")
    body = {"metadata": {"name": "web"}, "spec": spec or {}, "status": status}
    return LiveObject(id, "v1", "uid", "7", body)


def seen(*changed: tuple[tuple[str, ...], Any], action: Action = Action.UPDATE) -> Outlook:
    raw = tuple(RawFieldChange(".".join(keys), keys, None, after) for keys, after in changed)
    return Outlook(action, raw, {}, None, None, Digest("d"))


@pytest.mark.parametrize(
    ("before", "outlook", "pods"),
    [
        (live(replicas=3), seen((IMAGE, "web:2")), 3),
        (live("StatefulSet", replicas=5), seen((IMAGE, "web:2")), 5),
        (live("DaemonSet", currentNumberScheduled=7), seen((IMAGE, "web:2")), 7),
        (live(replicas=3), seen((("spec", "replicas"), 9)), 0),
        (live(replicas=3), seen(action=Action.REPLACE), 3),
        (live("ReplicaSet", replicas=3), seen((IMAGE, "web:2")), 0),
        (live(), seen((IMAGE, "web:2")), 0),
        (live(replicas="3"), seen((IMAGE, "web:2")), 0),
        (live(spec={"paused": True}, replicas=3), seen((IMAGE, "web:2")), 0),
        (
            live(spec={"paused": True}, replicas=3),
            seen((IMAGE, "w"), (("spec", "paused"), None)),
            3,
        ),
        (live(spec={"updateStrategy": {"type": "OnDelete"}}, replicas=3), seen((IMAGE, "w")), 0),
        (None, seen((IMAGE, "web:2"), action=Action.CREATE), 0),
    ],
)
def test_what_runs_and_whose_template_changes_is_counted(
    before: LiveObject | None, outlook: Outlook, pods: int
) -> None:
    assert restarts(outlook, before) == pods
