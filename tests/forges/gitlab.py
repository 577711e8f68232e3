"""GitLab's REST API v4: statuses with their transitions, merge requests, notes, approvals."""

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

_ALLOWED = {
    "pending": ("",),
    "running": ("", "pending"),
    "success": ("", "pending", "running"),
    "failed": ("", "pending", "running"),
    "canceled": ("", "pending", "running"),
    "skipped": ("", "pending"),
}
"""From which states each may be entered; a status that ended is followed by a new one."""
_EVENTS = {"pending": "enqueue", "running": "run"}


class GitLabServer(Recording):
    kind = "gitlab"
    prefix = "/api/v4"

    def __init__(self) -> None:
        super().__init__()
        self.approvals = True

    def routes(self) -> list[web.RouteDef]:
        root = f"{self.prefix}/projects/{OWNER}%2F{REPOSITORY}"
        requests = root + "/merge_requests"
        return [
            web.get(f"{self.prefix}/user", self.user),
            web.post(root + "/statuses/{sha}", self.status),
            web.get(root + "/repository/commits/{sha}/statuses", self.list_statuses),
            web.get(root + "/repository/commits/{sha}/merge_requests", self.pulls_of),
            web.get(requests, self.list_pulls),
            web.get(requests + "/{number:[0-9]+}", self.one_pull),
            web.get(requests + "/{number:[0-9]+}/approvals", self.list_approvals),
            web.get(requests + "/{number:[0-9]+}/notes", self.list_notes),
            web.post(requests + "/{number:[0-9]+}/notes", self.write_note),
            web.put(requests + "/{number:[0-9]+}/notes/{id:[0-9]+}", self.edit_note),
            web.delete(requests + "/{number:[0-9]+}/notes/{id:[0-9]+}", self.remove_note),
        ]

    async def user(self, _request: web.Request) -> web.Response:
        return web.json_response({"id": 7, "username": self.me})

    def present(self, commit: str, name: str) -> Status | None:
        found = [s for s in self.statuses if (s.commit, s.context) == (commit, name)]
        return found[-1] if found else None

    async def status(self, request: web.Request) -> web.Response:
        said = wanted(request[BODY], state=str)
        commit = self.known(request.match_info["sha"])
        name = said.get("name") or said.get("context") or "default"
        state = said["state"]
        if state not in _ALLOWED:
            raise Refused(400, "state does not have a valid value")
        if said.get("target_url"):
            a_link(said["target_url"])
        last = self.present(commit, name)
        before = last.state if last and last.state in ("pending", "running") else ""
        if before not in _ALLOWED[state]:
            event = _EVENTS.get(state, state)
            raise Refused(
                400,
                f"Cannot transition status via :{event} from :{before} "
                f'(Reason(s): Status cannot transition via "{event}")',
            )
        description = at_most(said.get("description") or "", 255, "description")
        told = Status(commit, name, state, description, said.get("target_url") or "")
        self.statuses.append(told)
        return web.json_response({"id": next(self._ids), "status": state, "name": name}, status=201)

    async def list_statuses(self, request: web.Request) -> web.Response:
        commit = self.known(request.match_info["sha"])
        latest = {s.context: s for s in self.statuses if s.commit == commit}
        wanted_name = request.query.get("name")
        found = [
            {
                "name": each.context,
                "status": each.state,
                "description": each.description or None,
                "target_url": each.url or None,
            }
            for each in latest.values()
            if wanted_name in (None, each.context)
        ]
        return self.paged(request, found)

    async def pulls_of(self, request: web.Request) -> web.Response:
        commit = self.known(request.match_info["sha"])
        found = [p for p in self.pulls.values() if commit in (*p.commits, p.merged_as)]
        return self.paged(request, [self.shown(pull) for pull in found])

    async def list_pulls(self, request: web.Request) -> web.Response:
        states = {"opened": "open", "merged": "merged", "closed": "closed"}
        found = [p for p in self.pulls.values() if p.state == states[request.query["state"]]]
        return self.paged(request, [self.shown(pull) for pull in found])

    async def one_pull(self, request: web.Request) -> web.Response:
        return web.json_response(self.shown(self.pull_of(request)))

    async def list_approvals(self, request: web.Request) -> web.Response:
        if not self.approvals:
            raise Refused(404, "404 Not Found")
        approved = [r[0] for r in self.pull_of(request).reviews if r[1] == "approve"]
        return web.json_response({"approved_by": [{"user": {"username": u}} for u in approved]})

    def shown(self, pull: Pull) -> dict[str, Any]:
        return {
            "id": pull.number + 9000,
            "iid": pull.number,
            "state": {"open": "opened"}.get(pull.state, pull.state),
            "title": pull.title,
            "author": {"username": pull.author} if pull.author else None,
            "web_url": f"https://gitlab.com/{OWNER}/{REPOSITORY}/-/merge_requests/{pull.number}",
            "target_branch": pull.base,
            "sha": pull.head,
            "source_project_id": 2 if pull.fork else 1,
            "target_project_id": 1,
            "draft": pull.draft,
            "merge_commit_sha": pull.merged_as or None,
            "squash_commit_sha": None,
            "merge_user": {"username": pull.merger} if pull.merger else None,
        }

    # --- notes --------------------------------------------------------------------------------

    def note(self, comment: Comment) -> dict[str, Any]:
        return {
            "id": comment.id,
            "body": comment.body,
            "author": {"username": comment.author},
            "system": False,
        }

    async def list_notes(self, request: web.Request) -> web.Response:
        self.pull_of(request)
        found = self.comments.get(int(request.match_info["number"]), [])
        moved = {"id": 1, "body": "added 1 commit", "author": {"username": "ada"}, "system": True}
        return self.paged(request, [moved, *(self.note(each) for each in reversed(found))])

    async def write_note(self, request: web.Request) -> web.Response:
        pull = self.pull_of(request)
        body = at_most(wanted(request[BODY], body=str)["body"], 1_000_000, "body")
        return web.json_response(self.note(self.written(pull.number, body)), status=201)

    async def edit_note(self, request: web.Request) -> web.Response:
        _, comment = self.comment_of(int(request.match_info["id"]))
        self.own(comment).body = wanted(request[BODY], body=str)["body"]
        return web.json_response(self.note(comment))

    async def remove_note(self, request: web.Request) -> web.Response:
        among, comment = self.comment_of(int(request.match_info["id"]))
        among.remove(self.own(comment))
        return web.Response(status=204)
