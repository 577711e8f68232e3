"""What unapproved Terraform code may not do, as a check: see :mod:`gitops.hcl.policy`.

Called by :mod:`planners.checks.run`. Its errors keep a change from being asked about; nothing of
the tool, not even ``init``, has run by then. Reading code is pure Python and slow on much of it, so
it goes to a thread, or to a child process, and is remembered for the check that runs after it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gitops import hcl
from gitops.errors import RenderError
from gitops.hcl.reading import LANGUAGE
from gitops.jsonable import from_json, to_json
from gitops.model.finding import Finding
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import Digest, combine
from gitops.model.sealed import SealedFile
from gitops.model.terraform import Environment, TerraformSpec
from gitops.plugins import Services
from gitops.ports import CheckJob, Children, Command, Digester, Limits, Scope
from gitops.ports.terraform import Root
from gitops.roots import root_of

NAME = "terraform"
VERSION = "1"

APART = 32 << 10
"""Bytes of language files from which they are read by a child process."""
_KEPT = 64


@dataclass(frozen=True, slots=True)
class Options:
    """None: what code may do is said under ``terraform: {allow: …}`` in the fleet file."""


class Rules:
    """The rules, asked once for the same files and the same leave, whichever check asks first."""

    def __init__(self, children: Children | None) -> None:
        self._children = children
        self._known: OrderedDict[Digest, tuple[Finding, ...]] = OrderedDict()
        self._asking: dict[Digest, asyncio.Task[tuple[Finding, ...]]] = {}

    async def findings(self, job: CheckJob) -> tuple[Finding, ...]:
        """None for an application that is no root."""
        application, spec = job.application, job.application.terraform
        if spec is None:
            return ()
        needs = sorted(application.needs)
        key = combine(job.desired.digest, application.path, repr(spec), *needs)
        if key not in self._known:
            if key not in self._asking:
                root = root_of(job.lane, application, job.desired)
                self._asking[key] = asyncio.create_task(self._ask(root, spec))
                self._asking[key].add_done_callback(lambda _: self._asking.pop(key, None))
            self._known[key] = await asyncio.shield(self._asking[key])
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return self._known[key]

    async def _ask(self, root: Root, spec: TerraformSpec) -> tuple[Finding, ...]:
        path, needs = root.application.path, sorted(root.application.needs)
        size = sum(len(file.content) for file in root.files if file.path.endswith(LANGUAGE))
        if self._children is None or size < APART:
            return await asyncio.to_thread(hcl.policy, root.files, path, spec, needs)
        return await _apart(root.files, path, spec, needs, self._children)


async def _apart(
    files: Sequence[SealedFile],
    path: str,
    spec: TerraformSpec,
    needs: Sequence[str],
    children: Children,
) -> tuple[Finding, ...]:
    texts = [[file.path, b64encode(file.content).decode()] for file in files]
    # The rules have no use for the environment, and a child none for its secrets' addresses.
    bare = to_json(replace(spec, environment=Environment()))
    done = await children.run(
        Command(
            argv=(sys.executable, "-m", "planners.checks.terraform_policy"),
            cwd=Path("/"),
            env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=json.dumps([texts, path, bare, needs]).encode("utf-8", "surrogatepass"),
            limits=Limits(seconds=120, memory=6 << 30),
        )
    )
    if done.code:
        raise RenderError(f"the reader of Terraform code ended with code {done.code}", place=path)
    return tuple(from_json(Finding, each) for each in json.loads(done.stdout))


@dataclass(frozen=True, slots=True)
class Policy:
    """The check."""

    rules: Rules
    name: str = NAME
    version: str = VERSION
    scope: Scope = Scope.APPLICATION

    def concerns(self, application: ApplicationSpec) -> bool:
        return application.terraform is not None

    async def run(self, job: CheckJob) -> Sequence[Finding]:
        return await self.rules.findings(job)


def build(options: Options, services: Services) -> Policy:
    return Policy(rules_of(services))


_shared: dict[int, tuple[Digester, Rules]] = {}


def rules_of(services: Services) -> Rules:
    """One memory for all checks that were lent the same services (and so the same digester)."""
    made = (services.digester, Rules(services.children))
    return _shared.setdefault(id(services.digester), made)[1]


def _main() -> None:
    """The child's side: files, path, leave and needs on stdin, findings on stdout."""
    texts, path, spec, needs = json.load(sys.stdin)
    files = [SealedFile(name, b64decode(text)) for name, text in texts]
    found = hcl.policy(files, path, from_json(TerraformSpec, spec), needs)
    json.dump([to_json(each) for each in found], sys.stdout)


if __name__ == "__main__":
    _main()
