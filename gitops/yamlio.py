"""Reads YAML and JSON as the API server does, and writes canonical JSON.

What people approve are bytes; they must mean to the server what they meant to the author. The
server reads YAML through sigs.k8s.io/yaml (go-yaml v2's YAML 1.1 with its own ideas about
scalars, then JSON), and no Python loader reads scalars that way: ``012`` is 10, ``08`` is 8, ``y``
is true, ``12:30:45`` and dates are strings. So the grammar is libyaml's and the meaning is ours
(:func:`resolve`), held to ``kubectl``'s own reading by tests. Where the server would guess or drop
something silently (duplicate keys, an unknown tag, a second document after ``...``) we refuse.

Called by renderers, checks and the fleet file. Pure: no file is opened here, nothing named in a
document is ever constructed, and no error text holds a document's values.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn

import orjson
from yaml import YAMLError
from yaml.cyaml import CParser  # type: ignore[attr-defined]
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)

from gitops import snug
from gitops.errors import RenderError

MAX_NODES = 200_000
"""Per document, aliases counted as often as they are used. The server's own cap is 400,000 decode
operations before it looks at the ratio; an object over 3 MiB is refused by it anyway."""
MAX_FILE_NODES = 1_000_000
MAX_DOCUMENTS = 20_000
"""Per file, empty ones included."""
MAX_BYTES = 16 << 20
"""Of keys and scalars per document, aliases counted as often as they are used: one long text and
many aliases are few nodes, and gigabytes once they are written out."""
MAX_FILE_BYTES = 64 << 20
MAX_DEPTH = 200
"""orjson writes 254 levels; the deepest CustomResourceDefinition seen has about 60."""


@dataclass(frozen=True, slots=True)
class Document:
    """One document that is not empty. ``value`` may share parts where the author used aliases:
    do not change it. Lines count from 1."""

    value: dict[str, Any]
    line: int
    index: int
    """Position among the file's documents that are not empty."""
    starts: tuple[int, ...] = ()
    """Lines where the elements of a root key ``items`` begin (a List's objects)."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its place, for messages: see :func:`tree`. Lines and columns count from 1."""

    value: Any
    """Scalar: its value. Mapping: dict of key → Node. Sequence: list of Node."""
    line: int
    column: int
    keys: dict[str, tuple[int, int]] | None = None
    """Mapping: place of each key."""

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def canonical(value: Any) -> bytes:
    """JSON with sorted keys, no white space, UTF-8. Raises RenderError for what JSON cannot say."""
    try:
        return snug.dumps(value, sort=True)
    except orjson.JSONEncodeError as error:
        raise RenderError("the document holds a value that JSON cannot express") from error


# --- scalars ----------------------------------------------------------------------------------

