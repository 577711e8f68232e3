"""What renderers with a real tool share: a folder with exactly the closure, and the tool in it.

The tool sees a fresh private folder that we wrote, regular files only: no link to follow out of it,
nothing of the checkout it was not given. Must never let the folder's name reach a message.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from gitops.errors import ChildTimeout, RenderError
from gitops.model.ids import Digest, combine
from gitops.model.manifest import RenderedFile
from gitops.plugins import Services
from gitops.ports import Children, Command, Completed, Limits
from planners.render.cache import RenderCache

MAX_BYTES = 64 << 20
MAX_FILES = 10_000
LIMITS = Limits(seconds=60, memory=3 << 30, output=32 << 20, file_size=1 << 20)
"""A quarter of the memory can be written to (see gitops.children): 768 MiB."""


class Tool:
    """A renderer's program: found on first use, its version asked once."""

    def __init__(self, name: str, ask: Sequence[str], services: Services) -> None:
        self._name = name
        self._ask = tuple(ask)
        self._services = services
        self._known: tuple[Path, str] | None = None

    async def found(self) -> tuple[Path, str]:
        """(absolute path, version). Raises ToolMissing."""
        if self._known is None:
            path = await asyncio.to_thread(self._services.tool, self._name)
            command = Command((str(path), *self._ask), path.parent, limits=LIMITS)
            done = await self._services.children.run(command)
            version = done.stdout.decode("utf-8", "replace").strip()[:40] or "unknown"
            self._known = (path, version)
        return self._known


def render_cache(services: Services) -> RenderCache:
    return RenderCache(services.cache_dir / "render", services.cipher)


def check_size(files: Mapping[str, int], place: str) -> None:
    """Refuses more files or bytes than a rendering may read."""
    total = sum(files.values())
    if len(files) > MAX_FILES or total > MAX_BYTES:
        raise RenderError(
            f"reads {len(files):,} files of {total >> 20} MiB in all; "
            f"the limits are {MAX_FILES:,} files and {MAX_BYTES >> 20} MiB",
            place=place,
        )


async def in_scratch(
    files: Mapping[str, bytes],
    argv: Sequence[str],
    children: Children,
    place: str,
    limits: Limits = LIMITS,
) -> tuple[Completed, str]:
    """Writes ``files``, runs the command there, removes everything.

    Returns the result and the folder's name, which :func:`told` takes out of its messages. A
    child's error (a limit, the deadline) is raised at ``place``.
    """
    folder = Path(tempfile.mkdtemp(prefix="render-"))
    try:
        await asyncio.to_thread(_written, folder, files)
        command = Command(tuple(argv), folder, limits=limits, offline=True)
        return await children.run(command), str(folder)
    except (RenderError, ChildTimeout) as error:
        error.place = error.place or place
        raise
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _written(folder: Path, files: Mapping[str, bytes]) -> None:
    try:
        _write(folder, files)
    except OSError as error:
        name = str(error.filename or "").removeprefix(f"{folder}/")
        raise RenderError(
            f"the files cannot be laid out for rendering: {name[:200]}: {error.strerror}",
            hint="one name for a file and a folder, or a name too long?",
        ) from error


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)


# What tools quote from files may be a Secret's: patches, plugin configuration, long strings.
_QUOTED = re.compile(
    r"(?s)(?<=patch from )\[.*\]|`[^`]*\n[^`]*`|\[[^\]]{120,}\]|'[^']{200,}'|\"[^\"]{200,}\""
)


_LONGEST = 16 << 10
_LINES = 20_000
SHORTEST = 4
"""Characters: shorter values are in every word."""
_PARTS = re.compile(r"[\s:=,\[\]{}\"']+")
_VALUE = re.compile(r"(?<=[:=])\s*[^\s].*|(?<=-\s)\S.*")


def told(text: str, folder: str, limit: int = 400, values: Iterable[str] = ()) -> str:
    """A tool's complaint for people: no scratch path, no quoted file content, not endless.

    Tools print what they stumble over, ``values`` among it, and nobody has yet said which of them
    are secret: all are taken out, longest first (promise 7).
    """
    text = text[:_LONGEST]
    for name in (f"{folder}/", folder):
        text = text.replace(name, "")
    for value in sorted(set(values), key=len, reverse=True):
        text = text.replace(value, "<hidden>")
    text = _QUOTED.sub("[…]", text.strip()).removeprefix("Error: ")
    lines = [line for line in text.splitlines() if line.strip()]
    shown = "; ".join(line.strip() for line in lines[:4])
    return shown if len(shown) <= limit else f"{shown[:limit]} …"


def values_in(content: bytes) -> Iterator[str]:
    """Everything in a file that may be a value: what stands behind ``:``, ``=`` or ``-`` on its
    line, quotes left off, and the whole line. By line, since a file that does not parse is what
    errors are about."""
    for line in content.decode("utf-8", "replace").splitlines()[:_LINES]:
        whole = line.strip()
        behind = _VALUE.findall(whole)
        for found in (whole, *behind, *(part for each in behind for part in _PARTS.split(each))):
            bare = found.strip().strip("\"',[]{}").strip()
            if len(bare) >= SHORTEST:
                yield bare


def rendered_file(path: str, text: bytes) -> RenderedFile:
    """A template's output. Its id covers the text alone, as a blob's does."""
    return RenderedFile(path, text, oid_of(text), rendered=True)


def oid_of(text: bytes) -> Digest:
    return combine("rendered", text.decode("utf-8", "surrogateescape"))
