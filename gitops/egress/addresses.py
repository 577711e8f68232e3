"""Pure: which machines a URL may lead to.

A name that was harmless when it was written down can point anywhere when it is asked for (DNS
rebinding), so what counts is the address of the socket: the client asks :meth:`Reach.objection`
of each before it connects. Called by :mod:`gitops.egress.client` and by whoever builds a URL.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are the IPv4 address really meant."""

_CLOUDS = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "192.0.0.192", "fd00:ec2::254")))
"""Where clouds keep the machine's own credentials beside the link-local address: Alibaba's, older
ones of Oracle's, Amazon's over IPv6."""

_HERE, _PRIVATE = "this machine itself", "an address of a private network"
PERMITTED = frozenset({_HERE, _PRIVATE})
"""Objections an operator can take back."""

_IP = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Reach:
    """Kinds of addresses that may be connected to. Where clouds keep the machine's own credentials
    (link-local ones first of all), multicast and reserved ones never are."""

    public: bool = True
    private: bool = False
    """Networks of one's own: RFC 1918, RFC 4193, RFC 6598."""
    loopback: bool = False

    def objection(self, address: str) -> str:
        """Why this address is not connected to; empty if it is."""
        try:
            found = _meant(ipaddress.ip_address(address.partition("%")[0]))
        except ValueError:
            return "no address at all"
        if found.is_loopback:
            return "" if self.loopback else _HERE
        if never := _never(found):
            return never
        if not found.is_global or (found.version == 6 and found.is_site_local):
            return "" if self.private else _PRIVATE
        return "" if self.public else "not this machine"


def _never(address: _IP) -> str:
    """Why nobody can permit it; empty if somebody can."""
    if address.is_link_local:
        return "a link-local address"
    if address in _CLOUDS:
        return "an address where clouds keep credentials"
    strange = address.is_multicast or address.is_unspecified or address.is_reserved
    return "an address no web host has" if strange else ""


def is_loopback(host: str) -> bool:
    """Does a URL's host name this machine?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reach_of(host: str, *, private: bool, loopback: bool = False) -> Reach:
    """A URL that names this machine leads to it and nowhere else."""
    if is_loopback(host):
        return Reach(public=False, loopback=True)
    return Reach(private=private, loopback=loopback)


def origin(url: str) -> tuple[str, str, int | None]:
    """(scheme, host, port) as RFC 6454 compares them. Raises ValueError for what is no address."""
    parts = split(url)
    known = {"http": 80, "https": 443}
    return parts.scheme, parts.hostname or "", parts.port or known.get(parts.scheme)


def split(url: str) -> SplitResult:
    """The parts of a URL, its port checked. Raises ValueError."""
    if any(char.isspace() or not char.isprintable() for char in url) or "\\" in url:
        raise ValueError("white space or a backslash in an address")
    parts = urlsplit(url)
    _ = parts.port
    return parts


def _meant(address: _IP) -> _IP:
    """The IPv4 address inside an IPv6 one that only wraps it."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    return address
