"""Holds a value against an OpenAPI v3 schema the way the API server would.

Called by :mod:`planners.checks.kube_schema`. Pure. Two dialects: *native* types are Go structures
(null means absent, an object without properties takes anything), *custom* ones are structural
schemas of CustomResourceDefinitions (what is not specified is pruned unless preserved, null must be
allowed). An error here blocks a delivery, so in doubt nothing is said: the server's own dry-run
comes after. No message holds a value but that of a word which should have been another word.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, ValidationError, core_schema

Path = tuple[str | int, ...]
Schema = Mapping[str, Any]

MAX_DEPTH = 120
_REF = "#/components/schemas/"
_QUANTITY = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?", re.ASCII)
_DATE_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]*={0,2}\s*", re.ASCII)
_ODD_NAME = re.compile(r"[^\w$-]")
_INTEGERS = {"int32": 31, "int64": 63}
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int, float),
    "number": (int, float),
}
_WORDS = {dict: "a mapping", list: "a list", str: "text", bool: "true or false"}
_DEFAULTED = {("io.k8s.api.rbac.v1.RoleRef", "apiGroup")}
"""Called required by the schema, filled in by the server."""
_EMBEDDED = ("apiVersion", "kind", "metadata")


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that does not fit."""

    path: Path
    message: str
    hint: str = ""

    @property
    def field(self) -> str:
        """``spec.containers[0].image``"""
        text = ""
        for step in self.path:
            plain = isinstance(step, str) and not _ODD_NAME.search(step)
            text += f".{step}" if plain else f"[{step!r}]"
        return text.lstrip(".") or "the object"


