"""How the API writes an answer: any value of ours as JSON. Called by every module of routes.

A large one takes seconds to write, so it is written off the loop, and in pieces: the interpreter
lets go of nobody else in the middle of one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from fastapi.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from gitops.jsonable import Json, to_json

WRITERS = 2
"""Answers that are written at once."""
LARGEST_PAGE = 500


def page_size(limit: int) -> int:
    """How many rows a list gives that was asked for ``limit``: 1 to LARGEST_PAGE."""
    return max(1, min(limit, LARGEST_PAGE))


class _Written(JSONResponse):
    """Written when it is sent. Foreign names may hold what UTF-8 cannot (lone surrogates); ASCII
    JSON escapes it."""

    def __init__(self, value: Any) -> None:
        self._value = value
        super().__init__(None)

    def render(self, content: Any) -> bytes:
        del content
        return b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        self.body = await loop.run_in_executor(_writers(), written, self._value)
        self.headers["content-length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def as_json(value: Any) -> JSONResponse:
    """A model value, or a mapping or list of them; nothing that still changes."""
    return _Written(value)


def written(value: Any) -> bytes:
    return "".join(_pieces(to_json(value), 2)).encode("ascii")


def _pieces(value: Json, depth: int) -> Iterator[str]:
    """``depth``: levels down to which what is inside is a piece of its own."""
    if not depth or not isinstance(value, dict | list):
        yield json.dumps(value, allow_nan=False, separators=(",", ":"))
        return
    pairs = value.items() if isinstance(value, dict) else ((None, each) for each in value)
    yield "{" if isinstance(value, dict) else "["
    for place, (key, each) in enumerate(pairs):
        yield "," * bool(place) + (f"{json.dumps(key)}:" if isinstance(value, dict) else "")
        yield from _pieces(each, depth - 1)
    yield "}" if isinstance(value, dict) else "]"


@cache
def _writers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WRITERS, thread_name_prefix="json")