_WORDS: dict[str, object] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE"), True),
    **dict.fromkeys(("on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE"), False),
    **dict.fromkeys(("off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}
_INT = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[oO](?P<oct>[0-7]+)"
    r"|0[bB](?P<bin>[01]+)|(?P<old>0[0-7]*)|(?P<dec>[1-9][0-9]*))",
    re.ASCII,
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_DOTTED = re.compile(r"\.[0-9]+(_[0-9]+)*([eE][-+]?[0-9]+(_[0-9]+)*)?", re.ASCII)
_SIGNED_BINARY = re.compile(r"0b(?P<digits>[-+][01]+)", re.ASCII)
_BASES = {"hex": 16, "oct": 8, "bin": 2, "old": 8, "dec": 10}
_NUMERIC = frozenset("+-.0123456789")


def resolve(text: str) -> Any:
    """The value of a plain, untagged scalar as go-yaml v2's ``resolve.go`` reads it.

    Integers lie in [-2^63, 2^64); larger decimal ones become floats as they do there.
    """
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if text[0] == ".":
        return _float(text, text) if _DOTTED.fullmatch(text) else text
    plain = text.replace("_", "")
    whole = _integer(plain)
    if whole is not None:
        return whole
    if _FLOAT.fullmatch(plain):
        return _float(plain, text)
    odd = _SIGNED_BINARY.fullmatch(plain)
    return int(odd["digits"], 2) if odd and len(odd["digits"]) <= 64 else text


def _integer(plain: str) -> int | None:
    match = _INT.fullmatch(plain)
    if match is None or len(plain) > 80:
        return None
    base = str(match.lastgroup)
    value = int(match[base], _BASES[base])
    if match["sign"]:
        value = -value if match["sign"] == "-" else value
        return value if -(1 << 63) <= value < 1 << 63 else None
    return value if value < 1 << 64 else None


def _float(digits: str, text: str) -> float | str:
    value = float(digits.replace("_", ""))
    return text if value in (float("inf"), float("-inf")) else value


def _number(value: float) -> int | float:
    """As Go writes it to JSON and the server reads it back: 1e3 is the integer 1000.

    Go writes a whole float below 1e21 as its shortest digits filled up with zeros, which from 2^53
    on is not its exact value; the server then reads that text as an integer if it fits 64 bits.
    """
    if not math.isfinite(value) or abs(value) >= 1e21 or value != int(value):
        return value
    written = int(Decimal(repr(value)))
    return written if -(1 << 63) <= written < 1 << 63 else value


_STR = "tag:yaml.org,2002:str"
_TYPES: dict[str, tuple[type, ...]] = {
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (float, int),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:null": (type(None),),
}
_BINARY = "tag:yaml.org,2002:binary"
_COLLECTIONS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}


# --- building documents -----------------------------------------------------------------------


_TOO_MANY_DOCUMENTS = f"more than {MAX_DOCUMENTS:,} documents in a file"
_SPLIT = "split it into several files"


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


class _Merge:
    """Stands for the key ``<<`` until its value is known."""


_MERGE = _Merge()
_NO_KEY = _Merge()


class _Frame:
    """One open mapping or sequence."""

    __slots__ = ("anchor", "before", "bytes", "key", "keys", "merged", "target", "where")

    def __init__(self, target: Any, event: Any, nodes: int, bytes_: int) -> None:
        self.target = target
        self.anchor: str | None = event.anchor
        self.before = nodes
        self.bytes = bytes_
        self.key: Any = _NO_KEY
        self.merged: set[str] | None = None
        self.where = event.start_mark
        self.keys: dict[str, tuple[int, int]] | None = None


class _Builder:
    """Turns libyaml's events into values, iteratively, so that depth cannot exhaust the stack.

    With ``places`` every value is wrapped in a :class:`Node`.
    """

    def __init__(self, text: bytes, path: str, *, places: bool, nodes: int = MAX_NODES) -> None:
        self.limit = nodes
        # Who asks for more values (an index of charts) has long files too. What is written out in
        # full is no longer than its file, so only aliases can go beyond.
        self.most = MAX_BYTES if nodes <= MAX_NODES else max(MAX_BYTES, len(text))
        self.most_in_file = max(MAX_FILE_BYTES, len(text))
        self.path = path
        self.places = places
        self.total = 0
        self.total_bytes = 0
        self.bytes = 0
        self.parser = CParser(text)
        self.anchors: dict[str, tuple[Any, int, int]] = {}
        self.open: set[str] = set()
        self.nodes = 0
        self.starts: list[int] = []

    def fail(self, mark: Any, message: str, hint: str = "") -> NoReturn:
        place = f"{self.path}:{mark.line + 1}:{mark.column + 1}" if mark else self.path
        raise RenderError(message, hint=hint, place=place)

    def documents(self) -> Iterator[tuple[Any, int, tuple[int, ...]]]:
        """(value, line, starts of ``items``) of every document, empty ones included."""
        try:
            yield from self._documents()
        except YAMLError as error:
            raise _syntax(error, self.path) from error

    def _documents(self) -> Iterator[tuple[Any, int, tuple[int, ...]]]:
        event: Any = self.parser.get_event
        ended = None
        count = 0
        while True:
            current = event()
            kind = type(current)
            if kind is StreamEndEvent:
                return
            if kind is StreamStartEvent:
                continue
            if kind is DocumentEndEvent:
                ended = current
                continue
            self._opening(current, ended)
            count += 1
            if count > MAX_DOCUMENTS:
                self.fail(current.start_mark, _TOO_MANY_DOCUMENTS, _SPLIT)
            self.anchors, self.open, self.nodes, self.bytes, self.starts = {}, set(), 0, 0, []
            value, line = self._document(event)
            yield value, line, tuple(self.starts)

    def _opening(self, event: DocumentStartEvent, ended: DocumentEndEvent | None) -> None:
        if event.version or event.tags:
            self.fail(
                event.start_mark,
                "YAML directives (%YAML, %TAG) are not read by Kubernetes",
                "remove the line that begins with %",
            )
        if ended is not None and not event.explicit:
            self.fail(
                event.start_mark,
                "text after the end of a document (...) would be ignored by Kubernetes",
                "separate documents by a line with ---",
            )

    def _document(self, event: Any) -> tuple[Any, int]:  # noqa: PLR0912, PLR0915 — the hot loop
        stack: list[_Frame] = []
        first = -1
        while True:
            current = event()
            kind = type(current)
            if kind is ScalarEvent:
                self.nodes += 1
                size = _size(current.value)
                self.bytes += size
                top = stack[-1] if stack else None
                if top is not None and top.key is _NO_KEY and type(top.target) is dict:
                    self._key(top, current)
                    continue
                value = self._scalar(current)
                if current.anchor:
                    self.anchors[current.anchor] = (value, 1, size)
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                self.nodes += 1
                if current.tag and current.tag not in _COLLECTIONS:
                    self._unknown_tag(current)
                if len(stack) >= MAX_DEPTH:
                    self.fail(current.start_mark, f"nested deeper than {MAX_DEPTH} levels")
                if stack and stack[-1].key is _NO_KEY and type(stack[-1].target) is dict:
                    self.fail(current.start_mark, "a key must be a scalar")
                if first < 0:
                    first = current.start_mark.line
                elif len(stack) == 2 and stack[0].key == "items":
                    self.starts.append(current.start_mark.line + 1)
                target: Any = {} if kind is MappingStartEvent else []
                if current.anchor:
                    self.anchors.pop(current.anchor, None)
                    self.open.add(current.anchor)
                stack.append(_Frame(target, current, self.nodes, self.bytes))
                continue
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                frame = stack.pop()
                value = self._closed(frame)
            elif kind is AliasEvent:
                value = self._alias(current, stack)
            else:
                self.fail(current.start_mark, "unexpected end of document")
            if self.nodes > self.limit or self.bytes > self.most:
                self._too_large(current.start_mark)
            if not stack:
                self._counted(current.start_mark)
                return value, (first if first >= 0 else current.start_mark.line) + 1
            top = stack[-1]
            if type(top.target) is list:
                top.target.append(value)
            elif top.key is _NO_KEY:
                self.fail(current.start_mark, "a key must be written out, not an alias")
            elif top.key is _MERGE:
                self._merge(top, value, kind is AliasEvent, current.start_mark)
            else:
                top.target[top.key] = value
                top.key = _NO_KEY

    def _too_large(self, mark: Any) -> NoReturn:
        if self.nodes > self.limit:
            self.fail(mark, f"the document has more than {self.limit:,} values")
        self.fail(
            mark,
            f"the document holds more than {self.most >> 20} MiB once its aliases are written out",
            "the server takes objects up to 3 MiB; use fewer aliases of long values",
        )

    def _counted(self, mark: Any) -> None:
        """Adds a finished document to the file's sums."""
        self.total += self.nodes
        self.total_bytes += self.bytes
        if self.total > max(MAX_FILE_NODES, self.limit):
            self.fail(mark, f"more than {MAX_FILE_NODES:,} values in a file", _SPLIT)
        if self.total_bytes > self.most_in_file:
            text = f"the file holds more than {self.most_in_file >> 20} MiB"
            self.fail(mark, f"{text} once its aliases are written out", _SPLIT)

    def _closed(self, frame: _Frame) -> Any:
        mark = frame.where
        value = frame.target
        if self.places:
            value = Node(value, mark.line + 1, mark.column + 1, frame.keys)
        if frame.anchor:
            self.open.discard(frame.anchor)
            nodes, size = self.nodes - frame.before + 1, self.bytes - frame.bytes
            self.anchors[frame.anchor] = (value, nodes, size)
        return value

    def _alias(self, event: AliasEvent, stack: Sequence[_Frame]) -> Any:
        name = event.anchor
        if name in self.open and any(frame.anchor == name for frame in stack):
            self.fail(event.start_mark, f"the anchor &{name} contains itself")
        if name not in self.anchors:
            self.fail(event.start_mark, f"there is no anchor &{name} before this alias")
        value, nodes, size = self.anchors[name]
        self.nodes += nodes
        self.bytes += size
        return value

    def _key(self, frame: _Frame, event: ScalarEvent) -> None:
        text = event.value
        if event.implicit[0] and not event.tag:
            if text == "<<" and not event.style:
                frame.key = _MERGE
                return
            if text[:1] in _KEY_HINTS:
                text = self._odd_key(event)
        elif event.tag:
            text = self._odd_key(event)
        if event.anchor:
            self.anchors[event.anchor] = (text, 1, _size(text))
        if text in frame.target and not (frame.merged and text in frame.merged):
            self.fail(event.start_mark, f"the key {text!r} is there twice", "remove one of them")
        if frame.merged:
            frame.merged.discard(text)
        frame.key = text
        if self.places:
            mark: Any = event.start_mark
            frame.keys = frame.keys or {}
            frame.keys[text] = (mark.line + 1, mark.column + 1)

    def _odd_key(self, event: ScalarEvent) -> str:
        value = self._value(event)
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, int) or value >= 1 << 63:
            kind = "null" if value is None else "a number"
            self.fail(event.start_mark, f"the key reads as {kind}", "put the key in quotes")
        return str(value)

    def _merge(self, frame: _Frame, value: Any, alias: bool, mark: Any) -> None:
        inner = value.value if self.places else value
        several = isinstance(inner, list) and not alias
        maps = [m.value if self.places else m for m in inner] if several else [inner]
        if not all(isinstance(each, dict) for each in maps):
            self.fail(mark, "<< takes a mapping or a list of mappings")
        merged = frame.merged if frame.merged is not None else set()
        # In go-yaml v2 a merge overwrites what stands before it, and earlier maps of a list win.
        for each in reversed(maps):
            merged.update(key for key in each if key not in frame.target)
            frame.target.update(each)
        frame.merged = merged
        frame.key = _NO_KEY

    def _scalar(self, event: ScalarEvent) -> Any:
        value: Any = event.value
        if event.implicit[0] or event.tag:
            value = self._value(event)
            if type(value) is float:
                value = _number(value)
                if not math.isfinite(value):
                    self.fail(event.start_mark, "infinity and NaN cannot be sent as JSON")
        if self.places:
            mark: Any = event.start_mark
            return Node(value, mark.line + 1, mark.column + 1)
        return value

    def _value(self, event: ScalarEvent) -> Any:
        tag, text = event.tag, event.value
        if not tag:
            # `! "12"` is marked plain by libyaml; the server reads a string.
            return resolve(text) if not event.style else text
        if tag == _STR:
            return text
        if tag == _BINARY:
            return self._binary(event)
        if tag not in _TYPES:
            self._unknown_tag(event)
        value: Any = resolve(text)
        types = _TYPES[tag]
        if type(value) not in types:
            self.fail(event.start_mark, f"the value is no !!{tag.rpartition(':')[2]}")
        if float in types:
            return float(value)
        return value

    def _binary(self, event: ScalarEvent) -> str:
        try:
            raw = base64.b64decode(event.value.replace("\n", ""), validate=True)
            return raw.decode("utf-8")
        except (binascii.Error, ValueError):
            self.fail(
                event.start_mark,
                "the !!binary value is not base64 of UTF-8 text",
                "give base64 as a plain string where Kubernetes expects bytes",
            )

    def _unknown_tag(self, event: Any) -> NoReturn:
        tag = event.tag.replace("tag:yaml.org,2002:", "!!")[:60]
        self.fail(
            event.start_mark,
            f"the tag {tag} means nothing to Kubernetes",
            "remove the tag; nothing it names is ever constructed",
        )


