"""What every recording forge has in common: one repository, its account, its faults, its record.

Each forge's own file adds the routes as that forge documents them. The server runs on a thread of
its own, so that stories in this process and controllers in another may both speak to it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Self

from aiohttp import web

OWNER, REPOSITORY = "acme", "config"
TOKEN = "s3cret-forge-token-0123456789"
SHA = re.compile(r"[0-9a-f]{40}\Z")
BODY = web.RequestKey("body", Any)


@dataclass
class Pull:
    number: int
    title: str = "Change something"
    author: str = "ada"
    base: str = "main"
    head: str = "b" * 40
    state: str = "open"
    """open, merged or closed"""
    draft: bool = False
    fork: bool = False
    merged_as: str = ""
    merger: str = ""
    reviews: list[tuple[str, str, str, str]] = field(default_factory=list)
    """(login, verdict, commit, time): verdict is approve, reject, remark or dismissed."""
    commits: list[str] = field(default_factory=list)


@dataclass
class Comment:
    id: int
    author: str
    body: str
    version: int = 0


@dataclass(frozen=True)
class Status:
    """As it was told, in the forge's own words."""

    commit: str
    context: str
    state: str
    description: str
    url: str


@dataclass
class Fault:
    status: int
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    path: str = ""
    """Only requests whose path holds this."""
    method: str = ""
    after: bool = False
    """The effect happens, the answer is lost."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    body: Any


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """What the real forge refuses."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Recording:
    """A forge with one repository, ``acme/config``, of which the account ``gitops-bot`` has a
    token."""

    kind: ClassVar[str]
    prefix: ClassVar[str] = ""
    """Path of the API on the host."""

    def __init__(self) -> None:
        self.token = TOKEN
        self.me = "gitops-bot"
        self.page = 100
        """Most entries of a page, whatever is asked for."""
        self.commits: set[str] = set()
        self.pulls: dict[int, Pull] = {}
        self.comments: dict[int, list[Comment]] = {}
        self.statuses: list[Status] = []
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self._ids = itertools.count(1000)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._runner: web.AppRunner | None = None
        self.port = 0

    # --- what a story does with it ------------------------------------------------------------

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.prefix}"

    def latest(self) -> dict[str, tuple[str, str]]:
        """Context → (state, description), as people see it."""
        return {each.context: (each.state, each.description) for each in self.statuses}

    def merged(self, number: int, *, commits: list[str], **more: Any) -> Pull:
        """A pull request that brought these commits."""
        self.commits.update(commits)
        pull = Pull(number, state="merged", commits=commits, **more)
        self.pulls[number] = pull
        return pull

    def down(self) -> None:
        """Nothing listens any more."""
        self._call(self._stop())

    def up(self) -> None:
        """It listens again, at the address it had."""
        self._call(self._start())

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.up()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.down()
        assert self._thread is not None
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    # --- how it runs --------------------------------------------------------------------------

    def _call(self, work: Any) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _start(self) -> None:
        if self._runner is not None:
            return
        app = web.Application(middlewares=[self._guard], client_max_size=8 << 20)
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]

    async def _stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def _guard(self) -> Any:
        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            text = await request.text()
            request[BODY] = json.loads(text) if text else None
            self.requests.append(Request(request.method, request.path_qs, request[BODY]))
            fault = self._fault(request)
            answer = None if fault and not fault.after else await self._answer(request, handler)
            if fault is not None:
                return web.Response(status=fault.status, body=fault.body, headers=fault.headers)
            assert answer is not None
            return answer

        return guard

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.signed(request):
            return self.refusal(401, "Bad credentials")
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return self.refusal(404, "Not Found")
        except Refused as refused:
            return self.refusal(refused.status, refused.message)

    def _fault(self, request: web.Request) -> Fault | None:
        for fault in self.faults:
            meant = fault.path in request.path and fault.method in ("", request.method)
            if fault.times and meant:
                fault.times -= 1
                return fault
        return None

    # --- what a forge's own file says ---------------------------------------------------------

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    def signed(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.token}"

    def refusal(self, status: int, message: str) -> web.Response:
        return web.json_response({"message": message}, status=status)

    # --- parts --------------------------------------------------------------------------------

    def known(self, commit: str) -> str:
        if commit not in self.commits:
            raise Refused(404, "Commit Not Found")
        return commit

    def pull_of(self, request: web.Request) -> Pull:
        found = self.pulls.get(int(request.match_info["number"]))
        if found is None:
            raise Refused(404, "Not Found")
        return found

    def paged(self, request: web.Request, entries: list[Any]) -> web.Response:
        """A page with RFC 8288 links, as GitHub, GitLab and Gitea send them."""
        page = int(request.query.get("page", "1"))
        asked = request.query.get("per_page", request.query.get("limit", "30"))
        size = min(int(asked), self.page)
        start = (page - 1) * size
        headers = {}
        if start + size < len(entries):
            after = request.url.update_query(page=str(page + 1))
            headers["Link"] = f'<{after}>; rel="next", <{request.url}>; rel="first"'
        return web.json_response(entries[start : start + size], headers=headers)

    def written(self, number: int, body: str) -> Comment:
        comment = Comment(next(self._ids), self.me, body)
        self.comments.setdefault(number, []).append(comment)
        return comment

    def comment_of(self, id: int) -> tuple[list[Comment], Comment]:
        for comments in self.comments.values():
            for comment in comments:
                if comment.id == id:
                    return comments, comment
        raise Refused(404, "Not Found")

    def own(self, comment: Comment) -> Comment:
        if comment.author != self.me:
            raise Refused(403, "Must be the author")
        return comment


def wanted(body: Any, /, **fields: type) -> dict[str, Any]:
    """The fields of a body, each there and of its type."""
    if not isinstance(body, dict):
        raise Refused(400, "Body should be a JSON object")
    for name, kind in fields.items():
        if not isinstance(body.get(name), kind):
            raise Refused(422, f"{name} is missing or of another type")
    return body


def at_most(text: str, limit: int, what: str) -> str:
    if len(text) > limit:
        raise Refused(422, f"{what} is too long (maximum is {limit} characters)")
    return text


def a_link(text: str) -> str:
    if not re.match(r"https?://\S+\Z", text):
        raise Refused(422, "Enter a valid URL.")
    return text
