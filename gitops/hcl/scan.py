"""Splits text into tokens exactly as Terraform's own scanner does.

The grammar of python-hcl2 tells strings, heredocs and comments apart by regular expressions that
differ from the real scanner's: where a heredoc ends, what ``$${`` hides, which words close what.
Whoever knows the difference could show a rule one program and Terraform another. So what those
forms hold is taken out here, by the rules of hashicorp/hcl's ``scan_tokens.rl``, and the grammar
sees names and brackets only (:mod:`gitops.hcl.native`). Linear in the text; nothing is evaluated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby

from gitops.hcl.tree import Unreadable

MAX_DEPTH = 64
"""Brackets, templates and heredocs inside one another."""
MAX_TOKENS = 60_000
"""Of one file: python-hcl2 needs some 30 µs for each."""

_MAIN = re.compile(
    r"(?P<space>[ \t]+)|(?P<newline>\r?\n)|(?P<comment>(?:#|//)[^\n]*)|(?P<long>/\*)"
    r"|(?P<name>[^\W\d][\w-]*)"
    r"|(?P<number>[0-9](?:(?:[0-9.]|[eE][+-]?[0-9])*(?:[0-9]|[eE][+-]?[0-9]))?)"
    r"|(?P<heredoc><<(?P<flush>-?)(?P<marker>[^\W\d][\w-]*)\r?\n)"
    r"|(?P<op>==|!=|<=|>=|&&|\|\||=>|\.\.\.|::|~\}|[\[\](){}.,*/%+\-=<>!?:\"])"
)
_PLAIN = re.compile(r'[^"\\$%\r\n]+')
_UNQUOTED = re.compile(r"[^$%\n]+")
_SIGN = re.compile(r"[$%]")
_INDENT = re.compile(r"(?m)^[ \t]+")
_LINE = re.compile(r"[^\n]*\n")
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|[\ud800-\udfff]")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\"}
_PAIRS = {"(": ")", "[": "]", "{": "}"}


DIRECTIVE = "%"
"""First of a template's part: it decides or repeats, and is no text."""
TRIMMED = "~"
"""First of a template's part: the blanks beside it go."""


class Sort(StrEnum):
    NAME = "name"
    NUMBER = "number"
    OP = "op"
    NEWLINE = "newline"
    TEMPLATE = "template"


@dataclass(slots=True)
class Token:
    sort: Sort
    text: str
    """As written; of a template nothing."""
    offset: int
    parts: list[str | list[Token]] = field(default_factory=list)
    """Of a template: text as it will be, and the tokens of what stands between ``${`` and ``}``
    (after DIRECTIVE or TRIMMED, where it is that)."""


def tokens(text: str) -> list[Token]:
    """Of a whole file. Raises Unreadable."""
    refuse_controls(text)
    return Scanner(text).main(0, 0)


def template(text: str) -> Token:
    """Of a string of the JSON syntax, which is a template without quotes or escapes."""
    scanner = Scanner(text)
    token = Token(Sort.TEMPLATE, "", 0)
    scanner.bare(token)
    return _whole(token)


def refuse_controls(text: str) -> None:
    """Raises Unreadable at the first character that no honest file holds: programs differ in what
    they take for a blank or the end of a line."""
    found = _FORBIDDEN.search(text)
    if found:
        code = ord(found[0])
        raise Unreadable(f"holds the control character U+{code:04X}", found.start())


