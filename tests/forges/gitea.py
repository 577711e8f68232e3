"""The API v1 of Gitea and Forgejo: statuses, pulls, reviews, comments."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from tests.forges.server import (
    BODY,
    OWNER,
    REPOSITORY,
    Comment,
    Pull,
    Recording,
    Refused,
    Status,
    wanted,
)

FULL = f"{OWNER}/{REPOSITORY}"
VERDICTS = {"approve": "APPROVED", "reject": "REQUEST_CHANGES", "remark": "COMMENT"}


class GiteaServer(Recording):
    kind = "gitea"
    prefix = "/api/v1"

    def signed(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"token {self.token}"

    def routes(self) -> list[web.RouteDef]:
        root = f"{self.prefix}/repos/{OWNER}/{REPOSITORY}"
        return [
            web.get(f"{self.prefix}/user", self.user),
            web.post(root + "/statuses/{sha}", self.status),
            web.get(root + "/commits/{sha}/pull", self.pull_of_commit),
            web.get(root + "/pulls", self.list_pulls),
            web.get(root + "/pulls/{number:[0-9]+}", self.one_pull),
            web.get(root + "/pulls/{number:[0-9]+}/reviews", self.reviews),
            web.get(root + "/issues/{number:[0-9]+}/comments", self.list_comments),
            web.post(root + "/issues/{number:[0-9]+}/comments", self.write_comment),
            web.patch(root + "/issues/comments/{id:[0-9]+}", self.edit_comment),
            web.delete(root + "/issues/comments/{id:[0-9]+}", self.remove_comment),
        ]

    async def user(self, _request: web.Request) -> web.Response:
        return web.json_response({"id": 7, "login": self.me})

    async def status(self, request: web.Request) -> web.Response:
        said = wanted(request[BODY], state=str, context=str)
        if said["state"] not in ("pending", "success", "error", "failure", "warning"):
            raise Refused(422, "unknown state")
        told = Status(
            self.known(request.match_info["sha"]),
            said["context"],
            said["state"],
            said.get("description", ""),
            said.get("target_url", ""),
        )
        self.statuses.append(told)
        return web.json_response({"id": next(self._ids), "status": said["state"]}, status=201)

    async def pull_of_commit(self, request: web.Request) -> web.Response:
        commit = self.known(request.match_info["sha"])
        for pull in self.pulls.values():
            if pull.state == "merged" and commit in (*pull.commits, pull.merged_as):
                return web.json_response(self.shown(pull))
        raise Refused(404, "The target couldn't be found.")

    async def list_pulls(self, request: web.Request) -> web.Response:
        found = [p for p in self.pulls.values() if p.state == request.query.get("state", "open")]
        return self.paged(request, [self.shown(pull) for pull in found])

    async def one_pull(self, request: web.Request) -> web.Response:
        return web.json_response(self.shown(self.pull_of(request)))

    async def reviews(self, request: web.Request) -> web.Response:
        found = [
            {
                "id": next(self._ids),
                "user": {"login": login},
                "state": VERDICTS.get(verdict, "APPROVED"),
                "dismissed": verdict == "dismissed",
                "commit_id": commit,
                "submitted_at": at,
            }
            for login, verdict, commit, at in self.pull_of(request).reviews
        ]
        return self.paged(request, found)

    def shown(self, pull: Pull) -> dict[str, Any]:
        merged = pull.state == "merged"
        head = {"full_name": "mallory/config"} if pull.fork else {"full_name": FULL}
        return {
            "number": pull.number,
            "state": "open" if pull.state == "open" else "closed",
            "title": pull.title,
            "user": {"login": pull.author} if pull.author else None,
            "html_url": f"https://gitea.example/{FULL}/pulls/{pull.number}",
            "base": {"ref": pull.base, "sha": "a" * 40, "repo": {"full_name": FULL}},
            "head": {"ref": "topic", "sha": pull.head, "repo": head},
            "draft": pull.draft,
            "merged": merged,
            "merge_commit_sha": pull.merged_as or None,
            "merged_by": {"login": pull.merger} if pull.merger else None,
        }

    # --- comments -----------------------------------------------------------------------------

    def comment(self, comment: Comment) -> dict[str, Any]:
        return {"id": comment.id, "user": {"login": comment.author}, "body": comment.body}

    async def list_comments(self, request: web.Request) -> web.Response:
        self.pull_of(request)
        found = self.comments.get(int(request.match_info["number"]), [])
        return web.json_response([self.comment(each) for each in found])

    async def write_comment(self, request: web.Request) -> web.Response:
        pull = self.pull_of(request)
        body = wanted(request[BODY], body=str)["body"]
        return web.json_response(self.comment(self.written(pull.number, body)), status=201)

    async def edit_comment(self, request: web.Request) -> web.Response:
        _, comment = self.comment_of(int(request.match_info["id"]))
        self.own(comment).body = wanted(request[BODY], body=str)["body"]
        return web.json_response(self.comment(comment))

    async def remove_comment(self, request: web.Request) -> web.Response:
        among, comment = self.comment_of(int(request.match_info["id"]))
        among.remove(self.own(comment))
        return web.Response(status=204)
