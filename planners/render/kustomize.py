"""Kustomize, by the real binary, on exactly the files a kustomization names.

The files are found by walking the kustomizations ourselves (:class:`_Walk`): that gives the
closure without running anything, keeps remote bases, plugins and paths outside the source from ever
reaching the binary, and keeps its input small (its build is quadratic in the number of objects).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gitops import yamlio
from gitops.closures import Recorder, normalise
from gitops.errors import RenderError
from gitops.model.ids import combine
from gitops.model.manifest import Desired, Origin, RenderedFile
from gitops.model.source import Closure, Entry, EntryKind
from gitops.plugins import Services
from gitops.ports import RenderJob, Snapshot
from gitops.yamlio import Node
from planners.render import dialect, scratch
from planners.render.names import legible
from planners.render.objects import assemble, desired, flatten, parse

NAME = "kustomize"
VERSION = "1"

FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
MAX_DEPTH = 64
"""Kustomizations that lead from one to the next."""

_REFUSED = {
    "helmCharts": "make the chart an application with `renderer: helm`",
    "helmChartInflationGenerator": "make the chart an application with `renderer: helm`",
    "helmGlobals": "make the chart an application with `renderer: helm`",
}


@dataclass(frozen=True, slots=True)
class Options:
    """The kustomize renderer has no options: everything is in the kustomization."""


def build(options: Options, services: Services) -> Kustomize:
    return Kustomize(options, services)


class Kustomize:
    """Renderer (:class:`gitops.ports.Renderer`)."""

    name = NAME
    version = VERSION

    def __init__(self, options: Options, services: Services) -> None:
        self._services = services
        self._tool = scratch.Tool("kustomize", ("version",), services)
        self._cache = scratch.render_cache(services)

    def detects(self, snapshot: Snapshot, path: str) -> bool:
        return any(snapshot.entry(_join(path, name)) for name in FILES)

    async def render(self, job: RenderJob) -> Desired:
        binary, tool_version = await self._tool.found()
        walk = await asyncio.to_thread(_Walk.of, job.snapshot, job.application.path)
        closure = walk.recorder.closure([combine(NAME, VERSION, tool_version)])
        output = await asyncio.to_thread(self._cache.get, closure.digest)
        if output is None:
            output = await self._build(str(binary), walk, job.application.path)
            await asyncio.to_thread(self._cache.put, closure.digest, output)
        about = f"{NAME} {VERSION} ({tool_version})"
        return await asyncio.to_thread(self._desired, output, walk, closure, about)

    async def _build(self, binary: str, walk: _Walk, path: str) -> bytes:
        files = await asyncio.to_thread(walk.contents)
        target = f"./{path}" if path else "."
        done, folder = await scratch.in_scratch(
            files, (binary, "build", target), self._services.children, walk.root_file
        )
        if done.code:
            raise _failure(done.stderr, folder, walk)
        return done.stdout

    def _desired(self, output: bytes, walk: _Walk, closure: Closure, about: str) -> Desired:
        places = _Places(walk)
        documents = yamlio.documents(output, walk.root_file)
        file = RenderedFile(walk.root_file, output, scratch.oid_of(output), rendered=True)
        parsed = parse(documents, file, self._services.digester.of, places.of)
        made = desired(
            assemble([parsed]), closure, about, self._services.digester.of, walk.warnings
        )
        return _with_files(made, walk.sources())


def _with_files(made: Desired, files: tuple[RenderedFile, ...]) -> Desired:
    return Desired(made.manifests, made.closure, made.digest, made.renderer, files, made.warnings)


class _Walk:
    """Every file a kustomization reads, itself and those it builds on."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.found: dict[str, Entry] = {}
        """Path as kustomize will look it up → the blob (elsewhere, if a link leads there)."""
        self.resources: list[str] = []
        self.generators: dict[tuple[str, str], Origin] = {}
        self.warnings: list[str] = []
        self.root_file = ""
        self._open: list[str] = []
        self._done: set[str] = set()

    @classmethod
    def of(cls, snapshot: Snapshot, path: str) -> _Walk:
        walk = cls(Recorder(snapshot))
        walk.folder(path, path or ".")
        scratch.check_size({p: e.size or 0 for p, e in walk.found.items()}, walk.root_file)
        return walk

    def contents(self) -> dict[str, bytes]:
        files = {path: self.recorder.read(entry) for path, entry in self.found.items()}
        scratch.check_size({path: len(text) for path, text in files.items()}, self.root_file)
        return files

    def sources(self) -> tuple[RenderedFile, ...]:
        """The YAML files read, for checks that look at them line by line."""
        return tuple(
            RenderedFile(path, self.recorder.read(entry), entry.oid)
            for path, entry in sorted(self.found.items())
            if path.endswith((".yaml", ".yml", "Kustomization"))
        )

    def folder(self, path: str, place: str) -> None:
        """Walks the kustomization in ``path``; ``place`` is what named it."""
        if path in self._open:
            links = [*self._open[self._open.index(path) :], path]
            chain = " → ".join(link or "." for link in links)
            raise RenderError(
                f"kustomizations build on each other in a circle: {chain}", place=place
            )
        if len(self._open) >= MAX_DEPTH:
            raise RenderError(f"more than {MAX_DEPTH} kustomizations in a chain", place=place)
        if path in self._done:
            return
        self._open.append(path)
        file, root = self._kustomization(path, place)
        self.root_file = self.root_file or file
        _Reader(self, path, file, root).read()
        self._open.pop()
        self._done.add(path)

    def _kustomization(self, path: str, place: str) -> tuple[str, Node]:
        held = [name for name in FILES if self.recorder.resolve(_join(path, name), place=place)]
        if not held:
            raise RenderError(
                f"there is no kustomization.yaml in {path or '.'}",
                hint="name a file, or a folder with a kustomization.yaml",
                place=place,
            )
        if len(held) > 1:
            raise RenderError(f"{path or '.'} holds both {' and '.join(held)}", place=place)
        file = _join(path, held[0])
        text = self.recorder.read(self.take(file, place))
        roots = yamlio.tree(text, file)
        if len(roots) != 1 or not isinstance(roots[0].value, dict):
            raise RenderError("a kustomization is one YAML mapping", place=file)
        return file, roots[0]

    def take(self, path: str, place: str) -> Entry:
        """A file that has to be there."""
        entry = self.recorder.resolve(path, place=place)
        if entry is None or entry.kind is not EntryKind.BLOB:
            what = "there is no" if entry is None else "a folder, not a file, is"
            raise RenderError(
                f"{what} {path} in this revision",
                hint="correct the path, it is relative to the kustomization",
                place=place,
            )
        self.found[legible(path)] = entry
        return entry


