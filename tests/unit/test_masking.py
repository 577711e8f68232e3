"""Secret values show nowhere, in no form; their change does."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops.diff import LAST_APPLIED, fields
from gitops.masking import HIDDEN, Masker
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
    shown = masker.value({"note": f"it is {value}", "list": [coded(value)], value: 1})
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
