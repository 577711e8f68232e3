"""Model values as canonical JSON and back, exactly: what the store and the vault keep.

Called by the store's event codec and by :mod:`gitops.sealing`. Strict both ways, because what is
kept here decides what may be applied: an unknown key, a missing field or a value of another type is
refused, never guessed at. A field with a default may be missing, so that a newer model still reads
what an older one wrote. It never shows anything to people (:mod:`gitops.jsonable` does).

The text is pure ASCII with sorted keys: commit messages may hold lone surrogates and NULs, which
neither UTF-8 nor PostgreSQL would take, and hashes are made over it.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, NamedTuple, NewType, TypeVar, Union, cast, get_args, get_origin
from typing import get_type_hints as hints_of

from gitops.errors import Permanent
from gitops.model.plan import ABSENT

T = TypeVar("T")
_MARK = "$"
"""Key of the wrappers that free values need: ABSENT, tuples, and maps that use the key itself."""


class Unreadable(Permanent):
    """A kept value does not have the shape its type asks for, or cannot be kept at all."""


class Codec(NamedTuple):
    """Both directions between values of one type and plain JSON."""

    pack: Callable[[Any], Any]
    unpack: Callable[[Any], Any]


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def dumps(kind: Any, value: Any) -> str:
    """Canonical JSON of a value of ``kind``. Raises Unreadable for what JSON cannot hold."""
    try:
        return _encode(codec(kind).pack(value))
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"a {_name(kind)} cannot be kept: {error}") from None


def loads(kind: type[T], text: str | bytes) -> T:
    """The value :func:`dumps` wrote. Raises Unreadable for anything else."""
    try:
        return cast("T", codec(cast("Any", kind)).unpack(json.loads(text)))
    except (ValueError, TypeError, RecursionError) as error:
        raise Unreadable(f"this is no {_name(kind)}: {error}") from None


@cache
def codec(kind: Any) -> Codec:
    """The codec of a type hint: dataclasses, enums, tuples, optionals, mappings and scalars."""
    if isinstance(kind, NewType):
        return codec(kind.__supertype__)
    if kind in _SCALARS:
        return _SCALARS[kind]
    if dataclasses.is_dataclass(kind):
        return _record(cast("type[Any]", kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _enum(kind)
    return _composed(kind, get_origin(kind), get_args(kind))


def _composed(kind: Any, origin: Any, args: tuple[Any, ...]) -> Codec:
    if origin in (Union, types.UnionType) and len(args) == 2 and types.NoneType in args:
        return _optional(codec(args[0] if args[1] is types.NoneType else args[1]))
    if origin is tuple and args[1:] == (Ellipsis,):
        return _sequence(codec(args[0]))
    if origin is tuple:
        return _fixed(tuple(codec(arg) for arg in args))
    if isinstance(origin, type) and issubclass(origin, Mapping) and args[0] is str:
        return _mapping(codec(args[1]))
    raise TypeError(f"no way to keep a {kind}")


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def _expect(value: Any, wanted: type[T]) -> T:
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        raise TypeError(f"expected {wanted.__name__}, found {type(value).__name__}")
    return value


# --- scalars ----------------------------------------------------------------------------------


def _text(value: Any) -> str:
    return value if type(value) is str else str.__str__(_expect(value, str))


def _number(value: Any) -> float:
    return value if type(value) is float else float(_expect(value, int))


def _pack_bytes(value: Any) -> str:
    return base64.b64encode(_expect(value, bytes)).decode("ascii")


def _unpack_bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_expect(value, str), validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None


def _whole(value: Any) -> int:
    return _expect(value, int)


def _truth(value: Any) -> bool:
    return _expect(value, bool)


def _pack_free(value: Any) -> Any:
    """A value of no declared type: JSON, tuples, or ABSENT."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        packed = {_text(key): _pack_free(item) for key, item in value.items()}
        return {_MARK: "map", "of": packed} if _MARK in packed else packed
    if isinstance(value, list):
        return [_pack_free(item) for item in value]
    if isinstance(value, tuple):
        return {_MARK: "tuple", "of": [_pack_free(item) for item in value]}
    if value is ABSENT:
        return {_MARK: "absent"}
    raise TypeError(f"no way to keep a {type(value).__name__}")


