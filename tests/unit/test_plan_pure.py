"""The pure parts of planning: conflicts, sealed standings, budgets, versions."""

from __future__ import annotations

from typing import Any

import pytest

from gitops.model.fleet import DeleteBudget
from gitops.model.ids import Digest
from gitops.model.manifest import ObjectId
from gitops.model.plan import Action, FieldChange, ResourceChange
from gitops.summary import split_image
from planners.plan.budget import lock_out, over_budget
from planners.plan.conflicts import leave_out, mark, readable
from planners.plan.standing import missing
from planners.plan.versions import versions_of

POD = {
    "metadata": {"labels": {"app.kubernetes.io/name": "web", "app": "web"}},
    "spec": {
        "containers": [
            {
                "name": "web",
                "image": "web:1",
                "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}],
            }
        ],
        "replicas": 2,
    },
}


class TestConflicts:
    @pytest.mark.parametrize(
        "path",
        [
            ".spec.replicas",
            '.spec.containers[name="web"].image',
            '.spec.containers[name="web"].ports[containerPort=80,protocol="TCP"].name',
            ".metadata.labels.app.kubernetes.io/name",
        ],
    )
    def test_a_field_in_conflict_is_left_out_and_nothing_else(self, path: str) -> None:
        trimmed = leave_out(POD, [("somebody", path)])
        assert trimmed is not None
        last = path.rpartition(".")[2].removeprefix("io/")
        assert (repr(POD).count(f"'{last}'") or 1) - repr(trimmed).count(f"'{last}'") in (0, 1)
        assert len(repr(trimmed)) < len(repr(POD))
        assert leave_out(trimmed, [("somebody", path)]) is None

    def test_a_field_that_is_not_found_is_never_taken_for_left_out(self) -> None:
        assert leave_out(POD, [("somebody", ".spec.paused")]) is None
        assert leave_out(POD, [("somebody", '.spec.containers[name="log"].image')]) is None
        assert leave_out(POD, [("somebody", "")]) is None

    def test_leaving_out_does_not_touch_the_original(self) -> None:
        leave_out(POD, [("somebody", ".spec.replicas")])
        assert POD["spec"]["replicas"] == 2

    def test_changes_say_from_whom_they_take(self) -> None:
        changes = [
            FieldChange("spec.replicas", 3, 2),
            FieldChange("spec.containers[name=web]", {}, {}),
            FieldChange("spec.replicasets", 1, 2),
        ]
        conflicts = [
            ("autoscaler", ".spec.replicas"),
            ("kubectl", '.spec.containers[name="web"].image'),
            ("other", ".spec.hidden"),
        ]
        found = {c.path: c.taken_from for c in mark(changes, conflicts)}
        assert found == {
            "spec.replicas": "autoscaler",
            "spec.containers[name=web]": "kubectl",
            "spec.replicasets": "",
            "spec.hidden": "other",
        }

    def test_the_servers_way_of_naming_reads_as_ours(self) -> None:
        assert readable('.spec.containers[name="web"].image') == "spec.containers[name=web].image"


class TestHeldByTheServer:
    @pytest.mark.parametrize(
        ("sent", "live"),
        [
            ({"cpu": "1000m"}, {"cpu": "1"}),
            ({"cpu": 0.5}, {"cpu": "500m"}),
            ({"memory": "1024Mi"}, {"memory": "1Gi"}),
            ({"a": {}}, {}),
            ({"a": None}, {"b": 1}),
            ({"a": 1}, {"a": 1, "b": 2}),
            (
                {"containers": [{"name": "b"}, {"name": "a"}]},
                {"containers": [{"name": "a", "x": 1}, {"name": "b"}, {"name": "injected"}]},
            ),
            ({"args": ["a", "b"]}, {"args": ["a", "b"]}),
        ],
    )
    def test_another_spelling_and_additions_are_the_same(self, sent: Any, live: Any) -> None:
        assert missing({"spec": sent}, {"spec": live}) == ""

    @pytest.mark.parametrize(
        ("sent", "live", "where"),
        [
            ({"cpu": "1"}, {"cpu": "2"}, "spec.cpu"),
            ({"a": "x"}, {}, "spec.a"),
            ({"a": True}, {"a": 1}, "spec.a"),
            ({"a": "1e3x"}, {"a": "1e3"}, "spec.a"),
            ({"args": ["a"]}, {"args": ["a", "b"]}, "spec.args"),
            ({"args": ["a", "b"]}, {"args": ["b", "a"]}, "spec.args[0]"),
            (
                {"containers": [{"name": "a", "image": "1:1"}]},
                {"containers": [{"name": "a", "image": "1:2"}]},
                "spec.containers[name=a].image",
            ),
            ({"containers": [{"name": "a"}]}, {"containers": [{"name": "b"}]}, "spec.containers"),
        ],
    )
    def test_another_value_is_named(self, sent: Any, live: Any, where: str) -> None:
        assert missing({"spec": sent}, {"spec": live}).startswith(where)

    def test_plain_strings_of_a_secret_come_back_as_data(self) -> None:
        assert missing({"stringData": {"a": "b"}}, {"data": {"a": "Yg=="}}) == ""
        assert missing({"stringData": {"a": "b"}}, {"data": {"a": "Yw=="}}) == "data.a"


