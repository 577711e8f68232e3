"""Bitbucket Cloud's webhooks: pushes and pull requests.

Called by :mod:`gitops.web.hooks` through its port. One push may move several branches. Accounts
are known by their ``uuid``, as to the forge's client: nicknames change and are not unique.
https://support.atlassian.com/bitbucket-cloud/docs/event-payloads/
"""

from __future__ import annotations

from typing import Any

from gitops.plugins import Services
from gitops.ports.inbound import PullAction, PullMoved, Pushed, Repository, Word
from webhooks.payload import Fields, asks
from webhooks.receiver import GONE, SAMPLE_COMMIT, Dialect, ForgeReceiver, Options, Reads
from webhooks.signing import BodyMac, Secrets

NAME = "bitbucket-cloud"
VERSION = "1"

_REFS = {"branch": "refs/heads/", "named_branch": "refs/heads/", "tag": "refs/tags/"}


def _repository(fields: Fields) -> Repository:
    found = fields.object("repository").object("links").object("html")
    return Repository((found.text("href"),))


def _push(fields: Fields) -> tuple[Word, ...]:
    repository, pusher = _repository(fields), _pusher(fields)
    return tuple(
        word
        for change in fields.object("push").objects("changes")
        if (word := _change(change, repository, pusher)) is not None
    )


def _change(change: Fields, repository: Repository, pusher: str) -> Pushed | None:
    new = change.nullable("new")
    moved = new or change.object("old")
    kind = _REFS.get(moved.text("type"))
    if kind is None:
        return None
    after = new.object("target").commit("hash") if new else GONE
    commits = change.objects("commits") if "commits" in change else ()
    ids = tuple(each.commit("hash") for each in commits)
    return Pushed(repository, kind + moved.text("name"), after, pusher, ids)


def _pusher(fields: Fields) -> str:
    """Empty for an access key or an app: there is no account behind it."""
    actor = fields.object("actor")
    return f"bitbucket:{actor.login('uuid')}" if "uuid" in actor else ""


def _pull(action: PullAction) -> Reads:
    def read(fields: Fields) -> tuple[Word, ...]:
        number = fields.object("pullrequest").number("id")
        return (PullMoved(_repository(fields), number, action),)

    return read


def _comment(fields: Fields) -> tuple[Word, ...]:
    said = fields.object("comment").object("content").text("raw")
    return _pull(PullAction.ASKED)(fields) if asks(said) else ()


DIALECT = Dialect(
    event=("x-event-key",),
    delivery=("x-request-uuid",),
    events={
        "repo:push": _push,
        "pullrequest:created": _pull(PullAction.UPDATED),
        "pullrequest:updated": _pull(PullAction.UPDATED),
        "pullrequest:approved": _pull(PullAction.REVIEWED),
        "pullrequest:unapproved": _pull(PullAction.REVIEWED),
        "pullrequest:changes_request_created": _pull(PullAction.REVIEWED),
        "pullrequest:changes_request_removed": _pull(PullAction.REVIEWED),
        "pullrequest:fulfilled": _pull(PullAction.CLOSED),
        "pullrequest:rejected": _pull(PullAction.CLOSED),
        "pullrequest:comment_created": _comment,
    },
)


def _sample(address: str, ref: str) -> tuple[str, dict[str, Any]]:
    kind = "tag" if ref.startswith("refs/tags/") else "branch"
    name = ref.removeprefix(_REFS[kind])
    new = {"type": kind, "name": name, "target": {"hash": SAMPLE_COMMIT}}
    body = {
        "actor": {"type": "user"},
        "repository": {"links": {"html": {"href": address}}},
        "push": {"changes": [{"old": None, "new": new, "commits": []}]},
    }
    return "repo:push", body


def build(options: Options, services: Services) -> ForgeReceiver:
    mac = BodyMac(Secrets(options.secret, options.previous_secret), ("x-hub-signature",), "sha256=")
    return ForgeReceiver(NAME, mac, mac.sign, DIALECT, _sample)
