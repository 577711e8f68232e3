"""A range, who claims it, and where that is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gitops.cidr.ranges import Range
from gitops.model.delivery import LaneId

MAX_CLAIMS = 10_000
"""Networks of one owner. Nobody has as many; a bound on what one can cost the others."""


@dataclass(frozen=True, slots=True)
class Found:
    """A range somebody writes down as theirs."""

    range: Range
    what: str
    """``aws_vpc.main.cidr_block``, ``var.pod_cidr``, ``IPPool default``."""
    path: str = ""
    """File of the source; empty where there is none (planned values, the fleet file)."""
    line: int = 0
    part: bool = False
    """A subnet: part of a network that may be another owner's."""
    shared: bool = False
    """Written where several owners may read it without using it (``locals``): the same line read
    by two of them is no claim of both."""

    @property
    def place(self) -> str:
        if not self.path:
            return self.what
        return f"{self.path}:{self.line}" if self.line else self.path


@dataclass(frozen=True, slots=True)
class Claim:
    """What an application claims on one target."""

    owner: LaneId
    found: Found
    source: str = ""
    """Source its file is in: two may have files of one path."""

    @property
    def range(self) -> Range:
        return self.found.range

    def same_line(self, other: Claim) -> bool:
        mine, theirs = self.found, other.found
        return (
            mine.shared
            and theirs.shared
            and (self.source, mine.path, mine.line) == (other.source, theirs.path, theirs.line)
        )


def widest(found: Iterable[Found]) -> tuple[Found, ...]:
    """Those no other of them covers: a subnet in its own network is no overlap. Of equal ones the
    network, then the first in the text."""

    def order(each: Found) -> tuple[int, int, int, bool, str, int]:
        reach = each.range
        return reach.version, reach.first, -reach.last, each.part, each.path, each.line

    kept: list[Found] = []
    prefixes = 0
    for each in sorted(found, key=order):
        if kept and kept[-1].range.covers(each.range):
            continue
        prefixes += sum(1 for _ in each.range.prefixes())
        if prefixes > MAX_CLAIMS:
            break
        kept.append(each)
    return tuple(kept)
