"""Which versions of an application run on which of its targets, and since when. Pure.

Called for its page and the API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gitops.model.delivery import Cause, ChangeState, DeliveryRecord, LaneId
from gitops.model.ids import TargetName

BROUGHT = (Cause.COMMIT, Cause.ROLLBACK)
"""Causes whose deliveries make a target what it is; a repair leaves it that."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one thing, and where it runs."""

    name: str
    version: str
    targets: tuple[TargetName, ...]
    since: float | None
    """When it came to the first of these targets; None where that is long ago."""
    change: str
    """Id of the change that brought it there; empty where that is long ago."""
    differs: bool
    """It does not run on every target where something is delivered."""


def versions(
    present: Mapping[LaneId, DeliveryRecord], recent: Sequence[DeliveryRecord]
) -> tuple[Version, ...]:
    """By name and version; ``recent`` says since when, newest first."""
    where: dict[tuple[str, str], list[LaneId]] = {}
    for lane in sorted(present):
        for each in present[lane].versions:
            where.setdefault(each, []).append(lane)
    found = []
    for (name, version), lanes in sorted(where.items()):
        first = _came(present[lanes[0]], (name, version), recent)
        found.append(
            Version(
                name,
                version,
                tuple(lane.target for lane in lanes),
                first.started_at if first else None,
                first.change.change.id if first else "",
                len(lanes) < len(present),
            )
        )
    return tuple(found)


def _came(
    present: DeliveryRecord, version: tuple[str, str], recent: Sequence[DeliveryRecord]
) -> DeliveryRecord | None:
    """The delivery that brought a version to a lane and was followed by none without it; what is
    there now may not have become healthy."""
    found, lane = None, present.change.change.lane
    for row in recent:
        if row.change.change.lane == lane and (row.id == present.id or arrived(row)):
            if version not in row.versions:
                return found
            found = row
    return found


def arrived(row: DeliveryRecord) -> bool:
    """Did it make its target what it is?"""
    return row.state is ChangeState.HEALTHY and row.change.change.cause in BROUGHT
