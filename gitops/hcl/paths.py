"""Where Terraform's file functions may read: inside the source, and nowhere else.

``file("/etc/passwd")`` in a plan of unapproved code would show the controller's own files to all
who read the plan. A path has to be seen to stay inside (:mod:`gitops.hcl.folding`); one that cannot
be read off is refused, not warned about: ``substr("_/etc/passwd", 1, -1)`` is all it takes to turn
a literal into one. Templates are read too, for functions can be called in them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gitops.closures import normalise
from gitops.errors import RenderError
from gitops.hcl import native
from gitops.hcl.folding import MARK, SOME, WHOLE, Budget, Scope, each_of, loop, strings
from gitops.hcl.modules import Graph
from gitops.hcl.reading import Reading, folder_of, under
from gitops.hcl.tree import Block, Body, Document, Expression, Kind, Unreadable, composed

READERS = frozenset(
    {
        "file", "filebase64", "filebase64sha256", "filebase64sha512", "fileexists", "filemd5",
        "fileset", "filesha1", "filesha256", "filesha512", "templatefile",
    }
)  # fmt: skip
_BY_NAME = re.compile(rb"file|templatestring")
"""In every template that calls one of them. What may stand before the bracket is left open: blanks,
comments, lines."""
_TEMPLATE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Trouble:
    """A file function not seen to stay inside; ``unknown``: nothing shows where it reads."""

    path: str
    line: int
    column: int
    message: str
    unknown: bool


def troubles(reading: Reading, graph: Graph, scopes: Mapping[str, Scope]) -> Iterator[Trouble]:
    """In every folder of the root, its test files and the templates they render."""
    walk = _Walk(reading, graph.root)
    for folder, documents in graph.folders.items():
        for document in documents:
            walk.top(document.path, document.body, scopes[folder])
    for document in graph.tests:
        walk.top(document.path, document.body, scopes[graph.root])
    walk.templates()
    yield from walk.found


def scopes_of(
    graph: Graph, given: Sequence[Document], variables: Sequence[Expression], workspace: str
) -> Mapping[str, Scope]:
    """One scope for each folder. ``given``: variable files of the root; ``variables``: objects of
    values that are in no file, the operator's own among them."""
    inputs: dict[str, dict[str, list[tuple[Expression, Scope]]]] = {f: {} for f in graph.folders}
    budget = Budget([WHOLE])
    scopes = {
        folder: Scope(folder, graph.root, workspace, _locals(documents), inputs[folder], {}, budget)
        for folder, documents in graph.folders.items()
    }
    for folder, documents in graph.folders.items():
        for name, default in _defaults(documents):
            inputs[folder].setdefault(name, []).append((default, scopes[folder]))
    for name, value in _given((*given, *graph.tests), variables):
        inputs[graph.root].setdefault(name, []).append((value, scopes[graph.root]))
    for call in graph.calls:
        target = call.target if call.local else None
        if target in inputs:
            scope = _around(call.body, scopes[call.folder])
            for argument in call.body.attributes:
                inputs[target].setdefault(argument.name, []).append((argument.value, scope))
    return scopes


def anything(variable: str) -> Expression:
    """A variable of which nobody knows here what it will be, for :func:`scopes_of`."""
    name = Expression(Kind.LITERAL, 0, 0, variable)
    return Expression(Kind.OBJECT, 0, 0, None, (name, Expression(Kind.OTHER, 0, 0)))


def _locals(documents: Sequence[Document]) -> dict[str, tuple[Expression, ...]]:
    found: dict[str, tuple[Expression, ...]] = {}
    for document in documents:
        for block in document.body.of("locals"):
            for each in block.body.attributes:
                found[each.name] = (*found.get(each.name, ()), each.value)
    return found


def _defaults(documents: Sequence[Document]) -> Iterator[tuple[str, Expression]]:
    for document in documents:
        for block in document.body.of("variable"):
            default = block.body.attribute("default")
            if default is not None:
                yield block.label, default.value


def _given(
    given: Sequence[Document], variables: Sequence[Expression]
) -> Iterator[tuple[str, Expression]]:
    """From files of variables, from the tests' own, and the operator's."""
    for document in given:
        runs = [run.body for run in document.body.of("run")]
        blocks = [each for body in (document.body, *runs) for each in body.of("variables")]
        for body in (document.body, *(block.body for block in blocks)):
            yield from ((each.name, each.value) for each in body.attributes)
    for each in variables:
        yield from ((key.text or "", value) for key, value in each.items)


def _around(body: Body, scope: Scope) -> Scope:
    """With ``each`` where a block has ``for_each``."""
    over = body.attribute("for_each")
    return each_of(over.value, scope.fresh()) if over is not None else scope


def _dynamic(block: Block, scope: Scope) -> Scope:
    """``dynamic "x"`` binds ``x.key`` and ``x.value`` (or its iterator's) in what it repeats."""
    over = block.body.attribute("for_each")
    if block.type != "dynamic" or over is None:
        return scope
    iterator = block.body.attribute("iterator")
    name = str(iterator.value.value) if iterator is not None else block.label
    bound = each_of(over.value, scope.fresh()).bound
    keys, values = bound["each.key"], bound["each.value"]
    return scope.binding({name: None, f"{name}.key": keys, f"{name}.value": values})


