"""Helm charts, by the real binary's ``template``: never a cluster, a plugin or a network.

The chart lies in the source, or comes from a repository or registry pinned by digest
(:mod:`planners.render.pulls`). It is rendered twice, for what differs between two renderings of
the same bytes could never be approved. Hooks are shown and not run.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gitops import yamlio
from gitops.closures import Recorder, normalise
from gitops.errors import ConfigError, RenderError
from gitops.model.cluster import ClusterFacts
from gitops.model.ids import Digest, combine
from gitops.model.manifest import Desired, ObjectId, Origin
from gitops.model.source import Closure, Entry, EntryKind
from gitops.needs import nested
from gitops.plugins import Services
from gitops.ports import RenderJob, Snapshot
from gitops.spelling import texts
from planners.render import charts, pulls, scratch
from planners.render.objects import FileMemory, Parsed, assemble, desired, parse

NAME = "helm"
VERSION = "1"

HOOK = "helm.sh/hook"
TESTS = frozenset({"test", "test-success", "test-failure"})
MAX_LOCAL = 8
"""Charts of the source that depend on one another by ``file://``."""
_CHART = "chart"
"""Folder of the chart in the scratch folder; templates are told apart by what follows it."""


@dataclass(frozen=True, slots=True)
class Options:
    """Options of the Helm renderer."""

    chart: str = ""
    """Folder of the chart, relative to the application's path (default: the path itself); with
    ``repository`` the chart's name; or ``oci://host/path/name``."""
    repository: str = ""
    """``https://…`` of a chart repository."""
    version: str = ""
    """Exact version of a chart that is fetched."""
    digest: str = ""
    """``sha256:…`` of a chart that is fetched: required, a version can be published again."""
    files: Sequence[str] = ()
    """Values files relative to the application's path; later ones win."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Values that win over every file. Nothing secret: they are shown and recorded."""
    release: str = ""
    """Release name; default: the application's name."""
    digests: Mapping[str, str] = field(default_factory=dict)
    """Digest by name of each dependency that is not in ``charts/`` and has to be fetched."""


def build(options: Options, services: Services) -> Helm:
    """Raises ConfigError for an option of the wrong type."""
    for name in ("chart", "repository", "version", "digest", "release"):
        if not isinstance(getattr(options, name), str):
            raise ConfigError(f"the Helm option {name!r} is no text", hint="put it in quotes")
    for name in ("values", "digests"):
        if not isinstance(getattr(options, name), Mapping):
            raise ConfigError(f"the Helm option {name!r} is no mapping")
    files = options.files
    if not isinstance(files, Sequence) or not all(isinstance(each, str) for each in files):
        raise ConfigError("the Helm option 'files' is no list of paths")
    return Helm(options, services)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """All that a rendering depends on, found without reading more than has to be."""

    recorder: Recorder
    place: str
    """What stands for the chart in messages and origins: its folder, or where it came from."""
    entries: Mapping[str, Entry]
    """Files of a chart in the source, ``file://`` dependencies put into ``charts/``."""
    pins: Mapping[str, pulls.Pin]
    """What is fetched: by path in the chart; the empty path is the chart itself."""
    values: tuple[Entry, ...]
    inline: Mapping[str, Any]
    """Values that win over every file: the operator's, and over them other applications'."""
    closure: Closure


@dataclass(frozen=True, slots=True)
class _Output:
    """What is kept of a rendering."""

    text: bytes
    name: str
    warnings: tuple[str, ...]

    def pack(self) -> bytes:
        return orjson.dumps([self.name, list(self.warnings)]) + b"\n" + self.text

    @classmethod
    def unpack(cls, raw: bytes) -> _Output:
        head, _, text = raw.partition(b"\n")
        name, warnings = orjson.loads(head)
        return cls(text, name, tuple(warnings))


