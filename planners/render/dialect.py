"""How kustomize reads what a kustomization says: its fields and its addresses.

Kustomize decodes with Go's ``encoding/json``, to which ``Resources`` and ``re\u017fources`` are
``resources``; and it takes an entry for a git repository before it looks for a folder. What we read
otherwise than kustomize does, it would follow unseen. So only a field's one spelling is taken, and
whatever could be an address is one. Called by the kustomize renderer. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from gitops.errors import RenderError
from gitops.yamlio import Node


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KUSTOMIZATION = _words(
    "apiVersion kind metadata openapi namePrefix nameSuffix namespace commonLabels labels "
    "commonAnnotations patchesStrategicMerge patchesJson6902 patches images imageTags replacements "
    "replicas vars sortOptions resources components crds bases configMapGenerator secretGenerator "
    "helmGlobals helmCharts helmChartInflationGenerator generatorOptions configurations generators "
    "transformers validators buildMetadata"
)
"""Fields of types.Kustomization in sigs.k8s.io/kustomize/api v0.21."""

_GENERATOR = "name namespace behavior literals files envs env options"
_PATCH = "path patch target options"
_REPLACEMENT = "path source targets sourceValue"
_IMAGE = "name newName tagSuffix newTag digest"
ITEMS: Mapping[str, frozenset[str]] = {
    field: _words(known)
    for field, known in {
        "configMapGenerator": _GENERATOR,
        "secretGenerator": f"{_GENERATOR} type",
        "patches": _PATCH,
        "patchesJson6902": _PATCH,
        "replacements": _REPLACEMENT,
        "images": _IMAGE,
        "imageTags": _IMAGE,
        "replicas": "name count",
        "labels": "pairs includeSelectors includeTemplates fields",
        "vars": "name objref fieldref",
    }.items()
}
"""Fields of the entries of a list, by the list's name."""

PLUGIN = _words("kind path paths files envs env replacements metadata annotations items")
"""What we interpret in the configuration of a generator or transformer, at any depth."""

FUNCTIONS = frozenset({"config.kubernetes.io/function", "config.k8s.io/function"})

_SCHEME = re.compile(r"^[a-zA-Z][\w+.-]*:")
_REPOSITORY = re.compile(
    r"^[a-zA-Z][a-zA-Z0-9-]*@.*[/:]|^github\.com[/:]|\.git(/|$)|(^|/)_git/|[?]"
    r"|^[^/]*\.[^/]*/.*//",
    re.IGNORECASE,
)
_FORGE = re.compile(r"^(github|gitlab|bitbucket)\.\w+[/:]", re.IGNORECASE)


def remote(text: str) -> bool:
    """Could kustomize take this entry for an address?

    At least as wide as NewRepoSpecFromURL of its api/internal/git/repospec.go, to which a path
    that begins with ``./`` or ``../`` is never one.
    """
    if text.startswith(("./", "../")):
        return False
    return bool(_SCHEME.search(text) or _REPOSITORY.search(text))


def forge(text: str) -> bool:
    """Does it look like an address to people? (Kustomize would look for a folder.)"""
    return bool(_FORGE.search(text))


def check_root(root: Node, file: str) -> None:
    """The fields of a kustomization and of its lists' entries. Raises RenderError at the field."""
    _exactly(root, KUSTOMIZATION, "a kustomization", file)
    for field, known in ITEMS.items():
        listed = root.value.get(field)
        for item in listed.value if listed is not None and isinstance(listed.value, list) else ():
            _exactly(item, known, f"an entry of {field}", file)
    openapi = root.value.get("openapi")
    if openapi is not None:
        _exactly(openapi, frozenset({"path"}), "openapi", file)


def check_plugin(root: Node, file: str) -> None:
    """A plugin's configuration has fields of its own; none may pass for one that we read."""
    folded = {fold(name): name for name in PLUGIN}
    for node in mappings(root):
        for key in node.value:
            meant = folded.get(fold(key))
            if meant is not None and key != meant:
                raise _misspelt(node, key, meant, file)


def _exactly(node: Node, known: frozenset[str], what: str, file: str) -> None:
    if not isinstance(node.value, dict):
        return
    for key in node.value:
        if key in known:
            continue
        meant = next((name for name in known if fold(name) == fold(key)), None)
        if meant is not None:
            raise _misspelt(node, key, meant, file)
        raise RenderError(
            f"{what} has no field {key[:80]!r}",
            hint=f"it knows: {', '.join(sorted(known))}",
            place=_place(node, key, file),
        )


def _misspelt(node: Node, key: str, meant: str, file: str) -> RenderError:
    return RenderError(
        f"the field {key[:80]!a} is spelt {meant!r}",
        hint="kustomize would read it all the same; write it as it is documented",
        place=_place(node, key, file),
    )


def _place(node: Node, key: str, file: str) -> str:
    line, column = (node.keys or {}).get(key, (node.line, node.column))
    return f"{file}:{line}:{column}"


def fold(name: str) -> str:
    """Equal for whatever Go's decoder takes for the same field, and for a little more."""
    return unicodedata.normalize("NFKC", name).casefold()


def mappings(node: Node) -> Iterator[Node]:
    """Every mapping in a document, itself first."""
    if isinstance(node.value, dict):
        yield node
        for child in node.value.values():
            yield from mappings(child)
    elif isinstance(node.value, list):
        for child in node.value:
            yield from mappings(child)
