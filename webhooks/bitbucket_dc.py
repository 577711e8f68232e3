"""Bitbucket Data Center's webhooks: pushes and pull requests.

Called by :mod:`gitops.web.hooks` through its port. Older versions do not say where a repository is,
only ``PROJECT/slug``: a configured source with that path counts then, whatever its host.
https://confluence.atlassian.com/bitbucketserver/event-payload-938025882.html
"""

from __future__ import annotations

from typing import Any

from gitops.plugins import Services
from gitops.ports.inbound import PullAction, PullMoved, Pushed, Repository, Word
from webhooks.payload import Fields, asks
from webhooks.receiver import NOBODY, SAMPLE_COMMIT, Dialect, ForgeReceiver, Options, Reads
from webhooks.signing import BodyMac, Secrets

NAME = "bitbucket-dc"
VERSION = "1"


def _repository(found: Fields) -> Repository:
    if "links" in found and "clone" in found.object("links"):
        links = found.object("links").objects("clone")
        return Repository(tuple(each.text("href") for each in links))
    return Repository((f"{found.object('project').text('key')}/{found.text('slug')}",))


def _push(fields: Fields) -> tuple[Word, ...]:
    repository = _repository(fields.object("repository"))
    pusher = f"bitbucket:{fields.object('actor').login('name')}"
    moved = [
        (change.object("ref").text("id"), change.commit("toHash"))
        for change in fields.objects("changes")
    ]
    # Listed for the push as a whole: with several refs nothing says whose they are.
    one = len(moved) == 1 and "commits" in fields
    commits = tuple(each.commit("id") for each in fields.objects("commits")) if one else ()
    return tuple(Pushed(repository, ref, after, pusher, commits) for ref, after in moved)


def _pull(action: PullAction) -> Reads:
    def read(fields: Fields) -> tuple[Word, ...]:
        pull = fields.object("pullRequest")
        repository = _repository(pull.object("toRef").object("repository"))
        return (PullMoved(repository, pull.number("id"), action),)

    return read


def _comment(fields: Fields) -> tuple[Word, ...]:
    said = fields.object("comment").text("text")
    return _pull(PullAction.ASKED)(fields) if asks(said) else ()


DIALECT = Dialect(
    event=("x-event-key",),
    delivery=("x-request-id",),
    events={
        "repo:refs_changed": _push,
        "pr:opened": _pull(PullAction.UPDATED),
        "pr:from_ref_updated": _pull(PullAction.UPDATED),
        "pr:to_ref_updated": _pull(PullAction.UPDATED),
        "pr:modified": _pull(PullAction.UPDATED),
        "pr:reviewer:approved": _pull(PullAction.REVIEWED),
        "pr:reviewer:unapproved": _pull(PullAction.REVIEWED),
        "pr:reviewer:needs_work": _pull(PullAction.REVIEWED),
        "pr:reviewer:changes_requested": _pull(PullAction.REVIEWED),
        "pr:merged": _pull(PullAction.CLOSED),
        "pr:declined": _pull(PullAction.CLOSED),
        "pr:deleted": _pull(PullAction.CLOSED),
        "pr:comment:added": _comment,
    },
    ping=frozenset({"diagnostics:ping"}),
)


def _sample(address: str, ref: str) -> tuple[str, dict[str, Any]]:
    body = {
        "eventKey": "repo:refs_changed",
        "actor": {"name": NOBODY},
        "repository": {"slug": "sample", "links": {"clone": [{"href": address, "name": "http"}]}},
        "changes": [{"ref": {"id": ref}, "toHash": SAMPLE_COMMIT, "type": "UPDATE"}],
    }
    return "repo:refs_changed", body


def build(options: Options, services: Services) -> ForgeReceiver:
    mac = BodyMac(Secrets(options.secret, options.previous_secret), ("x-hub-signature",), "sha256=")
    return ForgeReceiver(NAME, mac, mac.sign, DIALECT, _sample)
