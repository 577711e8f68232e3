"""Objects are held against schemas as the API server would, before it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitops.errors import ConfigError
from gitops.model.cluster import Resource
from gitops.model.finding import Finding, Severity
from planners.checks.kube_schema import KubeSchema, Options, build
from planners.checks.structural import Validator
from tests.unit.check_cases import Catalogue, job, manifests, services

META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
COMPONENTS: dict[str, Any] = {
    META: {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "namespace": {"type": "string"},
            "labels": {"type": "object", "additionalProperties": {"type": "string"}},
            "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
        },
    },
    "io.k8s.api.core.v1.Part": {
        "type": "object",
        "required": ["name", "port"],
        "properties": {
            "name": {"type": "string", "default": ""},
            "port": {"type": "integer", "format": "int32", "default": 0},
            "pull": {"type": "string", "enum": ["Always", "Never"]},
            "free": {"type": "object"},
        },
    },
    "io.k8s.api.core.v1.Thing": {
        "type": "object",
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"allOf": [{"$ref": f"#/components/schemas/{META}"}], "default": {}},
            "data": {"type": "object", "additionalProperties": {"type": "string"}},
            "raw": {"type": "object", "additionalProperties": {"type": "string", "format": "byte"}},
            "size": {"allOf": [{"$ref": "#/components/schemas/q.api.resource.Quantity"}]},
            "port": {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]},
            "parts": {
                "type": "array",
                "items": {"allOf": [{"$ref": "#/components/schemas/io.k8s.api.core.v1.Part"}]},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
            },
        },
        "x-kubernetes-group-version-kind": [
            {"group": "", "version": "v1", "kind": "Thing"},
            {"group": "", "version": "v1", "kind": "Secret"},
        ],
    },
    "q.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
}
CATALOGUE = Catalogue(
    [
        Resource("", "v1", "Thing", "things", True),
        Resource("", "v1", "Secret", "secrets", True),
        Resource("apps", "v1", "Deployment", "deployments", True),
    ],
    COMPONENTS,
)
THING = "apiVersion: v1\nkind: Thing\nmetadata:\n  name: a\n"


async def check(text: str, *, online: bool = True, **options: Any) -> list[Finding]:
    asked = job(text, catalogue=CATALOGUE if online else None)
    return list(await KubeSchema(Options(**options)).run(asked))


async def test_an_object_that_fits_gives_no_finding() -> None:
    fits = "size: 1.5Gi\nport: http\nparts:\n  - {name: x, port: 1, free: {any: [1]}}\n"
    assert await check(THING + fits + "status: {anything: 1}\n") == []


@pytest.mark.parametrize(
    ("text", "place", "said", "hint"),
    [
        ("dta: {}\n", "a.yaml:5:1", "dta is unknown", "'data'"),
        ("Data: {}\n", "a.yaml:5:1", "Data is unknown", "'data'"),
        ("data:\n  k: 1\n", "a.yaml:6:3", "data.k has to be text, not a number", "quotes"),
        ("data: x\n", "a.yaml:5:1", "data has to be a mapping, not text", ""),
        ("parts: {}\n", "a.yaml:5:1", "parts has to be a list", "dash"),
        ("size: 64Mib\n", "a.yaml:5:1", "size is not a quantity", "64Mi"),
        ("port: true\n", "a.yaml:5:1", "port has to be a whole number or text", ""),
        ("port: 1.5\n", "a.yaml:5:1", "port has to be a whole number or text", ""),
        ("parts: [{port: 1}]\n", "a.yaml:5:9", "parts[0].name is required", "add 'name'"),
        ("parts: [{name: a, port: x}]\n", "a.yaml:5:19", "whole number, not text", "without"),
        ("parts: [{name: a, port: 9999999999}]\n", "a.yaml:5:19", "fit into int32", ""),
        (
            "parts: [{name: a, port: 1}, {name: a, port: 2}]\n",
            "a.yaml:5:29",
            "element 0 has the same name",
            "keep one",
        ),
        (
            "parts: [{name: a, port: 1, pull: Alway}]\n",
            "a.yaml:5:28",
            "one of: Always, Never",
            "Always",
        ),
    ],
)
async def test_what_does_not_fit_is_told_with_place_and_advice(
    text: str, place: str, said: str, hint: str
) -> None:
    (finding,) = await check(THING + text)
    assert finding.severity is Severity.ERROR
    assert finding.place == place
    assert said in finding.message
    assert hint in finding.hint


async def test_a_native_number_left_out_is_the_servers_business() -> None:
    assert await check(THING + "parts: [{name: a}]\n") == []


async def test_null_in_a_native_field_is_the_same_as_leaving_it_out() -> None:
    assert await check(THING + "data: null\nparts: [{name: a, port: null}]\n") == []
    (finding,) = await check(THING + "parts: [{name: null, port: 1}]\n")
    assert "required" in finding.message


async def test_a_field_name_with_dots_is_shown_as_one_name() -> None:
    (finding,) = await check(THING + "data: {a.b/c: 1}\n")
    assert "data['a.b/c']" in finding.message


async def test_no_message_holds_the_value_of_a_secret() -> None:
    secret = THING.replace("Thing", "Secret") + "raw: {a: hunter2!}\ndata: {b: 47110815}\n"
    found = await check(secret)
    assert len(found) == 2
    assert not any(v in f.message + f.hint for f in found for v in ("hunter2", "47110815"))


@pytest.mark.parametrize(
    ("version", "kind", "hint"),
    [
        ("apps/v1beta1", "Deployment", "apps/v1"),
        ("extensions/v1beta1", "Ingress", "networking.k8s.io/v1"),
        ("v1", "Sevice", "v1/Service"),
        ("v1", "Deployment", "apps/v1/Deployment"),
        ("example.com/v1", "Qqqqq", "CustomResourceDefinition"),
    ],
)
async def test_a_kind_the_target_does_not_know_blocks_and_names_the_nearest(
    version: str, kind: str, hint: str
) -> None:
    (finding,) = await check(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n")
    assert finding.severity is Severity.ERROR
    assert finding.place == "a.yaml:1:0" or finding.line == 1
    assert hint in finding.hint


CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          required: [spec]
          properties:
            spec:
              type: object
              required: [size]
              properties:
                size: {type: integer, minimum: 1, maximum: 9}
                mode: {type: string, enum: [fast, slow]}
                name: {type: string, pattern: "^[a-z]+$", maxLength: 5}
                port:
                  anyOf: [{type: integer}, {type: string}]
                  x-kubernetes-int-or-string: true
                free: {type: object, x-kubernetes-preserve-unknown-fields: true}
                tpl:
                  type: object
                  x-kubernetes-embedded-resource: true
                  properties: {spec: {type: object, properties: {a: {type: string}}}}
                note: {type: string, nullable: true}
                set: {type: string, default: x}
                shut: {type: object}
                list: {type: array, maxItems: 1, items: {type: string}}
              oneOf: [{required: [mode]}, {required: [name]}]
    - name: v1alpha1
      served: true
      storage: false
      deprecated: true
      deprecationWarning: use v1
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
---
"""
WIDGET = "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: "


