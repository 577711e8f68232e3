"""One range of addresses, as two numbers: what every comparison of this package is made of."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass

_LONGEST = 100
"""Characters: the longest range people write has 79."""
_BITS = {4: 32, 6: 128}
Prefix = tuple[int, int]
"""First address and length."""


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """From ``first`` to ``last``, both included."""

    version: int
    first: int
    last: int

    def __str__(self) -> str:
        """``10.0.0.0/16``, or ``10.0.0.10-10.0.0.50`` for what is no network."""
        first, last = _address(self.version, self.first), _address(self.version, self.last)
        (start, length), *more = self.prefixes()
        return f"{first}-{last}" if more else f"{_address(self.version, start)}/{length}"

    @property
    def bits(self) -> int:
        return _BITS[self.version]

    def covers(self, other: Range) -> bool:
        return (
            self.version == other.version and self.first <= other.first and other.last <= self.last
        )

    def prefixes(self) -> Iterator[Prefix]:
        """The fewest networks it consists of, at most twice as many as an address has bits."""
        start = self.first
        while start <= self.last:
            # As large as its start is aligned to, and as what is left allows.
            aligned = (start & -start).bit_length() - 1 if start else self.bits
            fits = (self.last - start + 1).bit_length() - 1
            size = min(aligned, fits)
            yield start, self.bits - size
            start += 1 << size


def parse(text: str) -> tuple[Range, ...]:
    """The ranges a text names, by comma: networks (host bits are passed over) and ``a-b``.

    Empty for anything else, and for what nobody has for themselves: everything, loopback,
    link-local, single addresses.
    """
    if len(text) > 2 * _LONGEST:
        return ()
    found = (_one(part.strip()) for part in text.split(","))
    return tuple(each for each in found if each is not None and _handed_out(each))


def _one(text: str) -> Range | None:
    try:
        if "/" in text:
            network = ipaddress.ip_network(text, strict=False)
            return Range(network.version, int(network[0]), int(network[-1]))
        start, dash, end = text.partition("-")
        if not dash:
            return None
        return _between(start, end)
    except ValueError:
        return None


def _between(start: str, end: str) -> Range | None:
    """Raises ValueError for what is no address."""
    first, last = ipaddress.ip_address(start.strip()), ipaddress.ip_address(end.strip())
    if first.version != last.version or int(first) > int(last):
        return None
    return Range(first.version, int(first), int(last))


def _address(version: int, value: int) -> str:
    return str(ipaddress.IPv4Address(value) if version == 4 else ipaddress.IPv6Address(value))


def _network(text: str) -> Range:
    network = ipaddress.ip_network(text)
    return Range(network.version, int(network[0]), int(network[-1]))


_EVERYTHING = (_network("0.0.0.0/0"), _network("::/0"))
_NOBODYS = tuple(map(_network, ("127.0.0.0/8", "169.254.0.0/16", "::1/128", "fe80::/10")))


def _handed_out(range: Range) -> bool:
    if range.first == range.last or range in _EVERYTHING:
        return False
    return not any(nobodys.covers(range) for nobodys in _NOBODYS)