class Scanner:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._count = 0

    def main(self, start: int, depth: int, closing: bool = False) -> list[Token]:
        """Tokens up to the end, or with ``closing`` up to the ``}`` that ends a template's part."""
        self._at = start
        found: list[Token] = []
        open_: list[tuple[str, int]] = []
        while self._at < len(self._text):
            token = self._next(depth + len(open_))
            if token is None:
                continue
            if token.sort is Sort.OP:
                if closing and not open_ and token.text in ("}", "~}"):
                    return found
                self._bracket(token, open_, depth)
            found.append(token)
        if closing or open_:
            what = open_[-1] if open_ else ("${", self._text.rindex("{", 0, start) - 1)
            raise Unreadable(f"{what[0]!r} is not closed", what[1])
        return found

    def _bracket(self, token: Token, open_: list[tuple[str, int]], depth: int) -> None:
        if token.text in _PAIRS:
            open_.append((token.text, token.offset))
            self._deep(depth + len(open_), token.offset)
        elif token.text in (")", "]", "}", "~}"):
            if not open_ or _PAIRS[open_[-1][0]] != token.text:
                raise Unreadable(f"{token.text!r} closes nothing", token.offset)
            open_.pop()

    def _deep(self, depth: int, offset: int) -> None:
        if depth > MAX_DEPTH:
            raise Unreadable(f"is nested over {MAX_DEPTH} levels deep", offset)

    def _next(self, depth: int) -> Token | None:
        at = self._at
        found = _MAIN.match(self._text, at)
        if found is None:
            raise Unreadable(f"the character {self._text[at]!r} has no meaning here", at)
        self._at = found.end()
        kind = found.lastgroup
        if kind in ("space", "comment", "long"):
            if kind == "long":
                self._comment(at)
            return None
        self._count += 1
        if self._count > MAX_TOKENS:
            raise Unreadable(f"has over {MAX_TOKENS:,} words and signs", at)
        if kind == "heredoc":
            return self._heredoc(at, found["marker"], bool(found["flush"]), depth)
        if found[0] == '"':
            return self._quoted(at, depth)
        return Token(Sort(kind or ""), found[0], at)

    def _comment(self, at: int) -> None:
        end = self._text.find("*/", at + 2)
        if end < 0:
            raise Unreadable("the comment is not closed", at)
        self._at = end + 2

    # --- templates ---

    def _quoted(self, at: int, depth: int) -> Token:
        token = Token(Sort.TEMPLATE, "", at)
        while self._at < len(self._text):
            char = self._text[self._at]
            if char == '"':
                self._at += 1
                return _whole(token)
            if char in "\r\n":
                break
            if char == "\\":
                self._escape(token)
            elif not self._opened(token, depth):
                self._plain(token, _PLAIN)
        raise Unreadable("the text is not closed on its line", at)

    def _escape(self, token: Token) -> None:
        found = _ESCAPE.match(self._text, self._at)
        if found is None or found[1] == "\n":
            raise Unreadable("the text ends within an escape", self._at)
        letter = found[1][0]
        if letter in "uU" and len(found[1]) > 1:
            code = int(found[1][1:], 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise Unreadable("an escape that names no character", self._at)
            token.parts.append(chr(code))
        elif letter in _ESCAPED:
            token.parts.append(_ESCAPED[letter])
        else:
            raise Unreadable(f"{found[0]!r} is no escape", self._at)
        self._at = found.end()

    def _plain(self, token: Token, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self._text, self._at)
        end = found.end() if found else self._at + 1
        token.parts.append(self._text[self._at : end])
        self._at = end

    def _opened(self, token: Token, depth: int) -> bool:
        """``${…}`` and ``%{…}`` here become parts; ``$${`` and ``%%{`` become text."""
        at, sign = self._at, self._text[self._at]
        if sign not in "$%":
            return False
        if self._text.startswith(sign * 2 + "{", at):
            token.parts.append(sign + "{")
            self._at = at + 3
            return True
        if not self._text.startswith("{", at + 1):
            return False
        self._deep(depth + 1, at)
        start = at + 2 + self._text.startswith("~", at + 2)
        inner = self.main(start, depth + 1, closing=True)
        if sign == "%":
            inner.insert(0, Token(Sort.NAME, DIRECTIVE, at))
        elif start > at + 2 or self._text[self._at - 2] == "~":
            inner.insert(0, Token(Sort.NAME, TRIMMED, at))
        token.parts.append(inner)
        return True

    def _heredoc(self, at: int, marker: str, flush: bool, depth: int) -> Token:
        """Ends at a line that holds the marker and blanks alone; not while a part is open."""
        token = Token(Sort.TEMPLATE, "", at)
        fresh = True
        while self._at < len(self._text):
            line = _LINE.match(self._text, self._at) if fresh else None
            if line and line[0].strip() == marker:
                self._at = line.end() - (2 if line[0].endswith("\r\n") else 1)
                return _whole(token, flush)
            fresh = self._within(token, depth)
        raise Unreadable(f"the heredoc is not closed by a line {marker}", at)

    def bare(self, token: Token) -> None:
        """A template that ends with the text."""
        while self._at < len(self._text):
            self._within(token, 0)

    def _within(self, token: Token, depth: int) -> bool:
        """One step of a template without quotes; True when it ended a line."""
        char = self._text[self._at]
        if char == "\n":
            token.parts.append(char)
            self._at += 1
            return True
        if char not in "$%":
            self._plain(token, _UNQUOTED)
        elif not self._opened(token, depth):
            self._plain(token, _SIGN)
        return False


def _whole(token: Token, flush: bool = False) -> Token:
    """Pieces of text side by side become one. ``<<-`` takes the common indent away; no rule looks
    at indents, so all of it goes."""
    parts: list[str | list[Token]] = []
    for literal, run in groupby(token.parts, key=lambda part: isinstance(part, str)):
        if literal:
            text = "".join(part for part in run if isinstance(part, str))
            parts.append(_INDENT.sub("", text) if flush else text)
        else:
            parts.extend(run)
    token.parts = parts
    return token
