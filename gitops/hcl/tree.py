"""What a file of Terraform's language says, as values: the same for both of its syntaxes.

Made by :mod:`gitops.hcl.native` and :mod:`gitops.hcl.jsonform`, read by the rules. Nothing is
evaluated: an expression is the shape it was written in. Lines and columns count from 1.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gitops.errors import RenderError


class Kind(StrEnum):
    """Shapes of expressions, as far as any rule tells them apart."""

    LITERAL = "literal"
    """``value``: text, number, bool or None."""
    TEMPLATE = "template"
    """Text with something in it: ``parts`` in order, literals among them."""
    REFERENCE = "reference"
    """``value``: names joined by dots, ``path.module``."""
    CALL = "call"
    """``value``: the function's name; ``parts``: arguments."""
    LIST = "list"
    OBJECT = "object"
    """``parts``: key, value, key, value."""
    CHOICE = "choice"
    """``parts``: condition, then, else."""
    FOR = "for"
    """``value``: the names it binds; ``parts``: the collection, then what is made of it."""
    FOR_OBJECT = "for object"
    """The same, but key and value are made of it."""
    OTHER = "other"
    """Operators, indexes and what is left of templates' directives."""


@dataclass(frozen=True, slots=True)
class Expression:
    kind: Kind
    line: int
    column: int
    value: Any = None
    parts: tuple[Expression, ...] = ()

    @property
    def text(self) -> str | None:
        """The string it is, if it is a literal one."""
        if self.kind is Kind.LITERAL and isinstance(self.value, str):
            return self.value
        return None

    @property
    def items(self) -> Iterator[tuple[Expression, Expression]]:
        """Keys and values of an object."""
        return zip(self.parts[::2], self.parts[1::2], strict=True)

    def entry(self, key: str) -> Expression | None:
        """An object's value by a key that is written out; the last one wins."""
        found = None
        if self.kind is Kind.OBJECT:
            for name, value in self.items:
                found = value if name.text == key else found
        return found

    def walk(self) -> Iterator[Expression]:
        """It and everything in it, outside first."""
        waiting = [self]
        while waiting:
            each = waiting.pop()
            yield each
            waiting.extend(reversed(each.parts))


@dataclass(frozen=True, slots=True)
class Attribute:
    name: str
    value: Expression
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Block:
    type: str
    labels: tuple[str, ...]
    body: Body
    line: int
    column: int

    @property
    def label(self) -> str:
        """The first one, or nothing."""
        return self.labels[0] if self.labels else ""

    def __str__(self) -> str:
        return " ".join([self.type, *(f'"{label}"' for label in self.labels)])


@dataclass(frozen=True, slots=True)
class Body:
    attributes: tuple[Attribute, ...] = ()
    blocks: tuple[Block, ...] = ()

    def attribute(self, name: str) -> Attribute | None:
        """The last one of this name."""
        found = None
        for each in self.attributes:
            found = each if each.name == name else found
        return found

    def of(self, *types: str) -> Iterator[Block]:
        """Blocks directly in it, of these types."""
        return (block for block in self.blocks if block.type in types)

    def walk(self) -> Iterator[tuple[tuple[Block, ...], Attribute]]:
        """Every attribute in it at any depth, after the blocks around it."""
        waiting: list[tuple[tuple[Block, ...], Body]] = [((), self)]
        while waiting:
            around, body = waiting.pop()
            for attribute in body.attributes:
                yield around, attribute
            waiting.extend(((*around, block), block.body) for block in reversed(body.blocks))


@dataclass(frozen=True, slots=True)
class Document:
    """One file that was read."""

    path: str
    body: Body


def composed(path: str) -> str:
    """A path as the tool has it: every string is brought into Unicode's form NFC (by go-cty), so
    one that is written out decomposed means another file. Raises RenderError for a character that
    this Unicode does not know, since the tool's may."""
    if any(unicodedata.category(char) == "Cn" for char in path):
        raise RenderError(f"the path {path!r} holds a character nobody knows")
    return unicodedata.normalize("NFC", path)


class Unreadable(Exception):
    """A file that is not Terraform's language as we know it. ``offset`` counts characters."""

    def __init__(self, message: str, offset: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
