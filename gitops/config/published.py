"""The JSON Schema of the fleet file, from which editors complete and explain.

Generated from :mod:`gitops.config.shape` and from the options of the plugins that are installed;
checked in as ``gitops/schema/gitops.schema.json`` and printed by ``gitops config schema``. It is a
help for writing; what is accepted is decided by :func:`gitops.config.load.load` alone.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import json
import textwrap
import typing
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema

from gitops.config.backends import KINDS
from gitops.config.roots import RENDERER
from gitops.config.scalars import Duration, written
from gitops.config.shape import FleetFile
from gitops.model.secret import SecretRef
from gitops.plugins import Role, plugins

URL = "https://gitops-controller.dev/schema/gitops.schema.json"
"""Its identifier; nothing is fetched from there."""
_SECRET = {"$ref": "#/$defs/Secret"}
_SOURCES = "sources"
_NAMES_INSIDE = ("properties", "$defs", "patternProperties")


def schema() -> str:
    """The schema as JSON text, the same on every machine with the same plugins."""
    tree = _tidy(FleetFile.model_json_schema(schema_generator=_AsWritten))
    checks = _checks()
    for shape in (tree["$defs"]["Application"], tree["$defs"]["Discover"]):
        _describe(shape["properties"], "renderer", _choice(Role.RENDERER))
        _describe(shape["properties"], "checks", checks)
    _describe(tree["$defs"]["Terraform"]["properties"], "backend", _backends())
    _describe(tree["properties"], "checks", checks)
    notifiers = {"type": "object", "additionalProperties": _choice(Role.NOTIFIER)}
    _describe(tree["properties"], "notifiers", notifiers)
    _describe(tree["properties"], "webhooks", _webhooks(tree["$defs"]))
    tree = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": URL, **tree}
    tree["title"] = "GitOps fleet file"
    tree["patternProperties"] = {"^x-": {"description": "Ignored; a place for YAML anchors."}}
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


class _AsWritten(GenerateJsonSchema):
    """Shows defaults as an operator writes them."""

    def encode_default(self, dft: Any) -> Any:
        return written(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def _describe(properties: dict[str, Any], key: str, schema: dict[str, Any]) -> None:
    properties[key] = {"description": properties[key]["description"], **schema}


def _choice(role: Role) -> dict[str, Any]:
    """``NAME`` or ``{NAME: {option: value}}``."""
    found = sorted((name, each) for name, each in plugins(role).items() if name != RENDERER)
    return _one_of({name: _options(plugin.options) for name, plugin in found})


def _webhooks(defs: dict[str, Any]) -> dict[str, Any]:
    """``KIND: {secret: …}``, or ``NAME: {KIND: {secret: …}}``."""
    sources = {
        "type": "array",
        "items": {"type": "string"},
        "description": "Sources it may concern; default: those whose repository it is about.",
    }
    kinds = {}
    for name, plugin in sorted(plugins(Role.WEBHOOK).items()):
        kind = _options(plugin.options)
        kind["properties"] = {**kind["properties"], _SOURCES: sources}
        if getattr(plugin.module, "NEEDS_SOURCES", False):
            kind["required"] = [*kind.get("required", ()), _SOURCES]
        defs[f"Webhook-{name}"] = kind
        kinds[name] = {"$ref": f"#/$defs/Webhook-{name}"}
    defs["Webhook"] = _one_of(kinds)["oneOf"][1]
    named = {"$ref": "#/$defs/Webhook"}
    return {
        "type": "object",
        "properties": {name: {"oneOf": [kind, named]} for name, kind in kinds.items()},
        "additionalProperties": named,
    }


def _one_of(options: dict[str, Any]) -> dict[str, Any]:
    inline = {"type": "object", "minProperties": 1, "maxProperties": 1}
    return {
        "oneOf": [
            {"enum": list(options)},
            {**inline, "properties": options, "additionalProperties": False},
        ]
    }


def _backends() -> dict[str, Any]:
    """Settings are terraform's own; only the secret ones are known here, and not allowed."""
    return _one_of(
        {
            name: {"type": "object", "properties": dict.fromkeys(sorted(kind.secrets), False)}
            for name, kind in sorted(KINDS.items())
        }
    )


def _checks() -> dict[str, Any]:
    known = {}
    for name, plugin in sorted(plugins(Role.CHECK).items()):
        inline = _options(plugin.options)
        enabled = {"type": "boolean", "description": "false switches the check off."}
        inline["properties"] = {"enabled": enabled, **inline["properties"]}
        known[name] = {
            "description": inline.pop("description", ""),
            "oneOf": [{"type": "boolean"}, inline],
        }
    return {"type": "object", "properties": known, "additionalProperties": False}


def _options(options: type[Any]) -> dict[str, Any]:
    hints, docs = typing.get_type_hints(options), _docs(options)
    properties = {}
    for field in dataclasses.fields(options):
        properties[field.name] = {**_type(hints[field.name]), **docs.get(field.name, {})}
    required = [
        field.name
        for field in dataclasses.fields(options)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    described = {"description": inspect.cleandoc(options.__doc__ or "").replace("\n", " ")}
    schema: dict[str, Any] = {**described, "type": "object", "properties": properties}
    schema["additionalProperties"] = False
    return {**schema, "required": required} if required else schema


def _type(kind: Any) -> dict[str, Any]:
    arms = typing.get_args(kind) or (kind,)
    if SecretRef in arms:
        return _SECRET
    try:
        found = TypeAdapter(Duration if timedelta in arms else kind).json_schema()
    except (PydanticSchemaGenerationError, PydanticUserError):
        return {}  # a type only the plugin understands
    return {} if "$defs" in found else dict(_tidy(found))


def _docs(options: type[Any]) -> dict[str, dict[str, str]]:
    """The texts under the fields of a dataclass."""
    try:
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(options))).body
    except (OSError, SyntaxError):
        return {}
    body = typing.cast(ast.ClassDef, tree).body
    found = {}
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            match text:
                case ast.Expr(value=ast.Constant(value=str(doc))):
                    found[field.target.id] = {"description": " ".join(doc.split())}
    return found


def _tidy(node: Any, *, names: bool = False) -> Any:
    """Drops what helps nobody: generated titles, and null, which the fleet file does not allow."""
    if isinstance(node, list):
        return [_tidy(child) for child in node]
    if not isinstance(node, dict):
        return node
    tidy = {
        key: _tidy(child, names=key in _NAMES_INSIDE and not names)
        for key, child in node.items()
        if names or not (key == "title" or (key == "default" and child is None))
    }
    variants = tidy.get("anyOf")
    if names or not isinstance(variants, list):
        return tidy
    rest = [variant for variant in variants if variant != {"type": "null"}]
    if len(rest) > 1:
        return {**tidy, "anyOf": rest}
    del tidy["anyOf"]
    return {**rest[0], **tidy}
