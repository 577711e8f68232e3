"""What the API server's refusals mean: pure, a table from status, reason and text to our errors.

Called by the transport for every answer that is not a success. Two traps rule it: an HTTP 500 can
be a permanent mistake of the user's, and error texts can quote values of Secrets, so
that what is said about a Secret is built from known-harmless parts only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

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

_LONGEST = 2_000
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
_MANAGER = re.compile(r'conflict with "([^"]*)"')
_IMMUTABLE = re.compile(
    r"immutable|may not be changed|may not change|can(not|'t) be (changed|updated)|cannot change"
    r"|updates to .* (are forbidden|for fields other than)",
    re.IGNORECASE | re.DOTALL,
)
_PERMANENT_500 = re.compile(
    r"failed to create typed patch object|failed to create typed live object"
    r"|failed to convert (new|patched) object|error decoding from json|unable to convert"
    r"|field not declared in schema|expected (string|map|list|numeric|boolean|struct)",
)
_NO_ACCOUNT = re.compile(
    r"error looking up service account ([^\s:]{1,320}): serviceaccount \S+ not found"
)
_WEBHOOK = re.compile(
    r'failed calling webhook "([^"]{1,200})"|conversion webhook for ([^ ]{1,200})'
)
_SCHEMA_PATH = re.compile(r"(?:^|[\s:])(\.[A-Za-z][\w./-]*(?:\[[^\]]{0,100}\][\w./-]*)*): ")
_UNKNOWN_FIELD = re.compile(r'unknown field "([\w.\[\]/-]{1,200})"')


@dataclass(frozen=True, slots=True)
class Context:
    """What was asked, as far as a message needs it."""

    place: str
    """The object in words, or the path."""
    kind: str = ""
    writes: bool = False
    """A real write: an unclear 5xx means that it may have happened."""

    @property
    def secret(self) -> bool:
        return self.kind == "Secret"


class Missing(NotFound):
    """A 404 that remembers what it was said of: an object by that name, or (empty) who knows."""

    def __init__(self, message: str, *, code: int, hint: str, place: str, said_of: str) -> None:
        super().__init__(message, code=code, hint=hint, place=place)
        self.said_of = said_of


@dataclass(frozen=True, slots=True)
class Status:
    """The API server's ``Status`` object, or an empty one when something else answered."""

    real: bool = False
    message: str = ""
    reason: str = ""
    kind: str = ""
    name: str = ""
    causes: tuple[tuple[str, str, str], ...] = ()
    """(reason, field, message)"""


def parse_status(body: bytes) -> Status:
    """Never raises: a proxy's HTML page is an empty Status."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Status()
    if not isinstance(told, dict) or told.get("kind") != "Status":
        return Status()
    details = told.get("details")
    details = details if isinstance(details, dict) else {}
    causes = details.get("causes")
    return Status(
        real=True,
        message=_text(told, "message"),
        reason=_text(told, "reason"),
        kind=_text(details, "kind"),
        name=_text(details, "name"),
        causes=tuple(
            (_text(cause, "reason"), _text(cause, "field"), _text(cause, "message"))
            for cause in (causes if isinstance(causes, list) else [])
            if isinstance(cause, dict)
        ),
    )


def refusal(
    code: int, body: bytes, context: Context, *, retry_after: float | None = None
) -> GitopsError:
    """The error an unsuccessful answer stands for."""
    status = parse_status(body)
    if code == 404:
        return Missing(
            _say(status, context, "there is no such object"),
            code=404,
            hint=_hint_404(status, context),
            place=context.place,
            said_of=status.name if status.reason == "NotFound" else "",
        )
    if code in {409, 422}:
        return (_conflict if code == 409 else _invalid)(status, context)
    if code == 429:
        return ClusterUnavailable(
            "the API server is throttling us", place=context.place, retry_after=retry_after
        )
    if code >= 500:
        return _server_error(code, status, context, retry_after)
    if code in {401, 403}:
        return _not_let(code, status, context)
    return ClusterRefused(
        _say(status, context, _OTHERWISE.get(code, f"the API server answered {code}")),
        code=code,
        hint=_HINTS.get(code, ""),
        place=context.place,
    )


def clean(text: str) -> str:
    """Foreign text made fit for one message: no control characters, at most 2,000 long."""
    text = _CONTROL.sub(" ", text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … (cut)"


def warnings(headers: Sequence[str], context: Context) -> tuple[str, ...]:
    """Texts of ``Warning`` headers (RFC 9111: ``299 - "text"``); a Secret's only where harmless."""
    said = []
    for header in headers:
        quoted = re.match(r'\s*\d{3} \S+ "((?:[^"\\]|\\.)*)"', header)
        text = clean(re.sub(r"\\(.)", r"\1", quoted.group(1)) if quoted else header)
        if context.secret:
            field = _UNKNOWN_FIELD.search(text)
            text = field.group(0) if field else "the API server remarked on this Secret"
        said.append(text)
    return tuple(said)


_OTHERWISE = {
    401: "the API server does not accept our credentials (401)",
    413: "the API server finds the request too large (413)",
}
_HINTS = {
    400: "the request does not make sense to this API server version",
    401: "its credentials are not accepted: expired, revoked, or of another cluster",
    403: "grant the right to the controller's account, or to the one named by runAs",
    413: "the object is larger than the API server takes (3 MiB)",
    415: "this API server does not offer server-side apply for the kind",
}


