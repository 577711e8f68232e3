"""Pure: which paths of an archive or an index are taken.

Each is judged before a byte of its content is looked at: the checks that Python's own archive
filters make were got around more than once, and they are about one disk's rules, not about what a
person approving a change can tell apart. Called by :mod:`.unpack` and by the web source's index.
"""

from __future__ import annotations

import unicodedata

from gitops.errors import SourceProblem
from gitops.foreign import one_line, readable
from gitops.sources.fetched import Bounds, unfit

MAX_NAME = 255
"""Bytes of one part of a path, as file systems have it."""
MAX_PATH = 4096
MAX_DEPTH = 64


class Names:
    """The paths of one tree, taken one by one."""

    def __init__(self, bounds: Bounds, place: str, strip: int = 0) -> None:
        self._bounds = bounds
        self._place = place
        self._strip = strip
        self._files: set[str] = set()
        self._folders: dict[str, str] = {"": ""}
        """As written, by what it is on a disk that knows no case and one way to write ``é``."""
        self._count = 0

    def folder(self, name: str) -> None:
        """Judges a folder's entry; folders exist by the files in them."""
        self._counted()
        path = self._path(name.removesuffix("/"), folder=True)
        if path:
            self._enter(path, name)

    def file(self, name: str) -> str:
        """The path it gets; empty for one that is passed over (``.git``, as a folder's is).
        Raises SourceProblem."""
        self._counted()
        path = self._path(name)
        if ".git" in path.split("/"):
            return ""
        self._enter(path.rpartition("/")[0], name)
        twin = self._folders.get(_folded(path))
        if path in self._files:
            raise self._refused(name, "occurs twice")
        if twin is not None:
            raise self._refused(name, f"is the same name as {_quoted(twin)} on many disks")
        self._folders[_folded(path)] = path
        self._files.add(path)
        return path

    def _counted(self) -> None:
        self._count += 1
        if self._count > self._bounds.entries:
            raise unfit(f"it holds over {self._bounds.entries:,} entries", self._place)

    def _path(self, name: str, *, folder: bool = False) -> str:
        if name.startswith("/"):
            raise self._refused(name, "is absolute")
        if "\\" in name or readable(name) != name or any(ord(char) < 32 for char in name):
            raise self._refused(name, "holds characters that no file name should")
        parts = name.split("/")
        while parts and parts[0] == ".":
            parts = parts[1:]
        if any(part in ("", ".", "..") for part in parts) or (not parts and not folder):
            raise self._refused(name, "is no path inside it")
        if len(parts) > MAX_DEPTH:
            raise self._refused(name, f"is deeper than {MAX_DEPTH} folders")
        if len(name.encode()) > MAX_PATH or any(len(p.encode()) > MAX_NAME for p in parts):
            raise self._refused(name, f"is longer than {MAX_NAME} bytes in one part")
        if len(parts) <= self._strip and not folder:
            raise self._refused(name, f"does not lie in {self._strip} folders that can be cut off")
        return "/".join(parts[self._strip :])

    def _enter(self, folder: str, name: str) -> None:
        """Every folder on the way is a folder, and written as it was before."""
        path = ""
        for part in folder.split("/") if folder else ():
            path = f"{path}/{part}" if path else part
            known = self._folders.setdefault(_folded(path), path)
            if path in self._files:
                raise self._refused(name, f"lies in {_quoted(path)}, which is a file")
            if known != path:
                raise self._refused(name, f"is in a folder also written {_quoted(known)}")

    def _refused(self, name: str, why: str) -> SourceProblem:
        return unfit(f"the name {_quoted(name)} {why}", self._place)


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path.casefold())


def _quoted(name: str) -> str:
    return f"“{one_line(name, 120)}”"
