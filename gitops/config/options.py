"""Checks a plugin's options in the fleet file against its ``Options`` dataclass.

The plugin is the only one who knows its options; this module turns YAML into their types and says
at which line one does not fit. Called by :mod:`gitops.config.build`. It reads ``Options`` and
builds nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import typing
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import PydanticCustomError

from gitops.config.problems import Draft, Loc, nearest
from gitops.config.scalars import duration
from gitops.config.values import existing
from gitops.config.words import fault
from gitops.errors import ConfigError
from gitops.foreign import one_line
from gitops.model.fleet import NOTHING, SourceSpec
from gitops.model.secret import SecretRef
from gitops.plugins import Plugin, Role, plugins

_ROLE_WORDS = {
    Role.CHECK: "check",
    Role.RENDERER: "renderer",
    Role.SOURCE: "kind of source",
    Role.NOTIFIER: "notifier",
    Role.WEBHOOK: "webhook",
    Role.FORGE: "forge",
}
_THE_SOURCES = ("url", "credentials")


def known(draft: Draft, role: Role, name: str, loc: Loc) -> Plugin | None:
    """The plugin of that name; refuses an unknown one with those there are."""
    found = plugins(role)
    if name in found:
        return found[name]
    shown = one_line(name, 80)
    draft.refuse(loc, f'there is no {_ROLE_WORDS[role]} "{shown}"', nearest(name, found))
    return None


def options(draft: Draft, plugin: Plugin | None, given: Mapping[str, Any], loc: Loc) -> Any:
    """The options in their own types, only those given; problems are added to the draft."""
    if plugin is None:
        return NOTHING
    fields = _fields(plugin)
    taken = {}
    for key, value in given.items():
        if key in fields:
            taken[key] = _value(draft, fields[key], value, (*loc, key), plugin)
        else:
            what = f"{_ROLE_WORDS[plugin.role]} {plugin.name}"
            hint = nearest(key, fields) or "it has no options"
            draft.refuse_at(
                draft.named((*loc, key)), f'{what} has no option "{one_line(key, 80)}"', hint
            )
    _require(draft, plugin, given, loc)
    return taken


def fits(draft: Draft, plugin: Plugin | None, taken: Mapping[str, Any], loc: Loc) -> None:
    """What only the plugin knows of its options, it says when they are made."""
    if plugin is None or None in taken.values():  # one is refused already
        return
    with contextlib.suppress(TypeError):  # one is missing: that was said
        try:
            plugin.options(**taken)
        except ConfigError as error:
            what = f"{_ROLE_WORDS[plugin.role]} {plugin.name}"
            draft.refuse(loc, f"{what}: {error.message}", error.hint)


def _fields(plugin: Plugin) -> dict[str, Any]:
    """Type by option. A source's address and sign-in have keys of their own in the fleet file."""
    hints = typing.get_type_hints(plugin.options)
    fields = {f.name: hints[f.name] for f in dataclasses.fields(plugin.options) if f.init}
    if plugin.role is Role.SOURCE:
        for own in dataclasses.fields(SourceSpec):
            fields.pop(own.name, None)
    if plugin.role is Role.FORGE:  # whose they are too
        fields = {name: kind for name, kind in fields.items() if name not in _THE_SOURCES}
    return fields


def _require(draft: Draft, plugin: Plugin, given: Mapping[str, Any], loc: Loc) -> None:
    mentioned = _fields(plugin)
    for field in dataclasses.fields(plugin.options):
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and field.name in mentioned and field.name not in given:
            what = f"{_ROLE_WORDS[plugin.role]} {plugin.name}"
            draft.refuse(loc, f'{what} needs an option "{field.name}"', f"write {field.name}: …")


def _value(draft: Draft, kind: Any, value: Any, loc: Loc, plugin: Plugin) -> Any:
    node, _ = draft.root.find(loc)
    what = f'option "{one_line(str(loc[-1]), 80)}" of {_ROLE_WORDS[plugin.role]} {plugin.name}'
    arms = typing.get_args(kind) or (kind,)
    if not isinstance(value, dict) and SecretRef in arms and value is not None:
        draft.refuse(loc, f"{what} is a secret in clear", "write {env: VARIABLE} or {file: PATH}")
        return None
    try:
        if timedelta in arms and value is not None:
            return duration(value)
        taken = TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
        return _anchored(draft, taken, loc)
    except PydanticCustomError as error:
        context = error.context or {}
        draft.refuse(loc, f"{what} {context['message']}", str(context["hint"]))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        inner = tuple(first["loc"])
        node, _ = draft.root.find((*loc, *inner))
        ctx = first.get("ctx") or {}
        message, hint = fault(first["type"], ctx, first["msg"], (*loc, *inner), node)
        draft.refuse((*loc, *inner), f"{what} {message}", hint)
    except (PydanticSchemaGenerationError, PydanticUserError):
        return value  # a type only the plugin understands: its build() judges
    return None


def _anchored(draft: Draft, value: Any, loc: Loc) -> Any:
    """Files start at the fleet file, as everywhere else in it."""
    if isinstance(value, Path):
        return existing(draft, str(value), loc)
    if not isinstance(value, SecretRef):
        return value
    if bool(value.env) == bool(value.file):
        draft.refuse(loc, "a secret is in one place", "write {env: VARIABLE} or {file: PATH}")
    elif value.file:
        return SecretRef(file=draft.path((*loc, "file"), str(value.file)))
    return value
