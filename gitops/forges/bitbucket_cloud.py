"""Bitbucket Cloud, by its REST API 2.0.

https://developer.atlassian.com/cloud/bitbucket/rest/. The token needs the scopes ``repository``,
``pullrequest:write`` and ``account``; an account's API token goes with the account's e-mail as
``username`` under ``credentials:``. People are known by their UUID (``bitbucket:{…}``): names there
can be changed to anybody's. An approval does not say for which head it was given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Generic, TypeVar
from urllib.parse import quote

from pydantic import Field

from gitops.errors import Transient, Unknown
from gitops.forges import comments
from gitops.forges.comments import Board, Note, OneComment
from gitops.forges.line import MOST_PAGES, Denied, Errand, Line, Missing, few, too_many
from gitops.forges.settings import Documented, Options, basic_signer, target
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

NAME = "bitbucket-cloud"
VERSION = "1"
DOCUMENTED = Documented(NAME, "", "bitbucket.org", "https://api.bitbucket.org/2.0")

DESCRIPTION = 255
COMMENT = 32_768
KEY = 40
"""Characters; a longer key is refused, so a digest takes its place."""
_STATES = {
    CommitState.PENDING: "INPROGRESS",
    CommitState.RUNNING: "INPROGRESS",
    CommitState.SUCCESS: "SUCCESSFUL",
    CommitState.FAILURE: "FAILED",
    CommitState.ERROR: "STOPPED",
}
_PULLS = {"OPEN": PullState.OPEN, "MERGED": PullState.MERGED}
T = TypeVar("T")


class _Page(Said, Generic[T]):
    values: list[T]
    next: str = ""


class _User(Said):
    uuid: str


class _Hash(Said):
    hash: str


class _Branch(Said):
    name: str


class _Repository(Said):
    full_name: str


class _End(Said):
    branch: _Branch
    commit: _Hash | None = None
    repository: _Repository | None = None


class _Link(Said):
    href: str


class _Links(Said):
    html: _Link | None = None


class _Participant(Said):
    user: _User | None
    approved: bool = False
    state: str | None = None


class _Pull(Said):
    id: Number
    state: str
    title: Title
    author: _User | None
    source: _End
    destination: _End
    links: _Links
    draft: bool = False
    merge_commit: _Hash | None = None
    closed_by: _User | None = None
    participants: list[_Participant] = Field(default_factory=list)


class _PullName(Said):
    id: Number


class _Commit(Said):
    hash: CommitId


class _Content(Said):
    raw: Text


class _Comment(Said):
    id: Number
    content: _Content
    user: _User | None = None
    deleted: bool = False
    inline: dict[str, object] | None = None


class BitbucketCloud(OneComment):
    """Plays ``Forge``."""

    name = NAME
    kind = "bitbucket"
    longest = COMMENT

    def __init__(self, line: Line, repository: str) -> None:
        self._line = line
        self._repository = repository
        quoted = "/".join(quote(part, safe="") for part in repository.split("/"))
        self._root = f"/repositories/{quoted}"
        self._web = f"https://bitbucket.org/{quoted}"
        self._me = ""

    async def tell(self, status: CommitStatus) -> None:
        """The same key again takes the place of what it said before. A link is required: without
        one of ours it is the commit's own page."""
        said = {
            "key": key_of(status.context),
            "state": _STATES[status.state],
            "name": comments.fitting(status.context, 255),
            "description": comments.fitting(status.description, DESCRIPTION),
            "url": status.url or f"{self._web}/commits/{status.commit}",
        }
        async with self._line.errand() as errand:
            path = f"{self._root}/commit/{status.commit}/statuses/build"
            await errand.ask("POST", path, send=said, again=True)

    async def report(self, report: Report) -> None:
        await self.tell(report.status)

    async def _comments(self, errand: Errand, number: int, marker: str) -> list[Note]:
        await self._introduce(errand)
        found = await _all(errand, _Comment, f"{self._root}/pullrequests/{number}/comments")
        notes = [
            Note(each.id, each.user.uuid, each.content.raw)
            for each in found
            if each.user and not each.deleted and each.inline is None
        ]
        return comments.ours(notes, self._me, marker)

    async def _introduce(self, errand: Errand) -> None:
        """A repository's own token may not ask who it is: it learns it from its first comment."""
        if not self._me:
            try:
                self._me = (await errand.read(_User, "/user")).uuid
            except (Denied, Missing):
                return

    def _board(self, errand: Errand, number: int) -> Board:
        path = f"{self._root}/pullrequests/{number}/comments"

        async def write(body: str) -> None:
            answer = await errand.ask("POST", path, send={"content": {"raw": body}})
            written = read(_Comment, answer.body)
            if not self._me and written.user:
                self._me = written.user.uuid

        async def edit(note: Note, body: str) -> None:
            await errand.ask("PUT", f"{path}/{note.id}", send={"content": {"raw": body}})

        async def remove(note: Note) -> None:
            await errand.ask("DELETE", f"{path}/{note.id}")

        return Board(write, edit, remove)

    async def pull(self, number: int) -> PullRequest:
        async with self._line.errand() as errand:
            try:
                return await self._pull(errand, number)
            except Missing as missing:
                raise Unknown(f"there is no pull request {number}") from missing

    async def _pull(self, errand: Errand, number: int) -> PullRequest:
        found = await errand.read(_Pull, f"{self._root}/pullrequests/{number}")
        return replace(await self._plain(errand, found), reviews=decisive(found.participants))

    async def open_pulls(self) -> Sequence[PullRequest]:
        async with self._line.errand() as errand:
            path = f"{self._root}/pullrequests?state=OPEN&pagelen=50"
            found = await _all(errand, _Pull, path)
            return tuple([await self._plain(errand, each) for each in found])

    async def pulls_of(self, commit: str) -> Sequence[PullRequest]:
        """Needs the app "Pull Request Commit Links" in the workspace: without it Bitbucket answers
        404, and nothing is known."""
        async with self._line.errand() as errand:
            try:
                path = f"{self._root}/commit/{commit}/pullrequests"
                found = await _all(errand, _PullName, path)
            except Missing:
                return ()
            numbers = few([each.id for each in found])
            pulls = [await self._pull(errand, number) for number in numbers]
            return [pull for pull in pulls if pull.state is PullState.MERGED]

    async def _plain(self, errand: Errand, found: _Pull) -> PullRequest:
        state = _PULLS.get(found.state, PullState.CLOSED)
        own = found.source.repository and found.source.repository.full_name.casefold()
        became = ""
        if state is PullState.MERGED and found.merge_commit:
            became = await self._whole(errand, found.merge_commit.hash)
        return PullRequest(
            number=found.id,
            state=state,
            title=found.title,
            author=self._login(found.author),
            base=found.destination.branch.name,
            head=await self._whole(errand, found.source.commit.hash if found.source.commit else ""),
            fork=own != self._repository.casefold(),
            url=link(found.links.html.href if found.links.html else ""),
            draft=found.draft,
            merged_as=became,
            merger=self._login(found.closed_by) if state is PullState.MERGED else "",
        )

    async def _whole(self, errand: Errand, hash: str) -> str:
        """Pull requests name commits by their first twelve digits."""
        if not hash or is_commit(hash):
            return hash
        try:
            path = f"{self._root}/commit/{quote(hash, safe='')}"
            found = (await errand.read(_Commit, path)).hash
        except Missing:  # a fork's, or one that is gone
            return ""
        return found if found.startswith(hash) else ""

    def _login(self, user: _User | None) -> str:
        return login(self.kind, user.uuid if user else None)


