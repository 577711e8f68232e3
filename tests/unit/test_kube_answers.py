"""Answers recorded from a real API server (v1.35.4) become the errors the engine is promised."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gitops.errors import (
    AccountMissing,
    AnswerLost,
    ClusterRefused,
    ClusterUnavailable,
    FieldConflict,
    GitopsError,
    Immutable,
    NotFound,
    ObjectMoved,
)
from gitops.kube.answers import Context, Missing, clean, refusal, warnings

READ = Context("ConfigMap shop/a", kind="ConfigMap")
WRITE = Context("ConfigMap shop/a", kind="ConfigMap", writes=True)
SECRET = Context("Secret shop/s", kind="Secret", writes=True)


def said(code: int, message: str, reason: str = "", **details: Any) -> bytes:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return orjson.dumps(
        {**status, "message": message, "reason": reason, "details": details, "code": code}
    )


def cause(reason: str, field: str, message: str) -> dict[str, str]:
    return {"reason": reason, "field": field, "message": message}


CONFLICT = said(
    409,
    'Apply failed with 2 conflicts: conflict with "kubectl" with subresource "scale" using apps/v1:'
    ' .spec.replicas\nconflict with "helm" using apps/v1: .spec.paused',
    "Conflict",
    causes=[
        cause(
            "FieldManagerConflict",
            ".spec.replicas",
            'conflict with "kubectl" with subresource "scale" using apps/v1',
        ),
        cause("FieldManagerConflict", ".spec.paused", 'conflict with "helm" using apps/v1'),
    ],
)
MODIFIED = said(
    409,
    'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply'
    " your changes to the latest version and try again",
    "Conflict",
    name="a",
    kind="configmaps",
)
OTHER_UID = said(
    422,
    'ConfigMap "a" is invalid: metadata.uid: Invalid value: "5": field is immutable',
    "Invalid",
    causes=[cause("FieldValueInvalid", "metadata.uid", 'Invalid value: "5": field is immutable')],
)
GONE_UID = said(
    409,
    'Operation cannot be fulfilled on configmaps "a": uid mismatch: the provided object specified'
    " uid 318d4262, and no existing object was found",
    "Conflict",
    name="a",
    kind="configmaps",
)
QUOTA = said(
    409,
    'Operation cannot be fulfilled on resourcequotas "q": the object has been modified',
    "Conflict",
    name="q",
    kind="resourcequotas",
)
UNKNOWN_FIELD = said(
    500,
    "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .dataa: field not declared in"
    " schema",
)
SELECTOR = said(
    422,
    'Deployment.apps "d" is invalid: spec.selector: Invalid value: {"matchLabels":{"a":"z"}}: field'
    " is immutable",
    "Invalid",
    causes=[cause("FieldValueInvalid", "spec.selector", "Invalid value: {}: field is immutable")],
)
TWO_FAULTS = said(
    422,
    "two things",
    "Invalid",
    causes=[
        cause("FieldValueInvalid", "spec.selector", "Invalid value: {}: field is immutable"),
        cause("FieldValueInvalid", "spec.replicas", "Invalid value: -1: must be at least 0"),
    ],
)
WEBHOOK_DOWN = said(
    500,
    'Internal error occurred: failed calling webhook "check.example.com": failed to call webhook:'
    ' Post "https://x.y.svc:443/": dial tcp: connection refused',
    "InternalError",
)
ETCD_SLOW = said(500, "etcdserver: request timed out", "")
SHUTTING_DOWN = said(503, "apiserver is shutting down", "ServiceUnavailable")
PAGE = b"<html><body>502 Bad Gateway</body></html>"

NO_ACCOUNT = said(
    403,
    'pods "slow" is forbidden: error looking up service account shop/default: serviceaccount'
    ' "default" not found',
    "Forbidden",
    name="slow",
    kind="pods",
)

TABLE: list[tuple[str, int, bytes, Context, type[GitopsError]]] = [
    ("owned by others", 409, CONFLICT, WRITE, FieldConflict),
    ("modified meanwhile", 409, MODIFIED, WRITE, ObjectMoved),
    ("another uid", 422, OTHER_UID, WRITE, ObjectMoved),
    ("a uid that is gone", 409, GONE_UID, WRITE, ObjectMoved),
    ("an account not there yet", 403, NO_ACCOUNT, WRITE, AccountMissing),
    ("quota bookkeeping", 409, QUOTA, WRITE, ClusterUnavailable),
    ("unknown field", 500, UNKNOWN_FIELD, WRITE, ClusterRefused),
    ("immutable", 422, SELECTOR, WRITE, Immutable),
    ("immutable and invalid", 422, TWO_FAULTS, WRITE, ClusterRefused),
    ("webhook down", 500, WEBHOOK_DOWN, WRITE, ClusterUnavailable),
    ("etcd slow, reading", 500, ETCD_SLOW, READ, ClusterUnavailable),
    ("etcd slow, writing", 500, ETCD_SLOW, WRITE, AnswerLost),
    ("shutting down, writing", 503, SHUTTING_DOWN, WRITE, ClusterUnavailable),
    ("a proxy's 503, writing", 503, PAGE, WRITE, AnswerLost),
    ("a proxy's 502, reading", 502, PAGE, READ, ClusterUnavailable),
    ("a proxy's 502, writing", 502, PAGE, WRITE, AnswerLost),
    ("gateway timeout, writing", 504, PAGE, WRITE, AnswerLost),
    ("throttled, writing", 429, b"", WRITE, ClusterUnavailable),
    ("not found", 404, said(404, "gone", "NotFound", name="a"), READ, NotFound),
    ("no such path", 404, b"404 page not found\n", READ, NotFound),
    ("forbidden", 403, said(403, "User cannot", "Forbidden"), WRITE, ClusterRefused),
    ("unauthorized", 401, said(401, "Unauthorized", "Unauthorized"), READ, ClusterRefused),
    ("too large", 413, b"", WRITE, ClusterRefused),
    ("redirected", 302, b"", READ, ClusterRefused),
    ("nonsense", 400, b"\xff\xfe{", WRITE, ClusterRefused),
]


@pytest.mark.parametrize(
    ("code", "body", "context", "kind"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_each_answer_has_one_meaning(
    code: int, body: bytes, context: Context, kind: type[GitopsError]
) -> None:
    error = refusal(code, body, context)
    assert type(error) in (kind, Missing if kind is NotFound else kind)
    assert error.place == context.place
    assert error.message


def test_a_conflict_names_managers_and_fields() -> None:
    error = refusal(409, CONFLICT, WRITE)
    assert isinstance(error, FieldConflict)
    assert error.conflicts == (("kubectl", ".spec.replicas"), ("helm", ".spec.paused"))


def test_only_a_404_about_the_object_itself_proves_its_absence() -> None:
    about_it = refusal(404, said(404, "x", "NotFound", name="a"), READ)
    about_namespace = refusal(404, said(404, "x", "NotFound", name="shop", kind="namespaces"), READ)
    page = refusal(404, b"404 page not found\n", READ)
    told = [error.said_of for error in (about_it, about_namespace, page)]  # type: ignore[attr-defined]
    assert told == ["a", "shop", ""]


@pytest.mark.parametrize(
    "body",
    [
        said(500, "failed to create typed patch object (/s; /v1, Kind=Secret): .stringData.p:"
                  " expected string, got &value.valueUnstructured{Value:hunter2}"),
        said(422, 'Secret "s" is invalid: data[k]: Invalid value: "hunter2": no', "Invalid",
             causes=[cause("FieldValueInvalid", "data[k]", 'Invalid value: "hunter2": no')]),
        said(403, 'admission webhook "w" denied the request: value hunter2 is weak', "Forbidden"),
        said(400, "error decoding from json: hunter2", "BadRequest"),
        said(409, "hunter2", "Conflict"),
    ],
)  # fmt: skip
def test_nothing_free_is_quoted_about_a_secret(body: bytes) -> None:
    code = orjson.loads(body)["code"]
    error = refusal(code, body, SECRET)
    assert "hunter2" not in str(error)


def test_a_secrets_refusal_still_names_the_field() -> None:
    body = said(500, "failed to create typed patch object (/s; /v1, Kind=Secret): .stringData.p:"
                     " expected string, got &value.valueUnstructured{Value:hunter2}")  # fmt: skip
    assert ".stringData.p" in str(refusal(500, body, SECRET))


def test_foreign_text_is_cut_and_stripped() -> None:
    text = clean("a\x1b[31mred\x00" + "x" * 5_000)
    assert "\x1b" not in text
    assert "\x00" not in text
    assert len(text) < 2_100


def test_warnings_are_unquoted_and_a_secrets_are_withheld() -> None:
    header = '299 - "unknown field \\"spec.foo\\""'
    assert warnings([header], READ) == ('unknown field "spec.foo"',)
    assert warnings(['299 - "value hunter2 is deprecated"'], SECRET) == (
        "the API server remarked on this Secret",
    )
