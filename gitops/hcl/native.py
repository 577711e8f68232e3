"""The native syntax (``.tf``), parsed by python-hcl2's grammar over tokens of our own scanner.

The grammar is shown a skeleton of the text: every name, number and template is a word ``n12``, a
template with something in it a call ``n12(…)``, every operator a ``+``. What a word stands for is
looked up by its number. So the grammar decides structure alone, of the few signs it reads as
Terraform does, and its cost is bounded by the number of words.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from gitops.hcl import grammar
from gitops.hcl.scan import DIRECTIVE, TRIMMED, Sort, Token, template, tokens
from gitops.hcl.tree import Body, Expression, Unreadable

_NONE = Token(Sort.NEWLINE, "", 0)
_BINARY = frozenset(["==", "!=", "<=", ">=", "&&", "||", "+", "-", "*", "/", "%", "<", ">"])


def parse(text: str) -> Body:
    """A whole file. Raises Unreadable."""
    skeleton = _Skeleton()
    skeleton.emit(tokens(text))
    return grammar.read(skeleton, Places(text).of)


def templates(texts: Sequence[str], places: Sequence[tuple[int, int]]) -> list[Expression]:
    """Strings of the JSON syntax, each at its place; one parse for all. Raises Unreadable with the
    number of the string for an offset."""
    skeleton = _Skeleton()
    found: list[Token] = []
    for index, text in enumerate(texts):
        try:
            token = template(text)
        except Unreadable as error:
            raise Unreadable(error.message, index) from error
        _move(token, index)
        found += [Token(Sort.NAME, "x", index), Token(Sort.OP, "=", index), token]
        found.append(Token(Sort.NEWLINE, "", index))
    skeleton.emit(found)
    body = grammar.read(skeleton, places.__getitem__)
    return [attribute.value for attribute in body.attributes]


def _move(token: Token, offset: int) -> None:
    waiting = [token]
    while waiting:
        each = waiting.pop()
        each.offset = offset
        waiting.extend(inner for part in each.parts if isinstance(part, list) for inner in part)


class Places:
    """Lines and columns of offsets."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(i + 1 for i, char in enumerate(text) if char == "\n")]

    def of(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1


class _Skeleton:
    """What the grammar is shown, and what its words stand for."""

    def __init__(self) -> None:
        self.words: list[Token] = []
        self._out: list[str] = []
        self._size = 0
        self._at: list[int] = []
        self._from: list[int] = []
        self._last = ""
        """The sign or word before; ``n`` after something with a value."""
        self._scopes: list[str] = []
        """``(``, ``[``, ``{``, and ``for`` for a bracket whose content is a for expression."""
        self._intro = False
        """Between ``for`` and its ``in``."""
        self._minus = False
        """After a minus with nothing before it."""

    @property
    def text(self) -> str:
        return "".join(self._out)

    def source(self, offset: int) -> int:
        """Where in the file the skeleton's ``offset`` comes from."""
        index = bisect_right(self._at, offset) - 1
        return self._from[max(index, 0)] if self._from else 0

    def emit(self, found: Sequence[Token]) -> None:
        index = 0
        while index < len(found):
            token = found[index]
            index += 1
            if token.sort is Sort.NEWLINE:
                self._newline(token)
            elif token.sort is Sort.OP:
                index = self._sign(token, found, index)
            elif token.sort is Sort.NAME:
                index = self._name(token, found, index)
            else:
                self._word(token)

    def _put(self, text: str, offset: int, last: str) -> None:
        self._at.append(self._size)
        self._from.append(offset)
        self._out += (text, " ")
        self._size += len(text) + 1
        self._last = last

    def _newline(self, token: Token) -> None:
        # Insignificant within ( ), [ ], ${ } and for expressions, as to Terraform.
        if self._last != "\n" and (not self._scopes or self._scopes[-1] == "{"):
            self._put("\n", token.offset, "\n")

    def _word(self, token: Token) -> None:
        if self._minus and token.sort is Sort.NUMBER:
            token = Token(token.sort, f"-{token.text}", token.offset)
        self._minus = False
        self._put(f"n{len(self.words)}", token.offset, "n")
        self.words.append(token)
        inner = [part for part in token.parts if isinstance(part, list)]
        if not inner:
            return
        self._put("(", token.offset, "(")
        self._scopes.append("(")
        for number, part in enumerate(inner):
            if number:
                self._put(",", token.offset, ",")
            self._part(part, token)
        self._scopes.pop()
        self._put(")", token.offset, "n")

    def _part(self, part: list[Token], token: Token) -> None:
        """What stands in ``${…}``, or the expression of a ``%{…}``, or a nothing."""
        stripped = [each for each in part if each.sort is not Sort.NEWLINE]
        if stripped and stripped[0].text == DIRECTIVE:
            stripped = _directive(stripped)
        elif stripped and stripped[0].text == TRIMMED:
            stripped = stripped[1:]
        if stripped:
            self.emit(stripped)
        else:
            self._word(Token(Sort.TEMPLATE, "", token.offset))

    def _sign(self, token: Token, found: Sequence[Token], index: int) -> int:
        text, operand = token.text, self._last == "n"
        if text == ".":
            return self._dotted(token, found, index)
        if text in _BINARY:
            if operand:
                self._put("+", token.offset, "+")
            elif text != "-":
                raise Unreadable(f"{text!r} has nothing before it", token.offset)
            # Signs are no structure; that of a number is kept with it.
            self._minus = not operand
        elif text == "!":
            if operand:
                raise Unreadable("'!' stands between two values", token.offset)
        elif text == "[" and operand and _signs(found, index, "*", "]"):
            return index + 2
        else:
            self._minus = False
            self._bracket(text, token, found, index)
        return index

    def _bracket(self, text: str, token: Token, found: Sequence[Token], index: int) -> None:
        if text in ("~}", "::"):
            raise Unreadable(f"{text!r} has no meaning here", token.offset)
        if text in "([{":
            self._scopes.append("for" if text != "(" and _is_for(found, index) else text)
        elif text in ")]}":
            self._scopes.pop()
        self._put(text, token.offset, "n" if text in ")]}" else text)

    def _dotted(self, token: Token, found: Sequence[Token], index: int) -> int:
        """``.name``, ``.0`` and ``.*`` after a value change nothing of its structure."""
        following = found[index] if index < len(found) else _NONE
        if self._last != "n" or not (
            following.sort in (Sort.NAME, Sort.NUMBER) or following.text == "*"
        ):
            raise Unreadable("'.' has no meaning here", token.offset)
        return index + 1

    def _name(self, token: Token, found: Sequence[Token], index: int) -> int:
        text = token.text
        if text == "for" and self._last in ("[", "{") and self._scopes[-1:] == ["for"]:
            self._intro = True
            self._put("for", token.offset, "for")
        elif text == "in" and self._intro and self._last == "n":
            self._intro = False
            self._put("in", token.offset, "in")
        elif text == "if" and self._scopes[-1:] == ["for"] and self._last in ("n", "..."):
            self._put("if", token.offset, "if")
        else:
            whole, index = _joined(token, found, index)
            self._word(whole)
        return index


def _joined(token: Token, found: Sequence[Token], index: int) -> tuple[Token, int]:
    """``a.b.c`` and ``a::b`` as one name."""
    names = [token.text]
    while index + 1 < len(found) and found[index].text in (".", "::"):
        if found[index + 1].sort is not Sort.NAME:
            break
        names += (found[index].text, found[index + 1].text)
        index += 2
    return Token(Sort.NAME, "".join(names), token.offset), index


def _signs(found: Sequence[Token], index: int, *texts: str) -> bool:
    return [each.text for each in found[index : index + len(texts)]] == list(texts)


def _is_for(found: Sequence[Token], index: int) -> bool:
    """Does ``for NAME in`` or ``for NAME,`` follow? (An object may have a key ``for``.)"""
    ahead: list[Token] = []
    for each in found[index : index + 64]:
        if each.sort is not Sort.NEWLINE:
            ahead.append(each)
        if len(ahead) == 3:
            break
    if len(ahead) < 3 or ahead[0].text != "for" or ahead[1].sort is not Sort.NAME:
        return False
    return ahead[2].text in ("in", ",")


def _directive(part: list[Token]) -> list[Token]:
    """The expression of ``if X``, ``for a, b in X``; of ``else``, ``endif``, ``endfor`` nothing."""
    word = part[1].text if len(part) > 1 else ""
    if word == "if":
        return part[2:]
    if word == "for":
        for index, each in enumerate(part):
            if each.sort is Sort.NAME and each.text == "in" and index > 2:
                return part[index + 1 :]
    if word in ("else", "endif", "endfor") and len(part) == 2:
        return []
    raise Unreadable("a directive that Terraform does not know", part[0].offset)
