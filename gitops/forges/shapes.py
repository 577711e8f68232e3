"""Reads what a forge answered: strictly, and no more of it than is used.

Every model here and in the clients says what the forge documents; anything else is refused in words
that hold nothing of the answer. Pure.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from typing import Annotated, Any, TypeVar, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from gitops.errors import Permanent

T = TypeVar("T")

_LOGIN = re.compile(r"[^\s:/@\x00-\x1f\x7f]{1,100}\Z")
_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?\Z")


class Said(BaseModel):
    """What a forge says. Keys nobody asked for are left aside, wrong types are not."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True, hide_input_in_errors=True)


def _commit(value: str) -> str:
    if not _COMMIT.match(value):
        raise ValueError("not a commit id")
    return value


def _cut(limit: int) -> AfterValidator:
    return AfterValidator(lambda text: text[:limit])


CommitId = Annotated[str, AfterValidator(_commit)]
Title = Annotated[str, _cut(500)]
Text = Annotated[str, _cut(1 << 20)]
Number = Annotated[int, Field(ge=1, lt=1 << 53)]


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def read(kind: type[T], body: bytes) -> T:
    """The value of a JSON answer. Raises Permanent; nothing of the answer is in its words."""
    try:
        found: T = _adapter(cast("Any", kind)).validate_json(body, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        at = ".".join(str(part)[:40] for part in first["loc"] if part in _known(kind)) or "its top"
        what = "no JSON" if first["type"] == "json_invalid" else f"not what it documents, at {at}"
        raise Permanent(
            f"the forge's answer is {what}", hint="check the address under `forge:` `api:`"
        ) from None
    return found


def _known(kind: Any) -> frozenset[str]:
    """Names that are ours to repeat: those of the models, never a key of the answer."""
    fields: set[str] = set()
    pending, seen = [kind], set()
    while pending:
        each = pending.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        pending += getattr(each, "__args__", ())
        if isinstance(each, type) and issubclass(each, BaseModel):
            for name, field in each.model_fields.items():
                fields.add(field.alias or name)
                pending.append(field.annotation)
    return frozenset(fields)


def login(kind: str, name: str | None) -> str:
    """``github:ada``; empty for nobody, and for what is no login."""
    return f"{kind}:{name}" if name and _LOGIN.match(name) else ""


def link(text: str | None) -> str:
    """An address people may be led to; empty for anything but http(s)."""
    if not text or len(text) > 2000 or not text.isascii() or not text.isprintable():
        return ""
    try:
        parts = urlsplit(text)
    except ValueError:
        return ""
    safe = parts.scheme in ("https", "http") and parts.hostname and not set(text) & set(' "<>\\')
    return text if safe else ""


def moment(when: datetime | None) -> float:
    """Seconds since the epoch; 0 where the forge does not say (or names no time zone)."""
    if when is None or when.tzinfo is None:
        return 0.0
    return when.timestamp()


def is_commit(text: str) -> bool:
    return _COMMIT.match(text) is not None
