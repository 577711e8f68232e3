"""Which addresses and names may reach git."""

from __future__ import annotations

import re
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops.errors import ConfigError
from gitops.sources.git.address import Address, candidates, is_commit, parse_address

ACCEPTED = {
    "https://github.com/acme/config.git": ("https", "github.com"),
    "https://git.example.org:8443/a/b": ("https", "git.example.org"),
    "http://127.0.0.1:3000/x.git": ("http", "127.0.0.1"),
    "http://localhost/x.git": ("http", "localhost"),
    "http://[::1]:80/x": ("http", "::1"),
    "ssh://git@github.com/acme/config.git": ("ssh", "github.com"),
    "ssh://git@host:2222/~user/x.git": ("ssh", "host"),
    "git@github.com:acme/config.git": ("ssh", "github.com"),
    "github.com:acme/config.git": ("ssh", "github.com"),
}

REFUSED = [
    "",
    "-oProxyCommand=touch x",
    "--upload-pack=touch x",
    "ext::sh -c touch% x",
    "ext::sh",
    "fd::3",
    "transport::address",
    "git://github.com/acme/config.git",
    "ftp://host/x",
    "http://example.org/x.git",
    "http://127.0.0.1.example.org/x.git",
    "http://localhost@example.org/x.git",
    "https://user:hunter2@example.org/x.git",
    "https://hunter2@example.org/x.git",
    "ssh://git:hunter2@example.org/x.git",
    "ssh://-oProxyCommand=touch/x",
    "ssh://-oProxyCommand=touch@host/x",
    "ssh://git@host/-oProxyCommand=x",
    "-oProxyCommand=x:path",
    "git@-oProxyCommand=x:path",
    "-x@host:path",
    "git@host:-path",
    "https://host/x?token=hunter2",
    "https://host/x#hunter2",
    "https:///x",
    "https://host:0/x",
    "https://host:99999/x",
    "https://host/a b",
    "https://host/a\nb",
    "https://host/a%0ahost=evil",
    "https://host/a%00b",
    "https://host/\x1b[31m",
    "/srv/config.git",
    "./config.git",
    "file:///srv/config.git",
    "config.git",
    "https://[::1",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_ordinary_addresses_are_taken_as_they_are(text: str) -> None:
    assert parse_address(text, allow_local=False) == Address(text, *ACCEPTED[text])


@pytest.mark.parametrize("text", REFUSED)
def test_dangerous_and_mistaken_addresses_are_refused_without_repeating_secrets(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_address(text, allow_local=False)
    assert "hunter2" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("text", ["/srv/config.git", "./config.git", "file:///srv/config.git"])
def test_a_folder_is_an_address_where_it_is_allowed(text: str) -> None:
    assert parse_address(text, allow_local=True).scheme == "file"


@pytest.mark.parametrize("text", ["file://host/share", "file:relative", "--x", "ext::sh"])
def test_allowing_folders_allows_nothing_else(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_address(text, allow_local=True)


@pytest.mark.slow
@given(st.text(st.sampled_from("ab-./:@~%0a[]\\ \n\x00$;`ext"), max_size=24), st.booleans())
@settings(max_examples=1500, deadline=None)
def test_no_accepted_address_begins_with_a_dash_anywhere_a_program_reads_one(
    text: str, local: bool
) -> None:
    try:
        address = parse_address(text, allow_local=local)
    except ConfigError:
        return
    assert not address.url.startswith("-")
    assert not address.host.startswith("-")
    assert not re.match(r"[A-Za-z0-9+.-]*::", address.url), "git would run a remote helper"
    assert address.scheme in ("https", "http", "ssh", "file")
    assert local or address.scheme != "file"


# --- refs -------------------------------------------------------------------------------------


def test_a_plain_name_is_a_branch_first_and_then_a_tag() -> None:
    assert candidates("main") == ("refs/heads/main", "refs/tags/main")
    assert candidates("refs/heads/main") == ("refs/heads/main",)
    assert candidates("HEAD") == ("HEAD",)


def test_only_a_full_id_pins_a_commit() -> None:
    assert is_commit("0123456789abcdef0123456789abcdef01234567")
    assert not is_commit("0123456789abcdef")
    assert not is_commit("0123456789abcdef0123456789abcdef01234567\n")


@pytest.mark.parametrize(
    "ref", ["-x", "--upload-pack=x", "@", "", "/x", "a b", "a\nb", "x:y", "+x"]
)
def test_names_that_would_mean_something_else_to_git_are_refused(ref: str) -> None:
    if ref == "+x":  # a fine name: it is only ever used after refs/heads/
        assert candidates(ref)[0] == "refs/heads/+x"
        return
    with pytest.raises(ConfigError):
        candidates(ref)


_GOOD = """main feature/x v1.2 a.b a-b a_b + a+b = a=b % é ü/ö $(x) `x` ; x;y | & ' " ! # , ( ) {
    refs/heads/x HEAD/x lock x.lockx a@b ] }"""
_BAD = r"""a..b .a a/.b a. a/ /a a//b a.lock a.lock/b a~b a^b a:b a?b a*b a[b a\b @{ a@{b @
    a/b.lock .lock ... a/../b ~ ^ : ? * ["""
NAMES = [
    *_GOOD.split(),
    *_BAD.split(),
    "a b",
    "a\tb",
    "a\x7fb",
    "a\x01b",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_judged_as_git_judges_them(name: str) -> None:
    full = name if name.startswith("refs/") else f"refs/heads/{name}"
    oracle = subprocess.run(["git", "check-ref-format", full], check=False).returncode == 0
    try:
        ours = candidates(name)[0] == full
    except ConfigError:
        ours = False
    # `@` alone is HEAD to git wherever a name is read, though refs/heads/@ could exist.
    assert ours == (oracle and name != "@")
