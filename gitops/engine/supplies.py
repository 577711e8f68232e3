"""What an application takes from others, at one moment, and whose doing it is.

Gathered by :class:`gitops.engine.targets.roots.Roots` for every round of a lane; read by rendering,
by the workspace's target and by apply, which waits while anything of it is only planned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from gitops.model.ids import Digest, combine
from gitops.model.source import Authorship


@dataclass(frozen=True, slots=True)
class Supplies:
    """What an application takes from others, at one moment."""

    values: Mapping[str, Any] = field(default_factory=dict)
    """By the name the value has in the application. May be secret."""
    planned: tuple[str, ...] = ()
    """Whose open plans some values are from: nothing may be applied before those arrived."""
    digest: Digest = combine()
    """Keyed, over the values."""
    authorship: Authorship = Authorship()
    """Of the changes that brought values which were not delivered here yet."""
    known: bool = True
    """False: they are not to be had now, and what goes on does so without them."""


NONE = Supplies()
UNKNOWN = Supplies(known=False)


def together(parts: Iterable[Authorship]) -> Authorship:
    """Everybody who had a hand in any of these."""
    return reduce(joined, parts, Authorship())


def joined(one: Authorship, other: Authorship) -> Authorship:
    """The authors of two changes that become one; known only if both are, graded as the weaker."""
    if other == Authorship():
        return one
    if one == Authorship():
        return other
    return Authorship(
        commits=tuple(dict.fromkeys((*one.commits, *other.commits))),
        signatures=tuple(dict.fromkeys((*one.signatures, *other.signatures))),
        logins=tuple(dict.fromkeys((*one.logins, *other.logins))),
        mergers=tuple(dict.fromkeys((*one.mergers, *other.mergers))),
        people=tuple(dict.fromkeys((*one.people, *other.people))),
        grade=min(one.grade, other.grade, key=lambda grade: grade.rank),
        known=one.known and other.known,
        note=one.note or other.note,
        pull_requests=tuple(dict.fromkeys((*one.pull_requests, *other.pull_requests))),
        unasked=one.unasked or other.unasked,
    )
