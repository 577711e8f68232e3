"""Terraform's own ``validate``, and those of a root's tests that apply nothing.

Called by :mod:`planners.checks.run`. ``init`` makes the tool fetch and run providers, so nothing
happens here as long as the rules (:mod:`gitops.hcl.policy`) find an error. No backend, no
credentials; a test that would apply is named and not run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from gitops import hcl
from gitops.model.finding import Finding, Severity, blocking
from gitops.model.fleet import ApplicationSpec
from gitops.plugins import Services
from gitops.ports import CheckJob, Scope
from gitops.ports.terraform import Root, Workspace
from gitops.roots import root_of
from planners.checks.terraform_policy import Rules, rules_of

NAME = "terraform-validate"
VERSION = "1"


@dataclass(frozen=True, slots=True)
class Options:
    """Whether the root's own tests are run."""

    tests: bool = True
    """Only files whose runs plan, or whose providers are all mocked, ever are."""


@dataclass(frozen=True, slots=True)
class Validate:
    """The check, as configured."""

    tests: bool
    rules: Rules
    workspace: Workspace | None
    name: str = NAME
    version: str = VERSION
    scope: Scope = Scope.APPLICATION
    fetches: bool = True
    """``init`` fetches and runs providers: not for what a stranger proposes."""

    def concerns(self, application: ApplicationSpec) -> bool:
        return application.terraform is not None

    async def run(self, job: CheckJob) -> Sequence[Finding]:
        if job.application.terraform is None or blocking(await self.rules.findings(job)):
            return ()
        if self.workspace is None:
            message = "the code was read but not validated: nothing here runs terraform"
            return (Finding(NAME, Severity.INFO, message, path=job.application.path),)
        root = root_of(job.lane, job.application, job.desired)
        found = tuple(await self.workspace.validate(root))
        if blocking(found) or not self.tests:
            return found
        return (*found, *await self._test(root, self.workspace))

    async def _test(self, root: Root, workspace: Workspace) -> Sequence[Finding]:
        harmless, others = await _sorted(root)
        found = tuple(await workspace.test(root, harmless)) if harmless else ()
        return (*found, *others)


async def _sorted(root: Root) -> tuple[tuple[str, ...], tuple[Finding, ...]]:
    return await asyncio.to_thread(hcl.test_files, root.files, root.application.path)


def build(options: Options, services: Services) -> Validate:
    return Validate(bool(options.tests), rules_of(services), services.terraform)
