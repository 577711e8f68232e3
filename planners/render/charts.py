"""Helm charts as files in memory, from a tree or an archive, and what they may not do.

Helm itself follows links out of a chart and lets a schema name any file or address; so it is given
only what was checked here. Archives are unpacked by us with every size bounded before it is read.
Called by the helm renderer. Must never write outside memory.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitops import yamlio
from gitops.closures import Recorder, normalise
from gitops.errors import RenderError
from gitops.model.source import Entry, EntryKind
from gitops.yamlio import Node
from planners.render.names import legible, shown

MAX_ARCHIVE = 20 << 20
MAX_UNPACKED = 64 << 20
MAX_MEMBERS = 10_000
MAX_NESTED = 8
"""Charts within charts."""

_PACKAGED = re.compile(r"(charts/[^/]+/)*charts/[^/]+\.tgz")
_DRAFT = re.compile(r"https?://json-schema\.org/(draft(-0[3-7]|/20(19-09|20-12))/)?schema#?")
_LOOKUP = re.compile(rb"\{\{[^}]*\blookup\s")
_CLOCK = re.compile(rb"\{\{[^}]*\b(now|ago)\b")


@dataclass(frozen=True, slots=True)
class Dependency:
    """One entry of a chart's ``dependencies``."""

    name: str
    repository: str
    version: str
    place: str


@dataclass(frozen=True, slots=True)
class Meta:
    """What we need of a Chart.yaml."""

    name: str
    version: str
    dependencies: tuple[Dependency, ...]


def meta(text: bytes, place: str) -> Meta:
    """Reads a Chart.yaml; ``place`` is its path. Raises RenderError."""
    roots = yamlio.tree(text, place)
    if len(roots) != 1 or not isinstance(roots[0].value, dict):
        raise RenderError("a Chart.yaml is one YAML mapping", place=place)
    root = roots[0]
    name = _field(root, "name")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,249}", name):
        raise RenderError("the chart has no usable name", hint="give it `name:`", place=place)
    listed = root.value.get("dependencies")
    found = listed.value if listed is not None and isinstance(listed.value, list) else []
    return Meta(name, _field(root, "version"), tuple(_dependency(each, place) for each in found))


def _dependency(node: Node, place: str) -> Dependency:
    where = f"{place}:{node.line}:{node.column}"
    name = _field(node, "name")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,249}", name):
        raise RenderError("a dependency has no usable name", place=where)
    return Dependency(name, _field(node, "repository"), _field(node, "version"), where)


def _field(node: Node, name: str) -> str:
    child = node.value.get(name) if isinstance(node.value, dict) else None
    return str(child.value) if child is not None and child.value is not None else ""


def locked(text: bytes, place: str) -> Mapping[str, str]:
    """Exact versions by dependency name, from a Chart.lock."""
    found: dict[str, str] = {}
    for root in yamlio.tree(text, place):
        listed = root.value.get("dependencies") if isinstance(root.value, dict) else None
        for node in listed.value if listed is not None and isinstance(listed.value, list) else ():
            found[_field(node, "name")] = _field(node, "version")
    return found


def from_tree(recorder: Recorder, folder: str) -> dict[str, Entry]:
    """Blobs of a chart's folder by path relative to it, links resolved inside the source.

    Raises RenderError for a link that leaves the source and for a submodule.
    """
    found: dict[str, Entry] = {}
    skip = len(folder) + 1 if folder else 0
    for entry in recorder.files(folder):
        legible(entry.path)
        if entry.kind is EntryKind.BLOB:
            found[entry.path[skip:]] = entry
            continue
        target = recorder.resolve(entry.path, place=entry.path)
        if target is None:
            continue
        if target.kind is EntryKind.BLOB:
            recorder.entry(target.path)
            found[entry.path[skip:]] = target
        else:
            found.update(_linked(recorder, entry, target, skip))
    return found


def _linked(recorder: Recorder, link: Entry, target: Entry, skip: int) -> dict[str, Entry]:
    if not target.path or link.path.startswith(f"{target.path}/"):
        raise RenderError(f"the link {link.path} points to a folder it lies in", place=link.path)
    return {
        link.path[skip:] + legible(each.path)[len(target.path) :]: each
        for each in recorder.files(target.path)
        if each.kind is EntryKind.BLOB
    }


def local_dependency(dependency: Dependency, folder: str) -> str | None:
    """The folder in the source that a ``file://`` dependency names, else None."""
    if not dependency.repository.startswith("file://"):
        return None
    path = dependency.repository.removeprefix("file://")
    return normalise(path, folder, place=dependency.place)


def vendored(files: Mapping[str, object], name: str) -> bool:
    """Does the chart carry this dependency in ``charts/``?"""
    archive = re.compile(rf"charts/{re.escape(name)}-[0-9v][^/]*\.tgz")
    return f"charts/{name}/Chart.yaml" in files or any(archive.fullmatch(path) for path in files)


