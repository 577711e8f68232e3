"""Says what the shape check found in words an operator can act on.

pydantic tells *that* a value does not fit; people need the place, the key, what was expected and
what to write. Never shows a value that could be a secret. Called by :mod:`gitops.config.load`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from gitops.config.problems import Draft, Loc, nearest
from gitops.config.shape import FleetFile
from gitops.config.tree import Node
from gitops.foreign import one_line

_ENTRIES = {
    "sources": "source",
    "clusters": "cluster",
    "applications": "application",
    "approvals": "approval policy",
    "people": "person",
    "groups": "group",
    "notifiers": "notifier",
    "webhooks": "webhook",
    "checks": "check",
}
_SECRET_WORDS = (
    *("token", "password", "passwd", "secret", "key", "credential", "url", "git"),
    *("environment", "variables", "backend"),
)
_KINDS: Mapping[type, str] = {dict: "a mapping", list: "a list", bool: "true or false"}
_EXPECTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dataclass_type": "a mapping",
}


def secretive(loc: Iterable[str | int]) -> bool:
    """Could the value at this path be a secret? Then no message shows it."""
    return any(word in str(part).lower() for part in loc for word in _SECRET_WORDS)


def owner(loc: Loc) -> str:
    """What a path belongs to, in words: ``application "shop"``, ``credentials of source "a"``."""
    parts = [part for part in loc if not _is_tag(part)]
    if not parts:
        return "the fleet file"
    section, rest = str(parts[0]), parts[1:]
    if section == "discover" and rest and isinstance(rest[0], int):
        named, inner = f"discovery {rest[0] + 1}", rest[1:]
    elif section in _ENTRIES and rest:
        named, inner = f'{_ENTRIES[section]} "{one_line(str(rest[0]), 80)}"', rest[1:]
    else:
        named, inner = f'section "{one_line(section, 80)}"', rest
    path = ".".join(str(part) for part in inner if isinstance(part, str))
    return f"{one_line(path, 80)} of {named}" if path else named


def explain(draft: Draft, errors: Iterable[Mapping[str, Any]]) -> None:
    """Adds one problem per pydantic error."""
    for error in errors:
        _explain(draft, error["type"], tuple(error["loc"]), error.get("ctx") or {}, error["msg"])


def _explain(draft: Draft, kind: str, loc: Loc, ctx: Mapping[str, Any], msg: str) -> None:
    is_key = bool(loc) and loc[-1] == "[key]"
    loc = loc[:-1] if is_key else loc
    node, _ = draft.root.find(loc)
    if kind == "extra_forbidden":
        message, hint = _unknown_key(loc)
        draft.refuse_at(draft.named(loc), message, hint)
    elif kind == "missing":
        draft.refuse(loc, f'{owner(loc[:-1])} needs a key "{loc[-1]}"', _described(loc))
    elif kind == "said":
        subject = f'"{_shown(loc, node)}"' if is_key or _is_list_item(loc) else _subject(loc)
        subject = f'the name "{one_line(str(loc[-1]), 80)}"' if is_key else subject
        named = draft.named(loc)
        place = named if is_key or isinstance(node.value, dict | list) else node.place
        draft.refuse_at(place, f"{subject} {ctx['message']}", ctx["hint"])
    else:
        message, hint = fault(kind, ctx, msg, loc, node)
        draft.refuse(loc, f"{_subject(loc)} {message}", hint)


def fault(kind: str, ctx: Mapping[str, Any], msg: str, loc: Loc, node: Node) -> tuple[str, str]:
    """How a value does not fit: the rest of a sentence about it, and what to write."""
    found = _found(loc, node)
    if kind in _EXPECTED:
        return f"has to be {_EXPECTED[kind]}, not {found}", _instead(_EXPECTED[kind], node)
    if kind in ("literal_error", "enum"):
        allowed = str(ctx.get("expected", "")).replace("'", "")
        words = allowed.replace(" or ", ", ").split(", ")
        near = nearest(str(node.value), words)
        return f"has to be {allowed}, not {found}", near if near.startswith("did") else ""
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return f"does not take {found}", f"write {_variants(loc)}"
    if kind in ("greater_than_equal", "less_than_equal"):
        limit = ctx.get("ge", ctx.get("le"))
        return f"has to be at {'least' if 'ge' in ctx else 'most'} {limit}", ""
    if kind in ("too_short", "too_long"):
        return "has the wrong number of entries", f"write {_variants(loc)}"
    return f"does not fit: {msg[:1].lower()}{msg[1:]}", ""


def _subject(loc: Loc) -> str:
    parts = [part for part in loc if not _is_tag(part)]
    if len(parts) == 1:
        return f'section "{parts[0]}"'
    if parts and isinstance(parts[-1], int):
        return f"entry {parts[-1] + 1} of {owner(loc)}"
    if len(parts) == 2 and str(parts[0]) in _ENTRIES:
        return owner(loc)
    return (
        f'"{one_line(str(parts[-1]), 80)}" of {owner(tuple(parts[:-1]))}' if parts else "the file"
    )


def _shown(loc: Loc, node: Node) -> str:
    return "…" if secretive(loc) else one_line(str(node.value), 80)


def _is_list_item(loc: Loc) -> bool:
    return bool(loc) and isinstance(loc[-1], int) and not secretive(loc)


def _found(loc: Loc, node: Node) -> str:
    if node.value is None:
        return "nothing"
    for kind, word in _KINDS.items():
        if isinstance(node.value, kind):
            return word if kind is not bool else str(node.value).lower()
    noun = "text" if isinstance(node.value, str) else "number"
    if secretive(loc):
        return f"a {noun}" if noun == "number" else noun
    return f'the text "{one_line(node.raw, 60)}"' if noun == "text" else f"the number {node.raw}"


def _instead(expected: str, node: Node) -> str:
    """What to write, where the intention is plain."""
    if expected == "text" and isinstance(node.value, bool | int | float):
        return f'put it in quotes: "{node.raw}"'
    if expected == "true or false" and isinstance(node.value, str):
        truth = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false"}
        word = truth.get(node.value.lower())
        return f"write {word}" if word else ""
    if expected in ("a whole number", "a number") and isinstance(node.value, str):
        return "write the number without quotes" if node.value.isdigit() else ""
    if expected == "a list" and node.value is not None and not isinstance(node.value, dict):
        return "put it in brackets: [ … ]"
    if expected == "a mapping":
        return "write keys with values, one a line: KEY: VALUE"
    return ""


def _variants(loc: Loc) -> str:
    last = next((str(part) for part in reversed(loc) if not _is_tag(part)), "")
    return {
        "clusters": "a name, a list of names, or {labels: {…}}",
        "renderer": "NAME, or NAME: {option: value}",
        "approval": "the name of a policy, or the policy itself",
    }.get(last, _inner_variants(loc))


def _inner_variants(loc: Loc) -> str:
    if "environment" in loc:
        return "text in quotes, {env: VARIABLE} or {file: PATH}"
    if "needs" in loc:
        return "APPLICATION.OUTPUT, or {application: …, output: …}"
    return "true, false or {option: value}" if "checks" in loc else "NAME, or NAME: {…}"


def _unknown_key(loc: Loc) -> tuple[str, str]:
    key = one_line(str(loc[-1]), 80)
    known = [name for shape in _shapes(loc[:-1]) for name in shape.model_fields]
    where = f" in {owner(loc[:-1])}" if len(loc) > 1 else ""
    return f'unknown key "{key}"{where}', nearest(str(loc[-1]), known)


def _described(loc: Loc) -> str:
    for shape in _shapes(loc[:-1]):
        field = shape.model_fields.get(str(loc[-1]))
        if field is not None and field.description:
            return f"{loc[-1]}: {field.description}"
    return ""


def _is_tag(part: str | int) -> bool:
    return isinstance(part, str) and part.startswith("<") and part.endswith(">")


def _shapes(loc: Loc) -> list[type[BaseModel]]:
    """The models that describe what is at a path."""
    present: list[Any] = [FleetFile]
    for part in loc:
        if not _is_tag(part):
            present = [after for kind in present for after in _step(kind, part)]
    return [kind for kind in present if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _step(kind: Any, part: str | int) -> list[Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return _alternatives(field.annotation) if field else []
    if get_origin(kind) in (dict, list):
        return _alternatives(get_args(kind)[-1])
    return []


def _alternatives(kind: Any) -> list[Any]:
    if get_origin(kind) is Annotated:
        return _alternatives(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [core for arm in get_args(kind) for core in _alternatives(arm)]
    return [] if kind is NoneType else [kind]
