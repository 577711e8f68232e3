"""GitHub's REST API, version 2022-11-28: statuses, check runs, issue comments, pulls."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.forges.server import (
    BODY,
    OWNER,
    REPOSITORY,
    SHA,
    Comment,
    Pull,
    Recording,
    Refused,
    Status,
    a_link,
    at_most,
    wanted,
)

FULL = f"{OWNER}/{REPOSITORY}"
VERDICTS = {
    "approve": "APPROVED",
    "reject": "CHANGES_REQUESTED",
    "remark": "COMMENTED",
    "dismissed": "DISMISSED",
}


@dataclass
class Run:
    id: int
    name: str
    commit: str
    status: str
    conclusion: str
    output: dict[str, Any]
    annotations: list[dict[str, Any]] = field(default_factory=list)


class GitHubServer(Recording):
    kind = "github"

    def __init__(self) -> None:
        super().__init__()
        self.app = 0
        """The App whose installation token is used; 0: a person's token."""
        self.checks = True
        self.runs: list[Run] = []
        self.made_here: set[str] = set()
        """Commits GitHub made and signed itself."""
        self.second_parent = "b" * 40
        """Of those; usually the head of the pull request merged."""

    def refusal(self, status: int, message: str) -> web.Response:
        said = {"message": message, "documentation_url": "https://docs.github.com/rest"}
        return web.json_response(said, status=status)

    def routes(self) -> list[web.RouteDef]:
        root = f"/repos/{OWNER}/{REPOSITORY}"
        return [
            web.get("/user", self.user),
            web.post(root + "/statuses/{sha}", self.status),
            web.get(root + "/commits/{sha}", self.commit),
            web.get(root + "/commits/{sha}/pulls", self.pulls_of),
            web.get(root + "/commits/{sha}/check-runs", self.list_runs),
            web.post(root + "/check-runs", self.create_run),
            web.patch(root + "/check-runs/{id:[0-9]+}", self.update_run),
            web.get(root + "/pulls", self.list_pulls),
            web.get(root + "/pulls/{number:[0-9]+}", self.one_pull),
            web.get(root + "/pulls/{number:[0-9]+}/reviews", self.reviews),
            web.get(root + "/issues/{number:[0-9]+}/comments", self.list_comments),
            web.post(root + "/issues/{number:[0-9]+}/comments", self.write_comment),
            web.patch(root + "/issues/comments/{id:[0-9]+}", self.edit_comment),
            web.delete(root + "/issues/comments/{id:[0-9]+}", self.remove_comment),
        ]

    async def user(self, _request: web.Request) -> web.Response:
        if self.app:
            raise Refused(403, "Resource not accessible by integration")
        return web.json_response({"login": self.me, "id": 7})

    async def status(self, request: web.Request) -> web.Response:
        said = wanted(request[BODY], state=str)
        commit = request.match_info["sha"]
        if commit not in self.commits:
            raise Refused(422, f"No commit found for SHA: {commit}")
        if said["state"] not in ("error", "failure", "pending", "success"):
            raise Refused(422, "Validation Failed")
        if said.get("target_url") is not None:
            a_link(said["target_url"])
        told = Status(
            commit,
            at_most(said.get("context", "default"), 255, "context"),
            said["state"],
            at_most(said.get("description") or "", 140, "description"),
            said.get("target_url") or "",
        )
        self.statuses.append(told)
        return web.json_response({"id": next(self._ids), **said}, status=201)

    async def commit(self, request: web.Request) -> web.Response:
        commit = request.match_info["sha"]
        if commit not in self.commits:
            raise Refused(422, f"No commit found for SHA: {commit}")
        here = commit in self.made_here
        return web.json_response(
            {
                "sha": commit,
                "committer": {"login": "web-flow" if here else "ada"},
                "parents": [{"sha": "1" * 40}, {"sha": self.second_parent}],
                "commit": {"message": "…", "verification": {"verified": here}},
            }
        )

    async def pulls_of(self, request: web.Request) -> web.Response:
        commit = request.match_info["sha"]
        if commit not in self.commits:
            raise Refused(422, f"No commit found for SHA: {commit}")
        found = [p for p in self.pulls.values() if commit in (*p.commits, p.merged_as)]
        return self.paged(request, [self.shown(pull, merged_by=False) for pull in found])

    async def list_pulls(self, request: web.Request) -> web.Response:
        found = [p for p in self.pulls.values() if p.state == request.query.get("state", "open")]
        return self.paged(request, [self.shown(pull, merged_by=False) for pull in found])

    async def one_pull(self, request: web.Request) -> web.Response:
        return web.json_response(self.shown(self.pull_of(request), merged_by=True))

    async def reviews(self, request: web.Request) -> web.Response:
        found = [
            {
                "id": next(self._ids),
                "user": {"login": login} if login else None,
                "state": VERDICTS[verdict],
                "commit_id": commit,
                "submitted_at": at,
            }
            for login, verdict, commit, at in self.pull_of(request).reviews
        ]
        return self.paged(request, found)

    def shown(self, pull: Pull, *, merged_by: bool) -> dict[str, Any]:
        merged = pull.state == "merged"
        head = {"full_name": "mallory/config"} if pull.fork else {"full_name": FULL}
        said: dict[str, Any] = {
            "number": pull.number,
            "state": "open" if pull.state == "open" else "closed",
            "title": pull.title,
            "user": {"login": pull.author} if pull.author else None,
            "html_url": f"https://github.com/{FULL}/pull/{pull.number}",
            "base": {"ref": pull.base, "sha": "a" * 40, "repo": {"full_name": FULL}},
            "head": {"ref": "topic", "sha": pull.head, "repo": head},
            "draft": pull.draft,
            "merged_at": "2026-01-02T03:04:05Z" if merged else None,
            "merge_commit_sha": pull.merged_as or None,
        }
        if merged_by:
            said["merged_by"] = {"login": pull.merger} if pull.merger else None
        return said

    # --- comments -----------------------------------------------------------------------------

    def comment(self, comment: Comment) -> dict[str, Any]:
        ours = bool(self.app) and comment.author == self.me
        return {
            "id": comment.id,
            "user": {"login": comment.author},
            "body": comment.body,
            "performed_via_github_app": {"id": self.app} if ours else None,
        }

    async def list_comments(self, request: web.Request) -> web.Response:
        self.pull_of(request)
        found = self.comments.get(int(request.match_info["number"]), [])
        return self.paged(request, [self.comment(each) for each in found])

    async def write_comment(self, request: web.Request) -> web.Response:
        pull = self.pull_of(request)
        body = at_most(wanted(request[BODY], body=str)["body"], 65_536, "body")
        return web.json_response(self.comment(self.written(pull.number, body)), status=201)

    async def edit_comment(self, request: web.Request) -> web.Response:
        _, comment = self.comment_of(int(request.match_info["id"]))
        self.own(comment).body = at_most(wanted(request[BODY], body=str)["body"], 65_536, "body")
        return web.json_response(self.comment(comment))

    async def remove_comment(self, request: web.Request) -> web.Response:
        among, comment = self.comment_of(int(request.match_info["id"]))
        among.remove(self.own(comment))
        return web.Response(status=204)

    # --- check runs ---------------------------------------------------------------------------

    async def list_runs(self, request: web.Request) -> web.Response:
        name = request.query.get("check_name")
        found = [r for r in self.runs if r.commit == request.match_info["sha"] and r.name == name]
        latest = found[-1:] if request.query.get("filter", "latest") == "latest" else found
        return web.json_response(
            {"total_count": len(latest), "check_runs": [self.run(each) for each in latest]}
        )

    def run(self, run: Run) -> dict[str, Any]:
        return {
            "id": run.id,
            "name": run.name,
            "head_sha": run.commit,
            "status": run.status,
            "conclusion": run.conclusion or None,
            "app": {"id": self.app},
            "output": {**run.output, "annotations_count": len(run.annotations)},
        }

    async def create_run(self, request: web.Request) -> web.Response:
        said = wanted(request[BODY], name=str, head_sha=str)
        if not SHA.match(said["head_sha"]) or said["head_sha"] not in self.commits:
            raise Refused(422, "No commit found for SHA")
        run = Run(next(self._ids), said["name"], said["head_sha"], "queued", "", {})
        self._apply(run, said)
        self.runs.append(run)
        return web.json_response(self.run(run), status=201)

    async def update_run(self, request: web.Request) -> web.Response:
        for run in self.runs:
            if run.id == int(request.match_info["id"]):
                self._apply(run, wanted(request[BODY]))
                return web.json_response(self.run(run))
        raise Refused(404, "Not Found")

    def _apply(self, run: Run, said: dict[str, Any]) -> None:
        if not self.app or not self.checks:
            raise Refused(403, "You must authenticate via a GitHub App.")
        status = said.get("status", run.status)
        conclusion = said.get("conclusion", run.conclusion)
        if status not in ("queued", "in_progress", "completed"):
            raise Refused(422, "Invalid status")
        if (status == "completed") != bool(conclusion):
            raise Refused(422, "conclusion goes with completed")
        output = said.get("output")
        remarks = (output or {}).get("annotations", [])
        if output is not None:
            wanted(output, title=str, summary=str)
            at_most(output["summary"], 65_535, "summary")
        if len(remarks) > 50:
            raise Refused(422, "No more than 50 annotations")
        for remark in remarks:
            wanted(remark, path=str, start_line=int, end_line=int, message=str)
            if remark.get("annotation_level") not in ("notice", "warning", "failure"):
                raise Refused(422, "Invalid annotation_level")
        run.status, run.conclusion = status, conclusion
        run.output = {k: v for k, v in (output or run.output).items() if k != "annotations"}
        run.annotations += remarks
