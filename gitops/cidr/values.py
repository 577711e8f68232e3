"""Ranges in plain values: variables, planned values, manifests all come down to these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gitops.cidr.names import hands_out, mentions
from gitops.cidr.ranges import Range, parse

_DEEPEST = 20


def handed_out(name: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Range, str]]:
    """(where in the value, range, its text) of everything a value hands out under its name or
    under one inside it. Keys of a map below such a name are labels (``vpc_cidrs: {prod: …}``)."""
    if depth > _DEEPEST or mentions((name,)):
        return
    if hands_out(name):
        yield from _all(name, value, depth)
        return
    for path, key, inner in _inside(name, value):
        for where, range, text in handed_out(key, inner, depth + 1):
            yield path + where[len(key) :], range, text


def _inside(name: str, value: Any) -> Iterator[tuple[str, str, Any]]:
    """(path, name it goes by, value)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield f"{name}.{key}", str(key), inner
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for index, inner in enumerate(value):
            yield f"{name}[{index}]", name, inner


def _all(path: str, value: Any, depth: int) -> Iterator[tuple[str, Range, str]]:
    if depth > _DEEPEST:
        return
    if isinstance(value, str):
        for range in parse(value):
            yield path, range, value
        return
    for inner_path, key, inner in _inside(path, value):
        if not isinstance(value, Mapping) or not mentions((key,)):
            yield from _all(inner_path, inner, depth + 1)
