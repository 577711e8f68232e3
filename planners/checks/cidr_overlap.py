"""Finds ranges of addresses that two applications claim: networks that could never be joined.

Called by :mod:`planners.checks.run` for every application in turn. Claims are read from Terraform
roots and manifests (:mod:`gitops.cidr`) and kept here, in memory, for the whole fleet; only what
differs from the last time is read again. What an application nests within itself is its own
affair: the widest of its claims are held against those of others. Who claimed first, or has
delivered, is told and goes on; the later one is blocked.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

from gitops.cidr import (
    Claim,
    Found,
    Index,
    Range,
    claims_in_manifest,
    claims_in_root,
    may_claim,
    widest,
)
from gitops.delta import gone_and_come
from gitops.errors import ConfigError
from gitops.foreign import one_line
from gitops.model.delivery import LaneId
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import Digest
from gitops.model.manifest import Manifest
from gitops.model.sealed import SealedFile
from gitops.plugins import Services
from gitops.ports import CheckJob, Scope

NAME = "cidr-overlap"
VERSION = "1"

_MOST = 200
"""Findings of one application; a fleet that meets everywhere needs no longer list."""
_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Options:
    """How bad an overlap is, and which ranges may be claimed by anybody."""

    severity: str = "error"
    """Of an overlap with somebody who claimed the range first: ``error`` blocks, ``warning`` or
    ``info`` tell. Who was first is warned at most."""
    ignore: Sequence[str] = ()
    """Networks (``100.64.0.0/10``): this application's claims within them are nobody's concern."""


@dataclass(slots=True)
class _Seen:
    """What was read of a lane when it was last looked at."""

    application: ApplicationSpec | None = None
    digest: Digest | None = None
    manifests: tuple[Manifest, ...] = ()
    by_manifest: dict[int, tuple[Manifest, tuple[Found, ...]]] = field(default_factory=dict)
    """By ``id()`` of the manifest, which is kept alive here."""
    written: tuple[Found, ...] = ()
    planned: tuple[Found, ...] = ()

    @property
    def found(self) -> Iterator[Found]:
        yield from self.written
        yield from self.planned
        for _, each in self.by_manifest.values():
            yield from each


@dataclass(slots=True)
class _Register:
    """What is known of the whole fleet, whatever options its applications have."""

    index: Index = field(default_factory=Index)
    seen: dict[LaneId, _Seen] = field(default_factory=dict)
    needs: dict[LaneId, frozenset[str]] = field(default_factory=dict)
    """Applications whose outputs a lane takes: it builds within their networks."""
    delivered: set[LaneId] = field(default_factory=set)
    freed: set[LaneId] = field(default_factory=set)

    def put(self, lane: LaneId, claims: Iterable[Claim]) -> None:
        for claim in self.index.put(lane, claims):
            self.freed.update(each.owner for each in self.index.meeting(claim.range))
        self.freed.discard(lane)

    def aside(self) -> _Register:
        """Everything known, to go on with elsewhere."""
        seen = {lane: replace(s, by_manifest=dict(s.by_manifest)) for lane, s in self.seen.items()}
        return _Register(self.index.copy(), seen, dict(self.needs), set(self.delivered))

    def forget(self, lane: LaneId) -> None:
        self.put(lane, ())
        self.seen.pop(lane, None)
        self.needs.pop(lane, None)
        self.delivered.discard(lane)


class CidrOverlap:
    """The check, as applications with the same options have it."""

    name = NAME
    version = VERSION
    scope = Scope.FLEET

    def __init__(self, options: Options, register: _Register) -> None:
        self._severity = Severity(options.severity)
        self._ignore = tuple(map(_network, options.ignore))
        self._register = register

    def aside(self, memo: dict[int, Any]) -> CidrOverlap:
        """The same claims, to try something out on: nothing of that is seen here. ``memo`` keeps
        together the checks that share a register."""
        key = id(self._register)
        other = copy(self)
        other._register = memo[key] = memo.get(key) or self._register.aside()
        return other

    async def run(self, job: CheckJob) -> Sequence[Finding]:
        if job.delivered:
            self._register.delivered.add(job.lane)
        seen = self._register.seen.setdefault(job.lane, _Seen())
        if job.application.terraform is not None:
            await _read_root(job, seen)
        else:
            _read_manifests(job, seen)
        return self._judged(job.lane, job.application)

    def planned(
        self, lane: LaneId, application: ApplicationSpec, found: Iterable[Found]
    ) -> Sequence[Finding]:
        """What a plan will really have (:func:`gitops.cidr.claims_in_plan`), beside what its text
        says. Stands until the application's files are others."""
        self._register.seen.setdefault(lane, _Seen()).planned = tuple(found)
        return self._judged(lane, application)

    def forget(self, lane: LaneId) -> None:
        """The application left the fleet or the target: its claims are void."""
        self._register.forget(lane)

    def freed(self) -> frozenset[LaneId]:
        """Lanes that another one made room for since this was last asked."""
        lanes = frozenset(self._register.freed)
        self._register.freed.clear()
        return lanes

    def _judged(self, lane: LaneId, application: ApplicationSpec) -> list[Finding]:
        register = self._register
        register.needs[lane] = frozenset(need.application for need in application.needs.values())
        found = (each for each in register.seen[lane].found if not self._ignored(each.range))
        register.put(lane, (Claim(lane, each, application.source) for each in widest(found)))
        findings: list[Finding] = []
        for mine in register.index.of(lane):
            for theirs in register.index.meeting(mine.range):
                if len(findings) < _MOST and self._meet(mine, theirs):
                    findings.append(self._finding(mine, theirs))
        return findings

    def _ignored(self, range: Range) -> bool:
        return any(network.covers(range) for network in self._ignore)

    def _meet(self, mine: Claim, theirs: Claim) -> bool:
        """One application on several targets is one decision, and who takes another's outputs
        builds on what it has."""
        if mine.owner.application == theirs.owner.application or mine.same_line(theirs):
            return False
        return not (self._builds_on(mine, theirs) or self._builds_on(theirs, mine))

    def _builds_on(self, inner: Claim, outer: Claim) -> bool:
        needs = self._register.needs.get(inner.owner, frozenset())
        return outer.owner.application in needs and outer.range.covers(inner.range)

    def _finding(self, mine: Claim, theirs: Claim) -> Finding:
        other, there = theirs.owner, _place(theirs)
        return Finding(
            NAME,
            self._how_bad(mine, theirs),
            f"{mine.range} ({_place(mine)}) overlaps {theirs.range}, which application "
            f"{other.application} on {other.target} claims ({there})",
            hint=f"choose a range that is free, here or there; where the two never meet, put it "
            f"under `checks: {{{NAME}: {{ignore: [{mine.range}]}}}}`",
            path=mine.found.path,
            line=mine.found.line,
        )

    def _how_bad(self, mine: Claim, theirs: Claim) -> Severity:
        """Nobody can stop another's deliveries by claiming what they have; and a subnet in another
        application's network is there on purpose more often than not."""
        subnet = _is_subnet_of(mine, theirs) or _is_subnet_of(theirs, mine)
        if self._severity is Severity.ERROR and (subnet or self._first(mine, theirs)):
            return Severity.WARNING
        return self._severity

    def _first(self, mine: Claim, theirs: Claim) -> bool:
        return self._rank(mine) < self._rank(theirs)

    def _rank(self, claim: Claim) -> tuple[bool, int]:
        register = self._register
        return claim.owner not in register.delivered, register.index.since(claim)