# First characters of plain keys that may resolve to something other than themselves.
_KEY_HINTS = frozenset(["", *"+-.0123456789yYnNtTfFoO~"])


def _syntax(error: YAMLError, path: str) -> RenderError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None)
    context = getattr(error, "context", None)
    message = ", ".join(part for part in (context, problem) if part) or "no valid YAML"
    place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
    if "found character that cannot start any token" in message:
        message = "a tab or another character that cannot begin a value here"
    return RenderError(f"not valid YAML: {message}", place=place)


_SEPARATOR = re.compile(rb"^---[ \t]*[^#\s]", re.MULTILINE)


def _checked(text: bytes, path: str) -> bytes:
    """Refuses encodings and separators the server's tools do not read."""
    if text.startswith((b"\xff\xfe", b"\xfe\xff")) or text[:2].count(0) == 1:
        raise RenderError("the file is UTF-16", hint="save it as UTF-8", place=path)
    nul = text.find(b"\0")
    if nul >= 0:
        line = text.count(b"\n", 0, nul) + 1
        raise RenderError("the file holds a NUL byte", place=f"{path}:{line}")
    text = text.removeprefix(b"\xef\xbb\xbf")
    odd = _SEPARATOR.search(text)
    if odd:
        line = text.count(b"\n", 0, odd.start()) + 1
        raise RenderError(
            "text on the line of a document separator is not read by Kubernetes",
            hint="put it on the next line",
            place=f"{path}:{line}:{odd.end() - odd.start()}",
        )
    return text


