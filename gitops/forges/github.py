"""GitHub and GitHub Enterprise Server, by their REST API of version 2022-11-28.

https://docs.github.com/rest. What the credentials need: for a fine-grained token or an App
``Commit statuses: write``, ``Pull requests: write``, ``Contents: read``; an App may have
``Checks: write`` as well and then reports with remarks at file and line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from gitops.errors import Unknown
from gitops.forges import comments
from gitops.forges.comments import Board, Note, OneComment
from gitops.forges.github_app import HEADERS, app_signer
from gitops.forges.line import Denied, Errand, Line, Missing, Query, Unfit, few
from gitops.forges.settings import Documented, Options, signer, target
from gitops.forges.shapes import CommitId, Number, Said, Text, Title, link, login, moment, read
from gitops.plugins import Services
from gitops.ports.forges import (
    Annotation,
    CommitState,
    CommitStatus,
    PullRequest,
    PullState,
    Report,
    Review,
)

NAME = "github"
VERSION = "1"
DOCUMENTED = Documented(NAME, "/api/v3", "github.com", "https://api.github.com")

DESCRIPTION = 140
COMMENT = 65_536
SUMMARY = 65_535
ANNOTATIONS = 50
"""A request; more go into further requests, at most :data:`MOST_ANNOTATIONS` in all."""
MOST_ANNOTATIONS = 500
WEB_FLOW = "web-flow"
"""The account GitHub itself commits with; its commits carry GitHub's own signature."""

_STATES = {
    CommitState.PENDING: "pending",
    CommitState.RUNNING: "pending",
    CommitState.SUCCESS: "success",
    CommitState.FAILURE: "failure",
    CommitState.ERROR: "error",
}
_RUNS = {
    CommitState.PENDING: ("queued", ""),
    CommitState.RUNNING: ("in_progress", ""),
    CommitState.SUCCESS: ("completed", "success"),
    CommitState.FAILURE: ("completed", "failure"),
    CommitState.ERROR: ("completed", "cancelled"),
}


class _User(Said):
    login: str


class _Repository(Said):
    full_name: str


class _Ref(Said):
    ref: str
    sha: CommitId
    repo: _Repository | None


class _Pull(Said):
    number: Number
    state: str
    title: Title
    user: _User | None
    html_url: str
    base: _Ref
    head: _Ref
    draft: bool = False
    merged_at: datetime | None = None
    merge_commit_sha: str | None = None
    merged_by: _User | None = None


class _Review(Said):
    user: _User | None
    state: str
    commit_id: str | None = None
    submitted_at: datetime | None = None


class _App(Said):
    id: int


class _Comment(Said):
    id: Number
    user: _User | None
    body: Text | None = None
    performed_via_github_app: _App | None = None


class _Output(Said):
    annotations_count: int = 0


class _Run(Said):
    id: Number
    name: str
    status: str
    app: _App | None
    output: _Output


class _Runs(Said):
    check_runs: list[_Run]


class _Parent(Said):
    sha: CommitId


class _Verification(Said):
    verified: bool


class _GitCommit(Said):
    verification: _Verification | None = None


class _Commit(Said):
    sha: CommitId
    committer: _User | None
    parents: list[_Parent]
    commit: _GitCommit