class Helm:
    """Renderer (:class:`gitops.ports.Renderer`)."""

    name = NAME
    version = VERSION

    def __init__(self, options: Options, services: Services) -> None:
        self._options = options
        self._services = services
        self._digest = services.digester.of
        self._tool = scratch.Tool("helm", ("version", "--template", "{{.Version}}"), services)
        self._cache = scratch.render_cache(services)
        self._charts = pulls.Charts(services.cache_dir / "charts", services.chart_hosts)
        self._memory = FileMemory(16 << 20)

    def detects(self, snapshot: Snapshot, path: str) -> bool:
        return snapshot.entry(f"{path}/Chart.yaml" if path else "Chart.yaml") is not None

    async def render(self, job: RenderJob) -> Desired:
        binary, tool = await self._tool.found()
        arguments = self._arguments(job)
        inputs = await asyncio.to_thread(self._inputs, job, combine(tool, *arguments))
        raw = await asyncio.to_thread(self._cache.get, inputs.closure.digest)
        if raw is None:
            output = await self._render(str(binary), arguments, inputs)
            await asyncio.to_thread(self._cache.put, inputs.closure.digest, output.pack())
        else:
            output = _Output.unpack(raw)
        about = f"{NAME} {VERSION} ({tool})"
        return await asyncio.to_thread(self._desired, output, inputs, about)

    # --- inputs ---

    def _arguments(self, job: RenderJob) -> list[str]:
        release = self._options.release or str(job.application.name)
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?", release) or len(release) > 53:
            raise RenderError(
                f"{release!r} is no release name Helm takes",
                hint="set `release:` to lower-case letters, digits and -, at most 53",
                place=job.application.path,
            )
        namespace = ["--namespace", job.application.namespace]
        return [release, *namespace, "--include-crds", *_capabilities(job.facts)]

    def _inputs(self, job: RenderJob, arguments: Digest) -> _Inputs:
        recorder = Recorder(job.snapshot)
        base = job.application.path
        pins: dict[str, pulls.Pin] = {}
        entries: dict[str, Entry] = {}
        if self._remote:
            pins[""] = self._pin(base)
            place = str(pins[""])
        else:
            place = normalise(self._options.chart, base, place=base)
            entries = self._local(recorder, place, pins, 0, base)
        values = tuple(self._values(recorder, base, path) for path in _several(self._options.files))
        inline = nested(self._options.values, job.needs)
        given = self._digest(b"helm-values\0" + yamlio.canonical(inline))
        pinned = (f"{path}={pin}@{pin.digest}" for path, pin in sorted(pins.items()))
        order = (entry.path for entry in values)
        closure = recorder.closure([combine(NAME, VERSION, arguments, given, *pinned, *order)])
        return _Inputs(recorder, place, entries, pins, values, inline, closure)

    @property
    def _remote(self) -> bool:
        return bool(self._options.repository) or "://" in self._options.chart

    def _pin(self, place: str) -> pulls.Pin:
        options = self._options
        repository, name = options.repository, options.chart
        if not repository:
            repository, _, name = options.chart.rstrip("/").rpartition("/")
        if not name or not repository.startswith(("oci://", "https://", "http://")):
            raise RenderError(
                "a chart that is fetched needs `repository: https://…` and `chart: NAME`, "
                "or `chart: oci://HOST/PATH/NAME`",
                place=place,
            )
        return pulls.Pin(repository, name, options.version, options.digest, place)

    def _local(
        self,
        recorder: Recorder,
        folder: str,
        pins: dict[str, pulls.Pin],
        depth: int,
        place: str,
    ) -> dict[str, Entry]:
        """Files of a chart in the source, with what its dependencies lack."""
        root = recorder.resolve(folder, place=place)
        if root is None or root.kind is not EntryKind.TREE:
            raise RenderError(f"there is no chart in {folder or '.'}", place=place)
        if depth > MAX_LOCAL:
            raise RenderError(f"over {MAX_LOCAL} charts that depend on one another", place=place)
        files = charts.from_tree(recorder, root.path)
        if "Chart.yaml" not in files:
            raise RenderError(
                f"there is no Chart.yaml in {folder or '.'}", hint="name a chart", place=place
            )
        scratch.check_size({path: entry.size or 0 for path, entry in files.items()}, folder)
        about = charts.meta(recorder.read(files["Chart.yaml"]), files["Chart.yaml"].path)
        for dependency in about.dependencies:
            if charts.vendored(files, dependency.name):
                continue
            local = charts.local_dependency(dependency, root.path)
            if local is None:
                where = f"charts/{dependency.name}-{self._locked(recorder, files, dependency)}.tgz"
                pins[where] = self._dependency(dependency, where)
                continue
            inner: dict[str, pulls.Pin] = {}
            found = self._local(recorder, local, inner, depth + 1, dependency.place)
            prefix = f"charts/{dependency.name}/"
            files.update({prefix + path: entry for path, entry in found.items()})
            pins.update({prefix + path: pin for path, pin in inner.items()})
        return files

    def _locked(
        self, recorder: Recorder, files: Mapping[str, Entry], dependency: charts.Dependency
    ) -> str:
        lock = files.get("Chart.lock")
        versions = charts.locked(recorder.read(lock), lock.path) if lock else {}
        version = versions.get(dependency.name, "")
        if not re.fullmatch(r"v?[0-9][0-9A-Za-z.+-]*", version):
            raise RenderError(
                f"the dependency {dependency.name} is neither in charts/ nor in Chart.lock",
                hint="run `helm dependency update` and commit what it writes",
                place=dependency.place,
            )
        return version

    def _dependency(self, dependency: charts.Dependency, path: str) -> pulls.Pin:
        version = path.removeprefix(f"charts/{dependency.name}-").removesuffix(".tgz")
        digest = self._options.digests.get(dependency.name, "")
        if not digest:
            raise RenderError(
                f"the dependency {dependency.name} {version} is not in charts/ and not pinned",
                hint=f"commit charts/, or add `digests: {{{dependency.name}: sha256:…}}`",
                place=dependency.place,
            )
        return pulls.Pin(dependency.repository, dependency.name, version, digest, dependency.place)

    def _values(self, recorder: Recorder, base: str, path: str) -> Entry:
        where = normalise(path, base, place=base)
        entry = recorder.resolve(where, place=base)
        if entry is None or entry.kind is not EntryKind.BLOB:
            raise RenderError(
                f"there is no values file {where}",
                hint="`files:` are relative to the application's path",
                place=base,
            )
        recorder.entry(entry.path)
        return entry

    # --- rendering ---

    async def _render(self, binary: str, arguments: Sequence[str], inputs: _Inputs) -> _Output:
        archives = {path: await self._charts.pull(pin) for path, pin in inputs.pins.items()}
        chart = await asyncio.to_thread(_chart_files, inputs, archives)
        about = charts.meta(chart["Chart.yaml"], f"{inputs.place}/Chart.yaml")
        warnings, clock = await asyncio.to_thread(charts.inspect, chart, inputs.place)
        files = {f"{_CHART}/{path}": text for path, text in chart.items()}
        named = []
        for index, entry in enumerate(inputs.values):
            files[f"values/{index}.yaml"] = await asyncio.to_thread(self._checked, inputs, entry)
            named.append(f"values/{index}.yaml")
        if inputs.inline:
            files["values/inline.json"] = yamlio.canonical(dict(inputs.inline))
            named.append("values/inline.json")
        argv = (binary, "template", arguments[0], f"./{_CHART}", *arguments[1:])
        argv += tuple(part for name in named for part in ("--values", name))
        first = await self._run(argv, files, inputs, about.name)
        if clock:  # what shows the time shows it to the second
            await asyncio.sleep(1.0)
        second = await self._run(argv, files, inputs, about.name)
        if first != second:
            self._refuse_moving(first, second, about.name, inputs)
        return _Output(first, about.name, tuple(warnings))

    def _checked(self, inputs: _Inputs, entry: Entry) -> bytes:
        """A values file's bytes; bad YAML is named here, with its place."""
        text = inputs.recorder.read(entry)
        yamlio.documents(text, entry.path)
        return text

    async def _run(
        self, argv: Sequence[str], files: Mapping[str, bytes], inputs: _Inputs, chart: str
    ) -> bytes:
        done, folder = await scratch.in_scratch(files, argv, self._services.children, inputs.place)
        if done.code:
            raise _failure(done.stderr, folder, chart, inputs)
        return done.stdout

    def _refuse_moving(self, first: bytes, second: bytes, chart: str, inputs: _Inputs) -> None:
        one, two = (
            {m.id: m.body for part in self._parsed(text, chart, inputs)[0] for m in part.manifests}
            for text in (first, second)
        )
        moving = sorted(str(each) for each in {*one, *two} if one.get(each) != two.get(each))
        if moving:
            raise RenderError(
                f"two renderings differ in {', '.join(moving[:5])}"
                + (f" and {len(moving) - 5} more" if len(moving) > 5 else ""),
                hint="a template uses a random value or the time: set that value explicitly",
                place=inputs.place,
            )

    # --- output ---

    def _desired(self, output: _Output, inputs: _Inputs, about: str) -> Desired:
        parts, hooks = self._parsed(output.text, output.name, inputs)
        warnings = [*output.warnings, *hooks]
        if not any(part.manifests for part in parts):
            warnings.append(f"{inputs.place or '.'}: the chart renders no manifest")
        return desired(assemble(parts), inputs.closure, about, self._digest, warnings)

    def _parsed(self, text: bytes, chart: str, inputs: _Inputs) -> tuple[list[Parsed], list[str]]:
        parts: list[Parsed] = []
        hooks: list[str] = []
        for path, rendered in by_template(text, chart, inputs.place):
            file = scratch.rendered_file(path, rendered)
            documents = yamlio.documents(rendered, path)
            kept = [each for each in documents if not hook_of(each.value)]
            hooks += [
                f"{path}: {_named(each.value)} is a {hook} hook and is not run"
                for each in documents
                if (hook := hook_of(each.value)) and not set(hook.split(",")) <= TESTS
            ]
            parsed = self._memory.get(file.oid, path)
            if parsed is None:
                parsed = parse(kept, file, self._digest, _unplaced(path))
                self._memory.put(file.oid, path, parsed)
            parts.append(parsed)
        return parts, hooks


