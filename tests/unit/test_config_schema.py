"""Editors complete the fleet file from the schema that is checked in."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from gitops.config import load
from gitops.config.published import schema

GOLDEN = Path(__file__).parent.parent / "golden" / "config"
EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/**/gitops.yaml"))
PUBLISHED = files("gitops") / "schema" / "gitops.schema.json"


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    tree = json.loads(schema())
    Draft202012Validator.check_schema(tree)
    return Draft202012Validator(tree)


def test_the_published_schema_is_current() -> None:
    assert PUBLISHED.read_text(encoding="utf-8") == schema(), (
        "run: gitops config schema > gitops/schema/gitops.schema.json"
    )


def test_every_key_is_described() -> None:
    def undescribed(node: Any, path: str) -> list[str]:
        if not isinstance(node, dict):
            return []
        missing = [
            f"{path}.{key}"
            for key, value in node.get("properties", {}).items()
            if "description" not in value and "$ref" not in value
        ]
        return missing + [
            m for key, v in node.get("$defs", {}).items() for m in undescribed(v, key)
        ]

    assert undescribed(json.loads(schema()), "fleet") == []


@pytest.mark.slow
def test_every_fleet_file_of_the_examples_is_fine(validator: Draft202012Validator) -> None:
    for path in EXAMPLES:
        validator.validate(yaml.safe_load(path.read_text(encoding="utf-8")))
        load(path, resolve_secrets=False)


@pytest.mark.parametrize(
    "name", ["unknown-key", "unknown-section", "wrong-type-bool", "wrong-word", "duration",
             "quorum-zero", "token-in-clear", "no-such-renderer", "no-such-check-option",
             "root-unknown-key", "root-binary", "root-version", "root-workspace", "backend-unknown",
             "backend-two", "backend-secret", "environment-number", "provider-name", "needs-output",
             "terraform-unknown-key", "renderer-terraform"],
)  # fmt: skip
def test_editors_mark_what_would_be_refused(validator: Draft202012Validator, name: str) -> None:
    # The editors' YAML is 1.2: `yes` is text. PyYAML's base loader leaves words alone as well.
    text = (GOLDEN / f"{name}.yaml").read_text(encoding="utf-8")
    assert not validator.is_valid(yaml.load(text.replace("yes", "'yes'"), yaml.SafeLoader))


def test_editors_accept_what_is_accepted(validator: Draft202012Validator) -> None:
    text = (GOLDEN / "quorum-too-high.yaml").read_text(encoding="utf-8")
    validator.validate(yaml.safe_load(text))
