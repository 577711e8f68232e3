"""Claims in manifests: pools of pods, services and load balancers.

A network policy names the same ranges and claims none of them, so kinds are listed, not guessed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gitops.cidr.claims import Found
from gitops.cidr.ranges import Range, parse
from gitops.model.manifest import Manifest, ObjectId

_KINDS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("", "Node"): ("spec.podCIDRs.*", "spec.podCIDR"),
    ("networking.k8s.io", "ServiceCIDR"): ("spec.cidrs.*",),
    ("networking.k8s.io", "ClusterCIDR"): ("spec.ipv4", "spec.ipv6"),
    ("kubeadm.k8s.io", "ClusterConfiguration"): (
        "networking.podSubnet",
        "networking.serviceSubnet",
    ),
    ("cluster.x-k8s.io", "Cluster"): (
        "spec.clusterNetwork.pods.cidrBlocks.*",
        "spec.clusterNetwork.services.cidrBlocks.*",
    ),
    ("crd.projectcalico.org", "IPPool"): ("spec.cidr",),
    ("projectcalico.org", "IPPool"): ("spec.cidr",),
    ("operator.tigera.io", "Installation"): ("spec.calicoNetwork.ipPools.*.cidr",),
    ("metallb.io", "IPAddressPool"): ("spec.addresses.*",),
    ("metallb.io", "AddressPool"): ("spec.addresses.*",),
    ("cilium.io", "CiliumLoadBalancerIPPool"): (
        "spec.blocks.*.cidr",
        "spec.blocks.*",
        "spec.cidrs.*.cidr",
    ),
    ("cilium.io", "CiliumPodIPPool"): ("spec.ipv4.cidrs.*", "spec.ipv6.cidrs.*"),
    ("crd.antrea.io", "IPPool"): ("spec.ipRanges.*.cidr", "spec.ipRanges.*"),
    ("crd.antrea.io", "ExternalIPPool"): ("spec.ipRanges.*.cidr", "spec.ipRanges.*"),
    ("kubeovn.io", "Subnet"): ("spec.cidrBlock",),
    ("config.openshift.io", "Network"): ("spec.clusterNetwork.*.cidr", "spec.serviceNetwork.*"),
    ("ec2.aws.upbound.io", "VPC"): ("spec.forProvider.cidrBlock",),
    ("ec2.aws.upbound.io", "Subnet"): ("spec.forProvider.cidrBlock",),
}
"""Fields by kind; ``*`` is every item of a list. An item that is a map is a pair of addresses."""
_ENDS = (("start", "stop"), ("start", "end"))


def may_claim(id: ObjectId) -> bool:
    """Is it of a kind that hands out ranges?"""
    return (id.group, id.kind) in _KINDS


def claims_in_manifest(manifest: Manifest) -> tuple[Found, ...]:
    """Empty for every kind not known to hand out ranges, and for values that are none."""
    paths = _KINDS.get((manifest.id.group, manifest.id.kind), ())
    if not paths:
        return ()
    body, origin = orjson.loads(manifest.body), manifest.origin
    found = {
        range: Found(
            range,
            f"{manifest.id} {path.replace('.*', '')}",
            origin.path,
            origin.line,
            part=manifest.id.kind == "Subnet",
        )
        for path in paths
        for value in _at(body, path.split("."))
        for range in _ranges(value)
    }
    return tuple(found.values())


def _at(value: Any, path: list[str]) -> Iterator[Any]:
    for index, key in enumerate(path):
        if key == "*":
            for item in value if isinstance(value, list) else ():
                yield from _at(item, path[index + 1 :])
            return
        if not isinstance(value, Mapping):
            return
        value = value.get(key)
    yield value


def _ranges(value: Any) -> tuple[Range, ...]:
    if isinstance(value, str):
        return parse(value)
    if isinstance(value, Mapping):
        for start, end in _ENDS:
            first, last = value.get(start), value.get(end)
            if isinstance(first, str) and isinstance(last, str):
                return parse(f"{first}-{last}")
    return ()