def _capabilities(facts: ClusterFacts | None) -> list[str]:
    if facts is None:
        return []
    versions = [part for each in facts.api_versions for part in ("--api-versions", each)]
    return [*(("--kube-version", facts.version) if facts.version else ()), *versions]


def _chart_files(inputs: _Inputs, archives: Mapping[str, bytes]) -> dict[str, bytes]:
    """The whole chart as files, what was fetched in its place."""
    files = {path: inputs.recorder.read(entry) for path, entry in inputs.entries.items()}
    for path, archive in archives.items():
        if path:
            files[path] = archive
        else:
            files.update(charts.unpack(archive, inputs.place))
    files = charts.repacked(files, inputs.place)
    scratch.check_size({path: len(text) for path, text in files.items()}, inputs.place)
    return files


_SOURCE = re.compile(rb"^---\r?\n# Source: ([^\r\n]+)\r?\n", re.MULTILINE)


def by_template(output: bytes, chart: str, place: str) -> list[tuple[str, bytes]]:
    """Helm's output by template: (path in the source, text), in order of first appearance.

    Helm writes ``# Source: CHART/templates/x.yaml`` before each document of a template; documents
    of a file in ``crds/`` that follow its first have no such line and stay with it.
    """
    found: dict[str, list[bytes]] = {}
    marks = list(_SOURCE.finditer(output))
    ends = [*(mark.start() for mark in marks[1:]), len(output)]
    for mark, end in zip(marks, ends, strict=False):  # without a mark there is still an end
        source = mark[1].decode("utf-8", "replace").removeprefix(f"{chart}/")
        path = f"{place}/{source}" if place else source
        found.setdefault(path, []).append(output[mark.end() : end])
    return [(path, b"---\n".join(texts)) for path, texts in found.items()]


