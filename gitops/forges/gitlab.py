"""GitLab, by its REST API v4.

https://docs.gitlab.com/api/. The token needs the scope ``api`` and the role Developer. GitLab has
no remarks at file and line for others to write, and does not say for which head an approval was
given: reports are statuses alone, and a review's ``commit`` stays empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import quote

from pydantic import Field

from gitops.errors import Unknown
from gitops.forges import comments
from gitops.forges.comments import Board, Note, OneComment
from gitops.forges.line import Denied, Errand, Line, Missing, Unfit, few
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

NAME = "gitlab"
VERSION = "1"
DOCUMENTED = Documented(NAME, "/api/v4", "gitlab.com", "https://gitlab.com/api/v4", parts=(2, 20))

DESCRIPTION = 255
COMMENT = 1_000_000
_STATES = {
    CommitState.PENDING: "pending",
    CommitState.RUNNING: "running",
    CommitState.SUCCESS: "success",
    CommitState.FAILURE: "failed",
    CommitState.ERROR: "canceled",
}
_PULLS = {"opened": PullState.OPEN, "merged": PullState.MERGED}


class _User(Said):
    username: str


class _Request(Said):
    iid: Number
    state: str
    title: Title
    author: _User | None
    web_url: str
    target_branch: str
    sha: CommitId | None
    source_project_id: int | None
    target_project_id: int
    draft: bool = False
    merge_commit_sha: str | None = None
    squash_commit_sha: str | None = None
    merge_user: _User | None = None


class _Approval(Said):
    user: _User | None


class _Approvals(Said):
    approved_by: list[_Approval] = Field(default_factory=list)


class _Note(Said):
    id: Number
    body: Text
    author: _User
    system: bool = False


class _Status(Said):
    name: str
    status: str
    description: Text | None = None
    target_url: str | None = None


class GitLab(OneComment):
    """Plays ``Forge``."""

    name = NAME
    kind = "gitlab"
    longest = COMMENT

    def __init__(self, line: Line, repository: str) -> None:
        self._line = line
        self._root = f"/projects/{quote(repository, safe='')}"
        self._me = ""

    async def tell(self, status: CommitStatus) -> None:
        """GitLab moves a status by transitions and refuses the same state twice (its service
        ``CreateCommitStatusService``): what stands in the way is ended first."""
        async with self._line.errand() as errand:
            try:
                await self._post(errand, status, _STATES[status.state])
            except Unfit as unfit:
                if b"Cannot transition" not in unfit.said:
                    raise
                if not await self._stands(errand, status):
                    await self._post(errand, status, "canceled")
                    await self._post(errand, status, _STATES[status.state])

    async def _post(self, errand: Errand, status: CommitStatus, state: str) -> None:
        said = {
            "state": state,
            "name": status.context,
            "description": comments.fitting(status.description, DESCRIPTION),
            **({"target_url": status.url} if status.url else {}),
        }
        path = f"{self._root}/statuses/{status.commit}"
        await errand.ask("POST", path, send=said, again=True)

    async def _stands(self, errand: Errand, status: CommitStatus) -> bool:
        path = f"{self._root}/repository/commits/{status.commit}/statuses"
        found = await errand.listed(_Status, path, query={"name": status.context})
        wanted = comments.fitting(status.description, DESCRIPTION)
        return any(
            (each.name, each.status, each.description or "", each.target_url or "")
            == (status.context, _STATES[status.state], wanted, status.url)
            for each in found
        )

    async def report(self, report: Report) -> None:
        await self.tell(report.status)

    async def _comments(self, errand: Errand, number: int, marker: str) -> list[Note]:
        if not self._me:
            self._me = (await errand.read(_User, "/user")).username
        found = await errand.listed(_Note, f"{self._root}/merge_requests/{number}/notes")
        notes = [
            Note(each.id, each.author.username, each.body) for each in found if not each.system
        ]
        return comments.ours(notes, self._me, marker)

    def _board(self, errand: Errand, number: int) -> Board:
        path = f"{self._root}/merge_requests/{number}/notes"

        async def write(body: str) -> None:
            await errand.ask("POST", path, send={"body": body})

        async def edit(note: Note, body: str) -> None:
            await errand.ask("PUT", f"{path}/{note.id}", send={"body": body})

        async def remove(note: Note) -> None:
            await errand.ask("DELETE", f"{path}/{note.id}")

        return Board(write, edit, remove)

    async def pull(self, number: int) -> PullRequest:
        async with self._line.errand() as errand:
            try:
                return await self._pull(errand, number)
            except Missing as missing:
                raise Unknown(f"there is no merge request {number}") from missing

    async def _pull(self, errand: Errand, number: int) -> PullRequest:
        found = await errand.read(_Request, f"{self._root}/merge_requests/{number}")
        return replace(self._plain(found), reviews=await self._reviews(errand, number))

    async def _reviews(self, errand: Errand, number: int) -> tuple[Review, ...]:
        try:
            told = await errand.ask("GET", f"{self._root}/merge_requests/{number}/approvals")
        except (Missing, Denied):  # an edition without approvals
            return ()
        found = read(_Approvals, told.body).approved_by
        logins = [self._login(each.user) for each in found]
        return tuple(Review(each, approves=True) for each in dict.fromkeys(logins) if each)

    async def open_pulls(self) -> Sequence[PullRequest]:
        async with self._line.errand() as errand:
            query = {"state": "opened"}
            found = await errand.listed(_Request, f"{self._root}/merge_requests", query=query)
            return tuple(self._plain(each) for each in found if each.sha)

    async def pulls_of(self, commit: str) -> Sequence[PullRequest]:
        async with self._line.errand() as errand:
            path = f"{self._root}/repository/commits/{commit}/merge_requests"
            try:
                found = await errand.listed(_Request, path)
            except Missing:
                return ()
            merged = [each.iid for each in found if each.state == "merged"]
            return [await self._pull(errand, number) for number in few(merged)]

    def _plain(self, found: _Request) -> PullRequest:
        state = _PULLS.get(found.state, PullState.CLOSED)
        became = found.merge_commit_sha or found.squash_commit_sha or found.sha or ""
        return PullRequest(
            number=found.iid,
            state=state,
            title=found.title,
            author=self._login(found.author),
            base=found.target_branch,
            head=found.sha or "",
            fork=found.source_project_id != found.target_project_id,
            url=link(found.web_url),
            draft=found.draft,
            merged_as=became if state is PullState.MERGED and is_commit(became) else "",
            merger=self._login(found.merge_user),
        )

    def _login(self, user: _User | None) -> str:
        return login(self.kind, user.username if user else None)


def judge(options: Options) -> None:
    """Raises ConfigError for what no client can be made of."""
    target(options, DOCUMENTED)


def build(options: Options, services: Services) -> GitLab:
    """Raises ConfigError when the source's address names no project at GitLab."""
    found = target(options, DOCUMENTED)
    return GitLab(
        Line(found, signer(options), ca_file=options.credentials.ca_file), found.repository
    )
