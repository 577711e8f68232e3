"""Keeps one comment of ours on a pull request, whatever was lost on the way.

An answer that is lost after its effect leaves a second comment, a restart forgets the first one's
id: so ours are found by their marker every time, the oldest is edited and the others go. A
stranger's comment with our marker is a stranger's comment. Used by every client.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from gitops.forges.line import Errand, Line, Missing


@dataclass(frozen=True, slots=True)
class Note:
    """A comment as far as it matters."""

    id: int
    author: str
    """The account that wrote it, as the forge names accounts to themselves."""
    body: str
    version: int = 0
    """Bitbucket Data Center edits only what it was shown."""


@dataclass(frozen=True, slots=True)
class Board:
    """What a client can do with comments of one pull request."""

    write: Callable[[str], Awaitable[None]]
    edit: Callable[[Note, str], Awaitable[None]]
    remove: Callable[[Note], Awaitable[None]]


def ours(notes: Sequence[Note], me: str, marker: str) -> list[Note]:
    """Pure: comments this account wrote that hold the marker, oldest first."""
    mine = (note for note in notes if note.author == me and marker in note.body)
    return sorted(mine, key=lambda note: note.id) if me else []


async def settle(board: Board, mine: Sequence[Note], body: str) -> None:
    """Exactly one of them is there afterwards, with this body."""
    if not mine:
        await board.write(body)
        return
    first, *others = mine
    if first.body != body:
        await board.edit(first, body)
    await clear(board, others)


async def clear(board: Board, notes: Sequence[Note]) -> None:
    """None of these is there afterwards."""
    for note in notes:
        with contextlib.suppress(Missing):
            await board.remove(note)


def fitting(text: str, limit: int) -> str:
    """Cut visibly to what the forge takes, in characters."""
    if len(text) <= limit:
        return text
    end = "…"
    return text[: limit - len(end)] + end


class OneComment(ABC):
    """The half of ``Forge`` that is about the one comment, for a client that can list and write."""

    longest: ClassVar[int]
    """Characters of a comment."""
    _line: Line

    @abstractmethod
    async def _comments(self, errand: Errand, number: int, marker: str) -> list[Note]:
        """Ours of a pull request. Raises Missing when there is none."""

    @abstractmethod
    def _board(self, errand: Errand, number: int) -> Board: ...

    async def comment(self, number: int, marker: str, body: str) -> None:
        async with self._line.errand() as errand:
            mine = await self._comments(errand, number, marker)
            await settle(self._board(errand, number), mine, fitting(body, self.longest))

    async def uncomment(self, number: int, marker: str) -> None:
        async with self._line.errand() as errand:
            try:
                mine = await self._comments(errand, number, marker)
            except Missing:
                return
            await clear(self._board(errand, number), mine)
