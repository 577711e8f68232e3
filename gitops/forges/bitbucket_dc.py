"""Bitbucket Data Center, by its REST API (``/rest/api/latest``).

https://developer.atlassian.com/server/bitbucket/rest/. The HTTP access token needs the right to
read the repository (builds and comments need no more). Who merged is told by the pull request's
activities, for which head an approval was given by ``lastReviewedCommit``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, TypeVar
from urllib.parse import quote, urlencode

from pydantic import Field

from gitops.errors import Unknown
from gitops.forges import comments
from gitops.forges.comments import Board, Note, OneComment
from gitops.forges.line import MOST_PAGES, PAGE, Errand, Line, Missing, Query, few, too_many
from gitops.forges.settings import Documented, Options, signer, target
from gitops.forges.shapes import CommitId, Number, Said, Text, Title, is_commit, link, login, read
from gitops.plugins import Services
from gitops.ports.forges import (
    CommitState,
    CommitStatus,
    PullRequest,
    PullState,
    Report,
    Review,
)

NAME = "bitbucket-dc"
VERSION = "1"
DOCUMENTED = Documented(NAME, "/rest/api/latest")

DESCRIPTION = 255
COMMENT = 32_768
_STATES = {
    CommitState.PENDING: "INPROGRESS",
    CommitState.RUNNING: "INPROGRESS",
    CommitState.SUCCESS: "SUCCESSFUL",
    CommitState.FAILURE: "FAILED",
    CommitState.ERROR: "CANCELLED",
}
_PULLS = {"OPEN": PullState.OPEN, "MERGED": PullState.MERGED}
T = TypeVar("T")


class _Page(Said, Generic[T]):
    values: list[T]
    isLastPage: bool  # noqa: N815 - the forge's own word, as below
    nextPageStart: int | None = None  # noqa: N815


class _User(Said):
    name: str


class _Repository(Said):
    id: int


class _Ref(Said):
    displayId: str  # noqa: N815
    latestCommit: CommitId  # noqa: N815
    repository: _Repository


class _Participant(Said):
    user: _User
    status: str = "UNAPPROVED"
    lastReviewedCommit: str = ""  # noqa: N815


class _Link(Said):
    href: str


class _Links(Said):
    self: list[_Link] = Field(default_factory=list)


class _MergeCommit(Said):
    id: str


class _Properties(Said):
    mergeCommit: _MergeCommit | None = None  # noqa: N815


class _Pull(Said):
    id: Number
    state: str
    title: Title
    author: _Participant
    fromRef: _Ref  # noqa: N815
    toRef: _Ref  # noqa: N815
    links: _Links = _Links()
    draft: bool = False
    reviewers: list[_Participant] = Field(default_factory=list)
    participants: list[_Participant] = Field(default_factory=list)
    properties: _Properties = _Properties()


class _PullName(Said):
    id: Number
    state: str


class _Comment(Said):
    id: Number
    version: int
    text: Text
    author: _User


class _Became(Said):
    id: str


class _Activity(Said):
    action: str
    user: _User | None = None
    commentAction: str = ""  # noqa: N815
    comment: _Comment | None = None
    commit: _Became | None = None


class BitbucketDataCenter(OneComment):
    """Plays ``Forge``."""

    name = NAME
    kind = "bitbucket"
    longest = COMMENT

    def __init__(self, line: Line, repository: str) -> None:
        self._line = line
        project, _, slug = repository.partition("/")
        self._root = f"/projects/{quote(project, safe='~')}/repos/{quote(slug, safe='')}"
        base = line.api.removesuffix("/rest/api/latest").removesuffix("/rest/api/1.0")
        self._web = f"{base}{self._root}"
        self._me = ""

    async def tell(self, status: CommitStatus) -> None:
        """The same key again takes the place of what it said before. A link is required: without
        one of ours it is the commit's own page."""
        said = {
            "key": comments.fitting(status.context, 255),
            "state": _STATES[status.state],
            "name": comments.fitting(status.context, 255),
            "description": comments.fitting(status.description, DESCRIPTION),
            "url": status.url or f"{self._web}/commits/{status.commit}",
        }
        async with self._line.errand() as errand:
            path = f"{self._root}/commits/{status.commit}/builds"
            await errand.ask("POST", path, send=said, again=True)

    async def report(self, report: Report) -> None:
        await self.tell(report.status)

    async def _comments(self, errand: Errand, number: int, marker: str) -> list[Note]:
        """Comments are listed among the activities alone; every answer names who asked."""
        path = f"{self._root}/pull-requests/{number}"
        self._me = (await errand.ask("GET", path)).headers.get("x-ausername", "")
        found: dict[int, Note] = {}
        for each in await _all(errand, _Activity, f"{path}/activities"):
            if each.action != "COMMENTED" or each.comment is None:
                continue
            comment = each.comment
            if each.commentAction in ("ADDED", "UPDATED", ""):
                note = Note(comment.id, comment.author.name, comment.text, comment.version)
                found.setdefault(comment.id, note)
        return comments.ours(list(found.values()), self._me, marker)

    def _board(self, errand: Errand, number: int) -> Board:
        path = f"{self._root}/pull-requests/{number}/comments"

        async def write(body: str) -> None:
            await errand.ask("POST", path, send={"text": body})

        async def edit(note: Note, body: str) -> None:
            said = {"text": body, "version": note.version}
            await errand.ask("PUT", f"{path}/{note.id}", send=said)

        async def remove(note: Note) -> None:
            await errand.ask("DELETE", f"{path}/{note.id}", query={"version": note.version})

        return Board(write, edit, remove)

    async def pull(self, number: int) -> PullRequest:
        async with self._line.errand() as errand:
            try:
                return await self._pull(errand, number)
            except Missing as missing:
                raise Unknown(f"there is no pull request {number}") from missing

    async def _pull(self, errand: Errand, number: int) -> PullRequest:
        found = await errand.read(_Pull, f"{self._root}/pull-requests/{number}")
        pull = replace(self._plain(found), reviews=self._reviews(found))
        if pull.state is not PullState.MERGED:
            return pull
        path = f"{self._root}/pull-requests/{number}/activities"
        for each in await _all(errand, _Activity, path):
            if each.action == "MERGED":
                became = each.commit.id if each.commit else pull.merged_as
                merged_as = became if is_commit(became) else ""
                return replace(pull, merger=self._login(each.user), merged_as=merged_as)
        return pull

    async def open_pulls(self) -> Sequence[PullRequest]:
        async with self._line.errand() as errand:
            path = f"{self._root}/pull-requests"
            found = await _all(errand, _Pull, path, {"state": "OPEN"})
            return tuple(self._plain(each) for each in found)

    async def pulls_of(self, commit: str) -> Sequence[PullRequest]:
        async with self._line.errand() as errand:
            path = f"{self._root}/commits/{commit}/pull-requests"
            try:
                found = await _all(errand, _PullName, path)
            except Missing:
                return ()
            merged = [each.id for each in found if each.state == "MERGED"]
            return [await self._pull(errand, number) for number in few(merged)]

    def _plain(self, found: _Pull) -> PullRequest:
        state = _PULLS.get(found.state, PullState.CLOSED)
        became = found.properties.mergeCommit.id if found.properties.mergeCommit else ""
        return PullRequest(
            number=found.id,
            state=state,
            title=found.title,
            author=self._login(found.author.user),
            base=found.toRef.displayId,
            head=found.fromRef.latestCommit,
            fork=found.fromRef.repository.id != found.toRef.repository.id,
            url=link(found.links.self[0].href if found.links.self else ""),
            draft=found.draft,
            merged_as=became if state is PullState.MERGED and is_commit(became) else "",
        )

    def _reviews(self, found: _Pull) -> tuple[Review, ...]:
        last: dict[str, Review] = {}
        for each in (*found.participants, *found.reviewers):
            who = self._login(each.user)
            if who and each.status in ("APPROVED", "NEEDS_WORK"):
                last[who] = Review(who, each.status == "APPROVED", each.lastReviewedCommit)
        return tuple(last.values())

    def _login(self, user: _User | None) -> str:
        return login(self.kind, user.name if user else None)


async def _all(errand: Errand, kind: type[T], path: str, query: Query | None = None) -> list[T]:
    found: list[T] = []
    start = 0
    for _ in range(MOST_PAGES):
        asked = urlencode({**(query or {}), "start": start, "limit": PAGE})
        page = read(_Page[kind], (await errand.ask("GET", f"{path}?{asked}")).body)  # type: ignore[valid-type]
        found += page.values
        if page.isLastPage or page.nextPageStart is None or page.nextPageStart <= start:
            return found
        start = page.nextPageStart
    raise too_many()


def judge(options: Options) -> None:
    """Raises ConfigError for what no client can be made of."""
    target(options, DOCUMENTED)


def build(options: Options, services: Services) -> BitbucketDataCenter:
    """Raises ConfigError when the source's address names no repository at Bitbucket."""
    found = target(options, DOCUMENTED)
    line = Line(found, signer(options), ca_file=options.credentials.ca_file)
    return BitbucketDataCenter(line, found.repository)
