"""Outputs of other applications in manifests."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gitops import yamlio
from gitops.errors import RenderError
from gitops.model.ids import Digest, combine
from gitops.model.manifest import Desired, Manifest, ObjectId, Origin
from gitops.model.source import Closure
from gitops.needs import nested, substituted


def digest(data: bytes) -> Digest:
    return combine(data.hex())


def desired(*bodies: dict[str, Any]) -> Desired:
    manifests = []
    for line, body in enumerate(bodies, 1):
        text = yamlio.canonical(body)
        meta = body["metadata"]
        id = ObjectId("", body["kind"], meta.get("namespace", ""), meta["name"])
        manifests.append(Manifest(id, "v1", text, digest(text), Origin("app.yaml", line, 1)))
    return Desired(tuple(manifests), Closure(()), combine("set"), "plain 1")


def config(**data: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def data(made: Desired) -> Any:
    return orjson.loads(made.manifests[0].body)["data"]


def test_a_set_without_tokens_is_the_same_value() -> None:
    given = desired(config(a="plain $ {needs} text"))
    assert substituted(given, {"a": 1}, digest) is given


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("${needs.host}", "db.local"),
        ("postgres://${needs.host}:${needs.port}/x", "postgres://db.local:5432/x"),
        ("${needs.port}", 5432),
        ("${needs.zones}", ["a", "b"]),
        ("in ${needs.zones}", 'in ["a","b"]'),
        ("${needs.on}", True),
        ("is ${needs.on}", "is true"),
        ("$${needs.host}", "${needs.host}"),
        ("$${needs.host} ${needs.host}", "${needs.host} db.local"),
    ],
)
def test_a_token_becomes_the_value(text: str, expected: Any) -> None:
    values = {"host": "db.local", "port": 5432, "zones": ["a", "b"], "on": True}
    assert data(substituted(desired(config(a=text)), values, digest)) == {"a": expected}


def test_names_may_hold_tokens_and_the_identity_follows() -> None:
    given = config()
    given["metadata"] = {"name": "web-${needs.zone}", "namespace": "${needs.space}"}
    (made,) = substituted(desired(given), {"zone": "a", "space": "s"}, digest).manifests
    assert made.id == ObjectId("", "ConfigMap", "s", "web-a")


def test_a_value_is_not_looked_into_again() -> None:
    made = substituted(desired(config(a="${needs.a}")), {"a": "${needs.b}"}, digest)
    assert data(made) == {"a": "${needs.b}"}


def test_an_unknown_name_is_refused_at_the_object_with_the_nearest() -> None:
    with pytest.raises(RenderError) as caught:
        substituted(desired(config(a="${needs.hots}")), {"host": "x"}, digest)
    assert caught.value.place == "app.yaml:1:1"
    assert "${needs.host}" in caught.value.hint


def test_what_is_used_is_part_of_the_closure_and_nothing_else_is() -> None:
    given = desired(config(a="${needs.a}"))

    def closure(**values: Any) -> Digest:
        return substituted(given, values, digest).closure.digest

    assert closure(a="1", b="2") == closure(a="1", b="3")
    assert closure(a="1") != closure(a="2")
    assert closure(a="1") != closure(a=1)


def test_dotted_names_reach_into_values() -> None:
    values = {"db": {"host": "old", "port": 1}, "web": 2}
    made = nested(values, {"db.host": "new", "cache.size": 3, "web": {"x": 1}})
    expected = {"db": {"host": "new", "port": 1}, "cache": {"size": 3}, "web": {"x": 1}}
    assert made == expected
    assert values["db"] == {"host": "old", "port": 1}


def test_a_plain_value_in_the_way_of_a_path_gives_way() -> None:
    assert nested({"db": 1}, {"db.host": "h"}) == {"db": {"host": "h"}}
