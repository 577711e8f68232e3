"""Model values as plain JSON and back: what the API sends and ``--output json`` prints.

One rule for every dataclass of the model, so that no face invents its own spelling. A field that
is :data:`~gitops.model.plan.ABSENT` has no key at all, which is how it differs from null; nor has
one whose name begins with an underscore, which is a value's own business. Bytes are refused: what
the model keeps as bytes (manifests, sealed objects) may hold secrets and is no business of any
face. The store has a codec of its own, versioned and strict; this one is for showing.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence, Set
from datetime import timedelta
from enum import Enum
from pathlib import PurePath
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from gitops.model.plan import ABSENT

T = TypeVar("T")
Json = dict[str, Any] | list[Any] | str | int | float | bool | None


def to_json(value: Any) -> Json:
    """Plain JSON of a model value. Raises TypeError for bytes and for what is not of the model."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Enum):
        return to_json(value.value)
    if isinstance(value, str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = (f.name for f in dataclasses.fields(value) if not f.name.startswith("_"))
        return _object({name: getattr(value, name) for name in names})
    if isinstance(value, Mapping):
        return _object(value)
    return _plain(value)


def _object(value: Mapping[Any, Any]) -> Json:
    return {str(key): to_json(item) for key, item in value.items() if item is not ABSENT}


def _plain(value: Any) -> Json:
    if isinstance(value, Set):
        return [to_json(item) for item in sorted(value)]
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [to_json(item) for item in value]
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no place in JSON output")


def from_json(kind: type[T], value: Any) -> T:
    """A model value from what :func:`to_json` made of it.

    Keys that the type does not know are ignored: a newer controller may say more. Raises
    ValueError where a value does not fit, naming the field.
    """
    return _read(kind, value, "")  # type: ignore[no-any-return]


def _read(kind: Any, value: Any, place: str) -> Any:
    origin = get_origin(kind)
    if kind is Any:
        return value
    if origin in (Union, types.UnionType):
        return _read_union(kind, value, place)
    if origin is tuple:
        return _read_tuple(get_args(kind), _expect(value, list, place), place)
    if origin is not None and issubclass(origin, Mapping):
        item = get_args(kind)[1]
        return {k: _read(item, v, f"{place}.{k}") for k, v in _expect(value, dict, place).items()}
    kind = getattr(kind, "__supertype__", kind)  # a NewType is what it was made from
    if dataclasses.is_dataclass(kind):
        return _read_dataclass(kind, _expect(value, dict, place), place)
    return _read_scalar(kind, value, place)


def _read_union(kind: Any, value: Any, place: str) -> Any:
    choices = [choice for choice in get_args(kind) if choice is not type(None)]
    if value is None and len(choices) < len(get_args(kind)):
        return None
    for choice in choices[:-1]:
        try:
            return _read(choice, value, place)
        except ValueError:
            continue
    return _read(choices[-1], value, place)


def _read_tuple(items: tuple[Any, ...], value: list[Any], place: str) -> tuple[Any, ...]:
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(_read(items[0], item, f"{place}[{i}]") for i, item in enumerate(value))
    if len(items) != len(value):
        raise ValueError(f"{place}: {len(items)} values expected, {len(value)} found")
    pairs = zip(items, value, strict=True)
    return tuple(_read(kind, item, f"{place}[{i}]") for i, (kind, item) in enumerate(pairs))


def _read_dataclass(kind: Any, value: dict[str, Any], place: str) -> Any:
    hints = get_type_hints(kind)
    found = {}
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        if field.name in value:
            found[field.name] = _read(
                hints[field.name], value[field.name], f"{place}.{field.name}".lstrip(".")
            )
        elif hints[field.name] is Any:
            found[field.name] = ABSENT
    try:
        return kind(**found)
    except TypeError as error:
        raise ValueError(f"{place or kind.__name__}: {error}") from None


def _read_scalar(kind: Any, value: Any, place: str) -> Any:
    if kind is timedelta:
        return timedelta(seconds=_expect(value, (int, float), place))
    if isinstance(kind, type) and issubclass(kind, Enum | PurePath):
        return kind(_expect(value, str, place))
    if kind is float:
        return float(_expect(value, (int, float), place))
    return _expect(value, kind, place)


def _expect(value: Any, kind: Any, place: str) -> Any:
    wrong_bool = isinstance(value, bool) and kind is not bool
    if wrong_bool or not isinstance(value, kind):
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise ValueError(f"{place or 'value'}: {names} expected, {type(value).__name__} found")
    return value
