"""YAML text as a tree in which everything knows where it was written.

The fleet file decides who may approve what, so it is read more strictly than YAML allows:
duplicate keys, tags, several documents and aliases that grow without end are refused with their
place. Plain scalars mean what editors show (YAML 1.2): ``no``, ``yes`` and ``1:30`` are text,
``true`` and ``12`` are not. Called by :mod:`gitops.config.load` and for kubeconfigs; manifests
have a parser of their own, which has to agree with the API server instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gitops.errors import ConfigError

MAX_BYTES = 4 << 20
MAX_NODES = 200_000
"""Counted with every alias spelled out."""
MAX_DEPTH = 64

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]+)?|\.[0-9]+)([eE][-+]?[0-9]{1,4})?")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Place:
    """A position in one file; lines and columns count from 1."""

    file: str
    """As the operator would type it."""
    folder: Path
    """Absolute; relative paths written at this place start here."""
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(slots=True)
class Node:
    """A mapping (``dict``), a list or a scalar, with its places."""

    value: Any
    """``dict[str, Node]``, ``list[Node]``, or str, int, float, bool, None."""
    place: Place
    keys: dict[str, Place] = field(default_factory=dict)
    """Of a mapping: where each key stands."""
    size: int = 1
    """Nodes beneath and including this one, aliases spelled out."""
    raw: str = ""
    """A scalar as it was written."""

    def plain(self) -> Any:
        """The value without places: dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def find(self, loc: tuple[str | int, ...]) -> tuple[Node, Place]:
        """The node at a path, and where it is named; parts that are not there are skipped, so a
        missing key leads to the mapping that lacks it."""
        node, named = self, self.place
        for part in loc:
            if isinstance(node.value, dict) and part in node.value:
                node, named = node.value[part], node.keys[str(part)]
            elif isinstance(node.value, list) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                named = node.place
        return node, named