def _hint_404(status: Status, context: Context) -> str:
    if not status.real:
        return "the cluster does not serve this kind in this version"
    if status.kind == "namespaces" and context.kind != "Namespace":
        return f"create namespace {status.name} first, or in the same change"
    return ""


def _not_let(code: int, status: Status, context: Context) -> GitopsError:
    account = _NO_ACCOUNT.search(status.message) if code == 403 else None
    if account is not None:
        return AccountMissing(
            _say(status, context, "its service account is not there"),
            account=account.group(1),
            hint=f"create the ServiceAccount {account.group(1)} first, or in the same change",
            place=context.place,
        )
    if code == 401:
        status = Status()  # it only ever says "Unauthorized"
    return ClusterRefused(
        _say(status, context, _OTHERWISE.get(code, "the API server forbids it (403)")),
        code=code,
        hint=_HINTS[code],
        place=context.place,
    )


def _conflict(status: Status, context: Context) -> GitopsError:
    owned = [
        (manager.group(1) if (manager := _MANAGER.search(message)) else "somebody", field)
        for reason, field, message in status.causes
        if reason == "FieldManagerConflict"
    ]
    if owned:
        names = ", ".join(f"{field} of {manager}" for manager, field in owned[:5])
        more = f" and {len(owned) - 5} more" if len(owned) > 5 else ""
        return FieldConflict(
            clean(f"others own what would be written: {names}{more}"),
            conflicts=owned,
            place=context.place,
        )
    if status.kind == "resourcequotas":  # quota bookkeeping raced; our object is untouched
        return ClusterUnavailable("the namespace's quota is being updated", place=context.place)
    return ObjectMoved(
        _say(status, context, "it is no longer the object the write was planned against"),
        hint="it is planned again from what it is now",
        place=context.place,
    )


def _invalid(status: Status, context: Context) -> GitopsError:
    fields = [field for _, field, _ in status.causes]
    if "metadata.uid" in fields or "metadata.resourceVersion" in fields:
        # A wrong uid in an apply body comes as "field is immutable", not as a conflict.
        return ObjectMoved(
            "it was deleted and made again since the write was planned",
            hint="it is planned again from what it is now",
            place=context.place,
        )
    message = _say(status, context, "the API server finds it invalid")
    frozen = [field for _, field, text in status.causes if _IMMUTABLE.search(text)]
    if frozen and len(frozen) == len(status.causes):
        return Immutable(
            message,
            fields=tuple(dict.fromkeys(frozen)),
            hint="it can only change by deleting the object and creating it again",
            place=context.place,
        )
    return ClusterRefused(message, code=422, place=context.place)


def _server_error(
    code: int, status: Status, context: Context, retry_after: float | None
) -> GitopsError:
    if code == 500 and status.real and _PERMANENT_500.search(status.message):
        return ClusterRefused(
            _say(status, context, "it does not fit the kind's schema"),
            code=500,
            hint="correct the field: the API server will refuse it every time",
            place=context.place,
        )
    webhook = _WEBHOOK.search(status.message)
    if webhook:
        # Admission runs before anything is stored: the write did not happen.
        name = clean(webhook.group(1) or webhook.group(2))
        return ClusterUnavailable(
            f"the cluster's own webhook {name} does not answer",
            hint="it runs in the cluster: look at its Service and its Pods",
            place=context.place,
            retry_after=retry_after,
        )
    if context.writes and not (code == 503 and status.real):
        return AnswerLost(
            f"the API server answered {code} and may have written all the same",
            place=context.place,
        )
    return ClusterUnavailable(
        f"the API server answered {code}" + ("" if status.real else ", not in its own words"),
        place=context.place,
        retry_after=retry_after,
    )


def _say(status: Status, context: Context, otherwise: str) -> str:
    if not status.message:
        return otherwise
    return _say_of_secret(status, otherwise) if context.secret else clean(status.message)


def _say_of_secret(status: Status, otherwise: str) -> str:
    """Only names of fields and the server's own words; never free text, which may quote values."""
    if status.reason in _HARMLESS_REASONS:
        return clean(status.message)
    fields = [field for _, field, _ in status.causes if field]
    fields += [match.group(1) for match in _SCHEMA_PATH.finditer(status.message)]
    fields += [match.group(1) for match in _UNKNOWN_FIELD.finditer(status.message)]
    named = ", ".join(dict.fromkeys(fields))
    about = f" at {named}" if named else ""
    why = next((words for pattern, words in _SECRET_WORDS if pattern.search(status.message)), "")
    return clean(f"{why or otherwise}{about} (the server's text is withheld: it may quote values)")


_HARMLESS_REASONS = frozenset({"NotFound", "Unauthorized", "AlreadyExists"})
_SECRET_WORDS = (
    (re.compile("not declared in schema"), "there is a field the kind does not have"),
    (re.compile("illegal base64"), "a value under data is not base64"),
    (re.compile("expected string"), "a value is not a string"),
    (re.compile("immutable"), "a field cannot be changed in place"),
    (re.compile("denied the request"), "an admission webhook denied it"),
    (re.compile("cannot (patch|create|get|delete|update|list)"), "the account lacks the right"),
)


def _text(holder: Mapping[str, Any], key: str) -> str:
    value = holder.get(key)
    return value if isinstance(value, str) else ""
