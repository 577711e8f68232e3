"""Which folders a root is made of: its own and those of the local modules it calls, and theirs.

Called by the rules, and by the renderer, which reads exactly these. Remote modules are named and
never looked into.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gitops.closures import normalise
from gitops.errors import RenderError
from gitops.hcl.reading import TESTS, Reading, folder_of, is_language
from gitops.hcl.tree import Block, Body, Document, composed
from gitops.model.sealed import SealedFile

MAX_FOLDERS = 200
"""Of one root: more modules than anybody has, and a bound on following them."""
TEST_FOLDER = "tests"
"""Where ``init`` and ``test`` look for test files, beside the root itself."""


@dataclass(frozen=True, slots=True)
class Call:
    """One ``module`` block, or the one in a test's ``run``."""

    name: str
    path: str
    line: int
    column: int
    folder: str
    """What a local source is relative to."""
    source: str | None
    """None: missing, or not a literal."""
    body: Body = Body()
    """Its arguments; of a test's ``run`` the variables."""

    @property
    def local(self) -> bool:
        return self.source is not None and self.source.startswith(("./", "../"))

    @property
    def target(self) -> str | None:
        """The folder a local source means; None when it leaves the source."""
        if self.source is None or "\\" in self.source:
            return None
        try:
            return normalise(composed(self.source), self.folder)
        except RenderError:
            return None


@dataclass(frozen=True, slots=True)
class Graph:
    """A root and all it calls."""

    root: str
    folders: Mapping[str, tuple[Document, ...]]
    """Configuration by folder, the root first."""
    tests: tuple[Document, ...]
    calls: tuple[Call, ...]
    cycles: tuple[Call, ...]
    """Calls that lead back to a folder they came from."""

    @property
    def documents(self) -> Iterator[Document]:
        for documents in self.folders.values():
            yield from documents


def follow(reading: Reading, root: str) -> Graph:
    """Folders in the order they are met; each is read once, however often it is called."""
    tests = tuple(reading.documents(test_paths(reading, root)))
    folders: dict[str, tuple[Document, ...]] = {}
    calls: list[Call] = [call for each in tests for call in _runs(each, root)]
    cycles: list[Call] = []
    around: list[str] = []
    waiting: list[tuple[str, Call | None] | None] = [(root, None)]
    waiting = [*((c.target, c) for c in calls if c.local and c.target is not None), *waiting]
    while waiting:
        step = waiting.pop()
        if step is None:
            around.pop()
            continue
        folder, call = step
        if folder in around and call is not None:
            cycles.append(call)
        if folder in folders or len(folders) >= MAX_FOLDERS:
            continue
        folders[folder] = tuple(reading.configuration(folder))
        found = [each for document in folders[folder] for each in module_calls(document)]
        calls += found
        around.append(folder)
        waiting.append(None)
        waiting += ((c.target, c) for c in found if c.local and c.target is not None)
    return Graph(root, folders, tests, tuple(calls), tuple(cycles))


def local_modules(files: Iterable[SealedFile], path: str) -> tuple[str, ...]:
    """Folders that the root at ``path`` reaches by local sources, itself not among them, sorted.

    Never outside the source. Files that are missing or cannot be read are passed over: the rules
    say so; the caller adds what is found and asks again until nothing new is.
    """
    found = set(follow(Reading(files), path).folders) - {path}
    return tuple(sorted(found))


def test_paths(reading: Reading, root: str) -> list[str]:
    """Test files as the tool finds them: in the root and in ``tests`` beneath it."""
    beneath = f"{root}/{TEST_FOLDER}" if root else TEST_FOLDER
    return [
        path
        for folder in (root, beneath)
        for path in reading.names(folder)
        if is_language(path, TESTS)
    ]


def module_calls(document: Document) -> Iterator[Call]:
    for block in document.body.of("module"):
        yield _call(document.path, block, block, block.body, folder_of(document.path))


def _runs(document: Document, root: str) -> Iterator[Call]:
    for run in document.body.of("run"):
        given = tuple(a for each in run.body.of("variables") for a in each.body.attributes)
        for block in run.body.of("module"):
            yield _call(document.path, run, block, Body(given), root)


def _call(path: str, named: Block, block: Block, body: Body, folder: str) -> Call:
    source = block.body.attribute("source")
    at = source or block
    literal = source.value.text if source else None
    return Call(named.label, path, at.line, at.column, folder, literal, body)
