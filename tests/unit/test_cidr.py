"""Ranges of addresses: what counts as a claim, and who meets whom."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops.cidr import (
    MAX_CLAIMS,
    Claim,
    Found,
    Index,
    Range,
    claims_in_manifest,
    claims_in_plan,
    parse,
    widest,
)
from gitops.cidr.names import hands_out
from gitops.model.delivery import LaneId
from gitops.model.ids import ApplicationName, TargetName
from tests.unit.check_cases import manifests


def lane(name: str) -> LaneId:
    return LaneId(ApplicationName(name), TargetName("prod"))


def claim(owner: str, text: str, line: int = 1) -> Claim:
    (range,) = parse(text)
    return Claim(lane(owner), Found(range, "x", "main.tf", line))


def texts(found: Iterable[Found]) -> set[str]:
    return {str(each.range) for each in found}


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("10.0.0.0/16", ["10.0.0.0/16"]),
        ("10.0.3.4/16", ["10.0.0.0/16"]),
        ("fd00:1::/48", ["fd00:1::/48"]),
        ("10.244.0.0/16,fd00:10:244::/56", ["10.244.0.0/16", "fd00:10:244::/56"]),
        ("10.0.0.10-10.0.0.50", ["10.0.0.10-10.0.0.50"]),
        ("10.0.0.0 - 10.0.0.255", ["10.0.0.0/24"]),
        ("fd00::1-fd00::2", ["fd00::1-fd00::2"]),
        ("0.0.0.0/0", []),
        ("::/0", []),
        ("127.0.0.0/8", []),
        ("127.1.0.0/16", []),
        ("169.254.0.0/16", []),
        ("fe80::/10", []),
        ("10.0.0.1/32", []),
        ("fd00::1/128", []),
        ("10.0.0.1", []),
        ("10.0.0.9-10.0.0.3", []),
        ("10.0.0.1-fd00::1", []),
        ("10.0.0.0/33", []),
        ("ten/eight", []),
        ("", []),
        ("/", []),
        ("-", []),
        ("fe80::1%eth0/64", []),
        ("1" * 5_000 + "/8", []),
    ],
)
def test_a_range_is_read_as_people_write_it(text: str, means: list[str]) -> None:
    assert [str(each) for each in parse(text)] == means


@pytest.mark.parametrize(
    "name",
    [
        *("cidr", "cidr_block", "vpc_cidr", "pod_cidrs", "ip_cidr_range", "address_space"),
        *("address_prefixes", "address_prefix", "cluster_ipv4_cidr_block", "podCIDRs", "podCIDR"),
        *("service-cidr", "ipv6_cidr_block", "vnet_address_space", "ip_range", "cidrBlock"),
    ],
)
def test_a_name_may_say_that_a_range_is_handed_out(name: str) -> None:
    assert hands_out(name)


@pytest.mark.parametrize(
    "name",
    [
        *("allowed_cidrs", "ingress_cidr_blocks", "source_address_prefix", "peer_cidr"),
        *("destination_cidr_block", "public_access_cidrs", "trusted_cidr", "remote_cidr"),
        *("office_cidr", "master_authorized_cidrs", "name", "cidrella", "addresses", "prefix"),
    ],
)
def test_a_name_that_says_who_may_connect_claims_nothing(name: str) -> None:
    assert not hands_out(name)


def test_only_the_widest_of_one_owner_count() -> None:
    found = [claim("a", text).found for text in ("10.0.1.0/24", "10.0.0.0/16", "10.1.0.0/16")]
    assert texts(widest([*found, *found])) == {"10.0.0.0/16", "10.1.0.0/16"}


def test_of_equal_ranges_the_network_is_kept_and_not_its_subnet() -> None:
    (range,) = parse("10.0.0.0/16")
    subnet, network = Found(range, "s", "a.tf", part=True), Found(range, "n", "b.tf")
    assert widest([subnet, network]) == (network,)


def test_nobody_can_claim_more_than_can_be_held() -> None:
    odd = [Found(Range(6, (i << 64) + 1, (i << 64) + (1 << 63)), "x") for i in range(1_000)]
    kept = widest(odd)
    assert 0 < sum(len(list(each.range.prefixes())) for each in kept) <= MAX_CLAIMS


def test_the_index_finds_who_meets_and_nobody_else() -> None:
    index = Index()
    index.put(lane("a"), [claim("a", "10.0.0.0/16"), claim("a", "fd00::/48")])
    index.put(lane("b"), [claim("b", "10.0.128.0/17")])
    index.put(lane("c"), [claim("c", "10.0.0.200-10.0.1.5")])
    index.put(lane("d"), [claim("d", "10.1.0.0/16")])

    def met(text: str) -> set[str]:
        (range,) = parse(text)
        return {str(each.owner.application) for each in index.meeting(range)}

    assert met("10.0.0.0/8") == {"a", "b", "c", "d"}
    assert met("10.0.129.0/24") == {"a", "b"}
    assert met("10.0.1.4/30") == {"a", "c"}
    assert met("10.0.2.0/24") == {"a"}
    assert met("fd00:0:0:1::/64") == {"a"}
    assert met("192.168.0.0/16") == set()
    index.put(lane("a"), ())
    assert met("10.0.129.0/24") == {"b"}
    assert index.of(lane("a")) == ()


ADDRESS = st.integers(0, 255)
RANGES = st.tuples(ADDRESS, ADDRESS).map(
    lambda ends: Range(4, (10 << 24) + min(ends), (10 << 24) + max(ends))
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(RANGES, max_size=12), st.lists(RANGES, max_size=12), RANGES)
def test_the_index_agrees_with_comparing_every_pair(
    before: list[Range], now: list[Range], asked: Range
) -> None:
    index, owner = Index(), lane("a")
    index.put(owner, [Claim(owner, Found(each, "x")) for each in before])
    index.put(owner, [Claim(owner, Found(each, "x")) for each in now])
    expected = {r for r in now if r.first <= asked.last and asked.first <= r.last}
    assert {each.range for each in index.meeting(asked)} == expected


@given(RANGES)
def test_the_prefixes_of_a_range_are_its_addresses(range: Range) -> None:
    networks = [ipaddress.ip_network(prefix) for prefix in range.prefixes()]
    first = [int(each[0]) for each in networks]
    last = [int(each[-1]) for each in networks]
    assert (first[0], last[-1]) == (range.first, range.last)
    assert all(b == a + 1 for a, b in zip(last, first[1:], strict=False))


def test_a_claim_that_only_moved_to_another_line_is_the_old_one() -> None:
    index = Index()
    index.put(lane("a"), [claim("a", "10.0.0.0/16", line=3)])
    index.put(lane("b"), [claim("b", "10.0.0.0/17")])
    index.put(lane("a"), [claim("a", "10.0.0.0/16", line=4)])
    (mine,), (theirs,) = index.of(lane("a")), index.of(lane("b"))
    assert index.since(mine) < index.since(theirs)


POD_CIDRS = "{podCIDR: 10.244.1.0/24, podCIDRs: [10.244.1.0/24]}"
IP_BLOCK = "{ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}"
METALLB = "{addresses: [10.5.0.10-10.5.0.20, 10.6.0.0/24, fd00::/112]}"
BLOCKS = "{blocks: [{cidr: 10.7.0.0/24}, {start: 10.8.0.1, stop: 10.8.0.9}]}"
KUBEADM = "{podSubnet: '10.244.0.0/16,fd00::/56', serviceSubnet: 10.96.0.0/12}"


@pytest.mark.parametrize(
    ("kind", "fields", "claims"),
    [
        ("crd.projectcalico.org/v1 IPPool", "spec: {cidr: 10.48.0.0/16}", 1),
        ("metallb.io/v1beta1 IPAddressPool", f"spec: {METALLB}", 3),
        ("metallb.io/v1beta1 IPAddressPool", "spec: {addresses: 10.6.0.0/24}", 0),
        ("metallb.io/v1beta1 IPAddressPool", "spec: [nonsense]", 0),
        ("cilium.io/v2alpha1 CiliumLoadBalancerIPPool", f"spec: {BLOCKS}", 2),
        ("cilium.io/v2 CiliumLoadBalancerIPPool", "spec: {blocks: [{start: 1, stop: [2]}, 7]}", 0),
        ("cilium.io/v2alpha1 CiliumPodIPPool", "spec: {ipv4: {cidrs: [10.9.0.0/16]}}", 1),
        ("kubeadm.k8s.io/v1beta4 ClusterConfiguration", f"networking: {KUBEADM}", 3),
        ("networking.k8s.io/v1 ServiceCIDR", "spec: {cidrs: [10.96.0.0/12]}", 1),
        ("networking.k8s.io/v1 NetworkPolicy", f"spec: {IP_BLOCK}", 0),
        ("v1 Node", f"spec: {POD_CIDRS}", 1),
        ("v1 ConfigMap", "data: {cidr: 10.0.0.0/8}", 0),
    ],
)
def test_pools_in_manifests_are_claims_and_policies_are_not(
    kind: str, fields: str, claims: int
) -> None:
    version, name = kind.split()
    text = f"apiVersion: {version}\nkind: {name}\nmetadata: {{name: x}}\n{fields}\n"
    (manifest,) = manifests(text)
    found = claims_in_manifest(manifest)
    assert len(found) == claims
    assert all((each.path, each.line) == ("a.yaml", 1) for each in found)


SHOWN = {
    "planned_values": {
        "root_module": {
            "resources": [
                {
                    "address": "aws_vpc.main",
                    "mode": "managed",
                    "type": "aws_vpc",
                    "values": {"cidr_block": "10.0.0.0/16", "tags": {"note": "10.9.0.0/16"}},
                },
                {
                    "address": "data.aws_vpc.other",
                    "mode": "data",
                    "type": "aws_vpc",
                    "values": {"cidr_block": "10.1.0.0/16"},
                },
                {
                    "address": "aws_security_group_rule.x",
                    "mode": "managed",
                    "type": "aws_security_group_rule",
                    "values": {"cidr_blocks": ["10.2.0.0/16"]},
                },
            ],
            "child_modules": [
                {
                    "resources": [
                        {
                            "address": "module.net.aws_subnet.a",
                            "mode": "managed",
                            "type": "aws_subnet",
                            "values": {"cidr_block": "10.3.0.0/24"},
                        },
                        {
                            "address": "module.net.terraform_data.n",
                            "mode": "managed",
                            "type": "terraform_data",
                            "values": {
                                "input": {
                                    "vpc": {"cidr": "10.4.0.0/16"},
                                    "cidrs": ["10.6.0.0/16", "10.7.0.0/16", "10.8.0.0/16"],
                                }
                            },
                            "sensitive_values": {"input": {"vpc": {}, "cidrs": [False, True]}},
                        },
                        {
                            "address": "module.net.terraform_data.hidden",
                            "mode": "managed",
                            "type": "terraform_data",
                            "values": {"cidr": "10.5.0.0/16"},
                            "sensitive_values": {"cidr": True},
                        },
                    ]
                }
            ],
        }
    },
    "resource_changes": [
        {
            "address": "aws_vpc.main",
            "mode": "managed",
            "type": "aws_vpc",
            "change": {"after": {"cidr_block": "10.0.0.0/16"}},
        },
        {
            "address": "aws_vpc.gone",
            "mode": "managed",
            "type": "aws_vpc",
            "change": {"after": None},
        },
    ],
}


def test_planned_values_say_what_a_root_will_have() -> None:
    found = {each.what: each for each in claims_in_plan(SHOWN)}
    assert {what: str(each.range) for what, each in found.items()} == {
        "aws_vpc.main.cidr_block": "10.0.0.0/16",
        "module.net.aws_subnet.a.cidr_block": "10.3.0.0/24",
        "module.net.terraform_data.n.input.vpc.cidr": "10.4.0.0/16",
        "module.net.terraform_data.n.input.cidrs[0]": "10.6.0.0/16",
        "module.net.terraform_data.n.input.cidrs[2]": "10.8.0.0/16",
    }
    assert found["module.net.aws_subnet.a.cidr_block"].part


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"planned_values": None, "resource_changes": {}},
        {"planned_values": {"root_module": {"resources": [None, 3, {"values": []}]}}},
        {
            "resource_changes": [
                {"type": 1, "change": {"after": {"cidr": {"a": [None, 1.5, True]}}}}
            ]
        },
    ],
)
def test_a_plan_of_another_shape_claims_nothing(shown: dict[str, object]) -> None:
    assert claims_in_plan(shown) == ()