# --- JSON -------------------------------------------------------------------------------------


class _NotJson(Exception):
    """The text is no stream of JSON objects; it may still be YAML."""


def _json_documents(text: bytes, path: str) -> list[Document] | None:
    """Documents of a stream of JSON objects; None where it is (rather) YAML."""
    try:
        return list(_json_stream(text.decode("utf-8"), path))
    except (_NotJson, UnicodeDecodeError, RecursionError):
        return None


def _json_stream(text: str, path: str) -> Iterator[Document]:
    decoder = json.JSONDecoder(
        object_pairs_hook=_Pairs,
        parse_constant=_no_constant,
        parse_float=_json_float,
        parse_int=_json_int,
    )
    position = _skip_space(text, 0)
    index = counted = nodes = 0
    line = 1
    while position < len(text):
        try:
            value, end = decoder.raw_decode(text, position)
        except ValueError as error:
            raise _NotJson from error
        # From where the last one was counted: a file of many documents is read once, not often.
        line += text.count("\n", counted, position)
        counted = position
        if not isinstance(value, _Pairs):
            raise _NotJson
        if index >= MAX_DOCUMENTS:
            raise RenderError(_TOO_MANY_DOCUMENTS, hint=_SPLIT, place=f"{path}:{line}")
        counter = [0]
        yield Document(_unpair(value, f"{path}:{line}", 1, counter), line, index)
        nodes += counter[0]
        if nodes > MAX_FILE_NODES:
            text_ = f"more than {MAX_FILE_NODES:,} values in a file"
            raise RenderError(text_, hint=_SPLIT, place=f"{path}:{line}")
        position, index = _skip_space(text, end), index + 1


