"""Which of a root's own tests may run before anybody approved anything.

``terraform test`` applies by default: real resources, made by code nobody has looked at. A file may
run when each of its ``run`` blocks plans only, or when it mocks every provider. Called by the
``terraform-validate`` check, after the rules found no error.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitops.hcl import providers
from gitops.hcl.modules import Graph, follow
from gitops.hcl.reading import Reading
from gitops.hcl.remarks import warning
from gitops.hcl.tree import Block, Body, Document, Kind
from gitops.model.finding import Finding
from gitops.model.manifest import Origin
from gitops.model.sealed import SealedFile

_HINT = "write `command = plan` in the run, or mock the providers (`mock_provider`)"


def test_files(
    files: Iterable[SealedFile], path: str
) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    """(paths of test files that apply nothing, a WARNING for each file that is not run).

    Files that cannot be read are in neither: the rules refuse them.
    """
    graph = follow(Reading(files), path)
    harmless: list[str] = []
    others: list[Finding] = []
    for document in graph.tests:
        why = _why_not(document, graph)
        if why is None:
            harmless.append(document.path)
        else:
            others.append(why)
    return tuple(harmless), tuple(others)


def _why_not(document: Document, graph: Graph) -> Finding | None:
    applying = [run for run in document.body.of("run") if not _plans(run, document.path)]
    if not applying:
        return None
    lacking = _lacking(document.body, graph)
    if not lacking:
        return None
    run = applying[0]
    at = Origin(document.path, run.line, run.column)
    return warning(f"not run: {run} would apply before approval, and {lacking}", at, _HINT)


def _plans(run: Block, path: str) -> bool:
    command = run.body.attribute("command")
    if command is None:
        return False
    value = command.value
    if value.kind is Kind.REFERENCE:
        return bool(value.value == "plan")
    return path.endswith(".json") and value.text == "plan"


def _lacking(body: Body, graph: Graph) -> str:
    """Why an apply of it would do something; empty when nothing it does is real."""
    if any(body.of("provider")):
        return "it configures a real provider"
    if any(not call.local for call in graph.calls):
        return "a module that is fetched may use any provider"
    acting = [
        block
        for document in graph.documents
        for block in document.body.of("resource", "removed")
        if any(block.body.of("provisioner"))
    ]
    if acting:
        return "provisioners run under mocks too"
    mocked = {(each.label, _alias(each.body)) for each in body.of("mock_provider")}
    missing = [each for each in _configured(graph) if each not in mocked]
    if not missing:
        return ""
    name, alias = missing[0]
    return f"the provider {name + (f'.{alias}' if alias else '')!r} is not mocked"


def _alias(body: Body) -> str:
    alias = body.attribute("alias")
    return (alias.value.text or "?") if alias is not None else ""


def _configured(graph: Graph) -> Sequence[tuple[str, str]]:
    """Local names of all providers that any folder uses, and each configuration with an alias."""
    found: dict[tuple[str, str], None] = {}
    for documents in graph.folders.values():
        for name in sorted(providers.names(documents)):
            found[(name, "")] = None
        for document in documents:
            for block in document.body.of("provider"):
                found[(block.label, _alias(block.body))] = None
    return list(found)
