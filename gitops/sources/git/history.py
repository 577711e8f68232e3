"""Who wrote what lies between two revisions, and whether one follows from the other.

Called by :class:`~gitops.sources.git.source.GitSource`, off the event loop. Whatever is uncertain
is decided towards *more* authors: an author too many asks one more person, one too few lets
somebody approve their own change. Names and addresses are what the commits claim, no more, unless
a signature that the operator believes says the same.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from gitops.errors import SourceUnavailable
from gitops.model.ids import SourceName
from gitops.model.source import (
    Authorship,
    Commit,
    EntryKind,
    Grade,
    Read,
    Revision,
    Signature,
)
from gitops.sources.git import failures
from gitops.sources.git.merging import Merges
from gitops.sources.git.mirror import Mirror
from gitops.sources.git.objects import Objects, RawCommit
from gitops.sources.git.signatures import Signatures, Verdict
from gitops.sources.git.snapshot import GitSnapshot

_NEAR = 256
"""Commits walked in memory before git is asked: a usual push is far shorter."""
_MAX_COMMITS = 20_000
_TEXT = 256
_SUBJECT = 500
_MAX_CO_AUTHORS = 1000
_CO_AUTHOR = re.compile(r"^[ \t]*co-authored-by[ \t]*:[ \t]*(.*)$", re.I | re.M)
_PERSON = re.compile(r"(?P<name>[^<]*)<(?P<mail>[^>]*)>(?: (?P<time>-?\d{1,18})\b)?")
_LOG = ("log", "--format=%H", "--raw", "-z", "--no-abbrev", "--no-renames", "--no-ext-diff")


class History:
    """One mirror's history."""

    def __init__(self, mirror: Mirror, signatures: Signatures | None = None) -> None:
        self._mirror = mirror
        self._signatures = signatures
        self._merges = Merges(mirror)
        self._objects: Objects = mirror.objects

    def is_ancestor(self, old: str, new: str) -> bool:
        """False as well when ``old`` is not here at all."""
        if not self._objects.has(old):
            return False
        seen, queue = {new}, deque([new])
        while queue and len(seen) <= _NEAR:
            oid = queue.popleft()
            if oid == old:
                return True
            fresh = [p for p in self._objects.commit(oid).parents if p not in seen]
            seen.update(fresh)
            queue.extend(fresh)
        return bool(queue) and self._ask_ancestor(old, new)

    def authorship(self, since: str | None, until: str, reads: Sequence[Read]) -> Authorship:
        if since is None:
            return self._last_writers(until, reads, "")
        if not self._objects.has(since):
            return self._last_writers(
                until, reads, "the last delivered commit is no longer in the repository"
            )
        if self.is_ancestor(since, until):
            return self._between(since, until, reads, "")
        if not self._related(since, until):
            return self._last_writers(until, reads, "the history was replaced by an unrelated one")
        return self._between(
            since, until, reads, "the history was rewritten: who removed what is not known"
        )

    def _between(self, since: str, until: str, reads: Sequence[Read], note: str) -> Authorship:
        touched = _Paths(reads)
        linear = self._linear(since, until)
        if linear is not None:
            commits = [oid for oid, below in linear if self._touches(oid, below, touched)]
        else:
            found = self._log(since, until, touched)
            if found is None:
                note = note or f"more than {_MAX_COMMITS} commits lie between"
            commits = found or []
        made = self._merges.sides(until) and until
        return self._told((oid for oid in commits if oid != made), note)

    def _last_writers(self, until: str, reads: Sequence[Read], note: str) -> Authorship:
        """The commit that last gave each file read its present content."""
        commits: list[str] = []
        for start, wanted in self._starts(until, reads):
            unknown = self._add_last_writers(start, wanted, reads, commits)
            note = note or unknown
        return self._told(commits, note)

    def _starts(self, until: str, reads: Sequence[Read]) -> list[tuple[str, dict[str, str]]]:
        """Where to look for the writers of which contents. A merge made for a preview wrote
        nothing: what it has from one side is looked for there, what it made of both on both."""
        found = self._present(until, reads)
        sides = [(side, self._present(side, reads)) for side in self._merges.sides(until)]
        if not sides:
            return [(until, found)]
        mixed = {p for p, oid in found.items() if all(has.get(p) != oid for _, has in sides)}
        return [
            (side, {p: oid for p, oid in has.items() if p in mixed or found.get(p) == oid})
            for side, has in sides
        ]

    def _add_last_writers(
        self, until: str, wanted: dict[str, str], reads: Sequence[Read], commits: list[str]
    ) -> str:
        """What stayed unknown, in words."""
        total = len(wanted)

        def seen(change: _Change) -> bool:
            if wanted.get(change.path) == change.after:
                del wanted[change.path]
                commits.append(change.commit)
            return bool(wanted)

        if wanted:
            argv = ("--literal-pathspecs", *_LOG, "--diff-merges=combined", until, "--")
            try:
                self._changes((*argv, *_limits(reads)), seen)
            except SourceUnavailable:
                return "the history is too long to read through"
        return f"the writers of {len(wanted)} of {total} files were not found" if wanted else ""

    def _told(self, commits: Iterable[str], note: str) -> Authorship:
        told = tuple(describe(oid, self._objects.commit(oid)) for oid in dict.fromkeys(commits))
        signatures = dict.fromkeys(
            person for c in told for person in (c.author, c.committer, *c.co_authors)
        )
        claimed = Authorship(told, tuple(signatures), known=not note, note=note)
        if self._signatures is None:
            return claimed
        return graded(claimed, self._signatures.of([commit.id for commit in told]))

    def _linear(self, since: str, until: str) -> list[tuple[str, str]] | None:
        """(commit, its parent) from ``until`` down to ``since``; None if it is long or branched."""
        chain: list[tuple[str, str]] = []
        while until != since:
            parents = self._objects.commit(until).parents
            if len(parents) != 1 or len(chain) >= _NEAR:
                return None
            chain.append((until, parents[0]))
            until = parents[0]
        return chain

    def _touches(self, oid: str, below: str, touched: _Paths) -> bool:
        old, new = self._objects.commit(below).tree, self._objects.commit(oid).tree
        return old != new and ("" in touched.exact or self._differ(old, new, "", touched))

    def _differ(self, old: str, new: str, start: str, touched: _Paths) -> bool:
        """Does anything read differ between two trees? Descends only where a read may be."""
        before = self._objects.tree(old) if old else {}
        after = self._objects.tree(new) if new else {}
        for name in before.keys() | after.keys():
            one, two = before.get(name), after.get(name)
            path = start + name
            if one == two or not (path in touched.exact or path in touched.above):
                continue
            if path in touched.exact:
                return True
            sides = [side for side in (one, two) if side is not None]
            if any(side.kind is not EntryKind.TREE for side in sides):
                return True  # a file or link where a folder is, or was, read through
            if self._differ(one.oid if one else "", two.oid if two else "", f"{path}/", touched):
                return True
        return False

    def _log(self, since: str, until: str, touched: _Paths) -> list[str] | None:
        """Merges count for what they bring in, seen from each parent."""
        commits: dict[str, None] = {}
        every: set[str] = set()

        def seen(change: _Change) -> bool:
            every.add(change.commit)
            if touched.covers(change.path):
                commits[change.commit] = None
            return len(every) <= _MAX_COMMITS

        argv = (*_LOG, "--diff-merges=separate", until, f"^{since}", "--")
        self._changes(argv, seen)
        return list(commits) if len(every) <= _MAX_COMMITS else None

    def _present(self, until: str, reads: Sequence[Read]) -> dict[str, str]:
        """Every file read, as path → content id, folders unrolled."""
        revision = Revision(SourceName(""), until)
        root = self._objects.commit(until).tree
        snapshot = GitSnapshot(revision, root, self._objects, self._mirror.listings)
        found: dict[str, str] = {}
        for read in reads:
            entry = snapshot.entry(read.path)
            if entry is not None and entry.kind is EntryKind.TREE:
                found |= {file.path: file.oid for file in snapshot.files(read.path)}
            elif entry is not None:
                found[read.path] = entry.oid
        return found

    def _changes(self, argv: tuple[str, ...], seen: Callable[[_Change], bool]) -> None:
        """Stream every change of a log to ``seen`` until it returns False."""
        ended = self._mirror.git(argv, feed=_Reader(seen).feed)
        if ended.code:
            raise _failed(ended.stderr)

    def _related(self, one: str, two: str) -> bool:
        return self._mirror.git(("merge-base", one, two)).code == 0

    def _ask_ancestor(self, old: str, new: str) -> bool:
        ended = self._mirror.git(("merge-base", "--is-ancestor", old, new))
        if ended.code not in (0, 1):
            raise _failed(ended.stderr)
        return ended.code == 0


