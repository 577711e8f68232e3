"""Reads what checks of a root came to: ``fmt``, ``validate``, ``test``.

Used by :mod:`gitops.terraform.workspace`. All of it is hostile: nothing is believed to be shaped
as documented.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from typing import Any

from gitops.errors import RenderError
from gitops.model.finding import Finding, Severity
from gitops.ports.terraform import Root
from gitops.terraform.execution import Finished
from gitops.terraform.said import Diagnostic, diagnostic, diagnostics, events
from gitops.terraform.session import Session

_DIFFED = 256 << 10
"""Bytes of a file of which a diff is shown; computing one is quadratic."""


def document(text: bytes) -> Mapping[str, Any]:
    """A JSON object the tool printed. Raises RenderError for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RenderError("what the tool printed is no JSON object")
    return found


def rewritten(session: Session, root: Root) -> list[tuple[str, str]]:
    """The files the tool has put into canonical form, each with what it changed."""
    found = []
    for file in root.files:
        path = session.base / "tree" / file.path
        after = path.read_bytes() if path.is_file() else file.content
        if after != file.content:
            found.append((file.path, _diff(file.path, file.content, after)))
    return found


def _diff(path: str, before: bytes, after: bytes) -> str:
    if len(before) > _DIFFED:
        return f"{path} is too large to show a diff of"
    old, new = (text.decode("utf-8", "replace").splitlines() for text in (before, after))
    return "\n".join(difflib.unified_diff(old, new, path, f"{path} (canonical)", lineterm=""))


def validated(done: Finished) -> list[Diagnostic]:
    """What ``validate -json`` found."""
    found = document(done.stdout).get("diagnostics")
    return [diagnostic(each) for each in found or () if isinstance(each, dict)]


def tested(session: Session, done: Finished) -> list[Finding]:
    """What the root's own tests found. Raises when they were not run to their end."""
    if done.why or done.code < 0:
        session.check(done, "test")
    reader = session.setting.reader
    check = f"{reader.tool}-test"
    found = [
        reader.finding(each, check) for each in diagnostics(done.stdout, done.stderr) if each.error
    ]
    if done.code and not found:
        failed = [_test_name(event) for event in events(done.stdout)]
        names = reader.scrub.text(", ".join(name for name in failed if name), 500)
        message = f"the module's own tests fail: {names or 'no reason given'}"
        found = [Finding(check, Severity.ERROR, message, path=reader.folder)]
    return found


def _test_name(event: Mapping[str, Any]) -> str:
    run = event.get("test_run")
    if not isinstance(run, dict) or run.get("status") not in {"fail", "error"}:
        return ""
    return f"{run.get('path')} {run.get('run')}"
