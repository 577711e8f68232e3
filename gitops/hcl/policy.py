"""What unapproved Terraform code may not do, found before any of it runs.

Called by the ``terraform`` check, and as a guard by whoever is about to run ``init``. Every rule is
an ERROR, which nobody can approve: what is needed is allowed in the fleet file, by the operator.
All files of all folders a root reaches count, override files like the rest, in both syntaxes; what
cannot be read is refused. Pure; minutes of hostile text are bounded by :mod:`gitops.hcl.reading`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from gitops.foreign import one_line
from gitops.hcl import blocks, jsonform, paths, providers, stray
from gitops.hcl.modules import MAX_FOLDERS, TEST_FOLDER, Call, Graph, follow
from gitops.hcl.reading import MOCKS, VARIABLES, Reading, is_language
from gitops.hcl.remarks import error, info
from gitops.hcl.tree import Document, Expression
from gitops.model.finding import Finding
from gitops.model.manifest import Origin
from gitops.model.sealed import SealedFile
from gitops.model.terraform import TerraformSpec


def policy(
    files: Sequence[SealedFile], path: str, spec: TerraformSpec, needs: Iterable[str] = ()
) -> tuple[Finding, ...]:
    """Findings of check ``terraform`` about the root at ``path``, in order of place.

    ``files`` are all that was read for it, paths relative to the source's root; ``needs`` are names
    of variables other applications set. No ERROR among the findings: the code keeps to
    ``spec.allow``, and ``init`` may run.
    """
    try:
        found = list(_findings(Reading(files), path, spec, needs))
    except RecursionError:
        found = [error("the code is nested too deeply to be read", Origin(path))]
    unique = {(f.path, f.line, f.column, f.message): f for f in found}
    return tuple(unique[key] for key in sorted(unique))


def _findings(
    reading: Reading, path: str, spec: TerraformSpec, needs: Iterable[str]
) -> Iterator[Finding]:
    graph = follow(reading, path)
    variables = _variable_files(reading, path, spec)
    mocks = reading.documents(p for p in reading.files if is_language(p, MOCKS))
    yield from stray.files(reading, graph)
    yield from stray.secrets(variables)
    yield from _providers(reading, graph, spec)
    yield from _modules(reading, graph, spec)
    for document in (*graph.documents, *graph.tests, *mocks):
        yield from blocks.findings(document, spec.allow)
    for document in graph.folders[path]:
        yield from blocks.state(document, spec.backend)
    yield from _paths(reading, graph, variables, spec, needs)
    if not graph.folders[path] and not reading.problems:
        yield error(
            "there is no Terraform code here", Origin(path), "correct the application's path"
        )
    for problem in reading.problems.values():
        yield error(
            f"cannot be read: {problem.message}",
            Origin(problem.path, problem.line, problem.column),
            "`terraform fmt` or `validate` tells more; what is not understood here is not run",
        )


def _variable_files(reading: Reading, path: str, spec: TerraformSpec) -> list[Document]:
    """Those the tool loads by itself, the tests' own among them, and those of the fleet file."""
    beneath = f"{path}/{TEST_FOLDER}" if path else TEST_FOLDER
    found = [
        each
        for folder in (path, beneath)
        for each in reading.names(folder)
        if is_language(each, VARIABLES)
    ]
    named = (stray.beside(path, each) for each in spec.variable_files)
    return reading.documents(dict.fromkeys([*found, *(each for each in named if each)]))


# --- providers ---


def _providers(reading: Reading, graph: Graph, spec: TerraformSpec) -> Iterator[Finding]:
    uses = [use for documents in graph.folders.values() for use in providers.uses(documents)]
    uses += providers.uses([*graph.folders[graph.root], *graph.tests])
    for use in uses:
        yield from _use(use, spec)
    lock = f"{graph.root}/{providers.LOCK_FILE}" if graph.root else providers.LOCK_FILE
    document = reading.document(lock)
    if document is None and lock in reading.files:
        return
    held = list(providers.locked(document)) if document else []
    for use in held:
        yield from _use(use, spec)
    known = providers.required(held)
    seen: set[str] = set()
    for use in uses:
        missing = use.source not in (*known, *seen, "", providers.BUILTIN)
        if missing:
            seen.add(use.source)
            yield _unlocked(use, graph.root, spec, document is not None)