@dataclass(frozen=True, slots=True)
class _Change:
    """One path one commit gave other content; ``after`` is all zeros where it was removed."""

    commit: str
    path: str
    after: str


class _Paths:
    """The paths a rendering read, for asking quickly whether a change concerns one of them."""

    def __init__(self, reads: Iterable[Read]) -> None:
        self.exact = {read.path for read in reads}
        self.above = {above for path in self.exact for above in _above(path)} - self.exact

    def covers(self, path: str) -> bool:
        """Is a changed file read, beneath something read, or in the way of something read?"""
        if path in self.exact or path in self.above or "" in self.exact:
            return True
        return any(above in self.exact for above in _above(path))


class _Reader:
    """Parses ``log --format=%H --raw -z``: ids and ``:META`` + path, each ended by NUL.

    Nothing foreign but paths is in that stream, and a path always follows its META.
    """

    def __init__(self, seen: Callable[[_Change], bool]) -> None:
        self._seen = seen
        self._rest = b""
        self._commit = ""
        self._after: str | None = None

    def feed(self, chunk: bytes) -> bool:
        """False once ``seen`` wants no more."""
        *words, self._rest = (self._rest + chunk).split(b"\0")
        return all(self._word(word) for word in words)

    def _word(self, word: bytes) -> bool:
        if self._after is not None:
            change = _Change(self._commit, word.decode("utf-8", "surrogateescape"), self._after)
            self._after = None
            return self._seen(change)
        word = word.lstrip(b"\n")  # which separates an id from its changes, -z or not
        if word.startswith(b":"):
            self._after = word.split(b" ")[-2].decode("ascii")
        elif word:
            self._commit = word.decode("ascii")
        return True


