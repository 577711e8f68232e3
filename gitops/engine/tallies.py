"""Counts what becomes of webhooks, for the log and for whoever looks at the status.

Filled by the inbox and by :mod:`gitops.web.hooks`. Nothing a stranger sends without a signature is
kept here but as a number: there is one tally a configured webhook, whatever comes in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import structlog

from gitops.foreign import one_line
from gitops.model.fleet import Fleet, WebhookSpec
from gitops.model.hooks import HookDelivery, HooksStatus, HookStatus
from gitops.model.ids import SourceName
from gitops.ports import Clock

_log = structlog.get_logger(__name__)

_SHOWN = 300
_QUIET = 10.0
"""Seconds between two lines in the log about refusals of one webhook: strangers must not be able to
fill a disk."""


@dataclass(slots=True)
class _Tally:
    counts: Counter[str] = field(default_factory=Counter)
    last_at: float | None = None
    problem: str = ""
    problem_at: float | None = None
    logged_at: float = 0.0


class Tallies:
    """One controller's, since it started."""

    def __init__(self, fleet: Callable[[], Fleet], clock: Clock) -> None:
        self._fleet = fleet
        self._clock = clock
        self._tallies: dict[str, _Tally] = {}
        self._heard: dict[SourceName, float] = {}
        self.undelivered = 0

    def told(self, found: HookDelivery, new: bool) -> None:
        """A verified request was dealt with; not ``new``: it had been before."""
        tally = self._tally(found.webhook)
        tally.last_at = found.at
        outcome = found.outcome.value if new else "repeated"
        tally.counts[outcome] += 1
        _log.info(
            f"webhook.{outcome}",
            webhook=found.webhook,
            id=found.id[:12],
            about=one_line(found.event, _SHOWN),
            sources=list(found.sources),
            note=found.note,
        )

    def heard(self, sources: Sequence[SourceName], at: float) -> None:
        self._heard.update(dict.fromkeys(sources, at))

    def recalled(self, found: HookDelivery) -> None:
        """One of an earlier run; the oldest first."""
        self._tally(found.webhook).last_at = found.at
        self.heard(found.sources, found.at)

    def refused(self, webhook: str, why: str) -> None:
        """``why`` in our own words: it is shown."""
        tally, now = self._tally(webhook), self._clock.now()
        tally.counts["refused"] += 1
        tally.problem, tally.problem_at = why, now
        if now - tally.logged_at >= _QUIET:
            tally.logged_at = now
            _log.warning(
                "webhook.refused", webhook=webhook, why=why, so_far=tally.counts["refused"]
            )

    def limited(self, webhook: str) -> None:
        """One was turned away for being too many."""
        self._tally(webhook).counts["limited"] += 1

    def closed(self, webhook: str, why: str) -> None:
        """The endpoint does not exist for want of a secret."""
        tally = self._tally(webhook)
        if tally.problem != why:
            _log.error("webhook.closed", webhook=webhook, why=why)
        tally.problem, tally.problem_at = why, self._clock.now()

    def status(self) -> HooksStatus:
        """Of the webhooks of the fleet file in force."""
        webhooks = tuple(self._status(spec) for spec in self._fleet().webhooks)
        return HooksStatus(webhooks, dict(self._heard), self.undelivered)

    def _status(self, spec: WebhookSpec) -> HookStatus:
        tally = self._tally(spec.name)
        return HookStatus(
            spec.name,
            spec.kind,
            tally.last_at,
            accepted=tally.counts["accepted"],
            ignored=tally.counts["ignored"],
            repeated=tally.counts["repeated"],
            refused=tally.counts["refused"],
            limited=tally.counts["limited"],
            problem=tally.problem,
            problem_at=tally.problem_at,
        )

    def _tally(self, webhook: str) -> _Tally:
        return self._tallies.setdefault(webhook, _Tally())
