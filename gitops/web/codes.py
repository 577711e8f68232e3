"""Which HTTP status an error of ours is answered with. Called by whoever answers: API and pages."""

from __future__ import annotations

from gitops.errors import GitopsError, NotAllowed, Outdated, Permanent, StaleWrite, Unknown


def code_of(error: GitopsError) -> int:
    if isinstance(error, Unknown):
        return 404
    if isinstance(error, Outdated | StaleWrite):
        return 409
    if isinstance(error, NotAllowed):
        return 403
    return 400 if isinstance(error, Permanent) else 503
