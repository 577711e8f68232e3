"""The JSON syntax (``.tf.json``), read with places and with keys that occur twice.

To Terraform two equal keys are two blocks, where other readers keep the last: so the text is read
here. Which keys are blocks depends on the block around them, as in hashicorp/hcl's JSON form; all
else is an expression, whose strings are templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from json import decoder
from typing import Any

from gitops.hcl import native
from gitops.hcl.grammar import number
from gitops.hcl.scan import MAX_DEPTH, MAX_TOKENS, refuse_controls
from gitops.hcl.tree import Attribute, Block, Body, Expression, Kind, Unreadable

_TOP = {
    "terraform": 0, "locals": 0, "provider": 1, "variable": 1, "output": 1, "module": 1,
    "resource": 2, "data": 2, "ephemeral": 2, "action": 2, "list": 2, "check": 1,
    "moved": 0, "import": 0, "removed": 0, "run": 1, "test": 0, "variables": 0,
    "mock_provider": 1, "mock_resource": 1, "mock_data": 1,
    "override_resource": 0, "override_data": 0, "override_module": 0,
}  # fmt: skip
_ACTS = {"provisioner": 1, "connection": 0, "lifecycle": 0}
_NESTED: Mapping[str, Mapping[str, int]] = {
    "": _TOP,
    "terraform": {
        "backend": 1, "cloud": 0, "state_store": 1, "required_providers": 0,
        "provider_meta": 1, "encryption": 0,
    },
    "encryption": {"key_provider": 2, "method": 2},
    "resource": _ACTS,
    "removed": _ACTS,
    "data": _ACTS,
    "ephemeral": _ACTS,
    "provisioner": {"connection": 0},
    "check": {"data": 2, "assert": 0},
    "run": {"module": 0, "variables": 0, "plan_options": 0, "assert": 0},
    "mock_provider": {"mock_resource": 1, "mock_data": 1},
}  # fmt: skip
"""Labels each block has, by what it stands in. Blocks no rule looks at are missing: what they hold
is read as values."""

_scan: Callable[[str, int, bool], tuple[str, int]] = vars(decoder)["scanstring"]
"""The standard library's own reader of strings; its stubs do not know it."""
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "false": False, "null": None}


@dataclass(slots=True)
class _Value:
    """One JSON value: text, number, word, list of values, or list of (key, offset, value)."""

    sort: str
    offset: int
    value: Any


def parse(text: str) -> Body:
    """A whole file. Raises Unreadable."""
    refuse_controls(text)
    top = _Reader(text).whole()
    converter = _Converter(text)
    body = converter.body(top, "")
    return converter.filled(body)


def value(given: Any) -> Expression:
    """A plain value (of the operator's) as the expression it would be; its strings are no
    templates."""
    if isinstance(given, Mapping):
        parts = [part for key, each in given.items() for part in (value(str(key)), value(each))]
        return Expression(Kind.OBJECT, 0, 0, None, tuple(parts))
    if isinstance(given, list | tuple):
        return Expression(Kind.LIST, 0, 0, None, tuple(value(each) for each in given))
    return Expression(Kind.LITERAL, 0, 0, given)


