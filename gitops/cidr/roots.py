"""Claims in a Terraform root, before anything of it runs.

Literals under names that hand ranges out: in resources, module calls and ``locals``, and in
variables with the value that wins (default, environment, variable files, the operator's own).
References to variables and locals of the root are followed; whatever takes evaluating is left to
the planned values. Text is a tenant's: everything here is bounded.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gitops.cidr.claims import MAX_CLAIMS, Found
from gitops.cidr.names import is_part, mentions
from gitops.cidr.values import handed_out
from gitops.hcl.modules import Call, Graph, follow
from gitops.hcl.reading import TESTS, Reading, folder_of, is_language, name_of
from gitops.hcl.tree import Block, Document, Expression, Kind
from gitops.model.fleet import ApplicationSpec
from gitops.model.sealed import SealedFile

_FOLLOWED = 10
"""References in a row."""
_LARGEST = 50_000
"""Expressions looked at in one root, repeated ones counted each time."""
_SAME = frozenset({"compact", "concat", "distinct", "flatten", "merge", "tolist", "tomap", "toset"})
"""Functions that give back what they are given, in another collection."""


class _Text(str):
    """A string, and where it is written."""

    path: str
    line: int


@dataclass(frozen=True, slots=True)
class _Written:
    """An expression and the file it is in."""

    path: str
    value: Expression


_Scope = Mapping[str, Any]
"""What ``var.x`` and ``local.x`` are in one folder: written somewhere, or a plain value."""


class _Values:
    """Expressions as plain values; what takes evaluating is None."""

    def __init__(self) -> None:
        self._left = _LARGEST

    def of(self, expression: Expression, path: str, scope: _Scope, depth: int = 0) -> Any:
        self._left -= 1
        if self._left < 0:
            return None
        if expression.text is not None:
            found = _Text(expression.text)
            found.path, found.line = path, expression.line
            return found
        if expression.kind is Kind.REFERENCE:
            return self.named(str(expression.value), scope, depth)
        if expression.kind is Kind.OBJECT:
            return {
                _key(key): self.of(value, path, scope, depth) for key, value in expression.items
            }
        if expression.kind is Kind.LIST or expression.value in _SAME:
            return [self.of(part, path, scope, depth) for part in expression.parts]
        return None

    def named(self, name: str, scope: _Scope, depth: int = 0) -> Any:
        known = scope.get(name)
        if depth >= _FOLLOWED or not isinstance(known, _Written):
            return None if isinstance(known, _Written) else known
        return self.of(known.value, known.path, scope, depth + 1)


def claims_in_root(application: ApplicationSpec, files: Iterable[SealedFile]) -> tuple[Found, ...]:
    """Every range the root and the local modules it calls claim. Files that cannot be read are
    passed over: the rules for them block anyway."""
    reading = Reading(files)
    graph = follow(reading, application.path)
    values = _Values()
    found: dict[Found, None] = {}
    for each in _everything(application, reading, graph, values):
        found[each] = None
        if len(found) >= MAX_CLAIMS:
            break
    return tuple(found)


def _everything(
    application: ApplicationSpec, reading: Reading, graph: Graph, values: _Values
) -> Iterator[Found]:
    given = _given(application, reading, graph)
    for folder, calls in _used(graph).items():
        documents = graph.folders[folder]
        known = given if folder == application.path else _omitted(documents, calls)
        scope = {**{f"var.{n}": v for n, v in known.items()}, **_locals(documents)}
        for name, value in known.items():
            where = "" if isinstance(value, _Written) else "the fleet file's "
            plain = values.named(f"var.{name}", scope)
            yield from _found(f"{where}var.{name}", name, plain)
        for document in documents:
            yield from _in_document(document, scope, values)


def _used(graph: Graph) -> dict[str, list[Call]]:
    """Folders the root really consists of, those of its tests not among them, and their calls."""
    calls = [call for call in graph.calls if not is_language(call.path, TESTS)]
    used: dict[str, list[Call]] = {graph.root: []} if graph.root in graph.folders else {}
    waiting = list(used)
    while waiting:
        here = waiting.pop()
        for call in calls:
            target = call.target if call.local else None
            if folder_of(call.path) != here or target is None or target not in graph.folders:
                continue
            if target not in used:
                used[target] = []
                waiting.append(target)
            used[target].append(call)
    return used


# --- variables ----------------------------------------------------------------------------------


def _defaults(documents: Iterable[Document]) -> dict[str, _Written | None]:
    """Every declared variable; None without a default."""
    found: dict[str, _Written | None] = {}
    for document in documents:
        for block in document.body.of("variable"):
            default = block.body.attribute("default")
            found[block.label] = _Written(document.path, default.value) if default else None
    return found


def _omitted(documents: Iterable[Document], calls: Iterable[Call]) -> dict[str, Any]:
    """Defaults of a module that some call leaves as they are."""
    passed = [{argument.name for argument in call.body.attributes} for call in calls]
    return {
        name: default
        for name, default in _defaults(documents).items()
        if default is not None and any(name not in names for names in passed)
    }


def _given(application: ApplicationSpec, reading: Reading, graph: Graph) -> dict[str, Any]:
    """The root's variables as they will be, in Terraform's order: the later wins."""
    declared = _defaults(graph.folders.get(graph.root, ()))
    found: dict[str, Any] = {name: value for name, value in declared.items() if value is not None}
    spec = application.terraform
    for name, value in spec.environment.plan.items() if spec else ():
        if name.startswith("TF_VAR_") and isinstance(value, str):
            found[name.removeprefix("TF_VAR_")] = value
    for document in reading.documents(_variable_files(application, reading)):
        for attribute in document.body.attributes:
            found[attribute.name] = _Written(document.path, attribute.value)
    found.update(spec.variables if spec else {})
    return {name: value for name, value in found.items() if name in declared}


def _variable_files(application: ApplicationSpec, reading: Reading) -> list[str]:
    """Read by themselves, in Terraform's order, then those the operator names."""
    here = {name_of(path): path for path in reading.names(application.path)}
    names = ["terraform.tfvars", "terraform.tfvars.json"]
    names += sorted(n for n in here if n.endswith((".auto.tfvars", ".auto.tfvars.json")))
    spec = application.terraform
    return [here[name] for name in names if name in here] + [
        posixpath.normpath(posixpath.join(application.path, name))
        for name in (spec.variable_files if spec else ())
    ]


