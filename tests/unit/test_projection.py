"""Our fields and their values, and nobody else's."""

from __future__ import annotations

from typing import Any

from gitops import projection
from gitops.model.ids import Digest, combine


class Plain:
    def of(self, data: bytes) -> Digest:
        return combine(data.decode())


MASK = {
    "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
    "f:spec": {
        "f:replicas": {},
        "f:template": {
            "f:containers": {
                'k:{"name":"web"}': {
                    ".": {},
                    "f:name": {},
                    "f:image": {},
                    "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": {}}},
                }
            },
        },
        "f:finalizers": {'v:"example.com/hold"': {}},
        "f:strategy": {},
        "f:order": {"i:1": {}},
    },
}


def body(**more: Any) -> dict[str, Any]:
    spec = {
        "replicas": 2,
        "template": {
            "containers": [
                {"name": "side", "image": "side:1"},
                {"name": "web", "image": "web:1", "ports": [{"containerPort": 80}]},
            ]
        },
        "finalizers": ["example.com/hold", "other"],
        "strategy": {"type": "Recreate"},
        "order": ["a", "b"],
    }
    entry = {
        "manager": "gitops-controller",
        "operation": "Apply",
        "apiVersion": "v1",
        "fieldsV1": MASK,
    }
    return {
        "metadata": {"labels": {"app": "web", "theirs": "x"}, "managedFields": [entry]},
        "spec": {**spec, **more},
        "status": {"ready": 1},
    }


def test_a_projection_holds_our_values_and_no_others() -> None:
    live = body()
    assert projection.project(live, projection.owned(live)) == {
        "f:metadata": {"f:labels": {".": True, "f:app": "web"}},
        "f:spec": {
            "f:replicas": 2,
            "f:template": {
                "f:containers": {
                    'k:{"name":"web"}': {
                        ".": True,
                        "f:name": "web",
                        "f:image": "web:1",
                        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': {".": True}},
                    }
                },
            },
            "f:finalizers": {'v:"example.com/hold"': True},
            "f:strategy": {"type": "Recreate"},
            "f:order": {"i:1": "b"},
        },
    }


def test_other_peoples_fields_and_the_order_of_items_do_not_move_the_digest() -> None:
    one = body()
    other = body(minReadySeconds=5, finalizers=["other", "example.com/hold"])
    other["spec"]["template"]["containers"].reverse()
    other["metadata"]["labels"]["theirs"] = "y"
    other["status"] = {"ready": 0}
    assert projection.digest(one, MASK, Plain()) == projection.digest(other, MASK, Plain())


def test_every_change_of_a_field_of_ours_moves_the_digest() -> None:
    known = projection.digest(body(), MASK, Plain())
    for change in (
        {"replicas": 3},
        {"replicas": None},
        {"finalizers": ["other"]},
        {"strategy": {"type": "Recreate", "more": 1}},
        {"template": {"containers": []}},
        {"order": ["a", "c"]},
        {"order": ["a"]},
    ):
        assert projection.digest(body(**change), MASK, Plain()) != known, change
    assert projection.digest(None, MASK, Plain()) is None


def test_owned_joins_versions_and_ignores_other_managers_and_subresources() -> None:
    def entry(mask: Any, **more: Any) -> dict[str, Any]:
        return {"manager": "gitops-controller", "operation": "Apply", "fieldsV1": mask, **more}

    fields = [
        entry({"f:spec": {"f:a": {}}}, apiVersion="v1"),
        entry({"f:spec": {"f:b": {".": {}, "f:c": {}}}}, apiVersion="v2"),
        entry({"f:spec": {"f:scale": {}}}, subresource="scale"),
        entry({"f:spec": {"f:update": {}}}, operation="Update"),
        entry({"f:spec": {"f:theirs": {}}}, manager="kubectl"),
        entry({"f:status": {"f:x": {}}, "f:metadata": {"f:uid": {}, "f:labels": {"f:l": {}}}}),
    ]
    found = projection.owned({"metadata": {"managedFields": fields}})
    assert found == {
        "f:spec": {"f:a": {}, "f:b": {".": {}, "f:c": {}}},
        "f:metadata": {"f:labels": {"f:l": {}}},
    }


def test_a_whole_value_wins_over_its_parts_in_a_union() -> None:
    parts, whole = {"f:a": {".": {}, "f:b": {}}}, {"f:a": {}}
    assert projection.merge(parts, whole) == whole
    assert projection.merge(whole, parts) == whole
    assert projection.merge(parts, {"f:a": {"f:c": {}}}) == {"f:a": {".": {}, "f:b": {}, "f:c": {}}}


def test_a_mask_survives_being_stored() -> None:
    assert projection.mask_from_bytes(projection.mask_bytes(MASK)) == MASK
    assert projection.mask_from_bytes(b"") == {}


def test_managers_of_names_the_others() -> None:
    live = body()
    live["metadata"]["managedFields"].append(
        {"manager": "autoscaler", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    )
    assert projection.managers_of(live, ("f:spec", "f:replicas")) == ("autoscaler",)
    assert projection.managers_of(live, ("f:spec", "f:strategy")) == ()


def test_hostile_shapes_project_to_what_is_there() -> None:
    for value in (None, "text", 7, [], [None], {"containers": "x"}):
        live = body(template=value, finalizers=value, order=value)
        assert projection.digest(live, MASK, Plain())
