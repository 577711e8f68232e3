"""What a saved plan was made with, and whether it may be used again. Pure.

Files and state are sealed by themselves; variables are not in any file, so a keyed digest stands
for them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from gitops.model.ids import Digest
from gitops.model.sealed import SealedRun
from gitops.model.secret import SecretRef
from gitops.ports import Digester
from gitops.ports.terraform import Root
from gitops.spelling import spelled

LOCK_FILE = ".terraform.lock.hcl"


def inputs_of(root: Root, digester: Digester) -> Digest:
    """Over everything beside the files and the state that a plan depends on: the operator's
    variables, other applications' outputs, and the environment plans are made in (references
    only; what they refer to is read elsewhere)."""
    spec = root.application.terraform
    given = [] if spec is None else [spec.variables, spec.variable_files, spec.workspace]
    environment = {} if spec is None else _named(spec.environment.plan)
    return digester.of(spelled([root.application.path, given, environment, root.variables]))


def _named(environment: Mapping[str, str | SecretRef]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else repr(value)
        for name, value in environment.items()
    }


def artifact_of(sealed: SealedRun, digester: Digester) -> Digest:
    """Over the very bytes and all that has a part in carrying them out."""
    parts = [sealed.sha256, sealed.lock_sha256, sealed.tool, sealed.providers, sealed.target]
    return digester.of(spelled(parts))


def unlike(sealed: SealedRun, root: Root, identity: str) -> list[str]:
    """Why this seal is not for that root, in words; empty when it is. Asks nobody."""
    lock = lock_of(root)
    reasons = {
        "it was approved for another application": sealed.lane == root.lane,
        "the root is not the one that was planned": sealed.path == root.application.path,
        "the saved plan is not the one that was approved": sha256_of(sealed.plan_file)
        == sealed.sha256,
        "the root's files are not those that were approved": sealed.files == root.files,
        "its lock file is not the one that was approved": sealed.lock_sha256 in ("", lock),
        "its backend or workspace is another one now": sealed.target == identity,
    }
    return [reason for reason, holds in reasons.items() if not holds]


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def lock_of(root: Root) -> str:
    """SHA-256 of the dependency lock file; empty: there is none."""
    folder = root.application.path.strip("/")
    path = f"{folder}/{LOCK_FILE}" if folder else LOCK_FILE
    found = (file.content for file in root.files if file.path == path)
    content = next(found, None)
    return "" if content is None else sha256_of(content)
