"""Whatever is in the fleet file: a fleet, or ConfigError with places. Never anything else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gitops.config import load
from gitops.config.tree import parse, resolve
from gitops.errors import ConfigError
from gitops.model.fleet import Fleet

SEED = """\
include: nothing*.yaml
sources:
  shop-config: {git: "https://git.example.com/shop.git", ref: main, interval: 30s}
  local: {directory: ., authors: [ada]}
clusters:
  dev: {sandbox: default, labels: {env: dev}}
applications:
  shop: {source: shop-config, path: apps/shop, clusters: {labels: {env: dev}}, prune: true}
  web: {source: shop-config, path: apps/web, needs: {db.host: database.host}}
  database:
    source: shop-config
    path: roots/database
    needs: {zone: {application: dns, output: zone}}
    terraform:
      version: 1.11.4
      workspace: prod
      variables: {region: eu-1, sizes: [1, {a: null}]}
      variable_files: [prod.tfvars]
      backend: {s3: {bucket: states, key: database, assume_role: {role_arn: x}}}
      environment: {plan: {AWS_REGION: eu-1, TF_VAR_x: {env: HOME}}, apply: {AWS_PROFILE: p}}
      allow: {providers: [hashicorp/aws], modules: ["git::https://example.com/*"]}
      deadlines: {plan: 5m}
      stateful: ["*_db_*"]
discover:
  - {source: local, path: apps/*, name: "{name}", clusters: [dev], approval: {quorum: 1}}
  - {source: shop-config, path: more/*, terraform: {workspace: "{application}", backend: pg}}
terraform: {parallel: 2, reserve: 64MiB, cache: c}
approvals: {default: {groups: [sre], auto: {no_deletes: true}}}
people: {ada: {emails: ada@example.com}, bob: {emails: [bob@example.com], github: bob}}
groups: {sre: [ada, bob]}
checks: {yaml-lint: {level: error}}
store: {url: "sqlite:////tmp/x.db"}
api: {listen: "127.0.0.1:8080"}
"""
FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def outcome(folder: Path, content: bytes) -> Fleet | ConfigError:
    path = folder / "gitops.yaml"
    path.write_bytes(content)
    try:
        return load(path, {"HOME": str(folder)})
    except ConfigError as refused:
        error = refused
    assert error.problems
    for problem in error.problems:
        assert problem.message
        assert re.search(r":\d+:\d+$", problem.place) or "gitops.yaml" in str(problem)
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", str(problem))
    return error


def test_the_seed_itself_is_fine(tmp_path: Path) -> None:
    assert isinstance(outcome(tmp_path, SEED.encode()), Fleet)


EDITS = st.lists(
    st.tuples(
        st.integers(0, len(SEED)),
        st.integers(0, 12),
        st.one_of(
            st.text(max_size=6),
            st.sampled_from(
                [
                    *("*a", "&a ", "<<: ", "!!int ", "---\n", "\t", "[", "]", "{", "}", ": ", "\n"),
                    *(
                        "null",
                        "~",
                        "true",
                        "1e999",
                        "0x1f",
                        ".nan",
                        "\ufeff",
                        "\\",
                        "'",
                        '"',
                        "|\n",
                    ),
                ]
            ),
        ),
    ),
    min_size=1,
    max_size=6,
)


@pytest.mark.slow
@FUZZ
@given(EDITS)
@example([(0, 0, "&a ")])
def test_an_edited_file_never_surprises(tmp_path: Path, edits: list[tuple[int, int, str]]) -> None:
    text = SEED
    for at, cut, new in edits:
        text = text[:at] + new + text[at + cut :]
    outcome(tmp_path, text.encode("utf-8", "surrogatepass"))


@FUZZ
@given(st.binary(max_size=200))
def test_bytes_never_surprise(tmp_path: Path, content: bytes) -> None:
    outcome(tmp_path, content)


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("ada")
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(
                [
                    *("labels", "env", "file", "git", "path", "people", "quorum", "auto", "plain"),
                    *("enabled", "level", "kind", "url", "clusters", "1", "", "include"),
                    *("terraform", "backend", "s3", "local", "pg", "plan", "apply", "needs"),
                    *("application", "output", "variables", "workspace", "password", "PATH"),
                ]
            ),
            inner,
            max_size=3,
        ),
    ),
    max_leaves=6,
)


def paths(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, child in children:
        found.append((*above, key))
        if isinstance(child, dict | list):
            found += paths(child, (*above, key))
    return found


@pytest.mark.slow
@FUZZ
@given(st.sampled_from(paths(yaml.safe_load(SEED))), VALUES)
@example(("discover",), {"labels": {"labels": None}})
@example(("people",), ["ada", {"emails": None}])
@example(("checks",), {"yaml-lint": {"enabled": 1, "level": None}})
@example(("include",), {"a": None})
@example(("applications", "database", "needs", "zone"), "database.host")
@example(("applications", "database", "terraform"), ["ada"])
@example(("applications", "database", "terraform", "backend"), {"s3": {"key": None}})
@example(("applications", "database", "terraform", "backend"), {"local": {"path": ["x"]}})
@example(("applications", "database", "terraform", "variables"), {"a": {"password": ["x"]}})
@example(("applications", "database", "terraform", "variable_files"), ["../" * 99 + "a.tfvars"])
@example(("terraform",), {"reserve": -1})
def test_any_value_anywhere_never_surprises(
    tmp_path: Path, where: tuple[Any, ...], value: Any
) -> None:
    tree = yaml.safe_load(SEED)
    node = tree
    for part in where[:-1]:
        node = node[part]
    node[where[-1]] = value
    outcome(tmp_path, yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("~", None), ("null", None), ("true", True), ("True", "True"), ("no", "no"),
        ("12", 12), ("-3", -3), ("012", "012"), ("0x1f", "0x1f"), ("1_000", "1_000"),
        ("1.5", 1.5), (".5", 0.5), ("1e3", 1000.0), ("1e999", "1e999"), (".nan", ".nan"),
        ("12:30:45", "12:30:45"), ("e5", "e5"), (".", "."), ("2026-01-01", "2026-01-01"),
        ("9" * 30, 1e30),
    ],
)  # fmt: skip
def test_plain_scalars_mean_what_editors_show(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@FUZZ
@given(st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"))))
def test_quoted_text_reads_back_as_itself(text: str) -> None:
    written = yaml.safe_dump({"k": text}, allow_unicode=True, default_style='"', width=10**6)
    assert parse(written, "f", Path("/")).plain() == {"k": text}
