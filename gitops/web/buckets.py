"""Token buckets: how much of something a sender may have, refilled as time goes by.

Used by :mod:`gitops.web.hooks`. What it remembers is bounded: the sender not heard of for
longest is forgotten first, and starts again with a full bucket.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network


@dataclass(slots=True)
class Buckets:
    rate: float
    """Tokens a second."""
    burst: float
    """The most a bucket holds."""
    most: int = 4_096
    """Buckets kept."""
    now: Callable[[], float] = time.monotonic
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, key: str) -> float:
        """0 when there was a token, else the seconds until there is one again."""
        now = self.now()
        left, at = self._left.pop(key, (self.burst, now))
        left = min(self.burst, left + (now - at) * self.rate)
        wait = 0.0 if left >= 1 else (1 - left) / self.rate
        self._left[key] = (left if wait else left - 1, now)
        while len(self._left) > self.most:
            self._left.popitem(last=False)
        return wait

    def give_back(self, key: str) -> None:
        """The token last taken, which turned out not to be the taker's to use up."""
        left, at = self._left.get(key, (self.burst, self.now()))
        self._left[key] = (min(self.burst, left + 1), at)


def sender(host: str) -> str:
    """Whose bucket an address draws from: an IPv6 network of 64 bits is one sender, since anybody
    has as many addresses in it as they like (RFC 6177)."""
    try:
        address = ip_address(host)
    except ValueError:
        return ""
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address.packed[:8] + bytes(8), 64)))
