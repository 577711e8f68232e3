"""Findings as the rules on Terraform's language make them. Called by the rules alone."""

from __future__ import annotations

from gitops.model.finding import Finding, Severity
from gitops.model.manifest import Origin

CHECK = "terraform"


def error(message: str, at: Origin, hint: str = "") -> Finding:
    return _finding(Severity.ERROR, message, at, hint)


def warning(message: str, at: Origin, hint: str = "") -> Finding:
    return _finding(Severity.WARNING, message, at, hint)


def info(message: str, at: Origin, hint: str = "") -> Finding:
    return _finding(Severity.INFO, message, at, hint)


def _finding(severity: Severity, message: str, at: Origin, hint: str) -> Finding:
    return Finding(CHECK, severity, message, hint, at.path, at.line, at.column)
