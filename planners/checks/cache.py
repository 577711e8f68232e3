"""Findings kept by what they depend on, so that an unchanged file is not checked twice.

Called by :mod:`planners.checks.run`. In memory for everything; findings about single files are
also appended to a folder, since linting thousands of files again after a restart takes longer than
everything else that happens then. Losing the folder costs time only. What does not read as a
finding is ignored, never believed half.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitops.jsonable import from_json, to_json
from gitops.model.delivery import LaneId
from gitops.model.finding import Finding
from gitops.model.ids import combine
from gitops.model.manifest import RenderedFile

Findings = tuple[Finding, ...]

MEMORY = 200_000
"""Entries kept in memory before the oldest go; nearly all are the empty tuple."""
DISK = 32 << 20
"""Bytes of one file on disk before it is begun anew."""


@dataclass(frozen=True, slots=True)
class FilesSeen:
    """What a lane's files came to when a check last saw them."""

    files: tuple[RenderedFile, ...] = ()
    found: Mapping[str, Findings] = field(default_factory=dict)
    """By path; only what is not empty."""


class FindingCache:
    """``folder`` None: memory only. Keys of files are ``(check, path, content id)``, where *check*
    names it with its version and options."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._known: dict[Hashable, Findings] = {}
        self._read: set[str] = set()
        self.seen: dict[LaneId, dict[str, FilesSeen]] = {}
        """By lane and check: of the next files only those that changed are looked up."""

    def aside(self) -> FindingCache:
        """Shares what was found, which is known by content; what each lane had last is its own."""
        other = FindingCache(self._folder)
        other._known, other._read = self._known, self._read
        other.seen = {lane: dict(by_check) for lane, by_check in self.seen.items()}
        return other

    def get(self, key: Hashable) -> Findings | None:
        return self._known.get(key)

    def put(self, key: Hashable, findings: Sequence[Finding]) -> None:
        self._known[key] = tuple(findings)
        if len(self._known) > MEMORY:
            for old in list(self._known)[: MEMORY // 10]:
                del self._known[old]

    def recall(self, check: str) -> None:
        """Read what was kept of a check about files; done once per check, may take a moment."""
        if self._folder is None or check in self._read:
            return
        self._read.add(check)
        try:
            with self._file(check).open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    self._recall_line(check, line)
        except OSError:
            return

    def _recall_line(self, check: str, line: str) -> None:
        try:
            path, oid, kept = json.loads(line)
            findings = tuple(from_json(Finding, each) for each in kept)
        except (ValueError, TypeError):
            return
        if isinstance(path, str) and isinstance(oid, str):
            self._known[check, path, oid] = findings

    def keep(self, check: str, entries: Sequence[tuple[str, str, Findings]]) -> None:
        """Append (path, content id, findings) of files to the folder, in one write. A full disk
        or a read-only folder costs the next start some time, nothing else."""
        if self._folder is None or not entries:
            return
        lines = [json.dumps([p, o, [to_json(f) for f in found]]) for p, o, found in entries]
        try:
            self._append(self._file(check), "\n".join(lines) + "\n")
        except OSError:
            return

    def _append(self, file: Path, text: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        too_long = file.exists() and file.stat().st_size > DISK
        with file.open("w" if too_long else "a", encoding="utf-8") as out:
            out.write(text)

    def _file(self, check: str) -> Path:
        folder: Any = self._folder
        return Path(folder) / "findings" / f"{combine(check)[:24]}.jsonl"
