"""Pure: what an HTTP answer means for whoever wanted something from a host.

Called by the web source, the registry client and the chart fetcher, so that 404 or 429 read the
same everywhere. Must never put a header's or a body's text into a message.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from gitops.errors import GitopsError, SourceProblem, SourceUnavailable
from gitops.model.source import SourceState

LONGEST_WAIT = 3600.0
"""Seconds; a host that asks for a longer pause is asked again after an hour all the same."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a host answered in the end."""

    url: str
    """The address that answered, after redirects."""
    status: int
    headers: Mapping[str, str]
    """By lower-case name; of a doubled one the first."""
    body: bytes

    @property
    def delimited(self) -> bool:
        """Did the host say where the body ends (RFC 9112 section 6.3)? If not, one that was cut
        short looks whole."""
        return "content-length" in self.headers or "transfer-encoding" in self.headers


def failure(answer: Answer, what: str, place: str) -> GitopsError:
    """The error for an answer that is not the one wanted. ``what`` names the thing asked for."""
    status = answer.status
    if status in (401, 407):
        return _problem(
            f"the host wants other credentials for {what} ({status})",
            SourceState.REFUSED,
            "check the token under `credentials:`: that it is there, and its expiry",
            place,
        )
    if status == 403:
        return _problem(
            f"the host refuses {what} (403)",
            SourceState.REFUSED,
            "check that the token under `credentials:` may read it",
            place,
        )
    if status in (404, 410):
        return _problem(
            f"the host has no {what} ({status})",
            SourceState.GONE,
            "nothing is deleted; check the address",
            place,
        )
    if status == 429 or status >= 500:
        after = retry_after(answer.headers.get("retry-after", ""), time.time())
        return SourceUnavailable(f"the host answered {status}", place=place, retry_after=after)
    return _problem(f"the host answered {status} for {what}", SourceState.INVALID, "", place)


def retry_after(text: str, now: float) -> float | None:
    """Seconds to wait, at most an hour (RFC 9110 section 10.2.3: a number or a date); None when it
    says nothing usable. ``now`` is in seconds since the epoch."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT)
    try:
        then = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(then - now, 0.0), LONGEST_WAIT)


class TooLarge(SourceProblem):
    """More was sent than is taken."""


def too_large(limit: int, place: str) -> TooLarge:
    """``limit`` in bytes."""
    size = f"{limit >> 20} MiB" if limit >= 1 << 20 else f"{limit >> 10} KiB"
    return TooLarge(f"the answer is over {size}", state=SourceState.INVALID, place=place)


def _problem(message: str, state: SourceState, hint: str, place: str) -> SourceProblem:
    return SourceProblem(message, state=state, hint=hint, place=place)