def hook_of(value: Mapping[str, Any]) -> str:
    """The hook an object is, ``pre-install,pre-upgrade``; empty for an ordinary object."""
    metadata = value.get("metadata")
    annotations = metadata.get("annotations") if isinstance(metadata, dict) else None
    hook = annotations.get(HOOK) if isinstance(annotations, dict) else None
    return str(hook).replace(" ", "") if hook else ""


def _unplaced(path: str) -> Callable[[yamlio.Document], Origin]:
    """A template's own line is not known: its output's would mislead."""
    return lambda _: Origin(path)


def _named(value: Mapping[str, Any]) -> str:
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else ""
    return str(ObjectId("", str(value.get("kind")), "", str(name)))


_AT = re.compile(r"([\w.@+-]+(?:/[\w.@+ -]+)*\.(?:ya?ml|tpl|txt|json))(?::(\d+))?(?::(\d+))?")
_YAML_LINE = re.compile(r"yaml: line (\d+)")


def _failure(stderr: str, folder: str, chart: str, inputs: _Inputs) -> RenderError:
    """Helm's complaint at the template it names."""
    inline = [text for text in texts(inputs.inline) if len(text) >= scratch.SHORTEST]
    held = [inputs.recorder.read(entry) for entry in inputs.values]
    chart_values = inputs.entries.get("values.yaml")
    if chart_values is not None:
        held.append(inputs.recorder.read(chart_values))
    message = scratch.told(
        stderr.replace("Use --debug flag to render out invalid YAML", ""),
        folder,
        values=[*inline, *(value for content in held for value in scratch.values_in(content))],
    )
    for index, entry in enumerate(inputs.values):
        message = message.replace(f"values/{index}.yaml", entry.path)
    message = message.replace("values/inline.json", "the option `values`")
    found = _AT.search(message)
    place = inputs.place
    if found:
        inner = found[1].removeprefix(f"{chart}/").removeprefix(f"{_CHART}/")
        known = inner in inputs.entries or found[1].startswith(f"{chart}/")
        if known:
            place = f"{inputs.place}/{inner}" if inputs.place else inner
            place += "".join(f":{part}" for part in found.groups()[1:] if part)
    hint = ""
    if _YAML_LINE.search(message) and "parse error on" in message:
        hint = "the line is one of the rendered output"
    return RenderError(f"helm: {message}", hint=hint, place=place)


def _several(value: Sequence[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
