"""Plain YAML and JSON: every manifest file of a folder, as it stands.

The renderer of last resort: it takes any folder that is neither a chart nor a kustomization. Its
closure is the folder's tree id (and the targets of links), so that a new file counts as well.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from gitops import yamlio
from gitops.closures import Recorder
from gitops.errors import ConfigError, RenderError
from gitops.model.ids import combine
from gitops.model.manifest import Desired, RenderedFile
from gitops.model.source import Entry, EntryKind
from gitops.plugins import Services
from gitops.ports import Digester, RenderJob, Snapshot
from planners.render.folders import Folder, Folders, Walk, Walked
from planners.render.objects import FileMemory, Parsed, assemble, desired, parse

NAME = "plain"
VERSION = "1"


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the plain renderer. Globs are relative to the application's path; ``*`` stays in
    one folder, ``**`` crosses folders."""

    include: Sequence[str] = ()
    """Only files that match one of these."""
    exclude: Sequence[str] = ()
    """No file that matches one of these."""


def build(options: Options, services: Services) -> Plain:
    """Raises ConfigError for globs that are none."""
    for name in ("include", "exclude"):
        given = getattr(options, name)
        if not isinstance(given, Sequence) or not all(isinstance(g, str) for g in given):
            raise ConfigError(f"the option {name!r} is no list of globs")
    return Plain(options, services)


class Plain:
    """Renderer (:class:`gitops.ports.Renderer`)."""

    name = NAME
    version = VERSION

    def __init__(self, options: Options, services: Services) -> None:
        self._include = [glob(pattern) for pattern in _several(options.include)]
        self._exclude = [glob(pattern) for pattern in _several(options.exclude)]
        self._outside = combine(
            NAME, VERSION, *_several(options.include), "--", *_several(options.exclude)
        )
        self._digest = services.digester.of
        self._memory = memory_of(services)
        self._folders = Folders()

    def detects(self, snapshot: Snapshot, path: str) -> bool:
        found = snapshot.entry(path)
        return found is not None and found.kind in (EntryKind.TREE, EntryKind.BLOB)

    async def render(self, job: RenderJob) -> Desired:
        return await asyncio.to_thread(self._render, job)

    def _render(self, job: RenderJob) -> Desired:
        path = job.application.path
        recorder = Recorder(job.snapshot)
        root = recorder.resolve(path)
        if root is None:
            raise RenderError(
                f"there is no {path!r} in {job.snapshot.revision}",
                hint="correct the application's path in the fleet file",
                place=path,
            )
        last = self._folders.get(root.path)
        walked = self._walk(recorder, root, last.folder if last else None)
        assembly = assemble(walked.parts, last.assembly if last else None)
        self._folders.put(root.path, Walked(walked, assembly))
        warnings = walked.warnings
        if not assembly.keys:
            warnings = (*warnings, f"{path or '.'}: no manifest found")
        closure = recorder.closure([self._outside])
        return desired(assembly, closure, f"{NAME} {VERSION}", self._digest, warnings)

    def _walk(self, recorder: Recorder, root: Entry, last: Folder | None) -> Folder:
        if root.kind is EntryKind.BLOB:
            return Folder(root.oid, (self._read(recorder, root.path, root),))
        return Walk(recorder, self._read, self._chosen).beneath(root, last)

    def _chosen(self, relative: str) -> bool:
        if self._include and not any(each.fullmatch(relative) for each in self._include):
            return False
        return not any(each.fullmatch(relative) for each in self._exclude)

    def _read(self, recorder: Recorder, path: str, blob: Entry) -> Parsed:
        known = self._memory.get(blob.oid, path)
        if known is not None:
            return known
        text = recorder.read(blob)
        file = RenderedFile(path, text, blob.oid)
        parsed = parse(yamlio.documents(text, path), file, self._digest)
        self._memory.put(blob.oid, path, parsed)
        return parsed


def glob(pattern: str) -> re.Pattern[str]:
    """``*`` and ``?`` match within a folder, ``**`` across; a pattern without ``/`` matches a
    file's name in any folder."""
    anchored = pattern.strip("/") if "/" in pattern.strip("/") else f"**/{pattern.strip('/')}"
    out = []
    index = 0
    while index < len(anchored):
        if anchored.startswith("**/", index):
            out.append("(?:.*/)?")
            index += 3
        elif anchored.startswith("**", index):
            out.append(".*")
            index += 2
        else:
            char = anchored[index]
            out.append({"*": "[^/]*", "?": "[^/]"}.get(char, re.escape(char)))
            index += 1
    return re.compile("".join(out), re.DOTALL)


def _several(value: Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


_memories: dict[int, tuple[Digester, FileMemory]] = {}


def memory_of(services: Services) -> FileMemory:
    """One memory for every plain application of a process: bases are shared between them.

    Keyed by digester, for remembered digests are only good under the key they were made with.
    """
    digester = services.digester
    return _memories.setdefault(id(digester), (digester, FileMemory()))[1]
