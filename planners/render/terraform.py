"""Terraform roots: not rendered, but read, exactly as far as the tool will see them.

What an approval covers of a root is its files, byte for byte: its folder with everything beneath,
the local modules it reaches, and its variable files. The tool is given these and no checkout. Only
for applications that say ``terraform:``; nothing of the code is run or judged here.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gitops import hcl
from gitops.closures import Recorder, normalise
from gitops.errors import RenderError
from gitops.hcl.reading import under
from gitops.model.ids import combine
from gitops.model.manifest import Desired, RenderedFile
from gitops.model.sealed import SealedFile
from gitops.model.source import Entry, EntryKind
from gitops.plugins import Services
from gitops.ports import RenderJob, Snapshot
from planners.render.names import legible
from planners.render.scratch import check_size

NAME = "terraform"
VERSION = "1"

_LANGUAGE = (".tf", ".tf.json", ".tofu", ".tofu.json")
_LEFT_OUT = (".git", ".terraform")
"""Folders of tools. What ``init`` once fetched into the root's own is refused, not passed over."""


@dataclass(frozen=True, slots=True)
class Options:
    """None: what a root is, and what it may do, is said under ``terraform:``."""


def build(options: Options, services: Services) -> Terraform:
    return Terraform(services)


class Terraform:
    """Renderer (:class:`gitops.ports.Renderer`)."""

    name = NAME
    version = VERSION

    def __init__(self, services: Services) -> None:
        self._digest = services.digester.of

    def detects(self, snapshot: Snapshot, path: str) -> bool:
        """Does Terraform code lie in the folder? It makes no application a root by itself."""
        return any(each.path.endswith(_LANGUAGE) for each in snapshot.children(path))

    async def render(self, job: RenderJob) -> Desired:
        return await asyncio.to_thread(self._render, job)

    def _render(self, job: RenderJob) -> Desired:
        spec = job.application.terraform
        path = job.application.path
        if spec is None:
            hint = "add `terraform: {}` to the application in the fleet file"
            raise RenderError("Terraform code, but no Terraform application", hint=hint, place=path)
        files = _Files(Recorder(job.snapshot), path)
        files.gather(spec.variable_files)
        found = files.rendered()
        parts = [part for file in found for part in _identity(file)]
        digest = self._digest("\0".join(["terraform", *parts]).encode("utf-8", "surrogateescape"))
        closure = files.recorder.closure([combine(NAME, VERSION, *spec.variable_files)])
        return Desired((), closure, digest, f"{NAME} {VERSION}", found)


def _identity(file: RenderedFile) -> Iterator[str]:
    yield file.path
    yield "x" if file.executable else "-"
    yield hashlib.sha256(file.text).hexdigest()


class _Files:
    """The files of one root, folder by folder until no module leads to another."""

    def __init__(self, recorder: Recorder, root: str) -> None:
        self.recorder = recorder
        self._root = root
        self._entries: dict[str, Entry] = {}
        self._content: dict[str, bytes] = {}
        self._folders: set[str] = set()

    def gather(self, variable_files: Sequence[str]) -> None:
        self._tree(self._root, needed=True)
        for relative in variable_files:
            path = normalise(relative, self._root, place=self._root)
            entry = self.recorder.entry(path)
            if entry is None:
                raise RenderError(
                    f"there is no variable file {relative!r}",
                    hint="correct `variable_files:` in the fleet file",
                    place=path,
                )
            self._take(entry)
        while True:
            self._read()
            files = (SealedFile(path, text) for path, text in self._content.items())
            further = [
                folder
                for folder in hcl.local_modules(files, self._root)
                if not any(under(f"{folder}/", known) for known in self._folders)
            ]
            if not further:
                return
            for folder in further:
                self._tree(folder)

    def _tree(self, folder: str, *, needed: bool = False) -> None:
        """Everything beneath a folder; a module's that is not there is left to the rules."""
        self._folders.add(folder)
        entry = self.recorder.entry(folder)
        if entry is not None and entry.kind in (EntryKind.LINK, EntryKind.GITLINK):
            raise _unusable(entry)
        if entry is None or entry.kind is not EntryKind.TREE:
            if needed:
                raise RenderError(
                    f"there is no folder {folder!r} in {self.recorder.revision}",
                    hint="correct the application's path in the fleet file",
                    place=folder,
                )
            return
        for each in self.recorder.files(folder):
            if self._kept(each.path):
                self._take(each)

    def _kept(self, path: str) -> bool:
        parts = path.split("/")[:-1]
        if ".terraform" in parts and self._of_the_root(path):
            raise RenderError(
                "a .terraform folder is committed: what is in it would run as if it were fetched",
                hint="git rm -r --cached .terraform, and put it into .gitignore",
                place=path,
            )
        return not any(part in _LEFT_OUT for part in parts)

    def _of_the_root(self, path: str) -> bool:
        own = f"{self._root}/.terraform" if self._root else ".terraform"
        return under(path, own)

    def _take(self, entry: Entry) -> None:
        if entry.kind is not EntryKind.BLOB:
            raise _unusable(entry)
        self._entries[legible(entry.path)] = entry
        if len(self._entries) % 1_000 == 0:
            self._check()

    def _check(self) -> None:
        sizes = {
            path: entry.size or len(self._content.get(path, b""))
            for path, entry in self._entries.items()
        }
        check_size(sizes, self._root)

    def _read(self) -> None:
        self._check()
        for path, entry in self._entries.items():
            if path not in self._content:
                self._content[path] = self.recorder.read(entry)
        self._check()

    def rendered(self) -> tuple[RenderedFile, ...]:
        entries: Mapping[str, Entry] = self._entries
        return tuple(
            RenderedFile(path, self._content[path], entry.oid, executable=entry.executable)
            for path, entry in sorted(entries.items())
        )


def _unusable(entry: Entry) -> RenderError:
    if entry.kind is EntryKind.GITLINK:
        return RenderError(
            "is a submodule, which is not fetched",
            hint="copy the files in, or name the module by an allowed source",
            place=entry.path,
        )
    return RenderError(
        "is a link, and a root's files are taken as they are",
        hint="replace it by a copy of the file, or call the folder as a module",
        place=entry.path,
    )
