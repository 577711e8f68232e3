"""Bitbucket Cloud's REST API 2.0: build statuses, pull requests, comments."""

from __future__ import annotations

import uuid
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

FULL = f"{OWNER}/{REPOSITORY}"


def uuid_of(name: str) -> str:
    """The account's UUID; names there are not unique."""
    return "{" + str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) + "}"


class BitbucketCloudServer(Recording):
    kind = "bitbucket"
    prefix = "/2.0"

    def __init__(self) -> None:
        super().__init__()
        self.repository_token = False
        """A repository's own token may not ask who it is."""

    def refusal(self, status: int, message: str) -> web.Response:
        return web.json_response({"type": "error", "error": {"message": message}}, status=status)

    def routes(self) -> list[web.RouteDef]:
        root = f"{self.prefix}/repositories/{OWNER}/{REPOSITORY}"
        comments = root + "/pullrequests/{number:[0-9]+}/comments"
        return [
            web.get(f"{self.prefix}/user", self.user),
            web.post(root + "/commit/{sha}/statuses/build", self.status),
            web.get(root + "/commit/{sha}", self.commit),
            web.get(root + "/commit/{sha}/pullrequests", self.pulls_of),
            web.get(root + "/pullrequests", self.list_pulls),
            web.get(root + "/pullrequests/{number:[0-9]+}", self.one_pull),
            web.get(comments, self.list_comments),
            web.post(comments, self.write_comment),
            web.put(comments + "/{id:[0-9]+}", self.edit_comment),
            web.delete(comments + "/{id:[0-9]+}", self.remove_comment),
        ]

    def paged(self, request: web.Request, entries: list[Any]) -> web.Response:
        page, size = int(request.query.get("page", "1")), self.page
        start = (page - 1) * size
        said: dict[str, Any] = {"values": entries[start : start + size], "page": page}
        if start + size < len(entries):
            said["next"] = str(request.url.update_query(page=str(page + 1)))
        return web.json_response(said)

    async def user(self, _request: web.Request) -> web.Response:
        if self.repository_token:
            raise Refused(403, "This API is only accessible to users")
        return web.json_response({"type": "user", "uuid": uuid_of(self.me), "nickname": self.me})

    async def status(self, request: web.Request) -> web.Response:
        said = wanted(request[BODY], key=str, state=str, url=str)
        if said["state"] not in ("INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"):
            raise Refused(400, "state: not a valid choice")
        if len(said["key"]) > 40:
            raise Refused(400, "key: Ensure this value has at most 40 characters")
        a_link(said["url"])
        told = Status(
            self.known(request.match_info["sha"]),
            at_most(said.get("name", said["key"]), 255, "name"),
            said["state"],
            at_most(said.get("description", ""), 255, "description"),
            said["url"],
        )
        self.statuses.append(told)
        return web.json_response(said, status=201)

    async def commit(self, request: web.Request) -> web.Response:
        short = request.match_info["sha"]
        for commit in self.commits:
            if commit.startswith(short):
                return web.json_response({"type": "commit", "hash": commit})
        raise Refused(404, "Commit not found")

    async def pulls_of(self, request: web.Request) -> web.Response:
        commit = self.known(request.match_info["sha"])
        found = [p for p in self.pulls.values() if commit in (*p.commits, p.merged_as)]
        short = [{"type": "pullrequest", "id": p.number, "title": p.title} for p in found]
        return self.paged(request, short)

    async def list_pulls(self, request: web.Request) -> web.Response:
        found = [p for p in self.pulls.values() if p.state == request.query["state"].lower()]
        return self.paged(request, [self.shown(pull) for pull in found])

    async def one_pull(self, request: web.Request) -> web.Response:
        return web.json_response(self.shown(self.pull_of(request)))

    def person(self, name: str) -> dict[str, Any] | None:
        return {"type": "user", "uuid": uuid_of(name), "nickname": "ada"} if name else None

    def shown(self, pull: Pull) -> dict[str, Any]:
        repository = "mallory/config" if pull.fork else FULL
        self.commits.add(pull.head)
        verdicts = {"approve": "approved", "reject": "changes_requested"}
        return {
            "type": "pullrequest",
            "id": pull.number,
            "state": {"closed": "DECLINED"}.get(pull.state, pull.state.upper()),
            "title": pull.title,
            "author": self.person(pull.author),
            "source": {
                "branch": {"name": "topic"},
                "commit": {"hash": pull.head[:12]},
                "repository": {"full_name": repository},
            },
            "destination": {
                "branch": {"name": pull.base},
                "commit": {"hash": "a" * 12},
                "repository": {"full_name": FULL},
            },
            "links": {
                "html": {"href": f"https://bitbucket.org/{FULL}/pull-requests/{pull.number}"}
            },
            "draft": pull.draft,
            "merge_commit": {"hash": pull.merged_as[:12]} if pull.merged_as else None,
            "closed_by": self.person(pull.merger),
            "participants": [
                {
                    "user": self.person(login),
                    "approved": verdict == "approve",
                    "state": verdicts.get(verdict),
                }
                for login, verdict, _, _ in pull.reviews
            ],
        }

    # --- comments -----------------------------------------------------------------------------

    def comment(self, comment: Comment) -> dict[str, Any]:
        return {
            "id": comment.id,
            "content": {"raw": comment.body},
            "user": self.person(comment.author),
            "deleted": False,
        }

    async def list_comments(self, request: web.Request) -> web.Response:
        self.pull_of(request)
        found = self.comments.get(int(request.match_info["number"]), [])
        inline = {
            "id": 1,
            "content": {"raw": "a remark"},
            "user": self.person(self.me),
            "deleted": False,
            "inline": {"path": "a.yaml", "to": 3},
        }
        return self.paged(request, [inline, *(self.comment(each) for each in found)])

    def _raw(self, request: web.Request) -> str:
        content = wanted(request[BODY], content=dict)["content"]
        return at_most(wanted(content, raw=str)["raw"], 32_768, "content")

    async def write_comment(self, request: web.Request) -> web.Response:
        pull = self.pull_of(request)
        written = self.written(pull.number, self._raw(request))
        return web.json_response(self.comment(written), status=201)

    async def edit_comment(self, request: web.Request) -> web.Response:
        _, comment = self.comment_of(int(request.match_info["id"]))
        self.own(comment).body = self._raw(request)
        return web.json_response(self.comment(comment))

    async def remove_comment(self, request: web.Request) -> web.Response:
        among, comment = self.comment_of(int(request.match_info["id"]))
        among.remove(self.own(comment))
        return web.Response(status=204)
