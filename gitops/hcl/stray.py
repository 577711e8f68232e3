"""Files that have no business in a root's folder, and secrets in files of variables.

Called by :mod:`gitops.hcl.policy`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gitops.closures import normalise
from gitops.errors import RenderError
from gitops.hcl.modules import Graph
from gitops.hcl.reading import Reading, folder_of, name_of, under
from gitops.hcl.remarks import error
from gitops.hcl.tree import Document, Expression, Kind
from gitops.model.finding import Finding
from gitops.model.manifest import Origin

OVERRIDE = "zz_gitops_override"
"""How the files begin that we add to a root (its backend); last in order, so that they win."""
_CLI = frozenset({".terraformrc", "terraform.rc", ".tofurc", "tofu.rc"})
_STATE = re.compile(r".*\.tfstate(\..*)?|.*\.tfplan")
_SECRET = re.compile(
    r"(?:^|[_-])(?:passwords?|passwd|passphrase|pwd|secrets?|tokens?|credentials?|"
    r"(?:api|secret|access|private|ssh|encryption|signing|master)[_-]?keys?|"
    r"conn(?:ection)?[_-]?str(?:ing)?)$",
    re.IGNORECASE,
)
_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def looks_secret(name: str) -> bool:
    """By the end of a name: ``db_password``, ``apiToken``; not ``password_length``."""
    return bool(_SECRET.search(_WORDS.sub("_", name)))


def beside(path: str, relative: str) -> str:
    """A file named relative to the root; empty when that leaves the source."""
    try:
        return normalise(relative, path)
    except RenderError:
        return ""


def files(reading: Reading, graph: Graph) -> Iterator[Finding]:
    """In the folders Terraform works in. Elsewhere beneath them they are only files."""
    for path in reading.files:
        folder, name, at = folder_of(path), name_of(path), Origin(path)
        if under(path, beside(graph.root, ".terraform")):
            message = "a .terraform folder is committed: it would run as if it were fetched"
            hint = "git rm -r --cached .terraform, and put it into .gitignore"
            yield error(message, at, hint)
        elif folder not in graph.folders:
            continue
        elif name in _CLI:
            message = f"{name} could change where the tool fetches providers and what it may do"
            yield error(message, at, f"git rm {path}; the operator configures the tool")
        elif name.startswith(OVERRIDE):
            message = f"names that begin with {OVERRIDE} are ours: the file would take our place"
            yield error(message, at, "rename it")
        elif _STATE.fullmatch(name):
            message = "a state or a plan is committed: it holds secrets, and is not the live one"
            yield error(message, at, f"git rm {path}, and change every secret in it")


def secrets(documents: Sequence[Document]) -> Iterator[Finding]:
    """Values written out under names that say secret."""
    for document in documents:
        for attribute in document.body.attributes:
            at = _literal(attribute.name, attribute.value)
            if at is not None:
                name, value = at
                yield error(
                    f"{name!r} looks like a secret, and its value is in the repository",
                    Origin(document.path, value.line, value.column),
                    f"change the secret; give it as TF_VAR_{attribute.name} by `environment:`",
                )


def _literal(name: str, value: Expression) -> tuple[str, Expression] | None:
    """The first text beneath a name that looks secret."""
    if looks_secret(name):
        found = next((each for each in value.walk() if each.text), None)
        return (name, found) if found is not None else None
    if value.kind is Kind.OBJECT:
        for key, inner in value.items:
            at = _literal(key.text or "", inner)
            if at is not None:
                return at
    if value.kind is Kind.LIST:
        return next(filter(None, (_literal("", part) for part in value.parts)), None)
    return None
