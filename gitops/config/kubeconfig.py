"""Looks at the operator's kubeconfig before anything is sent with it.

Only what the fleet file's rules need: is the context there, and does it verify the server's
certificate? ``exec`` plugins are allowed here; loading and using a kubeconfig is
the transport's business. Called by :mod:`gitops.config.build`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from gitops.config.files import read_text
from gitops.config.problems import Draft, Loc, home, nearest
from gitops.config.tree import Node, parse
from gitops.egress.addresses import is_loopback
from gitops.errors import ConfigError
from gitops.foreign import one_line
from gitops.secrets import refuse_exposed

_SECRETS = ("token", "password", "client-key-data")


def find_context(draft: Draft, context: str, named: str | None, loc: Loc) -> Path | None:
    """The kubeconfig file that has the context. None, and a problem, when there is none; just the
    path named when the outside world is not looked at."""
    files = _files(draft, named, loc)
    at: Loc = (*loc, "kubeconfig") if named is not None else (*loc, "context")
    known: list[str] = []
    present = [file for file in files if file.is_file()]
    for file in present:
        try:
            tree = parse(read_text(file), str(file), file.parent)
        except ConfigError as error:
            draft.refuse(at, f"kubeconfig {error.place or file}: {error.message}", error.hint)
            return None
        contexts = _by_name(tree, "contexts", "context")
        if context in contexts:
            _check(draft, tree, file, contexts[context], (*loc, "context"))
            return file
        known += contexts
    if draft.resolve_secrets:
        _absent(draft, context, files, present, known, at, loc)
    return files[0] if named is not None else None


def _files(draft: Draft, named: str | None, loc: Loc) -> list[Path]:
    if named is not None:
        return [draft.path((*loc, "kubeconfig"), named)]
    listed = [Path(part) for part in draft.env.get("KUBECONFIG", "").split(os.pathsep) if part]
    return listed or [home(draft.env) / ".kube" / "config"]


def _absent(
    draft: Draft,
    context: str,
    files: list[Path],
    present: list[Path],
    known: list[str],
    at: Loc,
    loc: Loc,
) -> None:
    where = ", ".join(map(str, present or files))
    if not present:
        draft.refuse(at, f"there is no kubeconfig {where}", "write kubeconfig: PATH")
        return
    hint = nearest(context, known) or "`kubectl config get-contexts` lists them"
    draft.refuse((*loc, "context"), f'{where} has no context "{one_line(context, 80)}"', hint)


def _by_name(tree: Node, section: str, inner: str) -> dict[str, Mapping[str, Any]]:
    """``[{name: N, context: {…}}]`` as ``{N: {…}}``; whatever has another form is passed over."""
    plain = tree.plain()
    entries = plain.get(section) if isinstance(plain, dict) else None
    found: dict[str, Mapping[str, Any]] = {}
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get(inner), dict):
            found.setdefault(str(entry.get("name")), entry[inner])
    return found


def _check(draft: Draft, tree: Node, file: Path, context: Mapping[str, Any], loc: Loc) -> None:
    cluster = _by_name(tree, "clusters", "cluster").get(str(context.get("cluster")))
    if cluster is None:
        draft.refuse(loc, f"{file}: the context names a cluster that is not there")
        return
    if cluster.get("insecure-skip-tls-verify"):
        hint = "give the kubeconfig the cluster's certificate-authority instead"
        draft.refuse(
            loc, f"{file}: insecure-skip-tls-verify lets anybody pose as the cluster", hint
        )
    server = str(cluster.get("server", ""))
    if server.startswith("http://") and not is_loopback(urlsplit(server).hostname or ""):
        draft.refuse(loc, f"{file}: plain http would show everything on the way", "use https://")
    user = _by_name(tree, "users", "user").get(str(context.get("user"))) or {}
    if any(user.get(key) for key in _SECRETS):
        _private(draft, file, loc)


def _private(draft: Draft, file: Path, loc: Loc) -> None:
    try:
        refuse_exposed(file, file.stat())
    except (ConfigError, OSError) as error:
        draft.refuse(loc, str(getattr(error, "message", error)), f"chmod 600 {file}")