def _use(use: providers.Use, spec: TerraformSpec) -> Iterator[Finding]:
    at = Origin(use.path, use.line, use.column)
    if not use.source:
        message = f"{_shown(use.what)} names no provider address"
        yield error(message, at, 'write `source = "NAMESPACE/NAME"` as a plain text')
    elif not providers.allowed(use.source, spec.allow):
        kind = use.source.rpartition("/")[2]
        if use.what.startswith(f'data "{kind}"') and kind in ("external", "http"):
            return  # the block itself is refused, with its own words
        lines = f"providers: [{use.source}]"
        if kind in ("external", "http"):
            lines = f"{kind}: true"
        message = f"{_shown(use.what)} runs the provider {_shown(use.source)}, which is not allowed"
        yield error(message, at, blocks.allow(lines))


def _unlocked(use: providers.Use, root: str, spec: TerraformSpec, there: bool) -> Finding:
    command = f"{spec.binary} -chdir={root or '.'} providers lock -platform=linux_amd64"
    if there:
        message = f"the lock file does not hold {_shown(use.source)}, which is required here"
    else:
        message = f"{_shown(use.source)} is required, and there is no {providers.LOCK_FILE}"
    hint = f"run `{command}` and commit {providers.LOCK_FILE}"
    return error(message, Origin(use.path, use.line, use.column), hint)


# --- modules ---


def _modules(reading: Reading, graph: Graph, spec: TerraformSpec) -> Iterator[Finding]:
    for call in graph.calls:
        yield from _call(call, reading, spec)
    for call in graph.cycles:
        message = f"the module {_shown(call.name)} leads back to {call.target or '.'}: a circle"
        yield _at(call, message, "take one of the calls out")
    if len(graph.folders) >= MAX_FOLDERS:
        yield error(f"is made of over {MAX_FOLDERS} modules", Origin(graph.root))


def _call(call: Call, reading: Reading, spec: TerraformSpec) -> Iterator[Finding]:
    name = _shown(call.name)
    if call.source is None:
        hint = 'write `source = "./…"` as a plain text'
        yield _at(call, f"where the module {name} comes from cannot be told", hint)
    elif call.local and call.target is None:
        message = f"the module {name} lies outside the source: {_shown(call.source)}"
        yield _at(call, message, "copy it into the repository")
    elif call.local:
        if not reading.has(call.target or ""):
            message = f"there is no folder {call.target or '.'} for the module {name}"
            yield _at(call, message, "correct `source`")
    elif not _may_fetch(call.source, spec.allow.modules):
        message = f"the module {name} is fetched from {_shown(call.source)}, which is not allowed"
        yield _at(call, message, blocks.allow(f"modules: ['{_shown(call.source)}']"))
    else:
        yield info(
            f"the module {name} comes from {_shown(call.source)}: its code is not looked into",
            Origin(call.path, call.line, call.column),
        )


def _may_fetch(source: str, patterns: Sequence[str]) -> bool:
    """By pattern; never with a way up in it, which would leave what a pattern seems to say."""
    climbs = any(part in ("..", ".") for part in source.replace("?", "/").split("/"))
    plain = source.isascii() and source.isprintable() and not any(c in source for c in " \\%")
    return plain and not climbs and any(fnmatchcase(source, pattern) for pattern in patterns)


def _at(call: Call, message: str, hint: str) -> Finding:
    return error(message, Origin(call.path, call.line, call.column), hint)


# --- paths ---


def _paths(
    reading: Reading,
    graph: Graph,
    given: Sequence[Document],
    spec: TerraformSpec,
    needs: Iterable[str],
) -> Iterator[Finding]:
    outside: list[Expression] = [jsonform.value(dict(spec.variables))] if spec.variables else []
    # Whatever another application puts out, at any time: its authors are not this one's.
    outside += [paths.anything(name) for name in needs]
    scopes = paths.scopes_of(graph, given, outside, spec.workspace)
    for trouble in paths.troubles(reading, graph, scopes):
        if trouble.unknown and spec.allow.files:
            continue
        hint = "read files of the source: `${path.module}/…`"
        if trouble.unknown:
            hint = f"write the names out, or {blocks.allow('files: true')}"
        yield error(trouble.message, Origin(trouble.path, trouble.line, trouble.column), hint)


def _shown(text: str) -> str:
    return one_line(text, 120)
