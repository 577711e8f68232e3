"""Where a URL may lead, and what answers mean: rules without a network."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops.egress.addresses import Reach, is_loopback, origin, reach_of
from gitops.egress.answers import LONGEST_WAIT, Answer, failure, retry_after
from gitops.egress.client import shown
from gitops.egress.registry import parse_reference
from gitops.errors import ConfigError, SourceProblem, SourceUnavailable
from gitops.sources.fetched import Bounds
from gitops.sources.web.address import parse_site
from gitops.sources.web.listing import refuse_page, sums
from gitops.sources.web.signatures import Minisign

EVERYWHERE = Reach(private=True, loopback=True)


@pytest.mark.parametrize(
    "address",
    ["169.254.169.254", "fe80::1", "fe80::1%eth0", "::ffff:169.254.169.254", "224.0.0.1", "ff02::1",
     "::", "240.0.0.1", "255.255.255.255", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::",
     "192.0.0.192", "100.100.100.200", "fd00:ec2::254", "::ffff:100.100.100.200",
     "64:ff9b:1::a9fe:1",
     "", "localhost", "127.1", "0x7f000001"],
)  # fmt: skip
def test_some_addresses_are_never_connected_to(address: str) -> None:
    assert EVERYWHERE.objection(address)


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "fec0::1", "::ffff:10.0.0.1",
     "192.0.2.1", "198.18.0.1", "64:ff9b::a00:1"],
)  # fmt: skip
def test_a_private_network_needs_leave(address: str) -> None:
    assert Reach().objection(address)
    assert not Reach(private=True).objection(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"])
def test_this_machine_needs_leave_of_its_own(address: str) -> None:
    assert Reach(private=True).objection(address) == "this machine itself"
    assert not reach_of("localhost", private=False).objection(address)


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_an_address_wrapped_in_another_is_judged_as_itself(address: ipaddress.IPv4Address) -> None:
    for reach in (Reach(), Reach(private=True), EVERYWHERE):
        plain = reach.objection(str(address))
        assert reach.objection(f"::ffff:{address}") == plain
        assert reach.objection(f"64:ff9b::{address}") == plain


def test_a_url_for_this_machine_leads_nowhere_else() -> None:
    reach = reach_of("127.0.0.1", private=True)
    assert reach.objection("8.8.8.8")
    assert reach.objection("10.0.0.1")
    assert is_loopback("localhost")
    assert not is_loopback("localhost.example.com")


def test_origins_are_compared_with_their_ports() -> None:
    assert origin("https://HOST.example/x") == origin("https://host.example:443/y")
    assert origin("https://host.example") != origin("http://host.example")
    assert origin("https://host.example") != origin("https://host.example:8443")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("120", 120), ("0", 0), ("9999999999999", LONGEST_WAIT), ("-1", None), ("soon", None),
     ("", None), ("\u0661", None), ("Thu, 01 Jan 1970 00:01:40 GMT", 40),
     ("Thu, 01 Jan 1970 00:00:10 GMT", 0), ("Thu, 99 Jan 1970 00:00:10 GMT", None)],
)  # fmt: skip
def test_a_wish_for_a_pause_is_read_as_the_rfc_has_it(text: str, seconds: float | None) -> None:
    assert retry_after(text, 60.0) == seconds


@given(st.text(max_size=60))
def test_any_wish_for_a_pause_is_bounded(text: str) -> None:
    assert 0 <= (retry_after(text, 60.0) or 0) <= LONGEST_WAIT


@given(st.integers(100, 999), st.text(max_size=20))
def test_every_status_is_an_error_in_words(status: int, text: str) -> None:
    error = failure(
        Answer("https://h/x", status, {"retry-after": text}, b""), "file", "https://h/x"
    )
    assert isinstance(error, SourceProblem | SourceUnavailable)
    assert str(status) in error.message


def test_a_query_is_never_shown() -> None:
    assert shown("https://host.example/a?signature=s3cret") == "https://host.example/a"
    assert shown("https://ann:s3cret@host.example/a") == "https://host.example/a"


@pytest.mark.parametrize(
    ("text", "host", "repository", "wanted"),
    [
        ("ghcr.io/team/shop:v1", "ghcr.io", "team/shop", "v1"),
        ("oci://ghcr.io/shop", "ghcr.io", "shop", "latest"),
        ("127.0.0.1:5000/a-b/c_d__e.f:v1", "127.0.0.1:5000", "a-b/c_d__e.f", "v1"),
        ("[::1]:5000/a:v1", "[::1]:5000", "a", "v1"),
        (f"r.io/a:v1@sha256:{'0' * 64}", "r.io", "a", f"sha256:{'0' * 64}"),
    ],
)
def test_an_artifacts_address_is_read(text: str, host: str, repository: str, wanted: str) -> None:
    made = parse_reference(text)
    assert (made.host, made.repository, made.wanted) == (host, repository, wanted)


@pytest.mark.parametrize(
    "text",
    ["", "shop", "ghcr.io", "ghcr.io/", "ghcr.io/Shop", "ghcr.io/../shop", "ghcr.io/shop:", "-x/y",
     "ghcr.io/shop:v1@sha256:0", "ghcr.io/shop@", "ann:pw@ghcr.io/shop", "https://ghcr.io/shop",
     "ghcr.io:99999/shop", "ghcr.io/shop:a b", "ghcr.io/a//b", "ghcr.io/shop?x", "ghcr.io/a%2fb"],
)  # fmt: skip
def test_what_is_no_artifacts_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("url", "asked", "kind", "name"),
    [
        ("https://h/a/b.tar.gz", "https://h/a/b.tar.gz", "tar.gz", "b.tar.gz"),
        ("https://h/a/b.yaml", "https://h/a/b.yaml", "file", "b.yaml"),
        ("https://h/a%20b.yaml", "https://h/a%20b.yaml", "file", "a b.yaml"),
        ("https://h/a/", "https://h/a/SHA256SUMS", "folder", "SHA256SUMS"),
        ("https://h/", "https://h/SHA256SUMS", "folder", "SHA256SUMS"),
        ("http://[::1]:80/a.zip", "http://[::1]:80/a.zip", "zip", "a.zip"),
    ],
)
def test_an_address_says_what_is_there(url: str, asked: str, kind: str, name: str) -> None:
    site = parse_site(url, "auto", "SHA256SUMS")
    assert (site.asked, site.kind, site.name) == (asked, kind, name)


@pytest.mark.parametrize(
    "url",
    ["", "config.yaml", "https://", "ftp://h/x", "http://h/x", "https://a:b@h/x", "https://h/x?y",
     "https://h/x#y", "https://h/x y", "https://h\\@evil/x", "https://h:99999/x", "file:///etc/x",
     "https://h/%2e%2e", "https://h/a%2fb", "https://h/.git", "https://h/a%0ab", "https://h"],
)  # fmt: skip
def test_an_address_that_must_not_be_used_is_refused(url: str) -> None:
    with pytest.raises(ConfigError):
        parse_site(url, "auto", "SHA256SUMS")


@given(st.binary(max_size=200), st.text(max_size=20))
def test_whatever_a_host_lists_is_a_list_or_an_error(data: bytes, kind: str) -> None:
    with contextlib.suppress(SourceProblem):
        refuse_page(data, kind, "here")
        assert sums(data, "SHA256SUMS", Bounds(), "here")


NAMES = st.text(max_size=12)


@given(st.dictionaries(NAMES, st.sampled_from(["0" * 64, "a" * 64]), min_size=1, max_size=4))
def test_every_path_of_a_list_stays_inside(listed: dict[str, str]) -> None:
    text = "".join(f"{digest}  {name}\n" for name, digest in listed.items())
    with contextlib.suppress(SourceProblem, UnicodeEncodeError):
        for path in sums(text.encode(), "SHA256SUMS", Bounds(), "here"):
            assert path
            assert not {"", ".", ".."} & set(path.split("/"))


KEY = Minisign.parse("RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3")


@given(st.lists(st.binary(max_size=80), max_size=6).map(b"\n".join))
async def test_whatever_stands_for_a_signature_is_refused(data: bytes) -> None:
    with pytest.raises(SourceProblem):
        await KEY.verify(b"content", data, "here")


@pytest.mark.parametrize("text", ["", "RWQ", "x" * 56, "A" * 56])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        Minisign.parse(text)