async def widget(spec: str) -> list[str]:
    found = await KubeSchema(Options(skip_kinds=("CustomResourceDefinition",))).run(
        job(CRD + WIDGET + spec, catalogue=CATALOGUE)
    )
    return [f.message.partition(": ")[2] for f in found]


@pytest.mark.parametrize(
    "spec",
    [
        "{size: 1, mode: fast}",
        "{size: 1, mode: fast, free: {a: {b: 1}}, port: http, note: null, set: null}",
        "{size: 1, name: abc, tpl: {apiVersion: v1, kind: X, metadata: {name: y}, spec: {a: b}}}",
    ],
)
async def test_an_object_of_a_kind_defined_in_the_same_change_may_fit(spec: str) -> None:
    assert await widget(spec) == []


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("{mode: fast}", "spec.size is required and missing"),
        ("{size: 0, mode: fast}", "spec.size is below 1"),
        ("{size: 10, mode: fast}", "spec.size is above 9"),
        ("{size: 1, mode: fats}", "spec.mode has to be one of: fast, slow"),
        ("{size: 1, name: A1}", "spec.name does not match ^[a-z]+$"),
        ("{size: 1, name: abcdef}", "spec.name has 6 characters; at most 5 are allowed"),
        ("{size: 1, mode: fast, port: true}", "spec.port has to be a whole number or text"),
        ("{size: 1, mode: null}", "spec.mode may not be null"),
        ("{size: 1, mode: fast, sise: 2}", "spec.sise is unknown here"),
        ("{size: 1, mode: fast, shut: {a: 1}}", "spec.shut.a is unknown here"),
        ("{size: 1, mode: fast, tpl: {spec: {b: 1}}}", "spec.tpl.spec.b is unknown here"),
        ("{size: 1, mode: fast, list: [a, b]}", "spec.list has 2 entries; at most 1 are allowed"),
        ("{size: 1}", "spec has to fit exactly one of the 2 forms it can have"),
    ],
)
async def test_the_definition_in_the_change_is_what_counts(spec: str, said: str) -> None:
    assert await widget(spec) == [said]