class _Reader:
    """Reads one kustomization file's fields that name files."""

    def __init__(self, walk: _Walk, folder: str, file: str, root: Node) -> None:
        self.walk = walk
        self.base = folder
        self.file = file
        self.root = root
        self.fields: Mapping[str, Node] = root.value

    def read(self) -> None:
        self._refuse()
        dialect.check_root(self.root, self.file)
        visits = (
            (("resources", "bases", "components"), self._resource),
            (("crds", "configurations"), self._file),
            (("generators", "transformers", "validators"), self._plugin),
            (("patchesStrategicMerge",), self._patch),
        )
        for fields, visit in visits:
            for node in (each for field in fields for each in self.texts(field)):
                visit(node)
        for field in ("patches", "patchesJson6902", "replacements"):
            for item in self.maps(field):
                self._path_of(item)
        if "openapi" in self.fields:
            self._path_of(self.fields["openapi"])
        for kind, field in (("ConfigMap", "configMapGenerator"), ("Secret", "secretGenerator")):
            for item in self.maps(field):
                self._generator(kind, item)

    def _refuse(self) -> None:
        for field, hint in _REFUSED.items():
            if field in self.fields:
                raise RenderError(
                    f"{field} is not rendered", hint=hint, place=self.place(self.fields[field])
                )

    def _patch(self, node: Node) -> None:
        if not _inline(node):
            self._file(node)

    def place(self, node: Node) -> str:
        return f"{self.file}:{node.line}:{node.column}"

    def items(self, field: str) -> list[Node]:
        node = self.fields.get(field)
        if node is None or node.value is None:
            return []
        if not isinstance(node.value, list):
            raise RenderError(f"{field} is no list", place=self.place(node))
        return node.value

    def texts(self, field: str) -> list[Node]:
        found = self.items(field)
        for node in found:
            if not isinstance(node.value, str):
                raise RenderError(f"an entry of {field} is no text", place=self.place(node))
        return found

    def maps(self, field: str) -> list[Node]:
        found = self.items(field)
        for node in found:
            if not isinstance(node.value, dict):
                raise RenderError(f"an entry of {field} is no mapping", place=self.place(node))
        return found

    def _where(self, node: Node, text: str) -> str:
        if dialect.remote(text) or dialect.forge(text):
            raise RenderError(
                f"{_shown(text)} is remote: what it holds could change without a commit",
                hint="copy it into the repository and name the copy; a path may begin with ./",
                place=self.place(node),
            )
        return normalise(text, self.base, place=self.place(node))

    def _resource(self, node: Node) -> None:
        path = self._here(node)
        entry = self.walk.recorder.resolve(path, place=self.place(node))
        if entry is not None and entry.kind is EntryKind.TREE:
            self.walk.folder(path, self.place(node))
            return
        self.walk.take(path, self.place(node))
        if path not in self.walk.resources:
            self.walk.resources.append(path)

    def _here(self, node: Node) -> str:
        """The path an entry names. What kustomize would fetch is remote, be it in the tree too."""
        text = str(node.value)
        if dialect.forge(text) and not dialect.remote(text):
            path = normalise(text, self.base, place=self.place(node))
            if self.walk.recorder.resolve(path) is not None:
                return path
        return self._where(node, text)

    def _file(self, node: Node) -> None:
        self.walk.take(self._where(node, str(node.value)), self.place(node))

    def _path_of(self, item: Node) -> None:
        node = item.value.get("path") if isinstance(item.value, dict) else None
        if node is not None and isinstance(node.value, str):
            self._file(node)

    def _generator(self, kind: str, item: Node) -> None:
        name = item.value.get("name")
        if name is not None and isinstance(name.value, str):
            origin = Origin(self.file, item.line, item.column)
            self.walk.generators.setdefault((kind, name.value), origin)
        self._sources(item)

    def _sources(self, item: Node) -> None:
        for field in ("files", "envs", "env"):
            node = item.value.get(field)
            if node is None or node.value is None:
                continue
            for each in node.value if isinstance(node.value, list) else [node]:
                if not isinstance(each.value, str):
                    raise RenderError(f"an entry of {field} is no text", place=self.place(each))
                text = each.value
                if field == "files" and "=" in text:
                    text = text.partition("=")[2]
                self.walk.take(self._where(each, text), self.place(each))

    def _paths(self, item: Node) -> None:
        """A PatchStrategicMergeTransformer's."""
        listed = item.value.get("paths")
        for each in listed.value if listed is not None and isinstance(listed.value, list) else ():
            if isinstance(each.value, str):
                self._patch(each)

    def _plugin(self, node: Node) -> None:
        """Configuration of a built-in generator or transformer: inline or a file."""
        if _inline(node):
            for root in yamlio.tree(str(node.value).encode(), self.file):
                self._configured(root, self.file, self)
            return
        path = self._where(node, str(node.value))
        entry = self.walk.recorder.resolve(path, place=self.place(node))
        if entry is not None and entry.kind is EntryKind.TREE:
            # What its resources come to would be plugins, with files of their own to name.
            raise RenderError(
                f"a folder of generators or transformers ({path or '.'}) is not followed",
                hint="name its files one by one",
                place=self.place(node),
            )
        text = self.walk.recorder.read(self.walk.take(path, self.place(node)))
        for root in yamlio.tree(text, path):
            inner = _Reader(self.walk, self.base, path, Node({}, 1, 1))
            self._configured(root, path, inner)

    def _configured(self, root: Node, file: str, reader: _Reader) -> None:
        """Files that a plugin's configuration names, relative to the kustomization's folder."""
        if not isinstance(root.value, dict):
            raise RenderError("no object", place=f"{file}:{root.line}")
        dialect.check_plugin(root, file)
        kind = root.value.get("kind")
        if _holds(root, dialect.FUNCTIONS) or (kind is not None and "Helm" in str(kind.value)):
            raise RenderError(
                "functions and charts are not run by kustomize here",
                hint="render the result into the repository",
                place=f"{file}:{root.line}",
            )
        for node in dialect.mappings(root):
            reader._path_of(node)
            reader._sources(node)
            reader._paths(node)


