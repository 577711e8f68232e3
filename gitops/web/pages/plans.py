"""What pages that show a plan have in common: the part somebody asked for, and links to its files.

What is drawn of a plan is :mod:`gitops.web.pages.diff`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Query

from gitops.links import file_at
from gitops.model.fleet import SourceSpec
from gitops.web.pages.diff import Wish


def wish(
    diff: Annotated[str, Query(max_length=10)] = "",
    action: Annotated[str, Query(max_length=20)] = "",
    kind: Annotated[str, Query(max_length=200)] = "",
    from_: Annotated[int, Query(alias="from", ge=0, le=1_000_000)] = 0,
    object: Annotated[int | None, Query(ge=0, le=1_000_000)] = None,
    line: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Wish:
    """A dependency: which part of a plan, from the query."""
    return Wish(diff == "split", action, kind, from_, object, line)


def files_of(source: SourceSpec | None, revision: str) -> Callable[[str, int], str]:
    """Leads from (path, line) to a file's page at its forge; empty where there is none."""

    def found(path: str, line: int) -> str:
        return file_at(source, revision, path, line)

    return found