class _Walk:
    """Goes through everything once, with the names bound at each place."""

    def __init__(self, reading: Reading, root: str) -> None:
        self._reading = reading
        self._root = root
        self._rendered: set[str] = set()
        self.found: list[Trouble] = []

    def top(self, path: str, body: Body, scope: Scope) -> None:
        """A whole file. Only blocks directly in it are repeated by a ``for_each`` of theirs."""
        self._attributes(path, body, scope)
        for block in body.blocks:
            inner = _around(block.body, scope)
            for attribute in block.body.attributes:
                own = scope if attribute.name == "for_each" else inner
                self._expression(path, attribute.value, own)
            self._blocks(path, block.body, inner)

    def _attributes(self, path: str, body: Body, scope: Scope) -> None:
        for attribute in body.attributes:
            self._expression(path, attribute.value, scope)

    def _blocks(self, path: str, body: Body, scope: Scope) -> None:
        for block in body.blocks:
            self._attributes(path, block.body, scope)
            self._blocks(path, block.body, _dynamic(block, scope))

    def _expression(self, path: str, expression: Expression, scope: Scope) -> None:
        if expression.kind in (Kind.FOR, Kind.FOR_OBJECT):
            self._expression(path, expression.parts[0], scope)
            inner = loop(expression, scope.fresh())
            for part in expression.parts[1:]:
                self._expression(path, part, inner)
            return
        if expression.kind is Kind.CALL:
            self._call(path, expression, scope)
        for part in expression.parts:
            self._expression(path, part, scope)

    def _call(self, path: str, call: Expression, scope: Scope) -> None:
        name = str(call.value).removeprefix("core::")
        if name == "templatestring":
            text = "templatestring() can call any function, and what it renders is not known here"
            self._trouble(path, call, text, unknown=True)
        elif name in READERS:
            if call.parts:
                self._path(path, call, name, scope)
            if name == "fileset":
                self._pattern(path, call)

    def _path(self, path: str, call: Expression, name: str, scope: Scope) -> None:
        known = strings(call.parts[0], scope.fresh())
        if known is None:
            text = f"what {name}() reads cannot be told from the code"
            self._trouble(path, call, text, unknown=True)
            return
        for each in sorted(known):
            outside = self._outside(each, name)
            if outside:
                self._trouble(path, call, outside, unknown=False)
                return
            if name == "templatefile":
                self._rendered.add(self._inside(each))

    def _outside(self, value: str, name: str) -> str:
        """Why a path is refused, or nothing."""
        shown = value.replace(SOME, "*")
        if value.startswith(MARK):
            folder, _, rest = value[1:].partition(MARK)
            shown = f"{folder or '.'}{rest}"
            if MARK in rest or (rest and not rest.startswith("/")):
                return f"{name}() reads {shown!r}, which is no path beneath a folder"
        elif MARK in value:
            return f"{name}() reads a path with a folder in its middle"
        elif value.startswith(("/", "~")) or "\\" in value:
            return f"{name}() reads {shown!r}, which is not in the source"
        try:
            self._inside(value)
        except RenderError:
            return f"{name}() reads {shown!r}, which leaves the source"
        return ""

    def _inside(self, value: str) -> str:
        """Relative to the source's root. A path is relative to the root's folder, where it runs."""
        if value.startswith(MARK):
            folder, _, rest = value[1:].partition(MARK)
            return normalise(composed(rest).lstrip("/"), folder)
        return normalise(composed(value), self._root)

    def _pattern(self, path: str, call: Expression) -> None:
        pattern = call.parts[1].text if len(call.parts) == 2 else None
        if pattern is None:
            text = "the pattern of fileset() cannot be told from the code"
            self._trouble(path, call, text, unknown=True)
        elif pattern.startswith("/") or "\\" in pattern or ".." in pattern:
            self._trouble(path, call, "the pattern of fileset() climbs", unknown=False)

    def _trouble(self, path: str, at: Expression, message: str, *, unknown: bool) -> None:
        self.found.append(Trouble(path, at.line, at.column, message, unknown))

    # --- templates ---

    def templates(self) -> None:
        """Files that ``templatefile`` renders: a function called in them reads as well as one in
        the code, OpenTofu's ``templatefile`` among them. ``path`` and ``local`` mean nothing
        there."""
        seen: set[str] = set()
        while fresh := set(self._candidates()) - seen:
            seen |= fresh
            for path in sorted(fresh):
                self._template(path)

    def _template(self, path: str) -> None:
        content = self._reading.files[path].content
        if not _BY_NAME.search(content):
            return
        try:
            body = _template(content)
        except Unreadable as error:
            message = f"a template that calls file functions cannot be read: {error.message}"
            self.found.append(Trouble(path, 0, 0, message, False))
            return
        self._expression(path, body, Scope(MARK, self._root))

    def _candidates(self) -> Iterator[str]:
        for wanted in self._rendered:
            if wanted in self._reading.files:
                yield wanted
        # One of those that fileset found: any beneath the folder its name begins with.
        for folder in {
            folder_of(each.partition(SOME)[0]) for each in self._rendered if SOME in each
        }:
            yield from (path for path in self._reading.files if under(path, folder))


def _template(content: bytes) -> Expression:
    if len(content) > _TEMPLATE_BYTES:
        raise Unreadable("it is over 1 MiB")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise Unreadable("it is not UTF-8") from None
    return native.templates([text], [(1, 1)])[0]
