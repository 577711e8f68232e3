"""Which files of a source Terraform would read, and what they say.

Called by the rules. What cannot be read here is a :class:`Problem` with its place, and blocks: we
never let Terraform be the first to understand a file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gitops.hcl import jsonform, native
from gitops.hcl.tree import Body, Document, Unreadable
from gitops.model.sealed import SealedFile

MAX_FILE = 1 << 20
MAX_TOTAL = 4 << 20
"""Bytes of one root's language files. A large root has a tenth of it."""
MAX_WORDS = 150_000
"""Of all of them, words in texts included: 30 seconds at the worst (python-hcl2 reads 20,000 a
second, twice as slowly what is made of interpolations); a root of 10,000 lines has 50,000."""
_WORD = re.compile(rb"[\w-]+|\$\{")
_KEPT = 64 << 10
"""Bytes of a file whose parse is worth keeping."""

CONFIGURATION = (".tf", ".tf.json", ".tofu", ".tofu.json")
TESTS = (".tftest.hcl", ".tftest.json", ".tofutest.hcl", ".tofutest.json")
MOCKS = (".tfmock.hcl", ".tfmock.json", ".tofumock.hcl", ".tofumock.json")
VARIABLES = (".tfvars", ".tfvars.json")
LANGUAGE = (*CONFIGURATION, *TESTS, *MOCKS, *VARIABLES, ".hcl")
"""Everything that may be parsed."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that could not be read."""

    path: str
    line: int
    column: int
    message: str


def folder_of(path: str) -> str:
    return path.rpartition("/")[0]


def name_of(path: str) -> str:
    return path.rpartition("/")[2]


def under(path: str, folder: str) -> bool:
    """Is it beneath this folder? Everything is beneath the root, ``""``."""
    return not folder or path.startswith(f"{folder}/")


def is_language(path: str, kinds: tuple[str, ...]) -> bool:
    """Terraform passes over hidden files and editors' leftovers; ``.tf`` alone is no name."""
    name = name_of(path)
    return name.endswith(kinds) and not name.startswith((".", "#")) and not name.endswith("~")


class Reading:
    """The language files of one root, parsed as they are asked for and counted."""

    def __init__(self, files: Iterable[SealedFile]) -> None:
        self.files: Mapping[str, SealedFile] = {file.path: file for file in files}
        self.problems: dict[str, Problem] = {}
        self._documents: dict[str, Document] = {}
        self._folders: dict[str, list[str]] = {}
        for path in sorted(self.files):
            self._folders.setdefault(folder_of(path), []).append(path)
        self._total = self._words = 0

    def names(self, folder: str) -> Sequence[str]:
        """Paths of the files directly in a folder."""
        return self._folders.get(folder, ())

    def has(self, folder: str) -> bool:
        """Is there any file in it, at any depth?"""
        return any(not folder or under(each + "/", folder) for each in self._folders)

    def configuration(self, folder: str) -> list[Document]:
        """All ``.tf`` and ``.tofu`` files of a folder, either syntax; override files are read like
        the others, for all they say may come to count."""
        return self.documents([p for p in self.names(folder) if is_language(p, CONFIGURATION)])

    def documents(self, paths: Iterable[str]) -> list[Document]:
        found = (self.document(path) for path in paths)
        return [each for each in found if each is not None]

    def document(self, path: str) -> Document | None:
        """None when there is no such file, or :attr:`problems` says why it cannot be read."""
        if path in self._documents or path in self.problems or path not in self.files:
            return self._documents.get(path)
        content = self.files[path].content
        if not self._small(content):
            size = (
                f"{MAX_FILE >> 20} MiB a file, {MAX_TOTAL >> 20} MiB or {MAX_WORDS:,} words a root"
            )
            self.problems[path] = Problem(path, 0, 0, f"more than {size} are not read")
            return None
        try:
            body = parse(content, path)
        except Unreadable as error:
            line, column = native.Places(_text(content)).of(error.offset)
            self.problems[path] = Problem(path, line, column, error.message)
            return None
        self._documents[path] = Document(path, body)
        return self._documents[path]

    def _small(self, content: bytes) -> bool:
        self._total += len(content)
        if len(content) > MAX_FILE or self._total > MAX_TOTAL:
            return False
        self._words += sum(1 for _ in _WORD.finditer(content))
        return self._words <= MAX_WORDS


def parse(content: bytes, path: str) -> Body:
    """One file in the syntax its name tells. Raises Unreadable, its offset counted in characters
    of the decoded text."""
    form = path.endswith(".json")
    return _kept(content, form) if len(content) <= _KEPT else _parse(content, form)


@lru_cache(maxsize=128)
def _kept(content: bytes, form: bool) -> Body:
    return _parse(content, form)


def _parse(content: bytes, form: bool) -> Body:
    try:
        text = content.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8", "replace")
        raise Unreadable("the file is not UTF-8", len(before)) from None
    try:
        return jsonform.parse(text) if form else native.parse(text)
    except RecursionError:
        raise Unreadable("is nested too deeply") from None


def _text(content: bytes) -> str:
    return content.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
