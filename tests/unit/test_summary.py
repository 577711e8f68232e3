"""Plans in few words: what people read before they say yes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gitops.model.finding import Finding, Severity
from gitops.model.ids import ApplicationName, ChangeId, Digest, TargetName
from gitops.model.manifest import ObjectId
from gitops.model.plan import ABSENT, Action, FieldChange, Plan, ResourceChange
from gitops.summary import board, likeness, meaning, place, restarts, risk, versions

WEB = ObjectId("apps", "Deployment", "shop", "web")
DOOR = ObjectId("networking.k8s.io", "Ingress", "shop", "web")
NIGHT = ObjectId("batch", "CronJob", "shop", "night")
CONFIG = ObjectId("", "ConfigMap", "shop", "app")
POD = "spec.template.spec.containers[name=web]"


def change(
    action: Action = Action.UPDATE, *fields: FieldChange, id: ObjectId | None = WEB, **more: Any
) -> ResourceChange:
    return ResourceChange(action, str(id), id, fields, **more)


def plan(*changes: ResourceChange, target: str = "prod-eu", **more: Any) -> Plan:
    return Plan(
        ChangeId(f"change of {target}"),
        ApplicationName("shop"),
        TargetName(target),
        changes,
        Digest(f"digest in {target}"),
        **more,
    )


def several(action: Action, number: int) -> list[ResourceChange]:
    return [change(action) for _ in range(number)]


def test_the_risk_is_said_in_one_line_with_the_pods_it_restarts() -> None:
    one = plan(*several(Action.UPDATE, 2), change(restarts=12), change(Action.DELETE), unchanged=40)
    assert risk([one]) == "3 updates, 1 delete in prod-eu; restarts 12 pods"
    assert risk([plan()]) == "no change"
    assert risk([]) == "no change"


def test_the_same_in_several_places_is_said_once_and_many_places_are_counted() -> None:
    same = [plan(change(restarts=3), target=name) for name in ("eu", "us", "ap")]
    assert risk(same) == "1 update in each of eu, us, ap; restarts 9 pods"
    assert risk([*same, plan(change(), target="af")]).startswith("1 update in each of 4 places")
    two = [plan(change(), target="eu"), plan(change(), change(Action.CREATE), target="us")]
    assert risk(two) == "1 update in eu; 1 create, 1 update in us"


def test_a_loss_in_one_of_many_places_does_not_drown_in_the_total() -> None:
    plans = [plan(*several(Action.UPDATE, n), target=f"c{n}") for n in range(1, 7)]
    plans.append(plan(change(Action.DELETE), target="far"))
    assert risk(plans) == "21 updates, 1 delete in 7 places; deletes in far"


def test_a_root_is_named_by_itself_and_its_outputs_are_no_resources() -> None:
    root = plan(change(Action.REPLACE, id=None), change(id=None, output=True), target="default")
    assert place(root) == "shop"
    assert place(replace(root, target=TargetName("blue"))) == "shop@blue"
    assert risk([root]) == "1 replacement in shop; 1 output changes"
    both = risk([root, plan(change())])
    assert both == "1 replacement in shop; 1 update in prod-eu; 1 output changes"


@pytest.mark.parametrize(
    ("object", "path", "before", "after", "said"),
    [
        (WEB, f"{POD}.image", "r.example/web:1.4", "r.example/web:1.5", "image web 1.4 → 1.5"),
        (WEB, f"{POD}.image", "a/web:1", "b/web:1", "image a/web:1 → b/web:1"),
        (WEB, "spec.replicas", 3, 5, "replicas web 3 → 5"),
        (WEB, f"{POD}.resources.limits.memory", "1Gi", ABSENT, "memory limit of web 1Gi → none"),
        (WEB, f"{POD}.env[name=LEVEL].value", "info", "debug", "environment of web: LEVEL"),
        (WEB, f"{POD}.env[name=LEVEL]", ABSENT, {"name": "LEVEL"}, "environment of web: +LEVEL"),
        (DOOR, "spec.rules[0].host", "a.x", "b.x", "host a.x → b.x"),
        (DOOR, "spec.rules[host=b.x]", ABSENT, {}, "host + b.x"),
        (NIGHT, "spec.schedule", "0 1 * * *", "0 2 * * *", "schedule night 0 1 * * * → 0 2 * * *"),
        (CONFIG, "data['app.conf']", "a", "b", "config app: app.conf"),
        (replace(CONFIG, kind="Secret"), "data.key", "***", ABSENT, "secret app: −key"),
    ],
)
def test_what_a_field_means_is_said_in_words(
    object: ObjectId, path: str, before: Any, after: Any, said: str
) -> None:
    one = plan(change(Action.UPDATE, FieldChange(path, before, after), id=object))
    assert meaning([one]) == (said,)


def test_names_under_one_head_are_gathered_and_many_are_counted() -> None:
    fields = [FieldChange(f"data.k{n}", "a", "b") for n in range(9)]
    plans = [plan(change(Action.UPDATE, *fields, id=CONFIG), target=name) for name in ("eu", "us")]
    assert meaning(plans) == ("config app: k0, k1, k2, k3, k4, k5 and 3 more",)


def test_fields_that_mean_nothing_in_particular_are_left_to_the_plan() -> None:
    other = FieldChange("spec.paused", None, True)
    like = FieldChange("spec.hostess", 1, 2)
    assert meaning([plan(change(Action.UPDATE, other, like), change(Action.CREATE))]) == ()


def test_equal_plans_are_alike_whatever_their_clusters_call_the_objects() -> None:
    eu = plan(change(restarts=3, uid="1", digest=Digest("a")), target="eu")
    us = plan(change(restarts=9, uid="2", digest=Digest("b")), target="us")
    assert likeness(eu) == likeness(us)
    assert restarts([eu, us]) == 12
    for other in (
        plan(change(predicted=True), target="us"),
        plan(change(Action.UPDATE, FieldChange("a", 1, 2)), target="us"),
        plan(change(), target="us", over_budget=("many",)),
        plan(change(), target="us", checks=("yaml-lint",)),
        plan(change(notes=("adopts",)), target="us"),
    ):
        assert likeness(other) != likeness(eu)


def test_a_check_that_found_nothing_is_on_the_board_and_the_worst_comes_first() -> None:
    warning = Finding("overlap", Severity.WARNING, "twice")
    error = Finding("kube-schema", Severity.ERROR, "no such field")
    remark = Finding("yaml-lint", Severity.INFO, "long")
    one = plan(checks=("kube-schema", "yaml-lint", "cidr-overlap"), findings=(remark, error))
    two = plan(checks=("kube-schema",), findings=(error, warning))
    found = board([one, two])
    assert [(each.check, each.worst, each.passed) for each in found] == [
        ("kube-schema", Severity.ERROR, False),
        ("overlap", Severity.WARNING, False),
        ("yaml-lint", Severity.INFO, True),
        ("cidr-overlap", None, True),
    ]
    assert found[0].findings == (error,), "once, though two plans have it"


def test_versions_that_go_out_together_are_listed_once() -> None:
    plans = [plan(versions=(("web", "2"), ("chart web", "1.0"))), plan(versions=(("web", "2"),))]
    assert versions(plans) == (("chart web", "1.0"), ("web", "2"))
