"""python-hcl2's grammar, and its tree turned into ours. The only importer of hcl2.

Called by :mod:`gitops.hcl.native` with a skeleton of a text. The grammar's tree is built from the
leaves up and without recursion: a sum of ten thousand terms nests ten thousand deep in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from gitops.hcl.scan import DIRECTIVE, TRIMMED, Sort, Token
from gitops.hcl.tree import Attribute, Block, Body, Expression, Kind, Unreadable

_VALUES = {"true": True, "false": False, "null": None}
_WRONG = "does not follow Terraform's grammar from here on"
_LONGEST_NUMBER = 400
"""Digits from which a number is no longer read as one."""


class Skeleton(Protocol):
    """A text as the grammar is shown it."""

    words: list[Token]

    @property
    def text(self) -> str: ...

    def source(self, offset: int) -> int:
        """Where in the file an offset of :attr:`text` comes from."""


def read(skeleton: Skeleton, place: Callable[[int], tuple[int, int]]) -> Body:
    """Raises Unreadable where the grammar refuses the skeleton."""
    from hcl2.parser import parser  # noqa: PLC0415 - half a second, paid by those who need it
    from lark.exceptions import UnexpectedInput  # noqa: PLC0415

    text = skeleton.text + "\n"
    try:
        tree = parser().parse(text)
    except UnexpectedInput as error:
        at = error.pos_in_stream
        raise Unreadable(_WRONG, skeleton.source(len(text) if at is None else at)) from None
    return _Reading(skeleton, place).of(tree)


class _Chain(list[Expression]):
    """Operands and indexes side by side, which the grammar nests as deep as they are many."""


class _Arguments(list[Expression]):
    pass


class _Pair(NamedTuple):
    key: Expression
    value: Expression


class _Intro(NamedTuple):
    """``for a, b in collection``"""

    names: tuple[str, ...]
    collection: Expression


class _Reading:
    """One method for each rule of the grammar; what a rule's children became is given to it.

    Signs stay the strings they are, new lines become None, words the scanner's tokens.
    """

    def __init__(self, skeleton: Skeleton, place: Callable[[int], tuple[int, int]]) -> None:
        self._skeleton = skeleton
        self._place = place

    def of(self, tree: Any) -> Body:
        made: dict[int, Any] = {}
        for each in tree.iter_subtrees():
            rule = getattr(self, f"_{each.data}", None)
            if rule is None:
                raise Unreadable(_WRONG, 0)
            made[id(each)] = rule([made.get(id(child), child) for child in each.children])
        body = made[id(tree)]
        assert isinstance(body, Body)
        return body

    # --- structure ---

    def _start(self, children: list[Any]) -> Any:
        return children[0]

    def _body(self, children: list[Any]) -> Body:
        return Body(
            tuple(each for each in children if isinstance(each, Attribute)),
            tuple(each for each in children if isinstance(each, Block)),
        )

    def _attribute(self, children: list[Any]) -> Attribute:
        name, *_, value = _solid(children)
        return Attribute(self._plain(name), self._value(value), *self._place(name.offset))

    def _block(self, children: list[Any]) -> Block:
        head, *labels, body = _solid(children)
        texts = tuple(self._label(label) for label in labels)
        return Block(self._plain(head), texts, body, *self._place(head.offset))

    def _plain(self, word: Any) -> str:
        """A name that stands for itself."""
        if not isinstance(word, Token) or word.sort is not Sort.NAME or not _is_name(word.text):
            raise Unreadable("a name is expected here", getattr(word, "offset", 0))
        return word.text

    def _label(self, word: Any) -> str:
        if isinstance(word, Token) and word.sort is Sort.TEMPLATE:
            return self._leaf(word).text or ""
        return self._plain(word)

    def _new_line_or_comment(self, children: list[Any]) -> None:
        return None

    # --- expressions ---

    def _identifier(self, children: list[Any]) -> Token:
        return self._skeleton.words[int(children[0][1:])]

    def _expr_term(self, children: list[Any]) -> Any:
        (inner,) = _solid(children)
        return self._value(inner) if children[0] == "(" else inner

    def _function_call(self, children: list[Any]) -> Expression:
        word, *given = _solid(children)
        arguments = tuple(given[0]) if given else ()
        if word.sort is Sort.TEMPLATE:
            return self._filled(word, arguments)
        if word.sort is not Sort.NAME or "." in word.text:
            raise Unreadable("what is called here is no function", word.offset)
        return Expression(Kind.CALL, *self._place(word.offset), word.text, arguments)

    def _filled(self, word: Token, arguments: Sequence[Expression]) -> Expression:
        line, column = self._place(word.offset)
        left = list(reversed(arguments))
        if len(left) != sum(not isinstance(part, str) for part in word.parts):
            raise Unreadable("what is called here is no function", word.offset)
        parts = []
        for part in word.parts:
            if isinstance(part, str):
                parts.append(Expression(Kind.LITERAL, line, column, part))
            elif part and part[0].text in (DIRECTIVE, TRIMMED):
                # What is beside it, or whether it is there at all, differs from what is written.
                inner = left.pop()
                parts.append(Expression(Kind.OTHER, inner.line, inner.column, None, (inner,)))
            else:
                parts.append(left.pop())
        return Expression(Kind.TEMPLATE, line, column, None, tuple(parts))

    def _arguments(self, children: list[Any]) -> _Arguments:
        return _Arguments(self._value(each) for each in _solid(children))

    def _conditional(self, children: list[Any]) -> Expression:
        parts = tuple(self._value(each) for each in _solid(children))
        return Expression(Kind.CHOICE, parts[0].line, parts[0].column, None, parts)

    def _binary_op(self, children: list[Any]) -> _Chain:
        left, right = _solid(children)
        chain = left if isinstance(left, _Chain) else _Chain([self._value(left)])
        chain.append(self._value(right))
        return chain

    _index_expr_term = _binary_op

    def _binary_term(self, children: list[Any]) -> Any:
        (inner,) = _solid(children)
        return inner

    _braces_index = _binary_term
    _for_cond = _binary_term

    def _binary_operator(self, children: list[Any]) -> None:
        return None

    def _tuple(self, children: list[Any]) -> Expression:
        parts = tuple(self._value(each) for each in _solid(children))
        return Expression(Kind.LIST, *self._sign(children[0]), None, parts)

    def _object(self, children: list[Any]) -> Expression:
        parts = tuple(part for pair in _solid(children) for part in pair)
        return Expression(Kind.OBJECT, *self._sign(children[0]), None, parts)

    def _object_elem(self, children: list[Any]) -> _Pair:
        key, value = _solid(children)
        return _Pair(key, self._value(value))

    def _object_elem_key(self, children: list[Any]) -> Expression:
        (key,) = _solid(children)
        if isinstance(key, Token) and key.sort is Sort.NAME and _is_name(key.text):
            return Expression(Kind.LITERAL, *self._place(key.offset), key.text)
        return self._value(key)

    def _for_intro(self, children: list[Any]) -> _Intro:
        *names, collection = _solid(children)
        return _Intro(tuple(self._plain(name) for name in names), self._value(collection))

    def _for_tuple_expr(self, children: list[Any]) -> Expression:
        intro, *made = _solid(children)
        parts = (intro.collection, *(self._value(each) for each in made))
        return Expression(Kind.FOR, *self._sign(children[0]), intro.names, parts)

    def _for_object_expr(self, children: list[Any]) -> Expression:
        made = self._for_tuple_expr(children)
        return replace(made, kind=Kind.FOR_OBJECT)

    # --- words ---

    def _value(self, made: Any) -> Expression:
        if isinstance(made, _Chain):
            return Expression(Kind.OTHER, made[0].line, made[0].column, None, tuple(made))
        if isinstance(made, Token):
            return self._leaf(made)
        if not isinstance(made, Expression):
            raise Unreadable(_WRONG, 0)
        return made

    def _leaf(self, word: Token) -> Expression:
        line, column = self._place(word.offset)
        if word.sort is Sort.NUMBER:
            return Expression(Kind.LITERAL, line, column, number(word.text))
        if word.sort is Sort.TEMPLATE:
            return Expression(Kind.LITERAL, line, column, "".join(_texts(word)))
        if word.text in _VALUES:
            return Expression(Kind.LITERAL, line, column, _VALUES[word.text])
        return Expression(Kind.REFERENCE, line, column, word.text)

    def _sign(self, token: Any) -> tuple[int, int]:
        return self._place(self._skeleton.source(token.start_pos))


def number(text: str) -> int | float:
    """Of digits, a point, an exponent; what is too long or malformed is not a number (NaN)."""
    if len(text) > _LONGEST_NUMBER:
        return float("nan")
    try:
        return int(text) if text.removeprefix("-").isdigit() else float(text)
    except ValueError:
        return float("nan")


def _solid(children: Iterable[Any]) -> list[Any]:
    """Without new lines and signs."""
    return [each for each in children if each is not None and not isinstance(each, str)]


def _is_name(text: str) -> bool:
    return "." not in text and ":" not in text


def _texts(word: Token) -> Iterator[str]:
    for part in word.parts:
        if not isinstance(part, str):
            raise Unreadable("a text with something in it cannot stand here", word.offset)
        yield part