async def test_metadata_of_a_custom_object_is_held_against_the_targets_own_schema() -> None:
    text = CRD + WIDGET.replace("{name: w}", "{name: w, label: {}}") + "{size: 1, mode: fast}"
    found = await check(text, skip_kinds=("CustomResourceDefinition",))
    assert [f.hint for f in found] == ["did you mean 'labels'?"]


async def test_a_version_the_definition_does_not_serve_is_told() -> None:
    text = CRD + WIDGET.replace("/v1", "/v2") + "{}"
    (finding,) = await check(text, skip_kinds=("CustomResourceDefinition",))
    assert "v2" in finding.message
    assert "v1, v1alpha1" in finding.hint


async def test_a_deprecated_version_is_a_warning_in_the_definitions_words() -> None:
    text = CRD + WIDGET.replace("/v1", "/v1alpha1") + "{}"
    (finding,) = await check(text, skip_kinds=("CustomResourceDefinition",))
    assert (finding.severity, "use v1" in finding.message) == (Severity.WARNING, True)


async def test_without_a_cluster_what_can_be_checked_is_and_the_rest_is_said() -> None:
    found = await check(CRD + WIDGET + "{}", online=False)
    assert [f.severity for f in found] == [Severity.INFO, Severity.ERROR, Severity.ERROR]
    assert "no cluster" in found[0].message


async def test_an_unchanged_object_is_not_validated_again() -> None:
    made = manifests(THING + "dta: 1\n")
    check_ = KubeSchema(Options())
    first = await check_.run(job(made=made, catalogue=CATALOGUE))
    (rules,) = check_._rules.values()
    rules.known[made[0].digest] = ()
    assert first
    assert list(await check_.run(job(made=made, catalogue=CATALOGUE))) == []


async def test_another_schema_means_another_look() -> None:
    made = manifests(THING + "dta: 1\n")
    check_ = KubeSchema(Options())
    assert await check_.run(job(made=made, catalogue=CATALOGUE))
    open_ = {**COMPONENTS["io.k8s.api.core.v1.Thing"], "properties": {"dta": {}}}
    newer = Catalogue([Resource("", "v1", "Thing", "things", True)], {"x": open_})
    found = await check_.run(job(made=made, catalogue=newer))
    assert not any("dta" in f.message for f in found)


async def test_a_hostile_pattern_or_depth_costs_no_time() -> None:
    evil = CRD.replace("^[a-z]+$", "^(a+)+$").replace(", maxLength: 5", "")
    found = await check(
        evil + WIDGET + "{size: 1, name: " + "a" * 60 + "b}",
        skip_kinds=("CustomResourceDefinition",),
    )
    assert len(found) == 1
    loop: dict[str, Any] = {"$ref": "#/components/schemas/loop"}
    validator = Validator({"loop": loop}, native=True)
    assert list(validator.issues({"a": 1}, loop)) == []


async def test_unknown_fields_can_be_made_a_remark() -> None:
    (finding,) = await check(THING + "dta: {}\n", unknown_fields="warning")
    assert finding.severity is Severity.WARNING


def test_a_severity_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fatal"):
        build(Options(unknown_fields="fatal"), services(tmp_path))
