"""What strings an expression can come to, as far as its text alone decides.

Called for the paths given to file functions (:mod:`gitops.hcl.paths`). Follows literals, locals,
inputs of modules, ``for`` over what is written out, and a few functions; everything else is
unknown, which the rule refuses, for a path that cannot be read off could be any.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product

from gitops.hcl.tree import Expression, Kind

LIMIT = 400
"""Strings one expression may come to before it counts as unknown."""
STEPS = 500
"""Expressions looked at for one path, through locals and inputs."""
WHOLE = 100_000
"""Expressions looked at for all paths of a root; then every further one is unknown."""
LONGEST = 4_096
"""Characters of a path."""
SOME = "\x01"
"""Stands for a name that ``fileset`` found: beneath its folder, without ``..``."""
MARK = "\x00"
"""Around a folder relative to the source's root: what ``path.module`` is, say."""

Strings = frozenset[str]


@dataclass(frozen=True, slots=True)
class Pairs:
    """What a ``for`` or ``for_each`` goes over: keys and values, each None when unknown."""

    keys: Strings | None
    values: Strings | None


_UNKNOWN = Pairs(None, None)
_FOLDERS = ("path.module", "path.root", "path.cwd")


@dataclass(slots=True)
class Budget:
    """How much more may be looked at: hostile code could refer to itself in rings and fans."""

    whole: list[int]
    """Shared by all scopes of a root."""
    left: int = STEPS

    def spend(self) -> bool:
        self.left -= 1
        self.whole[0] -= 1
        return self.left > 0 and self.whole[0] > 0


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an expression stands."""

    folder: str
    root: str
    workspace: str = "default"
    locals: Mapping[str, tuple[Expression, ...]] = field(default_factory=dict)
    inputs: Mapping[str, Sequence[tuple[Expression, Scope]]] = field(default_factory=dict)
    """What a variable may be: its default, values from files, arguments of every caller."""
    bound: Mapping[str, Strings | None] = field(default_factory=dict)
    """Names of ``for``, and ``each.key`` and ``each.value``."""
    budget: Budget = field(default_factory=lambda: Budget([WHOLE]))

    def binding(self, names: Mapping[str, Strings | None]) -> Scope:
        return replace(self, bound={**self.bound, **names})

    def fresh(self) -> Scope:
        """With steps to go anew."""
        return replace(self, budget=Budget(self.budget.whole))


def strings(expression: Expression, scope: Scope) -> Strings | None:
    """Everything it can be as text; None: unknown."""
    if not scope.budget.spend():
        return None
    try:
        return _strings(expression, scope)
    except RecursionError:
        return None


def _strings(expression: Expression, scope: Scope) -> Strings | None:
    kind = expression.kind
    if kind is Kind.TEMPLATE:
        return _joined((strings(part, scope) for part in expression.parts), "")
    if kind is Kind.CHOICE:
        return _union(strings(part, scope) for part in expression.parts[1:])
    if kind is Kind.REFERENCE:
        return _named(str(expression.value), scope)
    if kind is Kind.CALL:
        return _called(expression, scope)
    return _literal(expression.value) if kind is Kind.LITERAL else None


def _literal(value: object) -> Strings | None:
    if isinstance(value, str):
        plain = len(value) <= LONGEST and not any(sign in value for sign in ("\n", MARK, SOME))
        return frozenset([value]) if plain else None
    if isinstance(value, int) and not isinstance(value, bool):
        return frozenset([str(value)])
    return None


def _joined(parts: Iterable[Strings | None], between: str) -> Strings | None:
    known: list[Strings] = []
    size, length = 1, 0
    for part in parts:
        if not part:
            return None
        size *= len(part)
        length += max(map(len, part)) + len(between)
        if size > LIMIT or length > LONGEST:
            return None
        known.append(part)
    return frozenset(between.join(each) for each in product(*known))


def _union(parts: Iterable[Strings | None]) -> Strings | None:
    found: set[str] = set()
    for part in parts:
        if part is None:
            return None
        found |= part
    return frozenset(found) if 0 < len(found) <= LIMIT else None


def _named(name: str, scope: Scope) -> Strings | None:
    first, _, rest = name.partition(".")
    if name in scope.bound or first in scope.bound:
        # A loop's name hides what it is called after: in ``for path in …``, path.module is no path.
        return scope.bound.get(name)
    if name in _FOLDERS:
        folder = scope.folder if name == "path.module" else scope.root
        return frozenset([f"{MARK}{folder}{MARK}"])
    if name in ("terraform.workspace", "tofu.workspace"):
        return frozenset([scope.workspace])
    return _union(strings(each, outer) for each, outer in _meant(first, rest, scope))


def _meant(kind: str, name: str, scope: Scope) -> Iterable[tuple[Expression, Scope]]:
    """What a local or a variable was set to, and where that stands."""
    if kind == "local":
        bare = replace(scope, bound={})
        return ((each, bare) for each in scope.locals.get(name, ()))
    if kind == "var":
        # The outer scope spends what this one has left: calls cannot be chained for ever.
        found = scope.inputs.get(name, ())
        return ((each, replace(outer, budget=scope.budget)) for each, outer in found)
    return ()


def _called(call: Expression, scope: Scope) -> Strings | None:
    name = str(call.value).removeprefix("core::")
    if name in ("abspath", "tostring", "try") and len(call.parts) == 1:
        return strings(call.parts[0], scope)
    if name in ("basename", "dirname") and len(call.parts) == 1:
        known = strings(call.parts[0], scope)
        if known is None or any(MARK in each for each in known):
            return None
        return frozenset(_cut(name, each.rstrip("/")) for each in known)
    if name == "format" and call.parts:
        return _formatted(call.parts, scope)
    if name == "join" and len(call.parts) == 2 and call.parts[1].kind is Kind.LIST:
        between = call.parts[0].text
        if between is not None:
            return _joined((strings(part, scope) for part in call.parts[1].parts), between)
    return None


def _cut(name: str, path: str) -> str:
    """As Go's filepath does it: ``/`` of nothing but slashes, ``.`` of no folder."""
    if name == "basename":
        return posixpath.basename(path) or "/"
    return posixpath.dirname(path) or "."


