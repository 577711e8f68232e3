"""Rules that make a document a manifest, and the memory of files already read.

Every renderer ends here: documents (a source's file, or a renderer's output) become
:class:`gitops.model.manifest.Manifest` values. What only the server may set is dropped and said;
what cannot be delivered is refused with its place. Must never put a value of a document into a
message.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitops import yamlio
from gitops.delta import gone_and_come
from gitops.diff import SERVER_METADATA
from gitops.errors import RenderError
from gitops.model.ids import Digest
from gitops.model.manifest import Desired, Manifest, ObjectId, Origin, RenderedFile
from gitops.model.source import Closure

SERVER_FIELDS = (*SERVER_METADATA, "deletionTimestamp", "deletionGracePeriodSeconds")
"""Metadata that only the server sets. ``kubectl get -o yaml`` prints it, people commit it."""

LIST_DEPTH = 8
_FEW = 256
"""Files that may differ before everything is put together anew."""

Place = Callable[[yamlio.Document], Origin]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What one file holds, ready to be put together with others."""

    manifests: tuple[Manifest, ...]
    keys: tuple[str, ...]
    """Sort key of each manifest: its identity as one string."""
    warnings: tuple[str, ...]
    file: RenderedFile

    @property
    def weight(self) -> int:
        """Bytes it holds in memory, roughly."""
        return len(self.file.text) + 600 + sum(len(m.body) + 700 for m in self.manifests)


def parse(
    documents: Sequence[yamlio.Document],
    file: RenderedFile,
    digest: Callable[[bytes], Digest],
    place: Place | None = None,
) -> Parsed:
    """Manifests of a file's documents. Raises RenderError for one that cannot be delivered."""
    warnings: list[str] = []
    manifests = []
    for document in documents:
        origin = place(document) if place else Origin(file.path, document.line)
        for value, where in flatten(document.value, origin, document.starts):
            manifests.append(_manifest(value, where, digest, warnings))
    keys = tuple(_key(manifest.id) for manifest in manifests)
    return Parsed(tuple(manifests), keys, tuple(warnings), file)


def flatten(
    value: Mapping[str, Any], origin: Origin, starts: Sequence[int] = (), depth: int = 0
) -> Iterator[tuple[Mapping[str, Any], Origin]]:
    """The objects of a List, of Lists in it, or the object itself.

    A List is what has ``items`` and a kind that ends in ``List``, as kubectl takes it.
    """
    kind, items = value.get("kind"), value.get("items")
    if not (isinstance(kind, str) and kind.endswith("List") and isinstance(items, list)):
        yield value, origin
        return
    if depth >= LIST_DEPTH:
        raise RenderError(f"Lists nested deeper than {LIST_DEPTH}", place=str(origin))
    for index, item in enumerate(items):
        where = Origin(origin.path, starts[index]) if len(starts) == len(items) else origin
        if not isinstance(item, dict):
            raise RenderError(f"item {index + 1} of the {kind} is no object", place=str(where))
        yield from flatten(_typed(item, value, kind), where, (), depth + 1)