def unpack(archive: bytes, place: str) -> dict[str, bytes]:
    """Files of a packaged chart, relative to its one folder.

    Raises RenderError for links, devices, paths that leave the folder, and sizes over the limits.
    """
    if len(archive) > MAX_ARCHIVE:
        raise RenderError(f"the chart archive is over {MAX_ARCHIVE >> 20} MiB", place=place)
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(_inflate(archive, place)), mode="r:") as tar:
            for count, member in enumerate(tar, 1):
                if count > MAX_MEMBERS:
                    raise RenderError(f"over {MAX_MEMBERS:,} entries in the archive", place=place)
                if member.isdir():
                    continue
                path = _inside(member, place)
                found[path] = _content(tar, member, place)
    except (tarfile.TarError, EOFError, ValueError, KeyError) as error:
        raise RenderError("the chart archive is damaged", place=place) from error
    if "Chart.yaml" not in found:
        raise RenderError("the archive is no chart: it has no Chart.yaml", place=place)
    return found


def repacked(files: Mapping[str, bytes], place: str, depth: int = 0) -> dict[str, bytes]:
    """The chart with each packaged dependency in ``charts/`` packed again from what we unpacked.

    So that Helm sees what was checked here, and not what another reader makes of the archive. Not
    unpacked for good: the ignore file of the chart around it would then hold for it too.
    Raises RenderError for an archive that :func:`unpack` refuses.
    """
    if depth > MAX_NESTED:
        raise RenderError(f"charts nested deeper than {MAX_NESTED}", place=place)
    found = dict(files)
    for path in (path for path in files if _PACKAGED.fullmatch(path)):
        where = f"{place}/{path}" if place else path
        found[path] = _pack(repacked(unpack(files[path], where), where, depth + 1))
    return found


def _pack(files: Mapping[str, bytes]) -> bytes:
    """An archive as ``helm package`` makes it; the same files give the same bytes."""
    raw = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w:", format=tarfile.PAX_FORMAT) as tar,
    ):
        for path, content in files.items():
            member = tarfile.TarInfo(f"chart/{path}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return raw.getvalue()


def _inflate(archive: bytes, place: str) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        data = inflater.decompress(archive, MAX_UNPACKED + 1)
    except zlib.error as error:
        raise RenderError("the chart archive is no gzip file", place=place) from error
    if inflater.unused_data.strip(b"\0"):
        raise RenderError("the chart archive goes on behind its end", place=place)
    if len(data) > MAX_UNPACKED:
        raise RenderError(f"the chart unpacks to over {MAX_UNPACKED >> 20} MiB", place=place)
    return data


def _inside(member: tarfile.TarInfo, place: str) -> str:
    if not member.isreg():
        raise RenderError(
            f"the archive holds {shown(member.name[:100])!r}, which is no regular file", place=place
        )
    parts = member.name.removeprefix("./").split("/")
    odd = member.name.startswith("/") or "\0" in member.name or "\\" in member.name
    odd = odd or shown(member.name) != member.name
    if odd or len(parts) < 2 or any(part in ("", ".", "..") for part in parts):
        raise RenderError(f"the archive holds the path {shown(member.name[:100])!r}", place=place)
    return "/".join(parts[1:])


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, place: str) -> bytes:
    handle = tar.extractfile(member)
    data = handle.read() if handle else b""
    if len(data) != member.size:
        raise RenderError("the chart archive is cut short", place=place)
    return data


def inspect(files: Mapping[str, bytes], place: str) -> tuple[list[str], bool]:
    """(what to warn of, whether it looks at the clock). Refuses schemas that read elsewhere."""
    warnings: list[str] = []
    clock = False
    for path, text in _all(files, place, 0):
        name = path.rpartition("/")[2]
        if name == "values.schema.json":
            _check_schema(text, path)
        if "/templates/" not in path:
            continue
        clock = clock or bool(_CLOCK.search(text))
        if _LOOKUP.search(text):
            warnings.append(
                f"{path}: uses `lookup`, which finds nothing here: rendering never asks a cluster"
            )
    return warnings, clock


def _all(files: Mapping[str, bytes], place: str, depth: int) -> Iterator[tuple[str, bytes]]:
    if depth > MAX_NESTED:
        raise RenderError(f"charts nested deeper than {MAX_NESTED}", place=place)
    for path, text in files.items():
        where = f"{place}/{path}" if place else path
        yield where, text
        if path.startswith("charts/") and path.endswith((".tgz", ".tar.gz")):
            yield from _all(unpack(text, where), where, depth + 1)


def _check_schema(text: bytes, place: str) -> None:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RenderError("the values schema is no JSON", place=place) from error
    for draft in _texts(schema, ("$schema",)):
        if not _DRAFT.fullmatch(draft):
            raise RenderError(
                f"the values schema is written in {draft[:100]!r}, which would have to be fetched",
                hint="name a draft of json-schema.org, or leave out $schema",
                place=place,
            )
    for reference in _texts(schema, ("$ref", "$dynamicRef", "$recursiveRef")):
        if not reference.startswith("#"):
            raise RenderError(
                f"the values schema refers to {reference[:100]!r}, outside itself",
                hint="copy what it refers to into the schema's own $defs",
                place=place,
            )


def _texts(schema: Any, keys: Sequence[str]) -> Iterator[str]:
    pending = [schema]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            for key in keys:
                if isinstance(node.get(key), str):
                    yield node[key]
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)