def _formatted(parts: tuple[Expression, ...], scope: Scope) -> Strings | None:
    """``format("%s/%s", …)``; any other verb is unknown."""
    pieces = (parts[0].text or "%").split("%s")
    if any("%" in piece for piece in pieces) or len(pieces) != len(parts):
        return None
    between: list[Strings | None] = [frozenset(pieces[:1])]
    for piece, part in zip(pieces[1:], parts[1:], strict=True):
        between += [strings(part, scope), frozenset([piece])]
    return _joined(between, "")


def pairs(expression: Expression, scope: Scope) -> Pairs:
    """What is gone over."""
    if not scope.budget.spend():
        return _UNKNOWN
    find = _PAIRS.get(expression.kind)
    try:
        return find(expression, scope) if find else _UNKNOWN
    except RecursionError:
        return _UNKNOWN


def _listed(expression: Expression, scope: Scope) -> Pairs:
    values = _union(strings(part, scope) for part in expression.parts)
    return Pairs(frozenset(str(index) for index in range(len(expression.parts))), values)


def _keyed(expression: Expression, scope: Scope) -> Pairs:
    keys = _union(strings(key, scope) for key, _ in expression.items)
    return Pairs(keys, _union(strings(value, scope) for _, value in expression.items))


def _chosen(expression: Expression, scope: Scope) -> Pairs:
    return _together([pairs(part, scope) for part in expression.parts[1:]])


def _together(found: Sequence[Pairs]) -> Pairs:
    return Pairs(_union(each.keys for each in found), _union(each.values for each in found))


def _mapped(expression: Expression, scope: Scope) -> Pairs:
    inner = loop(expression, scope)
    values = [strings(part, inner) for part in expression.parts[1:3]]
    if expression.kind is Kind.FOR:
        return Pairs(None, values[0] if values else None)
    return Pairs(*values) if len(values) == 2 else _UNKNOWN


def _referred(expression: Expression, scope: Scope) -> Pairs:
    first, _, rest = str(expression.value).partition(".")
    if first in scope.bound:
        return _UNKNOWN
    return _together([pairs(each, outer) for each, outer in _meant(first, rest, scope)])


def _collection(call: Expression, scope: Scope) -> Pairs:
    name = str(call.value).removeprefix("core::")
    if name == "toset" and len(call.parts) == 1:
        # The keys of a set are its values.
        values = pairs(call.parts[0], scope).values
        return Pairs(values, values)
    if name in ("tolist", "tomap", "sort", "distinct", "reverse") and len(call.parts) == 1:
        return pairs(call.parts[0], scope)
    if name in ("keys", "values") and len(call.parts) == 1:
        both = pairs(call.parts[0], scope)
        return Pairs(None, both.keys if name == "keys" else both.values)
    if name == "fileset":
        # A set; the rule looks at the call itself, and its pattern cannot climb.
        return Pairs(frozenset([SOME]), frozenset([SOME]))
    return _UNKNOWN


_PAIRS: Mapping[Kind, Callable[[Expression, Scope], Pairs]] = {
    Kind.LIST: _listed,
    Kind.OBJECT: _keyed,
    Kind.FOR: _mapped,
    Kind.FOR_OBJECT: _mapped,
    Kind.CHOICE: _chosen,
    Kind.REFERENCE: _referred,
    Kind.CALL: _collection,
}


def loop(expression: Expression, scope: Scope) -> Scope:
    """The scope inside a ``for``."""
    over = pairs(expression.parts[0], scope)
    names: tuple[str, ...] = expression.value
    if len(names) == 1:
        return scope.binding({names[0]: over.values})
    return scope.binding({names[0]: over.keys, names[1]: over.values})


def each_of(expression: Expression, scope: Scope) -> Scope:
    """The scope inside a block that has this ``for_each``."""
    over = pairs(expression, scope)
    return scope.binding({"each.key": over.keys, "each.value": over.values})
