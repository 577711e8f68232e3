"""Kubernetes objects as the engine carries them: identity, bytes, origin.

A manifest's ``body`` is canonical JSON and is sent to the API server as it is. Nothing between
approval and apply parses and writes it again, which is what makes "byte for byte" checkable.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gitops.model.ids import Digest
from gitops.model.source import Closure


@dataclass(frozen=True, slots=True, order=True)
class ObjectId:
    """Group, kind, namespace, name: what stays the same when the API version changes.

    ``namespace`` is empty for cluster-scoped objects *and* for objects whose scope is not known
    yet; planning resolves the latter with the target's own discovery.
    """

    group: str
    kind: str
    namespace: str
    name: str
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Looked up many times a pass, in dictionaries of every object an application has.
        ours = hash((self.group, self.kind, self.namespace, self.name))
        object.__setattr__(self, "_hash", ours)

    def __hash__(self) -> int:
        return self._hash

    def __str__(self) -> str:
        kind = f"{self.kind}.{self.group}" if self.group else self.kind
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where in the source an object was written. Lines and columns count from 1; 0 is unknown."""

    path: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.line:
            return self.path
        return f"{self.path}:{self.line}" + (f":{self.column}" if self.column else "")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object to be, as it will be sent."""

    id: ObjectId
    version: str
    """The version part of ``apiVersion`` (``v1`` of ``apps/v1``)."""
    body: bytes
    """Canonical JSON: sorted keys, no white space, UTF-8."""
    digest: Digest
    """Keyed digest of ``body``."""
    origin: Origin

    @property
    def api_version(self) -> str:
        return f"{self.id.group}/{self.version}" if self.id.group else self.version


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """Text a check may want to see line by line: a source file, or a template as rendered."""

    path: str
    text: bytes
    oid: str
    """Content id: findings of file-scoped checks are cached by it."""
    rendered: bool = False
    """True for the output of a template; ``path`` then is the template."""
    executable: bool = False
    """Its mode in the source, where that matters: a root's own scripts."""


@dataclass(frozen=True, slots=True)
class Desired:
    """What an application should be at one closure, before any cluster is looked at."""

    manifests: tuple[Manifest, ...]
    closure: Closure
    digest: Digest
    """Keyed digest over the manifests' digests, in order of identity."""
    renderer: str
    """``NAME VERSION (tool version)``, part of the seal."""
    files: tuple[RenderedFile, ...] = ()
    warnings: tuple[str, ...] = ()
    """What the renderer wants said (a chart hook that is not run, a default it had to choose)."""