def _holds(node: Node, keys: frozenset[str]) -> bool:
    return any(keys & each.value.keys() for each in dialect.mappings(node))


def _inline(node: Node) -> bool:
    return "\n" in str(node.value) or str(node.value).lstrip().startswith("{")


def _shown(text: str) -> str:
    """A URL without what may be a password."""
    return re.sub(r"//[^/@]*@", "//", text)[:120]


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


class _Places:
    """Where a rendered object was written: by kind and name, prefix, suffix and hash aside."""

    def __init__(self, walk: _Walk) -> None:
        self._fallback = Origin(walk.root_file)
        self._known: dict[str, list[tuple[str, Origin]]] = {}
        for path in walk.resources:
            for kind, name, origin in _objects(walk.recorder.read(walk.found[path]), path):
                self._known.setdefault(kind, []).append((name, origin))
        for (kind, name), origin in walk.generators.items():
            self._known.setdefault(kind, []).append((name, origin))

    def of(self, document: yamlio.Document) -> Origin:
        metadata = document.value.get("metadata")
        name = str(metadata.get("name", "")) if isinstance(metadata, dict) else ""
        known = self._known.get(str(document.value.get("kind")), [])
        exact = [origin for each, origin in known if each == name]
        if exact:
            return exact[0]
        alike = [pair for pair in known if pair[0] and pair[0] in name]
        return max(alike, key=lambda pair: len(pair[0]))[1] if alike else self._fallback