async def _all(errand: Errand, kind: type[T], path: str) -> list[T]:
    found: list[T] = []
    answer = await errand.ask("GET", path)
    for _ in range(MOST_PAGES):
        if answer.status == 202:  # documented for the pull requests of a commit, while it indexes
            raise Transient("the forge is still looking that up (202)", retry_after=5.0)
        page = read(_Page[kind], answer.body)  # type: ignore[valid-type]
        found += page.values
        if not page.next:
            return found
        answer = await errand.follow(page.next)
    raise too_many()


def key_of(context: str) -> str:
    """Pure: what Bitbucket takes as key for a context."""
    if len(context) <= KEY:
        return context
    return "gitops-" + hashlib.blake2b(context.encode(), digest_size=16).hexdigest()


def decisive(participants: Sequence[_Participant]) -> tuple[Review, ...]:
    """Pure: who approved, and who asked for changes."""
    found = []
    for each in participants:
        who = login(BitbucketCloud.kind, each.user.uuid if each.user else None)
        if who and (each.approved or each.state == "changes_requested"):
            found.append(Review(who, each.approved))
    return tuple(found)


def judge(options: Options) -> None:
    """Raises ConfigError for what no client can be made of."""
    target(options, DOCUMENTED)


def build(options: Options, services: Services) -> BitbucketCloud:
    """Raises ConfigError when the source's address names no repository at Bitbucket."""
    found = target(options, DOCUMENTED)
    line = Line(found, basic_signer(options), ca_file=options.credentials.ca_file)
    return BitbucketCloud(line, found.repository)
