"""Secret values show nowhere, in no form; their change does."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops import masking
from gitops.diff import LAST_APPLIED, fields
from gitops.masking import HIDDEN, MOST_LINES, Masker, looks_secret
from gitops.model.ids import Digest
from gitops.model.manifest import ObjectId
from gitops.model.plan import ABSENT

SECRET = ObjectId("", "Secret", "shop", "keys")
DEPLOYMENT = ObjectId("apps", "Deployment", "shop", "web")


class Keyed:
    def of(self, data: bytes) -> Digest:
        return Digest(hashlib.blake2b(data, digest_size=32, key=b"k").hexdigest())


@pytest.fixture
def masker() -> Masker:
    return Masker(Keyed())


def coded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def secret(**data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Secret", "data": {k: coded(v) for k, v in data.items()}}


def test_a_secrets_values_are_hidden_and_their_names_and_change_shown(masker: Masker) -> None:
    raw = fields(secret(a="first-value", same="x"), secret(a="other-value", same="x"))
    [change] = masker.changes(SECRET, raw)
    assert change.path == "data.a"
    assert change.before.startswith("<hidden: 11 bytes, #")
    assert change.before != change.after


def test_a_new_secret_shows_names_and_sizes(masker: Masker) -> None:
    [change] = masker.changes(SECRET, fields(None, secret(a="1", b="22")))
    assert change.before is ABSENT
    assert list(change.after) == ["a", "b"]
    assert change.after["b"].startswith("<hidden: 2 bytes, #")


def test_plain_strings_of_a_secret_are_hidden_alike(masker: Masker) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "stringData": {"a": "first-value"}}
    assert "first-value" not in repr(masker.changes(SECRET, fields(None, body)))


@pytest.mark.parametrize("name", ["DB_PASSWORD", "API_TOKEN", "AWS_SECRET_ACCESS_KEY", "apiKey"])
def test_a_variable_named_like_a_secret_is_hidden(masker: Masker, name: str) -> None:
    def pod(value: str, **more: Any) -> dict[str, Any]:
        return {"spec": {"containers": [{"name": "c", "env": [{"name": name, "value": value}]}]}}

    assert "hunter" not in repr(masker.changes(DEPLOYMENT, fields(pod("hunter1"), pod("hunter2"))))
    assert "hunter" not in repr(masker.changes(DEPLOYMENT, fields(None, pod("hunter1"))))


def test_a_variable_of_another_name_or_by_choice_is_shown(masker: Masker) -> None:
    def pod(name: str, value: str) -> dict[str, Any]:
        return {"spec": {"containers": [{"name": "c", "env": [{"name": name, "value": value}]}]}}

    for name in ("KEYBOARD", "MONKEY_BUSINESS", "LOG_LEVEL"):
        shown = masker.changes(DEPLOYMENT, fields(pod(name, "debug"), pod(name, "info")))
        assert (shown[0].before, shown[0].after) == ("debug", "info")
    relaxed = Masker(Keyed(), env_by_name=False)
    raw = fields(pod("API_TOKEN", "a"), pod("API_TOKEN", "b"))
    assert relaxed.changes(DEPLOYMENT, raw)[0].after == "b"


def test_a_known_value_is_filtered_in_every_form(masker: Masker) -> None:
    value = 'pa"ss\\wörd'
    masker.learn(secret(a=value))
    for text in (value, coded(value), json.dumps(value), json.dumps(value, ensure_ascii=False)):
        assert masker.text(f"x {text} y") != f"x {text} y"
        assert value not in masker.text(text)
    shown = masker.value({"note": f"it is {value}", "list": [coded(value)]})
    assert value not in repr(shown)
    assert coded(value).rstrip("=") not in repr(shown)


def test_keys_are_hidden_line_by_line_but_their_frame_is_not(masker: Masker) -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG\nZm9vYmFyYmF6cXV4\n-----END KEY-----\n"
    masker.learn(secret(key=key))
    assert masker.text("at MIIEvQIBADANBgkqhkiG here") == f"at {HIDDEN} here"
    assert masker.text("-----BEGIN KEY-----") == "-----BEGIN KEY-----"


def test_short_values_and_other_kinds_are_not_learnt(masker: Masker) -> None:
    masker.learn(secret(a="true", b="3306"))
    masker.learn({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "ordinary"}})
    assert masker.text("true 3306 ordinary") == "true 3306 ordinary"


def test_the_longest_known_value_wins(masker: Masker) -> None:
    masker.taint("secret-one")
    masker.taint("secret-one-and-more")
    assert masker.text("<secret-one-and-more>") == f"<{HIDDEN}>"


def test_kubectls_copy_of_a_manifest_is_never_shown(masker: Masker) -> None:
    shown = masker.value({"metadata": {"annotations": {LAST_APPLIED: "whatever it holds"}}})
    assert shown["metadata"]["annotations"][LAST_APPLIED] == HIDDEN


@pytest.mark.slow
@given(
    st.lists(st.text(min_size=6, max_size=20), min_size=1, max_size=8),
    st.lists(st.text(max_size=10), min_size=1, max_size=8),
)
def test_no_known_value_survives_whatever_stands_around_it(
    values: list[str], around: list[str]
) -> None:
    masker = Masker(Keyed())
    known = [value.strip() for value in values if len(value.strip()) >= 6]
    for value in known:
        masker.taint(value)
    shown = masker.text("|".join([*around, *known, *around]))
    # The marker itself may hold what a value is made of ("hidden"); everything else may not.
    assert not any(value in piece for value in known for piece in shown.split(HIDDEN))


def test_many_values_cost_no_more_than_few() -> None:
    masker = Masker(Keyed())
    for number in range(5_000):
        masker.taint(f"value-number-{number}")
    assert masker.text("value-number-4999 and prose " * 50).count("value-number") == 0


POISON = ["cluster-admin", "evil.example/backdoor:1", "privileged", "kube-system", "ClusterRole"]
TOKEN = "9f86d081884c7d659a2feaa0c55ad015"


def poisoned(masker: Masker, *, live: bool = False) -> None:
    masker.learn(secret(**{f"v{n}": value for n, value in enumerate(POISON)}), live=live)


ROLE = {
    "roleRef": {"apiGroup": "x", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"kind": "ServiceAccount", "name": "privileged", "namespace": "kube-system"}],
}
POD = {
    "spec": {
        "serviceAccountName": "cluster-admin",
        "containers": [{"name": "privileged", "image": "evil.example/backdoor:1", "env": []}],
        "securityContext": {"seLinuxOptions": {"type": "privileged"}},
    }
}


@pytest.mark.parametrize("live", [False, True], ids=["pushed", "delivered"])
@pytest.mark.parametrize("body", [ROLE, POD], ids=["role", "pod"])
@pytest.mark.parametrize("own", [True, False], ids=["own", "other"])
def test_a_pushed_secret_hides_nothing_of_what_runs_and_may_do_what(
    masker: Masker, body: dict[str, Any], live: bool, own: bool
) -> None:
    poisoned(masker.scope("bad"), live=live)
    eyes = masker.scope("bad" if own else "shop")
    for one, other in ((None, body), (body, None), ({}, {"metadata": {}, **body})):
        before, after = ({"metadata": {}, **x} if x else x for x in (one, other))
        shown, hides = eyes.shown(DEPLOYMENT, fields(before, after))
        assert HIDDEN not in repr(shown)
        assert hides == ()


def test_keys_and_paths_are_never_hidden(masker: Masker) -> None:
    eyes = masker.scope("bad")
    eyes.taint(TOKEN, live=True)
    assert eyes.value({TOKEN: 1, "data": {TOKEN: "x"}}) == {TOKEN: 1, "data": {TOKEN: "x"}}
    raw = fields({"metadata": {}, "data": {TOKEN: "1"}}, {"metadata": {}, "data": {TOKEN: "2"}})
    assert eyes.changes(DEPLOYMENT, raw)[0].path == f"data.{TOKEN}"


def test_a_secret_of_one_application_hides_in_another_only_once_it_is_delivered(
    masker: Masker,
) -> None:
    bad, shop = masker.scope("bad"), masker.scope("shop")
    bad.learn(secret(a=TOKEN, b="cluster-admin"))
    assert bad.text(TOKEN) == HIDDEN
    assert shop.text(TOKEN) == TOKEN
    assert masker.text(f"{TOKEN} cluster-admin") == f"{HIDDEN} {HIDDEN}"
    bad.learn(secret(a=TOKEN, b="cluster-admin"), live=True)
    assert shop.text(f"{TOKEN} cluster-admin") == f"{HIDDEN} cluster-admin"
    assert bad.text("cluster-admin") == HIDDEN


def test_a_field_hidden_for_its_value_alone_is_named(masker: Masker) -> None:
    eyes = masker.scope("shop")
    eyes.learn(secret(a=TOKEN))
    pod = {"containers": [{"name": "c", "args": [f"--to={TOKEN}"], "command": ["x" * 200]}]}
    shown, hides = eyes.shown(DEPLOYMENT, fields(None, {"metadata": {}, "spec": pod}))
    assert TOKEN not in repr(shown)
    assert hides == ("spec.containers[name=c].args",)
    by_kind = fields(None, {**secret(a=TOKEN), "metadata": {}})
    assert eyes.shown(SECRET, by_kind)[1] == ()


@pytest.mark.parametrize("name", ["name", "image", "userName", "kind"])
@pytest.mark.parametrize("key", ["data", "binaryData"])
def test_names_authors_chose_protect_no_value(masker: Masker, key: str, name: str) -> None:
    masker.taint(TOKEN)
    for before in (None, {"metadata": {}, key: {name: "1"}}):
        raw = fields(before, {"metadata": {}, key: {name: TOKEN}})
        assert TOKEN not in repr(masker.changes(DEPLOYMENT, raw))


@pytest.mark.parametrize(
    "value",
    [
        TOKEN,
        "550e8400-e29b-41d4-a716-446655440000",
        "hunter2-canary-5150",
        "kR9!vQz2#mLp7$wT",
        "postgres://shop:pa55word@db.internal:5432/shop",
        "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
    ],
)
def test_what_looks_like_a_secret(value: str) -> None:
    assert looks_secret(value)


@pytest.mark.parametrize(
    "value",
    [
        *POISON,
        "requiredDuringSchedulingIgnoredDuringExecution",
        "system:serviceaccounts:kube-system",
        "https://hooks.example.com/deploy/v2",
        "rbac.authorization.k8s.io",
        "registry.example/team/web1:v1.2.3-rc4",
        "registry.example/x@sha256:" + "0a" * 32,
        "allow everything to everybody",
        "--privileged --network=host",
        "0000000000000000",
    ],
)
def test_what_does_not_look_like_a_secret(value: str) -> None:
    assert not looks_secret(value)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_folded_base64_is_the_same_secret(masker: Masker, end: str) -> None:
    text = coded("correct-horse-battery-staple")
    body = {"apiVersion": "v1", "kind": "Secret", "data": {"a": text[:20] + end + text[20:] + end}}
    masker.learn(body)
    assert masker.text("a correct-horse-battery-staple b") == f"a {HIDDEN} b"
    [change] = masker.changes(SECRET, fields(None, {**body, "metadata": {}}))
    assert change.after["a"].startswith("<hidden: 28 bytes")


@pytest.mark.parametrize("before", ["", "u:", "user:", "abc:", "robot$x:"])
@pytest.mark.parametrize("after", ["", "\n", "@db:5432", "!!"])
def test_a_value_is_hidden_in_addresses_and_in_the_base64_of_a_longer_text(
    masker: Masker, before: str, after: str
) -> None:
    value = "kR9vQz2#mLp7$wT-XyZ<31337"
    masker.learn(secret(a=value))
    shown = masker.text(coded(before + value + after))
    assert HIDDEN in shown
    assert len(shown.replace(HIDDEN, "")) <= len(coded(before)) + len(coded(after))
    address = f"postgres://u:{quote(value, safe='')}@db"
    assert masker.text(address) == f"postgres://u:{HIDDEN}@db"
    assert masker.text(json.dumps(value).replace("<", r"\u003c")) == f'"{HIDDEN}"'


def lines(count: int, prefix: str = "the-same-beginning") -> str:
    return "\n".join(f"{prefix}-{number:06d}" for number in range(count))


@pytest.mark.slow
def test_of_very_many_lines_the_longest_count_on_their_own() -> None:
    masker = Masker(Keyed())
    value = lines(20_000) + "\n" + "\n".join(f"longer-{n:040d}" for n in range(MOST_LINES))
    masker.taint(value)
    assert masker.text(f"longer-{7:040d}") == HIDDEN
    assert masker.text("the-same-beginning-000007") == "the-same-beginning-000007"
    assert masker.text(f"<{value}>") == f"<{HIDDEN}>"


@pytest.mark.slow
def test_however_many_values_are_known_a_text_is_shown_that_shares_their_beginnings() -> None:
    masker = Masker(Keyed())
    for number in range(20_000):
        masker.taint(f"the-same-beginning-{number:06d}")
    for length in range(6, 3_000, 7):
        masker.taint("a" * length + "b")
    text = "the-same-beginning-x" * 500 + ("a" * 40 + " and some words ") * 50
    assert masker.text(text) == text
    assert max(map(len, masker._own.lengths.values())) <= 24


@pytest.mark.parametrize("values", [["aA" * 125 + "b"], ["a" * n + "b" for n in range(6, 254)]])
def test_a_text_that_nearly_holds_a_secret_everywhere_is_not_looked_through_to_its_end(
    monkeypatch: pytest.MonkeyPatch, values: list[str]
) -> None:
    masker, looked = Masker(Keyed()), 0
    for value in values:
        masker.taint(value)
    unbound = masking._Known.end

    def end(known: masking._Known, text: str, start: int) -> tuple[int, int]:
        nonlocal looked
        found = unbound(known, text, start)
        looked += found[1]
        return found

    monkeypatch.setattr(masking._Known, "end", end)
    text = f"begins {(values[-1][:90] + '-') * 2_000}"
    assert re.fullmatch(r"begins [aA-]*<hidden>", masker.text(text))
    assert looked < 20_000 + len(text) / 2 + 200
    assert masker.scope("shop").text("and so it goes on") == "and so it goes on"


def test_what_shares_its_beginning_with_a_secret_is_shown_until_it_is_surely_a_part() -> None:
    masker = Masker(Keyed())
    value = "".join(f"{n:04d}" for n in range(500))
    masker.taint(value)
    assert masker.text(value[:90] + "!") == value[:90] + "!"
    assert value[:120] not in masker.text(value[:1_000] + "!")
    assert masker.text(f"<{value}>") == f"<{HIDDEN}>"


def test_learning_the_same_secret_again_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    masker = Masker(Keyed()).scope("shop")
    masker.learn(secret(a=TOKEN), live=True)
    monkeypatch.setattr(Masker, "_remember", lambda *_, **__: pytest.fail("learnt again"))
    masker.learn(secret(a=TOKEN), live=True)