def _typed(item: dict[str, Any], of: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Items of a typed list (``ConfigMapList``) may leave out what the list says."""
    if kind == "List" or "kind" in item or "apiVersion" in item:
        return item
    return {**item, "apiVersion": of.get("apiVersion"), "kind": kind.removesuffix("List")}


def _manifest(
    value: Mapping[str, Any],
    origin: Origin,
    digest: Callable[[bytes], Digest],
    warnings: list[str],
) -> Manifest:
    api_version = _text(value, "apiVersion", origin)
    kind = _text(value, "kind", origin)
    metadata = value.get("metadata")
    if not isinstance(metadata, dict):
        raise _refused(f"{kind} has no metadata", origin, "give it at least metadata.name")
    group, _, version = api_version.rpartition("/")
    name = _name(metadata, kind, origin)
    namespace = metadata.get("namespace") or ""
    if not isinstance(namespace, str):
        raise _refused(
            f"metadata.namespace of {kind} {name} is no text", origin, "put it in quotes"
        )
    identity = ObjectId(group, kind, namespace, name)
    body = yamlio.canonical(_cleaned(value, metadata, identity, origin, warnings))
    return Manifest(identity, version, body, digest(body), origin)


def _text(value: Mapping[str, Any], field: str, origin: Origin) -> str:
    found = value.get(field)
    if found is None or found == "":
        raise _refused(
            f"the document has no {field}",
            origin,
            "a file that is no Kubernetes object is left out by the plain renderer's `exclude`",
        )
    if not isinstance(found, str):
        raise _refused(f"{field} is no text", origin, "put it in quotes")
    return found


def _name(metadata: Mapping[str, Any], kind: str, origin: Origin) -> str:
    name = metadata.get("name")
    if isinstance(name, str) and name:
        return name
    if metadata.get("generateName"):
        raise _refused(
            f"{kind} uses generateName: each delivery would create another object",
            origin,
            "give it a fixed metadata.name",
        )
    if name is None or name == "":
        raise _refused(f"{kind} has no metadata.name", origin, "give it a name")
    raise _refused(f"metadata.name of a {kind} is no text", origin, "put it in quotes")


def _refused(message: str, origin: Origin, hint: str) -> RenderError:
    return RenderError(message, hint=hint, place=str(origin))


def _cleaned(
    value: Mapping[str, Any],
    metadata: dict[str, Any],
    identity: ObjectId,
    origin: Origin,
    warnings: list[str],
) -> Mapping[str, Any]:
    dropped = [f"metadata.{field}" for field in SERVER_FIELDS if field in metadata]
    # `creationTimestamp: null` is what generators print; saying so each time would be noise.
    loud = [name for name in dropped if metadata[name.removeprefix("metadata.")] is not None]
    status = value.get("status")
    if "status" in value:
        dropped.append("status")
        loud += ["status"] if status else []
    if not dropped:
        return value
    if loud:
        warnings.append(
            f"{origin}: {identity}: {', '.join(loud)} left out, only the cluster sets that"
        )
    cleaned = {key: each for key, each in value.items() if key != "status"}
    cleaned["metadata"] = {k: v for k, v in metadata.items() if k not in SERVER_FIELDS}
    return cleaned


def _key(identity: ObjectId) -> str:
    return "\0".join((identity.group, identity.kind, identity.namespace, identity.name))


class FileMemory:
    """Files already read, by content id and path; the least used go when ``limit`` bytes are full.

    Makes a second rendering of thousands of unchanged files a matter of look-ups. Safe to use
    from several threads.
    """

    def __init__(self, limit: int = 96 << 20) -> None:
        self._limit = limit
        self._weight = 0
        self._held: OrderedDict[tuple[str, str], Parsed] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, oid: str, path: str) -> Parsed | None:
        with self._lock:
            found = self._held.get((oid, path))
            if found is not None:
                self._held.move_to_end((oid, path))
            return found

    def put(self, oid: str, path: str, parsed: Parsed) -> None:
        if parsed.weight > self._limit // 4:
            return
        with self._lock:
            if (oid, path) in self._held:
                return
            self._held[oid, path] = parsed
            self._weight += parsed.weight
            while self._weight > self._limit:
                _, oldest = self._held.popitem(last=False)
                self._weight -= oldest.weight


@dataclass(frozen=True, slots=True)
class Assembly:
    """Files put together: their manifests in order of identity."""

    parts: tuple[Parsed, ...] = ()
    keys: Sequence[str] = ()
    manifests: Sequence[Manifest] = ()


def assemble(parts: Sequence[Parsed], last: Assembly | None = None) -> Assembly:
    """With ``last``, only what differs from it is sorted in or taken out."""
    made = _exchanged(parts, last) if last else None
    return made or _sorted(parts)


def _sorted(parts: Sequence[Parsed]) -> Assembly:
    pairs = [pair for part in parts for pair in zip(part.keys, part.manifests, strict=True)]
    pairs.sort(key=_first)
    return Assembly(tuple(parts), [key for key, _ in pairs], [each for _, each in pairs])


def _exchanged(parts: Sequence[Parsed], last: Assembly) -> Assembly | None:
    """None where so much changed that sorting is quicker, and where an object is there twice: the
    order of the two is the order of their files."""
    gone, come = gone_and_come(last.parts, parts)
    if len(gone) + len(come) > _FEW:
        return None
    keys, manifests = list(last.keys), list(last.manifests)
    for part in gone:
        for key, manifest in zip(part.keys, part.manifests, strict=True):
            at = bisect_left(keys, key)
            while manifests[at] is not manifest:
                at += 1
            del keys[at], manifests[at]
    for part in come:
        for key, manifest in zip(part.keys, part.manifests, strict=True):
            at = bisect_left(keys, key)
            if keys[at : at + 1] == [key]:
                return None
            keys.insert(at, key)
            manifests.insert(at, manifest)
    return Assembly(tuple(parts), keys, manifests)


def desired(
    assembly: Assembly,
    closure: Closure,
    renderer: str,
    digest: Callable[[bytes], Digest],
    warnings: Sequence[str] = (),
) -> Desired:
    """What an application should be, as a value of its own."""
    pairs = zip(assembly.keys, assembly.manifests, strict=True)
    summary = "\n".join([f"{key}\0{manifest.digest}" for key, manifest in pairs])
    return Desired(
        manifests=tuple(assembly.manifests),
        closure=closure,
        digest=digest(summary.encode("utf-8", "surrogateescape")),
        renderer=renderer,
        files=tuple([part.file for part in assembly.parts]),
        warnings=(*warnings, *[text for part in assembly.parts for text in part.warnings]),
    )


def _first(pair: tuple[str, Manifest]) -> str:
    return pair[0]
