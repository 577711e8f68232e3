"""Does a name say that the range it has is handed out there? Decided by words, never by value.

The same range stands in route tables, firewall rules and allow-lists of everybody who talks to
that network: those are mentions, not claims, and blocking them would make the check useless.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

_RANGES = frozenset({"cidr", "cidrs"})
_PHRASES = frozenset({"address_space", "address_spaces", "address_prefix", "address_prefixes"})
_WHOLE = frozenset({"ip_range", "secondary_ip_range", "pod_subnet", "service_subnet"})
_MENTIONS = frozenset(
    {
        "access",
        "acl",
        "acls",
        "admin",
        "allow",
        "allowed",
        "allowlist",
        "authorised",
        "authorization",
        "authorized",
        "blacklist",
        "blocked",
        "bypass",
        "corp",
        "corporate",
        "customer",
        "denied",
        "deny",
        "denylist",
        "dest",
        "destination",
        "destinations",
        "dst",
        "egress",
        "exclude",
        "excluded",
        "except",
        "external",
        "firewall",
        "from",
        "ingress",
        "inbound",
        "internet",
        "nacl",
        "office",
        "onprem",
        "outbound",
        "peer",
        "peered",
        "peering",
        "peers",
        "permitted",
        "remote",
        "route",
        "routed",
        "router",
        "routes",
        "rule",
        "rules",
        "safelist",
        "security",
        "source",
        "sources",
        "src",
        "target",
        "to",
        "trusted",
        "waf",
        "whitelist",
        "whitelisted",
    }
)
_PHRASES_OF_MENTIONS = (
    "ip_block",
    "ip_set",
    "local_network_gateway",
    "network_policy",
    "on_prem",
    "prefix_list",
)
_SUBNETS = frozenset({"subnet", "subnets", "subnetwork", "subnetworks"})
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_APART = re.compile(r"[^a-z0-9]+")


@lru_cache(maxsize=4096)
def words(name: str) -> tuple[str, ...]:
    """``podCIDRs`` and ``pod-cidrs`` are ``pod``, ``cidrs``."""
    snake = _CAMEL.sub("_", name[:200].replace("CIDRs", "Cidrs")).lower()
    return tuple(filter(None, _APART.split(snake)))


def hands_out(name: str) -> bool:
    """``cidr_block``, ``vpc_cidr``, ``address_space``, ``ip_cidr_range``, ``cluster_ipv4_cidr``."""
    found = words(name)
    joined = "_".join(found)
    if mentions((name,)):
        return False
    return (
        not _RANGES.isdisjoint(found)
        or joined in _WHOLE
        or any(joined == phrase or joined.endswith(f"_{phrase}") for phrase in _PHRASES)
    )


def mentions(names: Iterable[str]) -> bool:
    """Does any of these, a block's or a resource's type among them, speak of who may connect or
    where to send packets?"""
    for name in names:
        found = words(name)
        joined = "_".join(found)
        if not _MENTIONS.isdisjoint(found) or any(p in joined for p in _PHRASES_OF_MENTIONS):
            return True
    return False


def is_part(names: Iterable[str]) -> bool:
    """Is it a subnet, of a network that may be somebody else's?"""
    return any(not _SUBNETS.isdisjoint(words(name)) for name in names)
