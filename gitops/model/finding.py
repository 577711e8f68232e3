"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gitops.model.manifest import ObjectId


class Severity(StrEnum):
    ERROR = "error"
    """Blocks the ask: nobody can approve it."""
    WARNING = "warning"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for the worst: what is sorted by it shows that first."""
        return _RANKS[self]


_RANKS = {severity: rank for rank, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One remark at one place. ``message`` states the fact, ``hint`` the next thing to do."""

    check: str
    severity: Severity
    message: str
    hint: str = ""
    path: str = ""
    line: int = 0
    column: int = 0
    object: ObjectId | None = None

    @property
    def place(self) -> str:
        """``path:line:column`` as far as known, else the object, else empty."""
        if not self.path:
            return str(self.object) if self.object else ""
        where = self.path
        if self.line:
            where += f":{self.line}"
            if self.column:
                where += f":{self.column}"
        return where


def blocking(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Those that keep a change from being asked about."""
    return tuple(f for f in findings if f.severity is Severity.ERROR)