def change(action: Action, kind: str = "ConfigMap") -> ResourceChange:
    id = ObjectId("", kind, "n", "x")
    return ResourceChange(action, str(id), id, digest=Digest(""))


class TestBudget:
    @pytest.mark.parametrize(
        ("lost", "owned", "reasons"),
        [
            (0, 0, 0),
            (1, 3, 0),
            (1, 2, 1),
            (10, 30, 0),
            (11, 100, 1),
            (11, 11, 2),
        ],
    )
    def test_counts_and_shares(self, lost: int, owned: int, reasons: int) -> None:
        found = over_budget([change(Action.DELETE)] * lost, DeleteBudget(), owned)
        assert len(found) == reasons, found

    @pytest.mark.parametrize("action", [Action.DELETE, Action.REPLACE])
    @pytest.mark.parametrize("kind", DeleteBudget().kinds)
    def test_one_that_holds_data_is_always_over(self, kind: str, action: Action) -> None:
        [reason] = over_budget([change(action, kind)], DeleteBudget(), 1000)
        assert kind in reason

    def test_creating_and_updating_cost_nothing(self) -> None:
        changes = [change(Action.CREATE, "Namespace"), change(Action.UPDATE, "StatefulSet")] * 50
        assert over_budget(changes, DeleteBudget(), 1) == ()

    def test_a_webhook_for_everything_is_a_red_flag(self) -> None:
        rule = {"apiGroups": ["*"], "resources": ["*"], "operations": ["CREATE"]}
        hook = {"name": "all.example.com", "rules": [rule]}
        assert "all.example.com" in lock_out({"webhooks": [hook]})
        assert lock_out({"webhooks": [{**hook, "failurePolicy": "Ignore"}]}) == ""
        fenced = {**hook, "namespaceSelector": {"matchLabels": {"a": "b"}}}
        assert lock_out({"webhooks": [fenced]}) == ""
        assert lock_out({"webhooks": "nonsense"}) == ""


class TestVersions:
    @pytest.mark.parametrize(
        ("image", "name", "version"),
        [
            ("web", "web", "latest"),
            ("web:1.2", "web", "1.2"),
            ("registry:5000/a/web:1.2", "registry:5000/a/web", "1.2"),
            ("registry:5000/a/web", "registry:5000/a/web", "latest"),
            ("web@sha256:ab", "web", "sha256:ab"),
            ("web:1@sha256:ab", "web", "1@sha256:ab"),
        ],
    )
    def test_an_image_is_split_into_name_and_version(
        self, image: str, name: str, version: str
    ) -> None:
        assert split_image(image) == (name, version)

    def test_images_and_chart_labels_of_any_workload_are_found(self) -> None:
        spec = {"containers": [{"image": "web:1"}], "initContainers": [{"image": "init:2"}]}
        labels = {
            "helm.sh/chart": "my-shop-1.4.0",
            "app.kubernetes.io/name": "shop",
            "app.kubernetes.io/version": "7",
        }
        body = {
            "metadata": {"labels": labels},
            "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}},
        }
        assert versions_of(body) == (
            ("chart my-shop", "1.4.0"),
            ("init", "2"),
            ("shop", "7"),
            ("web", "1"),
        )

    @pytest.mark.parametrize("spec", [None, "x", [], {"template": 7}, {"containers": [None, 1]}])
    def test_any_shape_of_spec_has_versions_or_none(self, spec: Any) -> None:
        assert versions_of({"metadata": {}, "spec": spec}) == ()