def _is_subnet_of(inner: Claim, outer: Claim) -> bool:
    return (
        inner.found.part
        and not outer.found.part
        and inner.range != outer.range
        and outer.range.covers(inner.range)
    )


def _place(claim: Claim) -> str:
    found = claim.found
    what = one_line(found.what, _LONGEST)
    return f"{one_line(found.place, _LONGEST)}: {what}" if found.path else what


async def _read_root(job: CheckJob, seen: _Seen) -> None:
    if (seen.digest, seen.application) == (job.desired.digest, job.application):
        return
    files = [SealedFile(file.path, file.text) for file in job.files]
    found = await asyncio.to_thread(claims_in_root, job.application, files)
    seen.written, seen.planned, seen.by_manifest = found, (), {}
    seen.digest, seen.application = job.desired.digest, job.application


def _read_manifests(job: CheckJob, seen: _Seen) -> None:
    gone, come = gone_and_come(seen.manifests, job.desired.manifests)
    for manifest in gone:
        seen.by_manifest.pop(id(manifest), None)
    for manifest in come:
        if may_claim(manifest.id):
            seen.by_manifest[id(manifest)] = manifest, claims_in_manifest(manifest)
    seen.manifests = job.desired.manifests


def _network(text: str) -> Range:
    """Raises ConfigError."""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ConfigError(
            f"{text!r} under `ignore` of check {NAME!r} is no network",
            hint="write them as 10.0.0.0/16 or fd00:1::/48",
        ) from None
    return Range(network.version, int(network[0]), int(network[-1]))


_REGISTERS: deque[tuple[Services, _Register]] = deque(maxlen=8)
"""One for each fleet of this process. Applications with other options have another check and must
be held against each other all the same."""


def build(options: Options, services: Services) -> CidrOverlap:
    """Raises ConfigError for a severity or a network that is none."""
    if options.severity not in set(Severity):
        raise ConfigError(
            f"severity {options.severity!r} of check {NAME!r} is unknown",
            hint=f"write one of: {', '.join(Severity)}",
        )
    for known, register in _REGISTERS:
        if known is services:
            return CidrOverlap(options, register)
    _REGISTERS.append((services, _Register()))
    return CidrOverlap(options, _REGISTERS[-1][1])