def graded(claimed: Authorship, verdicts: Mapping[str, Verdict]) -> Authorship:
    """Pure: what verified signatures add. Only a signature by a commit's own author or committer
    proves what the commit says; any other proves that its signer had a hand in it."""
    commits, signers, weak = [], dict.fromkeys(claimed.signatures), ""
    for commit in claimed.commits:
        verdict = verdicts[commit.id]
        own = {person.email.casefold() for person in (commit.author, commit.committer)} - {""}
        if verdict.by and not own.isdisjoint(p.email.casefold() for p in verdict.people):
            problem = ""
        else:
            problem = verdict.why or f"it is signed by {verdict.by}, who is not its author"
            signers |= dict.fromkeys(verdict.people)
        commits.append(replace(commit, signed_by=verdict.by))
        weak = weak or (problem and f"commit {commit.id[:12]} counts as claimed: {problem}")
    signed = bool(commits) and not weak
    return replace(
        claimed,
        commits=tuple(commits),
        signatures=tuple(signers),
        grade=Grade.SIGNED if signed else Grade.CLAIMED,
        note=claimed.note or weak,
    )


def describe(oid: str, raw: RawCommit) -> Commit:
    """Pure: a commit's people and subject, cut to lengths that can be shown and stored."""
    author, _ = _person(raw.author)
    committer, time = _person(raw.committer)
    return Commit(
        id=oid,
        subject=raw.message.lstrip("\n").split("\n", 1)[0][:_SUBJECT],
        author=author,
        committer=committer,
        co_authors=co_authors(raw.message),
        time=time,
    )


def co_authors(message: str) -> tuple[Signature, ...]:
    """Pure: every line that says ``Co-authored-by``, wherever it stands and however it is cased."""
    found = [_person(line.strip())[0] for line in _CO_AUTHOR.findall(message)]
    return tuple(dict.fromkeys(p for p in found if p.name or p.email))[:_MAX_CO_AUTHORS]


def _person(text: str) -> tuple[Signature, float]:
    """``Name <mail> seconds zone``, or as much of it as there is."""
    found = _PERSON.match(text)
    if found is None:
        return Signature(text.strip()[:_TEXT], ""), 0.0
    person = Signature(found["name"].strip()[:_TEXT], found["mail"].strip()[:_TEXT])
    return person, float(found["time"] or 0)


def _above(path: str) -> Iterable[str]:
    """``a/b/c`` → ``a/b``, ``a``."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _limits(reads: Sequence[Read]) -> tuple[str, ...]:
    """Paths to narrow a log to; none when there are too many for a command line."""
    paths = tuple(dict.fromkeys(read.path for read in reads if read.oid is not None))
    too_many = "" in paths or len(paths) > 500 or sum(map(len, paths)) > 64 << 10
    return () if too_many else paths


def _failed(stderr: str) -> SourceUnavailable:
    return SourceUnavailable(f"git failed: {failures.clean(stderr).strip()[:300]}")
