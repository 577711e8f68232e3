"""What git printed → what people are told."""

from __future__ import annotations

import pytest

from gitops.errors import SourceProblem, SourceUnavailable
from gitops.model.source import SourceState
from gitops.sources.git.address import Address
from gitops.sources.git.failures import clean, explain, is_damage, is_missing_ref

ADDRESS = Address("https://git.example.org/a.git", "https", "git.example.org")

REFUSED = [
    "fatal: could not read Username for 'https://h': terminal prompts disabled",
    "remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://h/'",
    "error: RPC failed; HTTP 401 curl 22 The requested URL returned error: 401",
    "fatal: unable to access 'https://h/': The requested URL returned error: 403",
    "fatal: unable to access 'https://h/': The requested URL returned error: 404",
    "remote: Repository not found.\nfatal: repository 'https://h/x/' not found",
    "fatal: unable to access 'https://h/': The requested URL returned error: 301",
    "fatal: unable to update url base from redirection:\n  asked for: x\n   redirect: y",
    "Host key verification failed.\nfatal: Could not read from remote repository.",
    "No ED25519 host key is known for h and you have requested strict checking.",
    "git@h: Permission denied (publickey).\nfatal: Could not read from remote repository.",
    'Load key "/x/key": error in libcrypto\ngit@h: Permission denied (publickey).',
    "fatal: unable to access 'https://h/': SSL certificate problem: unable to get local issuer",
    "fatal: unable to access 'https://h/': server certificate verification failed.",
    "fatal: transport 'ext' not allowed",
    "fatal: detected dubious ownership in repository at '/srv/x'",
]

UNAVAILABLE = [
    "fatal: unable to access 'https://h/': Could not resolve host: h",
    "fatal: unable to access 'https://h/': Failed to connect to h port 443: Connection refused",
    "fatal: unable to access 'https://h/': Operation too slow. Less than 100 bytes/sec",
    "fatal: unable to access 'https://h/': The requested URL returned error: 502",
    "fatal: unable to access 'https://h/': The requested URL returned error: 429",
    "ssh: connect to host h port 22: Connection timed out\nfatal: Could not read from remote",
    "error: RPC failed; curl 18\nfatal: early EOF\nfatal: fetch-pack: invalid index-pack output",
    "fatal: the remote end hung up unexpectedly",
    "fatal: fetch-pack: invalid index-pack output",
    "fatal: write error: No space left on device",
    "something nobody has seen before",
    "",
]

INVALID = [
    "error: object 1234: badTree: cannot be parsed as a tree\nfatal: fsck error in packed object",
    "fatal: pack has 3 unresolved deltas\nfatal: fetch-pack: invalid index-pack output",
    "fatal: mismatched algorithms: client sha1; server sha256",
]


@pytest.mark.parametrize("stderr", REFUSED)
def test_a_refusal_needs_somebody_to_change_something(stderr: str) -> None:
    error = explain(stderr, ADDRESS)
    assert isinstance(error, SourceProblem)
    assert error.state is SourceState.REFUSED
    assert error.place == ADDRESS.url


@pytest.mark.parametrize("stderr", UNAVAILABLE)
def test_what_may_pass_is_transient(stderr: str) -> None:
    assert isinstance(explain(stderr, ADDRESS), SourceUnavailable)


@pytest.mark.parametrize("stderr", INVALID)
def test_objects_git_refuses_are_invalid(stderr: str) -> None:
    error = explain(stderr, ADDRESS)
    assert isinstance(error, SourceProblem)
    assert error.state is SourceState.INVALID


def test_the_remotes_own_words_choose_no_rule() -> None:
    error = explain("remote: HTTP 401, fsck, 404 not found\nfatal: early EOF", ADDRESS)
    assert isinstance(error, SourceUnavailable)
    assert "remote: HTTP 401" in error.message


def test_a_slow_down_says_for_how_long() -> None:
    error = explain("fatal: The requested URL returned error: 429", ADDRESS)
    assert isinstance(error, SourceUnavailable)
    assert error.retry_after == 60


def test_escapes_and_secrets_are_gone_and_lines_are_cut() -> None:
    said = "\x1b]0;title\x07\x1b[31mfatal: bad s3cret\x00\x9b2J" + "x" * 5000
    text = explain(said, ADDRESS, ["s3cret", ""]).message
    assert "s3cret" not in text
    assert not any(ord(char) < 32 or 0x7F <= ord(char) < 0xA0 for char in text)
    assert len(text) < 400
    assert clean("a\nb") == "a\nb"


def test_a_missing_ref_is_told_from_other_failures() -> None:
    assert is_missing_ref("fatal: couldn't find remote ref refs/heads/x")
    assert is_missing_ref("fatal: remote error: upload-pack: not our ref 1234")
    assert not is_missing_ref("fatal: early EOF")


def test_only_our_own_copys_damage_counts_as_damage() -> None:
    assert is_damage("error: object file objects/12/34 is empty\nfatal: loose object 12 is corrupt")
    assert is_damage("fatal: bad object refs/gitops/look/12")
    assert not is_damage("remote: fatal: loose object 12 (stored in x) is corrupt")
    assert not is_damage("fatal: early EOF")
