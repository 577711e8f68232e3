"""Are a root's files in Terraform's canonical form? A finding per file, with what ``fmt`` would do.

Called by :mod:`planners.checks.run`. ``fmt`` reads the files and nothing else: no provider, no
backend, no credentials. By default it only warns, for no delivery should wait for a blank.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gitops.errors import ConfigError, RenderError
from gitops.foreign import readable
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec
from gitops.plugins import Services
from gitops.ports import CheckJob, Scope
from gitops.ports.terraform import Workspace
from gitops.roots import root_of

NAME = "terraform-fmt"
VERSION = "1"

LINES = 40
"""Of a diff that are shown."""
WIDTH = 200
_HUNK = re.compile(r"^@@ -(\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Options:
    """How strict."""

    severity: str = "warning"
    """``error`` (then it blocks), ``warning`` or ``info``."""


@dataclass(frozen=True, slots=True)
class Fmt:
    """The check, as configured."""

    severity: Severity
    workspace: Workspace | None
    name: str = NAME
    version: str = VERSION
    scope: Scope = Scope.APPLICATION

    def concerns(self, application: ApplicationSpec) -> bool:
        return application.terraform is not None

    async def run(self, job: CheckJob) -> Sequence[Finding]:
        spec = job.application.terraform
        if spec is None or self.workspace is None:
            return ()
        root = root_of(job.lane, job.application, job.desired)
        try:
            unformatted = await self.workspace.fmt(root)
        except RenderError as error:
            # What cannot be parsed is the rules' to refuse, with its place.
            message = f"fmt did not get through: {error.message}"
            return (Finding(NAME, self.severity, message, path=job.application.path),)
        return tuple(self._finding(path, diff, spec.binary) for path, diff in unformatted)

    def _finding(self, path: str, diff: str, binary: str) -> Finding:
        found = _HUNK.search(diff)
        return Finding(
            NAME,
            self.severity,
            "is not in canonical form",
            f"run `{binary} fmt {path}`, which does this:\n{_bounded(diff)}",
            path,
            int(found[1]) if found else 0,
        )


def _bounded(diff: str) -> str:
    """Without the names of files, which are the tool's own folders', and without end."""
    lines = readable(diff[: LINES * WIDTH * 4]).splitlines()
    kept = [line[:WIDTH] for line in lines if not line.startswith(("--- ", "+++ ", "diff "))]
    more = len(kept) - LINES
    return "\n".join(kept[:LINES] + ([f"… and {more} more lines"] if more > 0 else []))


def build(options: Options, services: Services) -> Fmt:
    """Raises ConfigError for a severity there is not."""
    if options.severity not in set(Severity):
        raise ConfigError(
            f"severity {options.severity!r} of check {NAME!r} is unknown",
            hint=f"write one of: {', '.join(Severity)}",
        )
    return Fmt(Severity(options.severity), services.terraform)
