"""Who claims what, so that those who meet are found without looking at the others.

Kept by the check. Every range is a handful of prefixes; a prefix meets those that contain it, which
are looked up length by length, and those in it, which lie side by side in order.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from gitops.cidr.claims import Claim
from gitops.cidr.ranges import Prefix, Range
from gitops.model.delivery import LaneId


@dataclass(slots=True)
class _Family:
    """All prefixes of one version of IP."""

    claims: dict[Prefix, dict[Claim, None]] = field(default_factory=dict)
    ordered: list[Prefix] = field(default_factory=list)
    lengths: Counter[int] = field(default_factory=Counter)

    def add(self, prefix: Prefix, claim: Claim) -> None:
        if prefix not in self.claims:
            self.claims[prefix] = {}
            insort(self.ordered, prefix)
            self.lengths[prefix[1]] += 1
        self.claims[prefix][claim] = None

    def remove(self, prefix: Prefix, claim: Claim) -> None:
        here = self.claims[prefix]
        del here[claim]
        if here:
            return
        del self.claims[prefix]
        del self.ordered[bisect_left(self.ordered, prefix)]
        self.lengths[prefix[1]] -= 1
        if not self.lengths[prefix[1]]:
            del self.lengths[prefix[1]]

    def copy(self) -> _Family:
        claims = {prefix: dict(here) for prefix, here in self.claims.items()}
        return _Family(claims, list(self.ordered), Counter(self.lengths))

    def meeting(self, prefix: Prefix, bits: int) -> Iterator[Claim]:
        start, length = prefix
        for shorter in self.lengths:
            if shorter < length:
                mask = bits - shorter
                yield from self.claims.get((start >> mask << mask, shorter), ())
        after = start + (1 << (bits - length))
        for at in range(bisect_left(self.ordered, prefix), len(self.ordered)):
            inside = self.ordered[at]
            if inside[0] >= after:
                break
            yield from self.claims[inside]


class Index:
    """Claims of any number of owners. Not for use by several threads at once."""

    def __init__(self) -> None:
        self._families = {4: _Family(), 6: _Family()}
        self._owned: dict[LaneId, dict[Claim, int]] = {}
        self._count = 0
        self.version = 0
        """Rises with every change: what was found under the same one is still true."""

    def copy(self) -> Index:
        """An index of its own, equal at this moment."""
        other = Index()
        other._families = {version: family.copy() for version, family in self._families.items()}
        other._owned = {owner: dict(claims) for owner, claims in self._owned.items()}
        other._count, other.version = self._count, self.version
        return other

    def of(self, owner: LaneId) -> tuple[Claim, ...]:
        return tuple(self._owned.get(owner, ()))

    def since(self, claim: Claim) -> int:
        """Claims are counted as they come; moved to another line it is still the old one."""
        return self._owned[claim.owner][claim]

    def put(self, owner: LaneId, claims: Iterable[Claim]) -> tuple[Claim, ...]:
        """These and no others are the owner's from now on. Returns those given up."""
        before, wanted = self._owned.get(owner, {}), dict.fromkeys(claims)
        gone = tuple(claim for claim in before if claim not in wanted)
        come = [claim for claim in wanted if claim not in before]
        known = {claim.range: number for claim, number in before.items()}
        self._forget(gone)
        for claim in come:
            for prefix in claim.range.prefixes():
                self._families[claim.range.version].add(prefix, claim)
        self._owned[owner] = {claim: self._number(known, claim.range) for claim in wanted}
        if not wanted:
            del self._owned[owner]
        self.version += bool(gone or come)
        return gone

    def _forget(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            for prefix in claim.range.prefixes():
                self._families[claim.range.version].remove(prefix, claim)

    def _number(self, known: Mapping[Range, int], range: Range) -> int:
        self._count += 1
        return known.get(range, self._count)

    def meeting(self, range: Range) -> Iterator[Claim]:
        """Claims with an address in common with this range, each once."""
        seen = set()
        for prefix in range.prefixes():
            for claim in self._families[range.version].meeting(prefix, range.bits):
                if claim not in seen:
                    seen.add(claim)
                    yield claim
