"""Gitea's and Forgejo's webhooks: pushes, pull requests, reviews and comments.

Called by :mod:`gitops.web.hooks` through its port. Both send the signature as bare hex; Forgejo
under both names. https://forgejo.org/docs/latest/user/webhooks/
"""

from __future__ import annotations

from typing import Any

from gitops.plugins import Services
from gitops.ports.inbound import PullAction, PullMoved, Pushed, Repository, Word
from webhooks.payload import Fields, asks
from webhooks.receiver import NOBODY, SAMPLE_COMMIT, Dialect, ForgeReceiver, Options
from webhooks.signing import BodyMac, Secrets

NAME = "gitea"
VERSION = "1"

_ADDRESSES = ("clone_url", "ssh_url", "html_url")
_PULLS = {
    "opened": PullAction.UPDATED,
    "reopened": PullAction.UPDATED,
    "synchronized": PullAction.UPDATED,
    "reviewed": PullAction.REVIEWED,
    "closed": PullAction.CLOSED,
}


def _repository(fields: Fields) -> Repository:
    found = fields.object("repository")
    return Repository(tuple(found.text(name) for name in _ADDRESSES))


def _push(fields: Fields) -> tuple[Word, ...]:
    return (
        Pushed(
            _repository(fields),
            fields.text("ref"),
            fields.commit("after"),
            f"{NAME}:{fields.object('pusher').login('login')}",
            tuple(each.commit("id") for each in fields.objects("commits")),
        ),
    )


def _pull_request(fields: Fields) -> tuple[Word, ...]:
    action = _PULLS.get(fields.text("action"))
    if fields.text("action") == "edited" and "changes" in fields:
        moved = "ref" in fields.object("changes") or "base" in fields.object("changes")
        action = PullAction.UPDATED if moved else None
    number = fields.object("pull_request").number("number")
    return (PullMoved(_repository(fields), number, action),) if action else ()


def _review(fields: Fields) -> tuple[Word, ...]:
    number = fields.object("pull_request").number("number")
    return (PullMoved(_repository(fields), number, PullAction.REVIEWED),)


def _comment(fields: Fields) -> tuple[Word, ...]:
    issue, said = fields.object("issue"), fields.object("comment").text("body")
    pull = "pull_request" in issue and issue.nullable("pull_request") is not None
    if fields.text("action") != "created" or not pull or not asks(said):
        return ()
    return (PullMoved(_repository(fields), issue.number("number"), PullAction.ASKED),)


_HEADERS = ("gitea", "forgejo")
DIALECT = Dialect(
    event=tuple(f"x-{name}-event" for name in _HEADERS),
    delivery=tuple(f"x-{name}-delivery" for name in _HEADERS),
    events={
        "push": _push,
        "pull_request": _pull_request,
        "pull_request_sync": _pull_request,
        "pull_request_approved": _review,
        "pull_request_rejected": _review,
        "issue_comment": _comment,
    },
)


def _sample(address: str, ref: str) -> tuple[str, dict[str, Any]]:
    body = {
        "ref": ref,
        "before": SAMPLE_COMMIT,
        "after": SAMPLE_COMMIT,
        "repository": dict.fromkeys(_ADDRESSES, address),
        "pusher": {"login": NOBODY},
        "commits": [],
    }
    return "push", body


def build(options: Options, services: Services) -> ForgeReceiver:
    headers = tuple(f"x-{name}-signature" for name in _HEADERS)
    mac = BodyMac(Secrets(options.secret, options.previous_secret), headers)
    return ForgeReceiver(NAME, mac, mac.sign, DIALECT, _sample)
