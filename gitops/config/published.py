"""The JSON Schema of the fleet file, from which editors complete and explain.

Generated from :mod:`gitops.config.shape` and the options of our own plugins, checked in as
``gitops/schema/gitops.schema.json`` and printed by ``gitops config schema``. It is a help for
writing; what is accepted is decided by :func:`gitops.config.load.load` alone.
"""

from __future__ import annotations

import json
from typing import Any

from gitops.config.shape import FleetFile

URL = "https://gitops-controller.dev/schema/gitops.schema.json"
"""Its identifier; nothing is fetched from there."""


def schema() -> str:
    """The schema as JSON text, the same on every machine."""
    tree = _tidy(FleetFile.model_json_schema())
    tree = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": URL, **tree}
    tree["title"] = "GitOps fleet file"
    tree["patternProperties"] = {"^x-": {"description": "Ignored; a place for YAML anchors."}}
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"


def _tidy(node: Any, *, names: bool = False) -> Any:
    """Drops what helps nobody: generated titles, and null, which the fleet file does not allow."""
    if isinstance(node, list):
        return [_tidy(child) for child in node]
    if not isinstance(node, dict):
        return node
    tidy = {
        key: _tidy(child, names=key in ("properties", "$defs"))
        for key, child in node.items()
        if names or not (key == "title" or (key == "default" and child is None))
    }
    variants = tidy.get("anyOf")
    if not names and isinstance(variants, list):
        rest = [variant for variant in variants if variant != {"type": "null"}]
        if len(rest) == 1:
            del tidy["anyOf"]
            tidy = {**rest[0], **tidy}
        else:
            tidy["anyOf"] = rest
    return tidy