class _Pairs(list[tuple[str, Any]]):
    """An object's members in order, duplicates included."""


def _unpair(value: Any, place: str, depth: int, counter: list[int]) -> Any:
    counter[0] += 1
    if depth > MAX_DEPTH or counter[0] > MAX_NODES:
        raise RenderError(
            f"nested deeper than {MAX_DEPTH} levels or more than {MAX_NODES:,} values", place=place
        )
    if isinstance(value, _Pairs):
        result = {}
        for key, member in value:
            if key in result:
                raise RenderError(
                    f"the key {key!r} is there twice", hint="remove one of them", place=place
                )
            result[key] = _unpair(member, place, depth + 1, counter)
        return result
    if isinstance(value, list):
        return [_unpair(member, place, depth + 1, counter) for member in value]
    return value


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _no_constant(_: str) -> NoReturn:
    raise _NotJson


def _json_float(text: str) -> int | float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise _NotJson
    return _number(value)


def _json_int(text: str) -> int | float:
    if len(text) < 19:
        return int(text)
    value = int(text[:400])
    return value if -(1 << 63) <= value < 1 << 63 else _json_float(text)


# --- what callers use -------------------------------------------------------------------------


def documents(text: bytes, path: str, *, nodes: int = MAX_NODES) -> list[Document]:
    """Every document of a YAML or JSON file that is not empty.

    Raises RenderError with ``path:line:column`` for bad syntax, duplicate keys, cycles, unknown
    tags, UTF-16, more than ``MAX_NODES`` values, ``MAX_BYTES`` or ``MAX_DEPTH`` levels a document,
    more than a file may hold (``MAX_DOCUMENTS``, ``MAX_FILE_NODES``, ``MAX_FILE_BYTES``), and for a
    document that is not a mapping.
    """
    text = _checked(text, path)
    if text[:64].lstrip()[:1] == b"{":
        found = _json_documents(text, path)
        if found is not None:
            return found
    result: list[Document] = []
    for value, line, starts in _Builder(text, path, places=False, nodes=nodes).documents():
        if value is None:
            continue
        if not isinstance(value, dict):
            kind = "a list" if isinstance(value, list) else "a single value"
            raise RenderError(f"the document is {kind}, not an object", place=f"{path}:{line}")
        result.append(Document(value, line, len(result), starts))
    return result


