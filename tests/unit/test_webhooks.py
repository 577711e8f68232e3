"""Receivers: they verify the bytes, read what each provider documents, and are not fooled."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitops.errors import ConfigError
from gitops.model.secret import SecretRef
from gitops.ports.inbound import (
    Absent,
    Forged,
    Heard,
    Letter,
    LookAgain,
    Malformed,
    PullAction,
    PullMoved,
    Pushed,
)
from tests.web.hook_cases import (
    KEY,
    NAMES,
    SECRET,
    SIGNED_IN,
    SIGNING_TOKEN,
    A,
    At,
    B,
    Case,
    case,
    commit_of,
    pulled,
    receiver,
)

PUSHES = {
    "github-push": ("github:ada", (B, A), "https://github.com/acme/shop.git"),
    "gitlab-push": ("gitlab:ada", (A,), "https://gitlab.com/acme/shop.git"),
    "gitea-push": ("gitea:ada", (A,), "https://codeberg.org/acme/shop.git"),
    "bitbucket-dc-push": ("bitbucket:ada", (A,), "https://git.example.com/scm/acme/shop.git"),
    "bitbucket-cloud-push": (
        "bitbucket:{d301aafa-d676-4ee0-88be-962be7417567}",
        (A,),
        "https://bitbucket.org/acme/shop",
    ),
}
PULLS = {
    "github-pull_request": PullAction.UPDATED,
    "github-pull_request_review": PullAction.REVIEWED,
    "github-issue_comment": PullAction.ASKED,
    "gitlab-merge_request": PullAction.UPDATED,
    "gitlab-note": PullAction.ASKED,
    "gitea-pull_request": PullAction.UPDATED,
    "gitea-review": PullAction.REVIEWED,
    "gitea-comment": PullAction.ASKED,
    "bitbucket-cloud-pullrequest": PullAction.UPDATED,
    "bitbucket-cloud-comment": PullAction.ASKED,
    "bitbucket-dc-pr": PullAction.UPDATED,
    "bitbucket-dc-comment": PullAction.ASKED,
}
HEADERS = sorted(SIGNED_IN)


def hear(name: str, folder: Path, body: Any = None) -> Heard:
    found = case(name)
    return receiver(found.kind, folder).hear(found.letter(body))


# --- what each provider says ------------------------------------------------------------------


@pytest.mark.parametrize("name", PUSHES)
def test_a_push_is_heard_with_its_ref_its_commits_and_who_pushed(name: str, tmp_path: Path) -> None:
    pusher, commits, address = PUSHES[name]
    heard = hear(name, tmp_path)
    word = heard.words[0]
    assert isinstance(word, Pushed)
    assert (word.ref, word.after, word.pusher) == ("refs/heads/main", A, pusher)
    assert word.commits == commits
    assert address in word.repository.names
    assert heard.delivery


@pytest.mark.parametrize("name", PULLS)
def test_what_happens_to_a_pull_request_is_heard(name: str, tmp_path: Path) -> None:
    [word] = hear(name, tmp_path).words
    assert pulled(word) is PULLS[name]


@pytest.mark.parametrize("name", ["github-check_run", "github-check_suite"])
def test_a_check_that_is_asked_for_again_is_heard(name: str, tmp_path: Path) -> None:
    [word] = hear(name, tmp_path).words
    assert commit_of(word) == A


def test_a_tag_is_a_push_of_its_full_ref(tmp_path: Path) -> None:
    [word] = hear("gitlab-tag_push", tmp_path).words
    assert isinstance(word, Pushed)
    assert word.ref == "refs/tags/v1.0.0"


def test_one_push_to_bitbucket_may_move_several_branches(tmp_path: Path) -> None:
    [main, gone] = hear("bitbucket-cloud-push", tmp_path).words
    assert isinstance(main, Pushed)
    assert isinstance(gone, Pushed)
    assert (gone.ref, gone.after) == ("refs/heads/more", "0" * 40)


def test_a_bitbucket_that_tells_no_address_is_known_by_project_and_slug(tmp_path: Path) -> None:
    body = case("bitbucket-dc-push").body
    del body["repository"]["links"]
    [word] = hear("bitbucket-dc-push", tmp_path, body).words
    assert isinstance(word, Pushed)
    assert word.repository.names == ("ACME/shop",)


def test_a_ping_and_an_event_nobody_asked_for_say_so(tmp_path: Path) -> None:
    assert hear("github-ping", tmp_path).note == "ping"
    found = case("github-ping")
    found.headers["x-github-event"] = "workflow_dispatch"
    heard = receiver("github", tmp_path).hear(found.letter())
    assert (heard.words, heard.note) == ((), "not an event of interest")


@pytest.mark.parametrize(
    ("name", "path", "value"),
    [
        ("github-pull_request", ("action",), "labeled"),
        ("github-issue_comment", ("comment", "body"), "see /gitops preview"),
        ("github-issue_comment", ("action",), "edited"),
        ("github-check_run", ("action",), "completed"),
        ("gitlab-merge_request", ("object_attributes", "action"), "labelled"),
        ("gitlab-note", ("object_attributes", "noteable_type"), "Issue"),
        ("gitlab-push", ("object_kind",), "build"),
        ("gitea-comment", ("issue", "pull_request"), None),
        ("bitbucket-cloud-comment", ("comment", "content", "raw"), "nice"),
    ],
)
def test_what_does_not_concern_us_has_no_words(
    name: str, path: tuple[str, ...], value: Any, tmp_path: Path
) -> None:
    heard = hear(name, tmp_path, changed(case(name).body, path, value))
    assert heard.words == ()
    assert heard.note


def test_a_pull_request_that_is_retargeted_is_looked_at_again(tmp_path: Path) -> None:
    body = {**case("github-pull_request").body, "action": "edited", "changes": {"title": {}}}
    assert hear("github-pull_request", tmp_path, body).words == ()
    body["changes"] = {"base": {"ref": {"from": "old"}}}
    [word] = hear("github-pull_request", tmp_path, body).words
    assert pulled(word) is PullAction.UPDATED


def test_github_may_send_the_payload_as_a_form(tmp_path: Path) -> None:
    found = case("github-push")
    found.headers["content-type"] = "application/x-www-form-urlencoded"
    content = urlencode({"payload": json.dumps(found.body)}).encode()
    assert len(receiver("github", tmp_path).hear(found.of(content)).words) == 1
    for wrong in (b"payload=1&payload=2", b"load=%7B%7D", b"payload", b"payload=%FF%FF", b""):
        with pytest.raises(Malformed):
            receiver("github", tmp_path).hear(found.of(wrong))


# --- who says it ------------------------------------------------------------------------------


def spoilt(letter: Letter, header: str, *values: str) -> Letter:
    return Letter({**letter.headers, header: values}, letter.body)


@pytest.mark.parametrize("kind", HEADERS)
@pytest.mark.parametrize(
    "values",
    [(), ("",), ("sha256=",), ("sha256=" + "0" * 64,), ("sha256=ü\xff",), ("\ud800",), ("0" * 64,)],
)
def test_w1_w2_a_signature_that_is_none_is_forged_and_nothing_is_parsed(
    kind: str, values: tuple[str, ...], tmp_path: Path
) -> None:
    letter = sample(kind).of(b"{ this is not parsed")
    with pytest.raises(Forged):
        receiver(kind, tmp_path).hear(spoilt(letter, SIGNED_IN[kind], *values))


@pytest.mark.parametrize("kind", HEADERS)
def test_w2_a_signature_that_comes_twice_is_forged(kind: str, tmp_path: Path) -> None:
    letter = sample(kind).letter()
    [good] = letter.headers[SIGNED_IN[kind]]
    assert receiver(kind, tmp_path).hear(letter)
    with pytest.raises(Forged):
        receiver(kind, tmp_path).hear(spoilt(letter, SIGNED_IN[kind], good, good))


@pytest.mark.parametrize("kind", [kind for kind in HEADERS if kind != "gitlab"])
def test_a_body_changed_on_the_way_is_forged(kind: str, tmp_path: Path) -> None:
    letter = sample(kind).letter()
    with pytest.raises(Forged):
        receiver(kind, tmp_path).hear(Letter(letter.headers, letter.body + b" "))


@pytest.mark.parametrize("kind", HEADERS)
def test_another_secret_is_forged_and_the_previous_one_is_not(kind: str, tmp_path: Path) -> None:
    letter = sample(kind).letter(secret="the one before, not yet changed")
    with pytest.raises(Forged):
        receiver(kind, tmp_path).hear(letter)
    before = tmp_path / "before"
    before.write_text("the one before, not yet changed\n")
    before.chmod(0o600)
    both = receiver(kind, tmp_path, previous_secret=SecretRef(file=before))
    assert both.hear(letter)
    assert both.hear(sample(kind).letter())
    before.unlink()
    assert both.hear(sample(kind).letter())
    with pytest.raises(Forged):
        both.hear(letter)


@pytest.mark.parametrize("kind", HEADERS)
def test_without_a_secret_there_is_no_endpoint(kind: str, tmp_path: Path) -> None:
    found = receiver(kind, tmp_path)
    for break_it in (lambda f: f.write_text("\n"), lambda f: f.chmod(0o604), lambda f: f.unlink()):
        break_it(tmp_path / "secret")
        with pytest.raises(Absent) as absent:
            found.hear(sample(kind).letter(secret=""))
        assert SECRET not in str(absent.value)
        with pytest.raises(Absent):
            found.sample("https://example.com/a/b", "refs/heads/main")


def test_a_secret_that_is_changed_counts_at_once(tmp_path: Path) -> None:
    found = receiver("github", tmp_path)
    (tmp_path / "secret").write_text("quite another")
    assert found.hear(case("github-push").letter(secret="quite another"))
    with pytest.raises(Forged):
        found.hear(case("github-push").letter())


def test_gitlab_may_sign_id_time_and_body(tmp_path: Path) -> None:
    clock = At()
    found = receiver("gitlab", tmp_path, clock, text=SIGNING_TOKEN)
    letter = standard(case("gitlab-push"), int(clock.time))
    assert found.hear(letter).delivery == "evt-1"
    for late in (-301, 301):
        with pytest.raises(Forged):
            found.hear(standard(case("gitlab-push"), int(clock.time) + late))
    for header, value in (
        ("webhook-id", "evt-2"),
        ("webhook-timestamp", str(int(clock.time) + 1)),
        ("webhook-timestamp", "١٨٠٠٠٠٠٠٠٠"),
        ("webhook-timestamp", "9" * 30),
        ("webhook-signature", ""),
    ):
        with pytest.raises(Forged):
            found.hear(spoilt(letter, header, value))
    [good] = letter.headers["webhook-signature"]
    assert found.hear(spoilt(letter, "webhook-signature", f"v1,AAAA {good}"))
    with pytest.raises(Forged):  # the token itself is no longer enough
        found.hear(case("gitlab-push").letter(secret=SIGNING_TOKEN))


def standard(found: Case, time: int) -> Letter:
    content = json.dumps(found.body).encode()
    signed = b".".join((b"evt-1", str(time).encode(), content))
    mac = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    headers = {
        **found.headers,
        "webhook-id": "evt-1",
        "webhook-timestamp": str(time),
        "webhook-signature": f"v1,{mac}",
    }
    return Letter({name: (value,) for name, value in headers.items()}, content)


def test_anything_that_signs_may_say_look(tmp_path: Path) -> None:
    heard = receiver("generic", tmp_path).hear(sample("generic").of(b"\xff anything \x00"))
    assert heard.words == (LookAgain(),)
    assert heard.repeatable
    once = receiver("generic", tmp_path, id_header="X-Event-Id")
    letter = sample("generic").of(b"{}")
    assert once.hear(spoilt(letter, "x-event-id", "17")) == Heard("17", (LookAgain(),), "look")
    assert once.hear(spoilt(letter, "x-event-id", "1\n7")).repeatable


def test_a_time_that_is_signed_has_to_be_near(tmp_path: Path) -> None:
    clock = At()
    found = receiver("generic", tmp_path, clock, timestamp_header="X-Time")
    letter = found.sample("https://example.com/a/b", "refs/heads/main")
    assert found.hear(letter)
    clock.time += 299
    assert found.hear(letter)
    clock.time += 2
    with pytest.raises(Forged):
        found.hear(letter)
    with pytest.raises(Forged):
        found.hear(spoilt(letter, "x-time", str(int(clock.time))))


@pytest.mark.parametrize("option", ["header", "timestamp_header", "id_header"])
def test_a_header_that_cannot_be_one_is_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        receiver("generic", tmp_path, **{option: "X Time\n"})


@pytest.mark.parametrize("kind", HEADERS)
def test_a_sample_is_heard_as_a_push_to_the_source(kind: str, tmp_path: Path) -> None:
    found = receiver(kind, tmp_path)
    heard = found.hear(found.sample("https://example.com/a/b.git", "refs/heads/prod"))
    if kind == "generic":
        assert heard.words == (LookAgain(),)
        return
    [word] = heard.words
    assert isinstance(word, Pushed)
    assert (word.ref, word.commits) == ("refs/heads/prod", ())
    assert set(word.repository.names) == {"https://example.com/a/b.git"}
    assert int(word.after, 16) == 1
    again = found.hear(found.sample("https://example.com/a/b.git", "refs/heads/prod"))
    assert again.delivery != heard.delivery


def sample(kind: str) -> Case:
    """Some request of a kind."""
    if kind == "generic":
        return Case("generic", {"content-type": "application/json"}, {"any": "thing"})
    return case(f"{kind}-push")


# --- W5: what is signed and is yet not what it should be --------------------------------------

HOSTILE = {
    "deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "a long number": b'{"ref": ' + b"9" * 5_000 + b"}",
    "NaN": b'{"ref": NaN}',
    "infinity": b'{"ref": -Infinity}',
    "a large number": b'{"ref": 1e999}',
    "a lone surrogate": rb'{"ref": "\ud800"}',
    "raw surrogate": b'{"ref": "\xed\xa0\x80"}',
    "keys twice": b'{"ref": "a", "ref": "b"}',
    "a list": b"[]",
    "null": b"null",
    "text": b'"push"',
    "nothing": b"",
    "a mark": b"\xef\xbb\xbf{}",
    "UTF-16": '{"ref": "x"}'.encode("utf-16"),
    "NUL": b"\x00",
    "two": b"{}{}",
}


@pytest.mark.parametrize("kind", ["github", "gitlab"])
@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_w5_a_body_that_is_no_honest_json_is_malformed(
    kind: str, body: bytes, tmp_path: Path
) -> None:
    with pytest.raises(Malformed):
        receiver(kind, tmp_path).hear(sample(kind).of(body))


WRONG: list[Any] = [None, True, -1, "x\x00\n", [None], {"id": None}]


def paths(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from paths(child, (*here, key))


def changed(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    body = deepcopy(body)
    at = body
    for part in path[:-1]:
        at = at[part]
    at[path[-1]] = value
    return body


@pytest.mark.parametrize("name", NAMES)
def test_w5_the_wrong_type_in_any_field_is_heard_or_malformed_and_never_worse(
    name: str, tmp_path: Path
) -> None:
    found = case(name)
    listens = receiver(found.kind, tmp_path)
    whole, refused = listens.hear(found.letter()), 0
    for path in paths(found.body):
        for wrong in WRONG:
            try:
                heard = listens.hear(
                    found.of(json.dumps(changed(found.body, path, wrong)).encode())
                )
            except Malformed:
                refused += 1
            else:
                assert len(heard.words) <= len(whole.words)
    assert refused


REQUIRED = {
    "github-push": ["ref", "after", "commits", "repository", "sender"],
    "gitlab-push": ["ref", "after", "commits", "project", "user_username", "object_kind"],
    "gitea-push": ["ref", "after", "commits", "repository", "pusher"],
    "bitbucket-cloud-push": ["push", "repository", "actor"],
    "bitbucket-dc-push": ["changes", "repository", "actor", "commits"],
    "github-pull_request": ["action", "pull_request", "repository"],
    "gitlab-merge_request": ["project", "object_attributes"],
}


@pytest.mark.parametrize(("name", "key"), [(n, k) for n, keys in REQUIRED.items() for k in keys])
def test_w5_null_for_what_is_needed_is_malformed(name: str, key: str, tmp_path: Path) -> None:
    with pytest.raises(Malformed, match=key):
        hear(name, tmp_path, {**case(name).body, key: None})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
FUZZ = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["github-push", "gitlab-note", "gitea-comment"])
@given(data=st.data())
@FUZZ
def test_whatever_is_in_any_field_is_heard_or_malformed(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    found = case(name)
    path = data.draw(st.sampled_from(list(paths(found.body))))
    body = changed(found.body, path, data.draw(JSON))
    with contextlib.suppress(Malformed):
        receiver(found.kind, tmp_path).hear(found.of(json.dumps(body).encode()))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["github", "gitlab"])
@given(body=st.binary(max_size=200))
@FUZZ
def test_any_bytes_that_are_signed_are_heard_or_malformed(
    kind: str, body: bytes, tmp_path: Path
) -> None:
    with contextlib.suppress(Malformed):
        receiver(kind, tmp_path).hear(sample(kind).of(body))


@pytest.mark.slow
@pytest.mark.parametrize("kind", HEADERS)
@given(headers=st.dictionaries(st.text(max_size=20), st.tuples(st.text()), max_size=4))
@FUZZ
def test_any_headers_are_forged_and_nothing_else(
    kind: str, headers: dict[str, tuple[str]], tmp_path: Path
) -> None:
    with pytest.raises(Forged):
        receiver(kind, tmp_path).hear(Letter(headers, b"{}"))


def test_no_event_in_the_headers_is_malformed(tmp_path: Path) -> None:
    letter = case("github-push").letter()
    for values in ((), ("push", "push"), ("pu\nsh",), ("x" * 65,)):
        with pytest.raises(Malformed):
            receiver("github", tmp_path).hear(spoilt(letter, "x-github-event", *values))


def test_a_list_without_end_is_malformed(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="too many"):
        hear("github-push", tmp_path, {**case("github-push").body, "commits": [{"id": A}] * 2_049})


def test_a_word_knows_no_url_of_its_own(tmp_path: Path) -> None:
    """Whatever stands in a payload stays text in fields that are only ever compared."""
    [word] = hear("github-pull_request", tmp_path).words
    assert isinstance(word, PullMoved)
    assert all(isinstance(name, str) for name in word.repository.names)