class _Reader:
    """JSON with places. Recursion is bounded by MAX_DEPTH."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._count = 0

    def whole(self) -> _Value:
        self._space()
        value = self._value(0)
        self._space()
        if self._at < len(self._text):
            raise Unreadable("something follows the end of the JSON value", self._at)
        return value

    def _space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at

    def _value(self, depth: int) -> _Value:
        at = self._at
        self._count += 1
        if depth > MAX_DEPTH or self._count > MAX_TOKENS:
            raise Unreadable("holds too many values, or too many in one another", at)
        char = self._text[at : at + 1]
        if char == '"':
            return _Value("text", at, self._string())
        if char == "{":
            return _Value("object", at, list(self._members(depth)))
        if char == "[":
            return _Value("list", at, list(self._elements(depth)))
        return self._scalar(at)

    def _scalar(self, at: int) -> _Value:
        found = _NUMBER.match(self._text, at)
        if found:
            self._at = found.end()
            return _Value("scalar", at, _signed(found[0]))
        for word, meaning in _WORDS.items():
            if self._text.startswith(word, at):
                self._at += len(word)
                return _Value("scalar", at, meaning)
        raise Unreadable("is not JSON from here on", at)

    def _string(self) -> str:
        try:
            text, self._at = _scan(self._text, self._at + 1, True)
        except json.JSONDecodeError as error:
            raise Unreadable("the text is not closed, or holds a wrong escape", error.pos) from None
        refuse_surrogates(text, self._at)
        return text

    def _members(self, depth: int) -> Iterator[tuple[str, int, _Value]]:
        for _ in self._separated("}"):
            at = self._at
            if self._text[at : at + 1] != '"':
                raise Unreadable("a key in quotes is expected here", at)
            key = self._string()
            self._space()
            self._expect(":")
            yield key, at, self._value(depth + 1)

    def _elements(self, depth: int) -> Iterator[_Value]:
        for _ in self._separated("]"):
            yield self._value(depth + 1)

    def _separated(self, end: str) -> Iterator[None]:
        self._at += 1
        self._space()
        if self._text[self._at : self._at + 1] == end:
            self._at += 1
            return
        while True:
            yield
            self._space()
            if self._text[self._at : self._at + 1] == end:
                self._at += 1
                return
            self._expect(",")

    def _expect(self, sign: str) -> None:
        if self._text[self._at : self._at + 1] != sign:
            raise Unreadable(f"{sign!r} is expected here", self._at)
        self._at += 1
        self._space()


class _Converter:
    """JSON values as bodies and expressions. Templates are gathered and parsed in one go."""

    def __init__(self, text: str) -> None:
        self._place = native.Places(text).of
        self._texts: list[str] = []
        self._offsets: list[int] = []

    def body(self, value: _Value, around: str) -> Body:
        known = _NESTED.get(around, {})
        attributes: list[Attribute] = []
        blocks: list[Block] = []
        for each in _objects(value):
            for key, at, inner in each.value:
                if key in known:
                    blocks += self._blocks(key, (), known[key], inner, at)
                elif key != "//":
                    attributes.append(Attribute(key, self._expression(inner), *self._place(at)))
        return Body(tuple(attributes), tuple(blocks))

    def _blocks(
        self, type: str, labels: tuple[str, ...], left: int, value: _Value, at: int
    ) -> Iterator[Block]:
        if not left:
            whole = value.value if value.sort == "list" else [value]
            for each in whole:
                if each.sort != "scalar" or each.value is not None:
                    yield Block(type, labels, self.body(each, type), *self._place(at))
            return
        for each in _objects(value):
            for label, where, inner in each.value:
                yield from self._blocks(type, (*labels, label), left - 1, inner, where)

    def _expression(self, value: _Value) -> Expression:
        place = self._place(value.offset)
        if value.sort == "text":
            return self._text(value, place)
        if value.sort == "scalar":
            return Expression(Kind.LITERAL, *place, value.value)
        if value.sort == "list":
            parts = tuple(self._expression(each) for each in value.value)
            return Expression(Kind.LIST, *place, None, parts)
        members: list[Expression] = []
        for key, at, inner in value.value:
            members.append(self._text(_Value("text", at, key), self._place(at)))
            members.append(self._expression(inner))
        return Expression(Kind.OBJECT, *place, None, tuple(members))

    def _text(self, value: _Value, place: tuple[int, int]) -> Expression:
        if "${" not in value.value and "%{" not in value.value:
            return Expression(Kind.LITERAL, *place, value.value)
        self._texts.append(value.value)
        self._offsets.append(value.offset)
        return Expression(Kind.TEMPLATE, *place, len(self._texts) - 1)

    def filled(self, body: Body) -> Body:
        """With the templates that were put aside."""
        if not self._texts:
            return body
        places = [self._place(offset) for offset in self._offsets]
        try:
            made = native.templates(self._texts, places)
        except Unreadable as error:
            raise Unreadable(error.message, self._offsets[error.offset]) from None
        return _filled_body(body, made)


def _filled_body(body: Body, made: list[Expression]) -> Body:
    return Body(
        tuple(
            Attribute(each.name, _filled(each.value, made), each.line, each.column)
            for each in body.attributes
        ),
        tuple(
            Block(each.type, each.labels, _filled_body(each.body, made), each.line, each.column)
            for each in body.blocks
        ),
    )


def _filled(value: Expression, made: list[Expression]) -> Expression:
    if value.kind is Kind.TEMPLATE:
        number: int = value.value
        return made[number]
    if not value.parts:
        return value
    parts = tuple(_filled(part, made) for part in value.parts)
    return Expression(value.kind, value.line, value.column, value.value, parts)


def _objects(value: _Value) -> Iterator[_Value]:
    """An object, or each of a list of them, as Terraform takes either."""
    if value.sort == "object":
        yield value
    elif value.sort == "list":
        for each in value.value:
            yield from _objects(each)
    elif value.sort == "text" or value.value is not None:
        raise Unreadable("an object is expected here", value.offset)


def _signed(text: str) -> int | float:
    return -number(text[1:]) if text.startswith("-") else number(text)


def refuse_surrogates(text: str, at: int) -> None:
    if any(0xD800 <= ord(char) < 0xE000 for char in text if char > "\ud7ff"):
        raise Unreadable("an escape that names no character", at)
