"""Every plugin of every role keeps the same contract, ours and those somebody installs."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import typing
from pathlib import Path
from typing import Any

import pytest

from gitops.errors import ConfigError
from gitops.model.fleet import SourceSpec
from gitops.model.secret import SecretRef
from gitops.plugins import Plugin, Role, Services, plugins
from gitops.ports import Scope
from tests.unit.check_cases import Frozen, Keyed, NoChildren

ALL = [(role, name) for role in Role for name in sorted(plugins(role))]
SAMPLE: dict[tuple[Role, str], dict[str, Any]] = {
    (Role.SOURCE, "git"): {"name": "s", "url": "https://example.com/x.git"},
    (Role.SOURCE, "directory"): {"name": "s", "url": "/", "allow_local": True},
    (Role.SOURCE, "oci"): {"name": "s", "url": "registry.example.com/shop:v1"},
    (Role.SOURCE, "web"): {"name": "s", "url": "https://example.com/x.tar.gz"},
    (Role.NOTIFIER, "apprise"): {"url": SecretRef(env="NO_SUCH_SECRET")},
    (Role.NOTIFIER, "webhook"): {"url": "https://example.com/x"},
    (Role.NOTIFIER, "slack"): {
        "bot_token": SecretRef(env="NO_SUCH_SECRET"),
        "channel": "#deploys",
    },
    **{
        (Role.WEBHOOK, name): {"secret": SecretRef(env="NO_SUCH_SECRET")}
        for name in plugins(Role.WEBHOOK)
    },
    **{
        (Role.FORGE, name): {"url": "https://bitbucket.org/acme/config"}
        for name in plugins(Role.FORGE)
    },
}
"""Options a plugin cannot be built without."""


@pytest.fixture(params=ALL, ids=lambda each: f"{each[0].value}/{each[1]}")
def plugin(request: pytest.FixtureRequest) -> Plugin:
    role, name = request.param
    return plugins(role)[name]


@pytest.fixture
def lent(tmp_path: Path) -> Services:
    return Services(NoChildren(), Keyed(), Frozen(), tmp_path / "state", tmp_path / "cache")


def sample(plugin: Plugin) -> dict[str, Any]:
    return SAMPLE.get((plugin.role, plugin.name), {})


def test_every_role_has_the_plugins_a_fleet_file_needs() -> None:
    assert {"yaml-lint", "kube-schema", "overlap"} <= set(plugins(Role.CHECK))
    assert {"plain", "kustomize", "helm"} <= set(plugins(Role.RENDERER))
    assert {"git", "directory", "oci", "web"} <= set(plugins(Role.SOURCE))
    assert {"console"} <= set(plugins(Role.NOTIFIER))
    forges = {"github", "gitlab", "gitea", "bitbucket-cloud", "bitbucket-dc"}
    assert {*forges, "generic"} <= set(plugins(Role.WEBHOOK))
    assert forges <= set(plugins(Role.FORGE))


def test_it_has_a_name_and_a_version(plugin: Plugin) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]*", plugin.name)
    assert isinstance(plugin.version, str)
    assert plugin.version


def test_its_module_says_why_it_exists(plugin: Plugin) -> None:
    assert len(inspect.getdoc(plugin.module) or "") > 80


def test_its_options_are_a_frozen_dataclass_with_every_field_documented(plugin: Plugin) -> None:
    options = plugin.options
    assert dataclasses.is_dataclass(options)
    assert options.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert options.__doc__
    assert not options.__doc__.startswith("Options(")
    documented = _documented(options)
    if plugin.role is Role.SOURCE:  # what every source is given is the fleet model's to document
        documented |= {f.name for f in dataclasses.fields(SourceSpec)}
    assert [f.name for f in dataclasses.fields(options) if f.name not in documented] == []


def _documented(options: type[Any]) -> set[str]:
    """Fields followed by a docstring of their own."""
    (cls,) = ast.parse(inspect.getsource(options)).body
    assert isinstance(cls, ast.ClassDef)
    pairs = zip(cls.body, cls.body[1:], strict=False)
    return {
        field.target.id
        for field, text in pairs
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }


def test_its_options_have_types_a_schema_can_be_made_of(plugin: Plugin) -> None:
    hints = typing.get_type_hints(plugin.options)
    assert set(hints) >= {f.name for f in dataclasses.fields(plugin.options)}


def test_it_builds_from_its_defaults_without_touching_anything(
    plugin: Plugin, lent: Services, tmp_path: Path
) -> None:
    built = plugin.build(sample(plugin), lent)
    assert built is not None
    assert list(tmp_path.rglob("*")) == []


def test_what_it_builds_plays_its_role(plugin: Plugin, lent: Services) -> None:
    built = plugin.build(sample(plugin), lent)
    methods = {
        Role.CHECK: ("run",),
        Role.RENDERER: ("detects", "render"),
        Role.SOURCE: ("look", "snapshot", "authorship"),
        Role.NOTIFIER: ("send",),
        Role.WEBHOOK: ("hear", "sample"),
        Role.FORGE: ("tell", "report", "comment", "uncomment", "pull", "open_pulls", "pulls_of"),
    }[plugin.role]
    assert all(callable(getattr(built, method, None)) for method in methods)
    if plugin.role is not Role.SOURCE:
        assert built.name == plugin.name
    if plugin.role is Role.CHECK:
        assert built.version == plugin.version
        assert isinstance(built.scope, Scope)


def test_an_unknown_option_is_refused_naming_what_there_is(plugin: Plugin, lent: Services) -> None:
    with pytest.raises(ConfigError, match="no-such-option") as refused:
        plugin.build({**sample(plugin), "no-such-option": 1}, lent)
    assert refused.value.hint


def test_names_are_unique_across_modules_of_a_role() -> None:
    for role in Role:
        modules = [plugin.module.__name__ for plugin in plugins(role).values()]
        assert len(set(modules)) == len(modules)