class GitHub(OneComment):
    """Plays ``Forge``."""

    name = NAME
    kind = "github"
    longest = COMMENT

    def __init__(self, line: Line, repository: str, app: int = 0) -> None:
        self._line = line
        self._repository = repository
        self._root = "/repos/" + "/".join(quote(part, safe="") for part in repository.split("/"))
        self._app = app
        self._me = f"app {app}" if app else ""

    async def tell(self, status: CommitStatus) -> None:
        async with self._line.errand() as errand:
            await self._tell(errand, status)

    async def _tell(self, errand: Errand, status: CommitStatus) -> None:
        said = {
            "state": _STATES[status.state],
            "context": status.context,
            "description": comments.fitting(status.description, DESCRIPTION),
            **({"target_url": status.url} if status.url else {}),
        }
        path = f"{self._root}/statuses/{status.commit}"
        await errand.ask("POST", path, send=said, again=True)

    async def report(self, report: Report) -> None:
        async with self._line.errand() as errand:
            if self._app:
                try:
                    await self._run(errand, report)
                except Denied:  # the App was not given Checks
                    pass
                else:
                    return
            await self._tell(errand, report.status)

    async def _run(self, errand: Errand, report: Report) -> None:
        """Goes on with the run that is open; one that ended, or holds remarks already (they are
        only ever added to), is followed by a new one, which takes its place."""
        remarks = [_remark(each) for each in report.annotations[:MOST_ANNOTATIONS]]
        batches = [remarks[i : i + ANNOTATIONS] for i in range(0, len(remarks), ANNOTATIONS)]
        first, *rest = batches or [[]]
        open_ = await self._open_run(errand, report.status)
        said = _run_body(report, first)
        if open_ is None:
            said = {**said, "head_sha": report.status.commit}
            answer = await errand.ask("POST", f"{self._root}/check-runs", send=said)
            run = read(_Run, answer.body).id
        else:
            run = open_.id
            path = f"{self._root}/check-runs/{run}"
            await errand.ask("PATCH", path, send=said, again=True)
        for batch in rest:
            said = {"output": {**said["output"], "annotations": batch}}
            await errand.ask("PATCH", f"{self._root}/check-runs/{run}", send=said)

    async def _open_run(self, errand: Errand, status: CommitStatus) -> _Run | None:
        path = f"{self._root}/commits/{status.commit}/check-runs"
        query: Query = {"check_name": status.context, "filter": "latest", "per_page": 100}
        found = (await errand.read(_Runs, path, query=query)).check_runs
        for run in found:
            own = run.app is not None and run.app.id == self._app and run.name == status.context
            if own and run.status != "completed" and not run.output.annotations_count:
                return run
        return None

    async def _comments(self, errand: Errand, number: int, marker: str) -> list[Note]:
        if not self._me:
            self._me = (await errand.read(_User, "/user")).login
        found = await errand.listed(_Comment, f"{self._root}/issues/{number}/comments")
        notes = [Note(each.id, self._author(each), each.body or "") for each in found]
        return comments.ours(notes, self._me, marker)

    def _author(self, comment: _Comment) -> str:
        if self._app:
            app = comment.performed_via_github_app
            return f"app {app.id}" if app else ""
        return comment.user.login if comment.user else ""

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
                return await self._pull(errand, number)
            except Missing as missing:
                raise Unknown(f"there is no pull request {number}") from missing

    async def _pull(self, errand: Errand, number: int) -> PullRequest:
        found = await errand.read(_Pull, f"{self._root}/pulls/{number}")
        reviews = await errand.listed(_Review, f"{self._root}/pulls/{number}/reviews")
        pull = replace(self._plain(found), reviews=decisive(reviews))
        if not pull.merged_as:
            return pull
        made = await self._made_by_forge(errand, pull.merged_as, pull.head)
        return replace(pull, made_by_forge=made)

    async def _made_by_forge(self, errand: Errand, commit: str, head: str) -> bool:
        """GitHub signs what it commits itself. A merge of its own has GitHub as committer, and as
        its second parent the pull request's head. Whoever edits a file in the browser makes a
        commit with one parent; whoever resolves conflicts there, one whose text is theirs: with two
        parents, and itself the head where it was then brought over by a plain push."""
        try:
            found = await errand.read(_Commit, f"{self._root}/commits/{commit}")
        except (Missing, Unfit):
            return False
        signed = found.commit.verification is not None and found.commit.verification.verified
        by = found.committer.login if found.committer else ""
        merges = [parent.sha for parent in found.parents[1:]] == [head] and commit != head
        return signed and by == WEB_FLOW and merges and found.sha == commit

    async def open_pulls(self) -> Sequence[PullRequest]:
        async with self._line.errand() as errand:
            found = await errand.listed(_Pull, f"{self._root}/pulls", query={"state": "open"})
            return tuple(self._plain(each) for each in found)

    async def pulls_of(self, commit: str) -> Sequence[PullRequest]:
        async with self._line.errand() as errand:
            try:
                found = await errand.listed(_Pull, f"{self._root}/commits/{commit}/pulls")
            except (Missing, Unfit):  # 422: no commit of that id here
                return ()
            merged = [each.number for each in found if each.merged_at is not None]
            return [await self._pull(errand, number) for number in few(merged)]

    def _plain(self, found: _Pull) -> PullRequest:
        merged = found.merged_at is not None
        state = PullState.MERGED if merged else PullState.CLOSED
        own = found.head.repo is not None and found.head.repo.full_name.casefold()
        return PullRequest(
            number=found.number,
            state=PullState.OPEN if found.state == "open" else state,
            title=found.title,
            author=self._login(found.user),
            base=found.base.ref,
            head=found.head.sha,
            fork=own != self._repository.casefold(),
            url=link(found.html_url),
            draft=found.draft,
            merged_as=(found.merge_commit_sha or "") if merged else "",
            merger=self._login(found.merged_by),
        )

    def _login(self, user: _User | None) -> str:
        return login(self.kind, user.login if user else None)


def decisive(reviews: Sequence[_Review]) -> tuple[Review, ...]:
    """Pure: the last word of each reviewer; remarks are none, and what was dismissed is gone."""
    last: dict[str, Review] = {}
    for review in reviews:
        who = login(GitHub.kind, review.user.login if review.user else None)
        if review.state == "DISMISSED":
            last.pop(who, None)
        elif who and review.state in ("APPROVED", "CHANGES_REQUESTED"):
            approves = review.state == "APPROVED"
            at = moment(review.submitted_at)
            last[who] = Review(who, approves, review.commit_id or "", at)
    return tuple(last.values())


def _remark(annotation: Annotation) -> dict[str, Any]:
    levels = {"failure": "failure", "warning": "warning"}
    return {
        "path": annotation.path,
        "start_line": max(annotation.line, 1),
        "end_line": max(annotation.line, 1),
        "annotation_level": levels.get(annotation.severity, "notice"),
        "message": comments.fitting(annotation.message, 8_000) or "…",
        **({"title": comments.fitting(annotation.title, 255)} if annotation.title else {}),
    }


def _run_body(report: Report, remarks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    status, conclusion = _RUNS[report.status.state]
    return {
        "name": report.status.context,
        "status": status,
        **({"conclusion": conclusion} if conclusion else {}),
        **({"details_url": report.status.url} if report.status.url else {}),
        "output": {
            "title": comments.fitting(report.status.description, 255),
            "summary": comments.fitting(report.summary, SUMMARY),
            **({"annotations": list(remarks)} if remarks else {}),
        },
    }


def judge(options: Options) -> None:
    """Raises ConfigError for what no client can be made of."""
    target(options, DOCUMENTED)


def build(options: Options, services: Services) -> GitHub:
    """Raises ConfigError when the source's address names no repository at GitHub."""
    found = target(options, DOCUMENTED)
    app = None if options.token else options.credentials.github_app
    sign = app_signer(options, services.app_token) or signer(options)
    line = Line(found, sign, ca_file=options.credentials.ca_file, headers=HEADERS)
    return GitHub(line, found.repository, app.app_id if app else 0)
