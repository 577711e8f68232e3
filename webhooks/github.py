"""GitHub's webhooks: pushes, pull requests, reviews, comments and re-runs of checks.

Called by :mod:`gitops.web.hooks` through its port. The signature covers the body only, so the event
and the delivery id, which are headers, are taken for hints: the worst a wrong one does is a look.
https://docs.github.com/en/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from typing import Any

from gitops.plugins import Services
from gitops.ports.inbound import CheckAgain, PullAction, PullMoved, Pushed, Repository, Word
from webhooks.payload import Fields, asks
from webhooks.receiver import NOBODY, SAMPLE_COMMIT, Dialect, ForgeReceiver, Options
from webhooks.signing import BodyMac, Secrets

NAME = "github"
VERSION = "1"

_ADDRESSES = ("clone_url", "ssh_url", "html_url")
_PULLS = {
    "opened": PullAction.UPDATED,
    "reopened": PullAction.UPDATED,
    "synchronize": PullAction.UPDATED,
    "ready_for_review": PullAction.UPDATED,
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
            f"{NAME}:{fields.object('sender').login('login')}",
            tuple(each.commit("id") for each in fields.objects("commits")),
        ),
    )


def _pull_request(fields: Fields) -> tuple[Word, ...]:
    action = _PULLS.get(fields.text("action"))
    if fields.text("action") == "edited" and "base" in fields.object("changes"):
        action = PullAction.UPDATED  # retargeted; other edits are of its texts
    number = fields.object("pull_request").number("number")
    return (PullMoved(_repository(fields), number, action),) if action else ()


def _review(fields: Fields) -> tuple[Word, ...]:
    number = fields.object("pull_request").number("number")
    return (PullMoved(_repository(fields), number, PullAction.REVIEWED),)


def _comment(fields: Fields) -> tuple[Word, ...]:
    issue, said = fields.object("issue"), fields.object("comment").text("body")
    if fields.text("action") != "created" or "pull_request" not in issue or not asks(said):
        return ()
    return (PullMoved(_repository(fields), issue.number("number"), PullAction.ASKED),)


def _rerun(part: str) -> Any:
    def read(fields: Fields) -> tuple[Word, ...]:
        commit = fields.object(part).commit("head_sha")
        again = fields.text("action") == "rerequested"
        return (CheckAgain(_repository(fields), commit),) if again else ()

    return read


DIALECT = Dialect(
    event=("x-github-event",),
    delivery=("x-github-delivery",),
    events={
        "push": _push,
        "pull_request": _pull_request,
        "pull_request_review": _review,
        "issue_comment": _comment,
        "check_run": _rerun("check_run"),
        "check_suite": _rerun("check_suite"),
    },
    ping=frozenset({"ping"}),
)


def _sample(address: str, ref: str) -> tuple[str, dict[str, Any]]:
    body = {
        "ref": ref,
        "before": SAMPLE_COMMIT,
        "after": SAMPLE_COMMIT,
        "repository": dict.fromkeys(_ADDRESSES, address),
        "sender": {"login": NOBODY, "type": "User"},
        "commits": [],
    }
    return "push", body


def build(options: Options, services: Services) -> ForgeReceiver:
    mac = BodyMac(
        Secrets(options.secret, options.previous_secret), ("x-hub-signature-256",), "sha256="
    )
    return ForgeReceiver(NAME, mac, mac.sign, DIALECT, _sample)
