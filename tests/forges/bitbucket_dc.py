"""Bitbucket Data Center's REST API: builds, pull requests, activities, comments with versions."""

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
    a_link,
    at_most,
    wanted,
)

STATES = {"approve": "APPROVED", "reject": "NEEDS_WORK"}


class BitbucketDataCenterServer(Recording):
    kind = "bitbucket"
    prefix = "/rest/api/latest"

    def refusal(self, status: int, message: str) -> web.Response:
        return web.json_response({"errors": [{"message": message}]}, status=status)

    def routes(self) -> list[web.RouteDef]:
        root = f"{self.prefix}/projects/{OWNER}/repos/{REPOSITORY}"
        pull = root + "/pull-requests/{number:[0-9]+}"
        return [
            web.post(root + "/commits/{sha}/builds", self.status),
            web.get(root + "/commits/{sha}/pull-requests", self.pulls_of),
            web.get(root + "/pull-requests", self.list_pulls),
            web.get(pull, self.one_pull),
            web.get(pull + "/activities", self.activities),
            web.post(pull + "/comments", self.write_comment),
            web.put(pull + "/comments/{id:[0-9]+}", self.edit_comment),
            web.delete(pull + "/comments/{id:[0-9]+}", self.remove_comment),
        ]

    def paged(self, request: web.Request, entries: list[Any]) -> web.Response:
        start = int(request.query.get("start", "0"))
        size = min(int(request.query.get("limit", "25")), self.page)
        last = start + size >= len(entries)
        said = {
            "values": entries[start : start + size],
            "size": len(entries[start : start + size]),
            "start": start,
            "limit": size,
            "isLastPage": last,
            "nextPageStart": None if last else start + size,
        }
        return self._named(web.json_response(said))

    def _named(self, answer: web.Response) -> web.Response:
        answer.headers["X-AUSERNAME"] = self.me
        return answer

    async def status(self, request: web.Request) -> web.Response:
        said = wanted(request[BODY], key=str, state=str, url=str)
        if said["state"] not in ("SUCCESSFUL", "FAILED", "INPROGRESS", "CANCELLED", "UNKNOWN"):
            raise Refused(400, "state")
        told = Status(
            self.known(request.match_info["sha"]),
            at_most(said["key"], 255, "key"),
            said["state"],
            at_most(said.get("description", ""), 255, "description"),
            a_link(said["url"]),
        )
        self.statuses.append(told)
        return web.Response(status=204)

    async def pulls_of(self, request: web.Request) -> web.Response:
        commit = self.known(request.match_info["sha"])
        found = [p for p in self.pulls.values() if commit in (*p.commits, p.merged_as)]
        return self.paged(request, [self.shown(pull) for pull in found])

    async def list_pulls(self, request: web.Request) -> web.Response:
        found = [p for p in self.pulls.values() if p.state == request.query["state"].lower()]
        return self.paged(request, [self.shown(pull) for pull in found])

    async def one_pull(self, request: web.Request) -> web.Response:
        return self._named(web.json_response(self.shown(self.pull_of(request))))

    def shown(self, pull: Pull) -> dict[str, Any]:
        properties = {"mergeCommit": {"id": pull.merged_as}} if pull.merged_as else {}
        web_url = f"https://git.example/projects/{OWNER}/repos/{REPOSITORY}"
        return {
            "id": pull.number,
            "version": 3,
            "state": {"closed": "DECLINED"}.get(pull.state, pull.state.upper()),
            "title": pull.title,
            "author": {"user": {"name": pull.author}, "role": "AUTHOR", "status": "UNAPPROVED"},
            "fromRef": {
                "id": "refs/heads/topic",
                "displayId": "topic",
                "latestCommit": pull.head,
                "repository": {"id": 2 if pull.fork else 1},
            },
            "toRef": {
                "id": f"refs/heads/{pull.base}",
                "displayId": pull.base,
                "latestCommit": "a" * 40,
                "repository": {"id": 1},
            },
            "links": {"self": [{"href": f"{web_url}/pull-requests/{pull.number}"}]},
            "draft": pull.draft,
            "reviewers": [
                {
                    "user": {"name": login},
                    "role": "REVIEWER",
                    "status": STATES.get(verdict, "UNAPPROVED"),
                    "lastReviewedCommit": commit,
                }
                for login, verdict, commit, _ in pull.reviews
            ],
            "participants": [],
            "properties": properties,
        }

    async def activities(self, request: web.Request) -> web.Response:
        pull = self.pull_of(request)
        found: list[dict[str, Any]] = []
        if pull.state == "merged":
            merged: dict[str, Any] = {"action": "MERGED", "user": {"name": pull.merger}}
            if pull.merged_as:
                merged["commit"] = {"id": pull.merged_as}
            found.append(merged)
        found += (
            {
                "action": "COMMENTED",
                "commentAction": "ADDED",
                "user": {"name": comment.author},
                "comment": self.comment(comment),
            }
            for comment in reversed(self.comments.get(pull.number, []))
        )
        found.append({"action": "OPENED", "user": {"name": pull.author}})
        return self.paged(request, found)

    def comment(self, comment: Comment) -> dict[str, Any]:
        return {
            "id": comment.id,
            "version": comment.version,
            "text": comment.body,
            "author": {"name": comment.author},
        }

    async def write_comment(self, request: web.Request) -> web.Response:
        pull = self.pull_of(request)
        text = at_most(wanted(request[BODY], text=str)["text"], 32_768, "text")
        return web.json_response(self.comment(self.written(pull.number, text)), status=201)

    async def edit_comment(self, request: web.Request) -> web.Response:
        said = wanted(request[BODY], text=str, version=int)
        _, comment = self.comment_of(int(request.match_info["id"]))
        self._current(comment, said["version"])
        self.own(comment).body = said["text"]
        comment.version += 1
        return web.json_response(self.comment(comment))

    async def remove_comment(self, request: web.Request) -> web.Response:
        among, comment = self.comment_of(int(request.match_info["id"]))
        self._current(comment, int(request.query["version"]))
        among.remove(self.own(comment))
        return web.Response(status=204)

    def _current(self, comment: Comment, version: int) -> None:
        if comment.version != version:
            raise Refused(409, "You are attempting to modify a comment based on out-of-date info")