def _unpack_free(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack_free(item) for item in value]
    if not isinstance(value, dict):
        return value
    if _MARK not in value:
        return {key: _unpack_free(item) for key, item in value.items()}
    return _unwrap(value)


def _unwrap(value: dict[str, Any]) -> Any:
    match value:
        case {"$": "absent", **rest} if not rest:
            return ABSENT
        case {"$": "tuple", "of": list(items), **rest} if not rest:
            return tuple(_unpack_free(item) for item in items)
        case {"$": "map", "of": dict(items), **rest} if not rest:
            return {key: _unpack_free(item) for key, item in items.items()}
    raise ValueError("unknown wrapper of a free value")


_SCALARS: dict[Any, Codec] = {
    str: Codec(_text, _text),
    int: Codec(_whole, _whole),
    bool: Codec(_truth, _truth),
    float: Codec(_number, _number),
    bytes: Codec(_pack_bytes, _unpack_bytes),
    Any: Codec(_pack_free, _unpack_free),
    object: Codec(_pack_free, _unpack_free),
}


# --- composed ---------------------------------------------------------------------------------


def _enum(kind: type[Enum]) -> Codec:
    def pack(value: Any) -> Any:
        return _expect(value, kind).value

    return Codec(pack, kind)


def _optional(inner: Codec) -> Codec:
    def pack(value: Any) -> Any:
        return None if value is None else inner.pack(value)

    def unpack(value: Any) -> Any:
        return None if value is None else inner.unpack(value)

    return Codec(pack, unpack)


def _sequence(inner: Codec) -> Codec:
    def pack(value: Any) -> list[Any]:
        return [inner.pack(item) for item in _expect(value, tuple)]

    def unpack(value: Any) -> tuple[Any, ...]:
        return tuple(inner.unpack(item) for item in _expect(value, list))

    return Codec(pack, unpack)


def _fixed(parts: tuple[Codec, ...]) -> Codec:
    def pack(value: Any) -> list[Any]:
        pairs = zip(parts, _expect(value, tuple), strict=True)
        return [part.pack(item) for part, item in pairs]

    def unpack(value: Any) -> tuple[Any, ...]:
        pairs = zip(parts, _expect(value, list), strict=True)
        return tuple(part.unpack(item) for part, item in pairs)

    return Codec(pack, unpack)


def _mapping(inner: Codec) -> Codec:
    def pack(value: Any) -> dict[str, Any]:
        return {_text(k): inner.pack(v) for k, v in _expect(value, dict).items()}

    def unpack(value: Any) -> dict[str, Any]:
        return {key: inner.unpack(item) for key, item in _expect(value, dict).items()}

    return Codec(pack, unpack)


def _record(kind: type[Any]) -> Codec:
    """A dataclass as an object of its init fields; derived fields are made again on reading."""
    hints = hints_of(kind)
    fields = [f for f in dataclasses.fields(kind) if f.init]
    codecs = {f.name: codec(hints[f.name]) for f in fields}
    required = {
        f.name
        for f in fields
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    }

    def pack(value: Any) -> dict[str, Any]:
        if type(value) is not kind:
            raise TypeError(f"expected {kind.__name__}, found {type(value).__name__}")
        return {name: part.pack(getattr(value, name)) for name, part in codecs.items()}

    def unpack(value: Any) -> Any:
        found = _expect(value, dict)
        if missing := required - found.keys():
            raise ValueError(f"{kind.__name__} without {', '.join(sorted(missing))}")
        if unknown := found.keys() - codecs.keys():
            raise ValueError(f"{kind.__name__} with unknown {', '.join(sorted(unknown))}")
        return kind(**{name: codecs[name].unpack(item) for name, item in found.items()})

    return Codec(pack, unpack)
