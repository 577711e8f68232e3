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
from gitops.closures import Recorder, parent
from gitops.errors import ConfigError, RenderError
from gitops.model.ids import combine
from gitops.model.manifest import Desired, RenderedFile
from gitops.model.source import Entry, EntryKind
from gitops.plugins import Services
from gitops.ports import Digester, RenderJob, Snapshot
from planners.render.objects import FileMemory, Parsed, desired, parse

NAME = "plain"
VERSION = "1"

SUFFIXES = (".yaml", ".yml", ".json")
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
MAX_FILES = 50_000


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
        warnings: list[str] = []
        parts = [self._read(recorder, *each) for each in self._files(recorder, root, warnings)]
        if not any(part.manifests for part in parts):
            warnings.append(f"{path or '.'}: no manifest found")
        closure = recorder.closure([self._outside])
        return desired(parts, closure, f"{NAME} {VERSION}", self._digest, warnings)

    def _files(
        self, recorder: Recorder, root: Entry, warnings: list[str]
    ) -> list[tuple[str, Entry]]:
        """(path shown, blob) of every manifest file."""
        if root.kind is EntryKind.BLOB:
            return [(root.path, root)]
        listed = list(_walk(recorder, root, warnings))
        prefix = len(root.path) + 1 if root.path else 0
        if self._include or self._exclude:
            listed = [each for each in listed if self._chosen(each[0][prefix:])]
        if len(listed) > MAX_FILES:
            raise RenderError(f"more than {MAX_FILES:,} manifest files", place=root.path)
        return listed

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


def _walk(recorder: Recorder, root: Entry, warnings: list[str]) -> list[tuple[str, Entry]]:
    """Manifest files beneath ``root`` in order of path; charts and dotfiles left out."""
    entries = recorder.files(root.path)
    start = len(root.path) + 1 if root.path else 0
    charts = _charts(entries, root.path, warnings)
    found: list[tuple[str, Entry]] = []
    for entry in entries:
        path = entry.path
        if path.startswith(".", start) or "/." in path[max(start - 1, 0) :]:
            continue
        if charts and any(path.startswith(chart) for chart in charts):
            continue
        if entry.kind is EntryKind.BLOB:
            if path.endswith(SUFFIXES) and not _kustomization(path, warnings):
                found.append((path, entry))
        else:
            found += _linked(recorder, entry)
    return found


def _linked(recorder: Recorder, entry: Entry) -> list[tuple[str, Entry]]:
    """A link to a manifest, or to a folder of them (links in it are not followed further)."""
    named = entry.path.endswith(SUFFIXES)
    if entry.kind is EntryKind.LINK and "." in entry.path.rpartition("/")[2] and not named:
        return []
    target = recorder.resolve(entry.path, place=entry.path)
    if target is None:
        return []
    if target.kind is EntryKind.BLOB:
        if not named:
            return []
        recorder.read(target)
        return [(entry.path, target)]
    if entry.path.startswith(f"{target.path}/") or not target.path:
        raise RenderError(f"the link {entry.path} points to a folder it lies in", place=entry.path)
    inner = [e for e in recorder.files(target.path) if e.kind is EntryKind.BLOB]
    skip = len(target.path)
    return [(entry.path + each.path[skip:], each) for each in inner if each.path.endswith(SUFFIXES)]


def _charts(entries: Sequence[Entry], root: str, warnings: list[str]) -> tuple[str, ...]:
    charts: list[str] = []
    for entry in entries:
        if not entry.path.endswith("/Chart.yaml") or parent(entry.path) == root:
            continue
        folder = f"{parent(entry.path)}/"
        if any(folder.startswith(chart) for chart in charts):
            continue
        charts.append(folder)
        warnings.append(
            f"{entry.path}: a Helm chart inside a plain folder is left out; make it an "
            "application of its own, or name `renderer: helm`"
        )
    return tuple(charts)


def _kustomization(path: str, warnings: list[str]) -> bool:
    if not path.endswith(KUSTOMIZATIONS) or path.rpartition("/")[2] not in KUSTOMIZATIONS:
        return False
    warnings.append(
        f"{path}: not followed, the files around it are taken as they are; make the folder an "
        "application of its own, or name `renderer: kustomize`"
    )
    return True


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