def _objects(text: bytes, path: str) -> Iterator[tuple[str, str, Origin]]:
    for document in yamlio.documents(text, path):
        for value, origin in flatten(document.value, Origin(path, document.line), document.starts):
            metadata = value.get("metadata")
            if isinstance(metadata, dict):
                yield str(value.get("kind")), str(metadata.get("name", "")), origin


_LINE = re.compile(r"line (\d+)")


def _values(walk: _Walk) -> set[str]:
    """What a complaint must not repeat: values of every file that has to do with Secrets, or that
    nothing but a generator would read."""
    found: set[str] = set()
    for path, content in walk.contents().items():
        manifest = path.endswith((".yaml", ".yml", ".json")) or "ustomization" in path
        if not manifest or b"Secret" in content or b"secretGenerator" in content:
            found.update(scratch.values_in(content))
    names = {part for path in walk.found for part in (path, path.rpartition("/")[2])}
    return found - names - {"Secret", "secretGenerator", "kind: Secret", "apiVersion: v1"}


def _failure(stderr: str, folder: str, walk: _Walk) -> RenderError:
    """Kustomize's complaint at the deepest file it names."""
    message = scratch.told(stderr, folder, values=_values(walk))
    named = [path for path in walk.found if path in message]
    short = [path for path in walk.found if path.rpartition("/")[2] in message]
    candidates = sorted(named, key=len) or (short if len(short) == 1 else [])
    place = candidates[-1] if candidates else walk.root_file
    line = _LINE.search(message)
    if line and candidates:
        place = f"{place}:{line[1]}"
    return RenderError(f"kustomize: {message}", place=place)