def tree(text: bytes, path: str) -> list[Node]:
    """Like :func:`documents`, any root kind allowed, with the place of every key and value.

    About twice the cost: for configuration files and for messages. JSON is read as YAML.
    """
    built = _Builder(_checked(text, path), path, places=True).documents()
    return [node for node, _, _ in built if node.value is not None]


def locate(text: bytes, line: int, path: Sequence[str | int], name: str = "") -> tuple[int, int]:
    """(line, column) of a field of the object that begins at ``line`` of a file.

    ``path`` holds keys and indexes (``("spec", "template", 0)``); the nearest ancestor that is
    written in the file answers for a field that is not. (line, 0) when the file cannot be read.
    """
    try:
        roots = tree(text, name)
    except RenderError:
        return line, 0
    start = next((found for root in roots if (found := _at(root, line))), None)
    if start is None:
        return line, 0
    return _descend(start, path)


def _at(node: Node, line: int) -> Node | None:
    """The outermost mapping that begins at ``line``: a document, or an element of a List."""
    if node.line == line and isinstance(node.value, dict):
        return node
    items = node.value.get("items") if isinstance(node.value, dict) else None
    if items is None or not isinstance(items.value, list):
        return None
    return next((found for each in items.value if (found := _at(each, line))), None)


def _descend(node: Node, path: Sequence[str | int]) -> tuple[int, int]:
    place = (node.line, node.column)
    for step in path:
        value = node.value
        if isinstance(value, dict) and isinstance(step, str) and step in value:
            place = (node.keys or {}).get(step, place)
            node = value[step]
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            node = value[step]
            place = (node.line, node.column)
        else:
            break
    return place