@dataclass(frozen=True, slots=True)
class Validator:
    """One dialect over the schemas of one document."""

    components: Mapping[str, Schema]
    native: bool
    metadata: Schema | None = None
    """For custom kinds, whose definitions leave ``metadata`` open: what to hold it against."""

    def issues(self, body: Mapping[str, Any], schema: Schema) -> Iterator[Issue]:
        """Everything that does not fit, outermost first. ``status`` is the server's own affair."""
        shown = {key: value for key, value in body.items() if key != "status"}
        if not self.native:
            metadata = shown.pop("metadata", None)
            if self.metadata is not None and metadata is not None:
                served = Validator(self.components, native=True)
                yield from served.check(metadata, self.metadata, ("metadata",))
            schema = {**schema, "x-kubernetes-embedded-resource": True}
        yield from self.check(shown, schema, ())

    def check(self, value: Any, schema: Schema, path: Path) -> Iterator[Issue]:
        schema, name = self._resolved(schema)
        if len(path) > MAX_DEPTH or not schema:
            return
        if value is None:
            if not self._null_allowed(schema):
                yield Issue(path, "may not be null", "give it a value or leave it out")
            return
        either = schema.get("x-kubernetes-int-or-string")
        if either or schema.get("format") == "int-or-string":
            if isinstance(value, bool) or not isinstance(value, int | str):
                yield Issue(path, "has to be a whole number or text")
                return
        elif name.endswith(".api.resource.Quantity"):
            yield from _quantity(value, path)
        elif (issue := _mistyped(value, schema, path)) is not None:
            yield issue
            return
        if isinstance(value, dict):
            yield from self._object(value, schema, name, path)
        elif isinstance(value, list):
            yield from self._array(value, schema, path)
        yield from self._values(value, schema, path)

    def _resolved(self, schema: Schema) -> tuple[Schema, str]:
        """The schema behind references, and the last name on the way."""
        name = ""
        for _ in range(20):
            reference = schema.get("$ref")
            parts: Sequence[Schema] = schema.get("allOf") or ()
            if reference is None and len(parts) == 1:
                reference = parts[0].get("$ref")
            if not isinstance(reference, str):
                break
            name = reference.removeprefix(_REF)
            schema = self.components.get(name, {})
        return schema, name

    def _null_allowed(self, schema: Schema) -> bool:
        """A custom field with a default gets it in place of null."""
        return self.native or bool(schema.get("nullable")) or "default" in schema

    def _object(self, value: Any, schema: Schema, name: str, path: Path) -> Iterator[Issue]:
        known = schema.get("properties") or {}
        others = schema.get("additionalProperties")
        for key, item in value.items():
            if key in known:
                if not (key in _EMBEDDED and self._embeds(schema)):
                    yield from self.check(item, known[key], (*path, key))
            elif isinstance(others, Mapping):
                yield from self.check(item, others, (*path, key))
            elif self._closed(schema, known, others, key):
                yield _unknown(key, known, path)
        yield from self._missing(value, schema, known, name, path)

    def _embeds(self, schema: Schema) -> bool:
        return bool(schema.get("x-kubernetes-embedded-resource"))

    def _closed(self, schema: Schema, known: Schema, others: Any, key: str) -> bool:
        """Would a field of this name be dropped?"""
        if others or schema.get("x-kubernetes-preserve-unknown-fields"):
            return False
        if self._embeds(schema) and key in _EMBEDDED:
            return False
        return bool(known) or (not self.native and schema.get("type") == "object")

    def _missing(
        self, value: Any, schema: Schema, known: Schema, name: str, path: Path
    ) -> Iterator[Issue]:
        for key in schema.get("required") or ():
            absent = key not in value or (self.native and value[key] is None)
            if absent and not self._filled_in(known.get(key) or {}, name, key):
                yield Issue((*path, key), "is required and missing", f"add {key!r}")

    def _filled_in(self, schema: Schema, name: str, key: str) -> bool:
        """A native number or truth that is missing is zero or false, which may be what is meant;
        so is an empty structure. A custom field's default is really filled in."""
        if not self.native:
            return "default" in schema
        if (name, key) in _DEFAULTED or schema.get("type") in ("integer", "number", "boolean"):
            return True
        return schema.get("default") == {} and "allOf" in schema

    def _array(self, value: list[Any], schema: Schema, path: Path) -> Iterator[Issue]:
        items = schema.get("items")
        if isinstance(items, Mapping):
            for index, item in enumerate(value):
                yield from self.check(item, items, (*path, index))
        if schema.get("x-kubernetes-list-type") == "map" and isinstance(items, Mapping):
            yield from self._doubles(value, schema, items, path)

    def _doubles(
        self, value: list[Any], schema: Schema, items: Schema, path: Path
    ) -> Iterator[Issue]:
        """Elements of one key: server-side apply answers 500 to them."""
        keys = schema.get("x-kubernetes-list-map-keys") or ()
        known = self._resolved(items)[0].get("properties") or {}
        seen: dict[tuple[Any, ...], int] = {}
        for index, item in enumerate(value):
            if not isinstance(item, dict):
                continue
            named = tuple(item.get(k, self._resolved_default(known.get(k))) for k in keys)
            if any(isinstance(part, dict | list) for part in named):
                continue
            if named in seen:
                words = ", ".join(keys)
                first = f"element {seen[named]} has the same {words}"
                yield Issue((*path, index), first, "keep one of the two")
            seen.setdefault(named, index)

    def _resolved_default(self, schema: Schema | None) -> Any:
        return (schema or {}).get("default")

    def _values(self, value: Any, schema: Schema, path: Path) -> Iterator[Issue]:
        """Constraints on the value itself, and the combinations of them."""
        yield from _bounds(value, schema, path, self.native)
        if self.native:
            return
        for part in schema.get("allOf") or ():
            yield from self._values(value, part, path)
        yield from self._alternatives(value, schema, path)

    def _alternatives(self, value: Any, schema: Schema, path: Path) -> Iterator[Issue]:
        any_of, one_of = schema.get("anyOf") or (), schema.get("oneOf") or ()
        if any_of and not self._fitting(value, any_of, path):
            yield Issue(path, f"fits none of the {len(any_of)} forms it can have")
        if one_of and self._fitting(value, one_of, path) != 1:
            yield Issue(path, f"has to fit exactly one of the {len(one_of)} forms it can have")
        if schema.get("not") and self._fitting(value, (schema["not"],), path):
            yield Issue(path, "has a form that the schema rules out")

    def _fitting(self, value: Any, parts: Sequence[Schema], path: Path) -> int:
        return sum(not any(self._part(value, part, path)) for part in parts)

    def _part(self, value: Any, schema: Schema, path: Path) -> Iterator[Issue]:
        """One alternative: constraints only, of the value and of the fields it names."""
        issue = _mistyped(value, schema, path)
        if issue is not None:
            yield issue
        if isinstance(value, dict):
            for key in schema.get("required") or ():
                if key not in value:
                    yield Issue((*path, key), "is missing")
            for key, part in (schema.get("properties") or {}).items():
                if key in value:
                    yield from self._part(value[key], part, (*path, key))
        if isinstance(value, list) and isinstance(schema.get("items"), Mapping):
            for index, item in enumerate(value):
                yield from self._part(item, schema["items"], (*path, index))
        yield from self._values(value, schema, path)


def _unknown(key: str, known: Schema, path: Path) -> Issue:
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.6)
    folded = [each for each in known if each.casefold() == key.casefold()]
    best = (folded or near or [""])[0]
    hint = f"did you mean {best!r}?" if best else "remove it, or correct the level it stands on"
    return Issue((*path, key), "is unknown here", hint)


