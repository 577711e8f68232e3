"""Gitea and Forgejo, by the API v1 both document (``/api/swagger`` of every server).

The token needs ``write:repository``, ``write:issue`` and ``read:user``. Neither has remarks at file
and line for others to write: reports are statuses alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from urllib.parse import quote

from gitops.errors import Unknown
from gitops.forges import comments
from gitops.forges.comments import Board, Note, OneComment
from gitops.forges.line import Errand, Line, Missing, Unfit
from gitops.forges.settings import Documented, Options, signer, target
from gitops.forges.shapes import CommitId, Number, Said, Text, Title, link, login, moment
from gitops.plugins import Services
from gitops.ports.forges import (
    CommitState,
    CommitStatus,
    PullRequest,
    PullState,
    Report,
    Review,
)

NAME = "gitea"
VERSION = "1"
DOCUMENTED = Documented(NAME, "/api/v1")

DESCRIPTION = 255
COMMENT = 200_000
_STATES = {
    CommitState.PENDING: "pending",
    CommitState.RUNNING: "pending",
    CommitState.SUCCESS: "success",
    CommitState.FAILURE: "failure",
    CommitState.ERROR: "error",
}


class _User(Said):
    login: str


class _Repository(Said):
    full_name: str


class _Ref(Said):
    ref: str
    sha: CommitId
    repo: _Repository | None = None


class _Pull(Said):
    number: Number
    state: str
    title: Title
    user: _User | None
    html_url: str
    base: _Ref
    head: _Ref
    draft: bool = False
    merged: bool = False
    merge_commit_sha: str | None = None
    merged_by: _User | None = None


class _Review(Said):
    user: _User | None
    state: str
    commit_id: str = ""
    submitted_at: datetime | None = None
    dismissed: bool = False


class _Comment(Said):
    id: Number
    user: _User | None
    body: Text


class Gitea(OneComment):
    """Plays ``Forge``."""

    name = NAME
    kind = "gitea"
    longest = COMMENT

    def __init__(self, line: Line, repository: str) -> None:
        self._line = line
        self._repository = repository
        self._root = "/repos/" + "/".join(quote(part, safe="") for part in repository.split("/"))
        self._me = ""

    async def tell(self, status: CommitStatus) -> None:
        said = {
            "state": _STATES[status.state],
            "context": status.context,
            "description": comments.fitting(status.description, DESCRIPTION),
            "target_url": status.url,
        }
        async with self._line.errand() as errand:
            path = f"{self._root}/statuses/{status.commit}"
            await errand.ask("POST", path, send=said, again=True)

    async def report(self, report: Report) -> None:
        await self.tell(report.status)

    async def _comments(self, errand: Errand, number: int, marker: str) -> list[Note]:
        if not self._me:
            self._me = (await errand.read(_User, "/user")).login
        # All at once: this list has no pages (``issueGetComments``).
        found = await errand.read(list[_Comment], f"{self._root}/issues/{number}/comments")
        notes = [Note(each.id, each.user.login, each.body) for each in found if each.user]
        return comments.ours(notes, self._me, marker)

    def _board(self, errand: Errand, number: int) -> Board:
        one = f"{self._root}/issues/comments"

        async def write(body: str) -> None:
            path = f"{self._root}/issues/{number}/comments"
            await errand.ask("POST", path, send={"body": body})

        async def edit(note: Note, body: str) -> None:
            await errand.ask("PATCH", f"{one}/{note.id}", send={"body": body}, again=True)

        async def remove(note: Note) -> None:
            await errand.ask("DELETE", f"{one}/{note.id}")

        return Board(write, edit, remove)

    async def pull(self, number: int) -> PullRequest:
        async with self._line.errand() as errand:
            try:
                found = await errand.read(_Pull, f"{self._root}/pulls/{number}")
            except Missing as missing:
                raise Unknown(f"there is no pull request {number}") from missing
            return await self._reviewed(errand, found)

    async def _reviewed(self, errand: Errand, found: _Pull) -> PullRequest:
        path = f"{self._root}/pulls/{found.number}/reviews"
        reviews = await errand.listed(_Review, path, query={"limit": 50})
        return replace(self._plain(found), reviews=decisive(reviews))

    async def open_pulls(self) -> Sequence[PullRequest]:
        async with self._line.errand() as errand:
            query: dict[str, str | int] = {"state": "open", "limit": 50}
            found = await errand.listed(_Pull, f"{self._root}/pulls", query=query)
            return tuple(self._plain(each) for each in found)

    async def pulls_of(self, commit: str) -> Sequence[PullRequest]:
        """The API names one at most (Gitea 1.22, Forgejo 7)."""
        async with self._line.errand() as errand:
            try:
                found = await errand.read(_Pull, f"{self._root}/commits/{commit}/pull")
            except (Missing, Unfit):
                return ()
            return (await self._reviewed(errand, found),) if found.merged else ()

    def _plain(self, found: _Pull) -> PullRequest:
        closed = PullState.MERGED if found.merged else PullState.CLOSED
        own = found.head.repo is not None and found.head.repo.full_name.casefold()
        return PullRequest(
            number=found.number,
            state=PullState.OPEN if found.state == "open" else closed,
            title=found.title,
            author=self._login(found.user),
            base=found.base.ref,
            head=found.head.sha,
            fork=own != self._repository.casefold(),
            url=link(found.html_url),
            draft=found.draft,
            merged_as=(found.merge_commit_sha or "") if found.merged else "",
            merger=self._login(found.merged_by),
        )

    def _login(self, user: _User | None) -> str:
        return login(self.kind, user.login if user else None)


def decisive(reviews: Sequence[_Review]) -> tuple[Review, ...]:
    """Pure: the last word of each reviewer; what was dismissed is none."""
    last: dict[str, Review] = {}
    for review in reviews:
        who = login(Gitea.kind, review.user.login if review.user else None)
        if not who or review.state not in ("APPROVED", "REQUEST_CHANGES"):
            continue
        if review.dismissed:
            last.pop(who, None)
        else:
            approves, at = review.state == "APPROVED", moment(review.submitted_at)
            last[who] = Review(who, approves, review.commit_id, at)
    return tuple(last.values())


def judge(options: Options) -> None:
    """Raises ConfigError for what no client can be made of."""
    target(options, DOCUMENTED)


def build(options: Options, services: Services) -> Gitea:
    """Raises ConfigError when the source's address names no repository of a forge."""
    found = target(options, DOCUMENTED)
    return Gitea(
        Line(found, signer(options, "token"), ca_file=options.credentials.ca_file),
        found.repository,
    )