def parse(text: str, file: str, folder: Path) -> Node:
    """The tree of one YAML document; an empty one is an empty mapping.

    Raises ConfigError with file:line:column for whatever is not well-formed or not allowed.
    """
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{file} is too large", hint=f"the limit is {MAX_BYTES >> 20} MiB")
    reader = _Reader(file, folder)
    try:
        for event in _events(text):
            reader.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise reader.refusal(_syntax(error), mark, _syntax_hint(error, text)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(
            f"not valid YAML: {_unreadable(error)}", place=file, hint="save it as UTF-8 text"
        ) from None
    return reader.root or Node({}, Place(file, folder))


def _events(text: str) -> Iterator[Any]:
    yield from yaml.parse(text, Loader=_LOADER)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    context = f" {error.context}" if error.context else ""
    return f"not valid YAML: {error.problem}{context}"


def _syntax_hint(error: yaml.MarkedYAMLError, text: str) -> str:
    mark = error.problem_mark
    lines = text.splitlines()
    if mark and mark.line < len(lines) and lines[mark.line][mark.column :].startswith("\t"):
        return "indent with spaces: YAML allows no tabs there"
    return "look at the indentation, colons and quotes on this line and the one before"


def _unreadable(error: Exception) -> str:
    reason = getattr(error, "reason", "")
    return str(reason or "a character that is not allowed")


@dataclass(slots=True)
class _Open:
    """A collection whose end has not been read yet."""

    node: Node
    anchor: str | None
    key: str | None = None
    merges: list[Node] = field(default_factory=list)
    """Values of ``<<``, taken up when the mapping ends: its own keys win."""


class _Reader:
    """Builds the tree from parser events, without recursion: depth costs a stack entry."""

    def __init__(self, file: str, folder: Path) -> None:
        self.root: Node | None = None
        self._file, self._folder = file, folder
        self._open: list[_Open] = []
        self._anchors: dict[str, Node | None] = {}
        self._documents = 0

    def refusal(self, message: str, mark: Any, hint: str = "") -> ConfigError:
        return ConfigError(message, place=str(self._place(mark)), hint=hint)

    def _place(self, mark: Any) -> Place:
        if mark is None:
            return Place(self._file, self._folder)
        return Place(self._file, self._folder, mark.line + 1, mark.column + 1)

    def take(self, event: Any) -> None:
        mark = event.start_mark
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self.refusal("a second document", mark, "one file is one document: drop ---")
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._alias(event), mark)
        elif isinstance(event, yaml.ScalarEvent):
            self._untagged(event)
            node = self._scalar(event)
            self._remember(event.anchor, node)
            self._add(node, mark)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._untagged(event)
            self._start(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end(mark)

    def _untagged(self, event: Any) -> None:
        if event.tag not in (None, "!"):
            raise self.refusal("a tag is not allowed here", event.start_mark, "remove !…")

    def _alias(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            inside = event.anchor in self._anchors
            message = f"alias *{event.anchor} " + ("contains itself" if inside else "has no anchor")
            raise self.refusal(message, event.start_mark, "write the value out")
        return node

    def _scalar(self, event: Any) -> Node:
        bad = _CONTROL.search(event.value)
        if bad:
            raise self.refusal(f"character U+{ord(bad[0]):04X} is not allowed", event.start_mark)
        value = resolve(event.value) if event.implicit[0] else event.value
        return Node(value, self._place(event.start_mark), raw=event.value)

    def _remember(self, anchor: str | None, node: Node | None) -> None:
        if anchor is not None:
            self._anchors[anchor] = node

    def _start(self, event: Any) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise self.refusal(f"nested deeper than {MAX_DEPTH} levels", event.start_mark)
        empty: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
        at_key = self._open and isinstance(self._open[-1].node.value, dict)
        if at_key and self._open[-1].key is None:
            raise self.refusal("a key has to be text", event.start_mark)
        self._remember(event.anchor, None)
        self._open.append(_Open(Node(empty, self._place(event.start_mark)), event.anchor))

    def _end(self, mark: Any) -> None:
        done = self._open.pop()
        for source in done.merges:
            self._merge(done.node, source)
        self._bound(done.node, mark)
        self._remember(done.anchor, done.node)
        self._add(done.node, mark)

    def _merge(self, into: Node, source: Node) -> None:
        for key, child in source.value.items():
            if key not in into.value:
                into.value[key], into.keys[key] = child, source.keys[key]
                into.size += child.size + 1

    def _add(self, node: Node, mark: Any) -> None:
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        if isinstance(parent.node.value, list):
            parent.node.value.append(node)
        elif parent.key is None:
            self._key(parent, node, mark)
            return
        elif parent.key == "<<":
            parent.merges += self._merged(node, mark)
            parent.key = None
        else:
            parent.node.value[parent.key] = node
            parent.key = None
        parent.node.size += node.size
        self._bound(parent.node, mark)

    def _bound(self, node: Node, mark: Any) -> None:
        if node.size > MAX_NODES:
            raise self.refusal(f"more than {MAX_NODES} values, aliases spelled out", mark)

    def _key(self, parent: _Open, node: Node, mark: Any) -> None:
        if isinstance(node.value, dict | list) or not node.raw:
            raise self.refusal("a key has to be text", mark)
        if node.raw in parent.node.keys:
            first = parent.node.keys[node.raw]
            hint = f"first written at {first}; keep one of the two"
            raise self.refusal(f'key "{node.raw}" twice in one mapping', mark, hint)
        parent.key = node.raw
        if node.raw != "<<":
            parent.node.keys[node.raw] = self._place(mark)
        parent.node.size += 1

    def _merged(self, node: Node, mark: Any) -> list[Node]:
        sources = node.value if isinstance(node.value, list) else [node]
        if not all(isinstance(source.value, dict) for source in sources):
            raise self.refusal("<< takes a mapping, or a list of them", mark)
        return list(sources)


def resolve(text: str) -> str | int | float | bool | None:
    """What a plain scalar means."""
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        number = float(text)
        return number if math.isfinite(number) else text
    return text
