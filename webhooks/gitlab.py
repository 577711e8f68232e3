"""GitLab's webhooks: pushes, tags, merge requests and comments, of projects, groups and systems.

Called by :mod:`gitops.web.hooks` through its port. A secret that starts with ``whsec_`` is a
signing token: GitLab signs id, time and body with it. Any other is the older secret token, which
comes along in the clear and proves only that the sender knows it.
https://docs.gitlab.com/user/project/integrations/webhook_events/
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gitops.plugins import Services
from gitops.ports import Clock
from gitops.ports.inbound import Forged, Letter, PullAction, PullMoved, Pushed, Repository, Word
from webhooks.payload import Fields, asks
from webhooks.receiver import NOBODY, SAMPLE_COMMIT, Dialect, ForgeReceiver, Options
from webhooks.signing import Secrets, Standard, equal

NAME = "gitlab"
VERSION = "1"

_ADDRESSES = ("git_http_url", "git_ssh_url", "web_url")
_MERGE_REQUESTS = {
    "open": PullAction.UPDATED,
    "reopen": PullAction.UPDATED,
    "approved": PullAction.REVIEWED,
    "approval": PullAction.REVIEWED,
    "unapproved": PullAction.REVIEWED,
    "unapproval": PullAction.REVIEWED,
    "close": PullAction.CLOSED,
    "merge": PullAction.CLOSED,
}


def _repository(fields: Fields) -> Repository:
    found = fields.object("project")
    return Repository(tuple(found.text(name) for name in _ADDRESSES))


def _push(fields: Fields) -> tuple[Word, ...]:
    return (
        Pushed(
            _repository(fields),
            fields.text("ref"),
            fields.commit("after"),
            f"{NAME}:{fields.login('user_username')}",
            tuple(each.commit("id") for each in fields.objects("commits")),
        ),
    )


def _merge_request(fields: Fields) -> tuple[Word, ...]:
    found = fields.object("object_attributes")
    if "action" not in found:  # GitLab's own test of a webhook leaves it out
        return ()
    said, number = found.text("action"), found.number("iid")
    action = _MERGE_REQUESTS.get(said)
    if said == "update" and ("oldrev" in found or _retargeted(fields)):
        action = PullAction.UPDATED
    return (PullMoved(_repository(fields), number, action),) if action else ()


def _retargeted(fields: Fields) -> bool:
    changes = fields.object("changes")
    return "target_branch" in changes or "draft" in changes


def _note(fields: Fields) -> tuple[Word, ...]:
    said = fields.object("object_attributes")
    if said.text("noteable_type") != "MergeRequest" or not asks(said.text("note")):
        return ()
    number = fields.object("merge_request").number("iid")
    return (PullMoved(_repository(fields), number, PullAction.ASKED),)


_BY_KIND = {
    "push": _push,
    "tag_push": _push,
    "merge_request": _merge_request,
    "note": _note,
}


def _read(fields: Fields) -> tuple[Word, ...]:
    """By what the body says it is: the header is not signed, and a system hook has one for all."""
    if "object_kind" not in fields:
        return ()
    reads = _BY_KIND.get(fields.text("object_kind"))
    return reads(fields) if reads else ()


_EVENTS = ("Push Hook", "Tag Push Hook", "Merge Request Hook", "Note Hook", "System Hook")
DIALECT = Dialect(
    event=("x-gitlab-event",),
    delivery=("webhook-id", "idempotency-key", "x-gitlab-event-uuid"),
    events=dict.fromkeys(_EVENTS, _read),
)


@dataclass(frozen=True, slots=True)
class Proof:
    """By signature where the secret is a signing token, else by the token itself."""

    secrets: Secrets
    clock: Clock

    def __call__(self, letter: Letter) -> None:
        """Raises Absent, Forged."""
        if not any(self._holds(secret, letter) for secret in self.secrets.texts()):
            raise Forged

    def _holds(self, secret: str, letter: Letter) -> bool:
        if Standard.is_key(secret):
            return Standard(self.clock).holds(secret, letter)
        return equal(secret.encode(), letter.header("x-gitlab-token"))

    def sign(self, body: bytes) -> Mapping[str, tuple[str, ...]]:
        """Raises Absent."""
        secret = self.secrets.texts()[0]
        if not Standard.is_key(secret):
            return {"x-gitlab-token": (secret,)}
        id, time = str(uuid.uuid4()), str(int(self.clock.now()))
        return {
            "webhook-id": (id,),
            "webhook-timestamp": (time,),
            "webhook-signature": (Standard.signature(secret, id, time, body),),
        }


def _sample(address: str, ref: str) -> tuple[str, dict[str, Any]]:
    body = {
        "object_kind": "push",
        "event_name": "push",
        "before": SAMPLE_COMMIT,
        "after": SAMPLE_COMMIT,
        "ref": ref,
        "user_username": NOBODY,
        "project": dict.fromkeys(_ADDRESSES, address),
        "commits": [],
    }
    return "Push Hook", body


def build(options: Options, services: Services) -> ForgeReceiver:
    proof = Proof(Secrets(options.secret, options.previous_secret), services.clock)
    return ForgeReceiver(NAME, proof, proof.sign, DIALECT, _sample)