def _locals(documents: Iterable[Document]) -> dict[str, _Written]:
    return {
        f"local.{attribute.name}": _Written(document.path, attribute.value)
        for document in documents
        for block in document.body.of("locals")
        for attribute in block.body.attributes
    }


# --- blocks -------------------------------------------------------------------------------------


def _in_document(document: Document, scope: _Scope, values: _Values) -> Iterator[Found]:
    for block in document.body.of("resource", "module"):
        if not _none_of_it(block):
            yield from _in_block(block, document.path, scope, values)
    for block in document.body.of("locals"):
        for attribute in block.body.attributes:
            plain = values.of(attribute.value, document.path, scope)
            yield from _found(f"local.{attribute.name}", attribute.name, plain, shared=True)


def _none_of_it(block: Block) -> bool:
    """``count = 0``, or a resource that only mentions ranges."""
    count = block.body.attribute("count")
    if count is not None and count.value.kind is Kind.LITERAL and count.value.value == 0:
        return True
    return block.type == "resource" and mentions((block.label,))


def _in_block(block: Block, path: str, scope: _Scope, values: _Values) -> Iterator[Found]:
    address = ".".join(block.labels if block.type == "resource" else ("module", *block.labels))
    part = block.type == "resource" and is_part((block.label,))
    for around, attribute in block.body.walk():
        if mentions(name for each in around for name in (each.type, *each.labels)):
            continue
        within = "".join(f"{each.type}." for each in around)
        plain = values.of(attribute.value, path, scope)
        what = f"{address}.{within}{attribute.name}"
        yield from _found(what, attribute.name, plain, part=part)


def _found(
    what: str, name: str, plain: Any, *, part: bool = False, shared: bool = False
) -> Iterator[Found]:
    for where, range, text in handed_out(name, plain):
        path, line = (text.path, text.line) if isinstance(text, _Text) else ("", 0)
        yield Found(range, what + where[len(name) :], path, line, part, shared)


def _key(expression: Expression) -> str:
    return str(expression.value) if expression.value is not None else ""