def _mistyped(value: Any, schema: Schema, path: Path) -> Issue | None:
    wanted = schema.get("type")
    types = _TYPES.get(wanted or "")
    if types is None:
        return None
    fits = isinstance(value, types) and (isinstance(value, bool) <= (wanted == "boolean"))
    if fits and wanted == "integer" and isinstance(value, float):
        fits = value.is_integer()
    if fits:
        return None
    found = "a number" if type(value) in (int, float) else _WORDS.get(type(value), "something else")
    return Issue(path, f"has to be {_wanted(str(wanted))}, not {found}", _advice(wanted, value))


def _wanted(type: str) -> str:
    return {
        "object": "a mapping",
        "array": "a list",
        "string": "text",
        "boolean": "true or false",
        "integer": "a whole number",
        "number": "a number",
    }[type]


def _advice(wanted: Any, value: Any) -> str:
    if wanted == "string" and isinstance(value, bool | int | float):
        return "put it in quotes"
    if wanted in ("integer", "number", "boolean") and isinstance(value, str):
        return "write it without quotes"
    if wanted == "array":
        return "begin each element with a dash"
    return ""


def _quantity(value: Any, path: Path) -> Iterator[Issue]:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number and not (isinstance(value, str) and _QUANTITY.fullmatch(value)):
        yield Issue(path, "is not a quantity", "write it like 500m, 2, 64Mi or 1.5Gi")


def _bounds(value: Any, schema: Schema, path: Path, native: bool) -> Iterator[Issue]:
    choices = schema.get("enum")
    if choices and value not in choices and not (native and value == ""):
        yield _not_listed(value, choices, path)
    if isinstance(value, str):
        yield from _text_bounds(value, schema, path)
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        yield from _number_bounds(value, schema, path)
    else:
        least, most = ("minItems", "maxItems")
        if isinstance(value, dict):
            least, most = ("minProperties", "maxProperties")
        yield from _size(len(value), schema.get(least), schema.get(most), "entries", path)


def _not_listed(value: Any, choices: Sequence[Any], path: Path) -> Issue:
    words = [str(choice) for choice in choices]
    near = difflib.get_close_matches(str(value), words, n=1)
    shown = ", ".join(words[:12]) + (" …" if len(words) > 12 else "")
    hint = f"did you mean {near[0]!r}?" if near else ""
    return Issue(path, f"has to be one of: {shown}", hint)


def _text_bounds(value: str, schema: Schema, path: Path) -> Iterator[Issue]:
    yield from _size(
        len(value), schema.get("minLength"), schema.get("maxLength"), "characters", path
    )
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and not _matches(pattern, value):
        yield Issue(path, f"does not match {pattern[:120]}")
    problem = _format_problem(value, schema.get("format"))
    if problem:
        yield Issue(path, problem)


def _format_problem(value: str, format: Any) -> str:
    if format == "date-time" and not _DATE_TIME.fullmatch(value):
        return "is not a date and time like 2026-01-31T08:00:00Z"
    if format == "byte" and not _BASE64.fullmatch(value):
        return "is not base64"
    if format in ("ipv4", "ipv6") and not _is_address(value, format):
        return f"is not an {format} address"
    return ""


def _is_address(value: str, format: str) -> bool:
    try:
        return f"ipv{ipaddress.ip_address(value).version}" == format
    except ValueError:
        return False


def _number_bounds(value: float, schema: Schema, path: Path) -> Iterator[Issue]:
    bits = _INTEGERS.get(str(schema.get("format")))
    if bits and not -(2**bits) <= value < 2**bits:
        yield Issue(path, f"does not fit into {schema['format']}")
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and (value < least or (schema.get("exclusiveMinimum") and value == least)):
        yield Issue(path, f"is below {least}")
    if most is not None and (value > most or (schema.get("exclusiveMaximum") and value == most)):
        yield Issue(path, f"is above {most}")
    step = schema.get("multipleOf")
    if isinstance(step, int) and step and value % step:
        yield Issue(path, f"is not a multiple of {step}")


def _size(size: int, least: Any, most: Any, unit: str, path: Path) -> Iterator[Issue]:
    if isinstance(least, int) and size < least:
        yield Issue(path, f"has {size} {unit}; at least {least} are needed")
    if isinstance(most, int) and size > most:
        yield Issue(path, f"has {size} {unit}; at most {most} are allowed")


def _matches(pattern: str, value: str) -> bool:
    """By an engine of linear time: both pattern and value come from a repository, and Python's own
    would let them keep it busy for years. What it cannot compile is left to the server."""
    compiled = _compiled(pattern)
    if compiled is None:
        return True
    try:
        compiled.validate_python(value)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=512)
def _compiled(pattern: str) -> SchemaValidator | None:
    try:
        return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex"))
    except SchemaError:
        return None
