"""What merging two commits would give, made in the mirror without a work tree.

Called by :class:`~gitops.sources.git.source.GitSource`, off the event loop, for pull-request
previews. The result is an ordinary commit under a ref of our own, the same for the same two
commits, by nobody: it must never count as an author, and never run what an attribute names.
"""

from __future__ import annotations

import re
import threading
from itertools import combinations

from gitops.errors import ConfigError, SourceProblem, SourceUnavailable
from gitops.model.source import SourceState
from gitops.ports.merging import Conflict
from gitops.sources.git import failures
from gitops.sources.git.address import candidates
from gitops.sources.git.mirror import Mirror, MissingRef
from gitops.sources.git.process import Access, Approach, Ended, run

_FULL = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_OFFERED = re.compile(
    r"refs/(?:heads/.+|pull/\d+/head|merge-requests/\d+/head|pull-requests/\d+/from)\Z"
)
"""Where forges show the commits of pull requests: GitHub and Gitea, GitLab, Bitbucket's server."""
_MERGED = "refs/gitops/merged"
_TIME = 60.0
"""Seconds one merge may take: looking for renames grows with the square of what was renamed."""
_MEMORY = 2 << 30
_PATHS = 100
_CROSSINGS = 20
_LAST_DATE = 4_102_444_799
"""The end of the year 2099, after which git knows no dates."""
# Mentioning an attribute here outranks every file of the repository (gitattributes(5)): no merge
# driver, no filter, no change of line ends, whatever version of git reads them from where.
_ATTRIBUTES = (
    "* !merge !conflict-marker-size !text !eol !crlf !filter !ident !working-tree-encoding\n"
)
_NOBODY = {
    f"GIT_{role}_{field}": value
    for role in ("AUTHOR", "COMMITTER")
    for field, value in (("NAME", "merge preview"), ("EMAIL", "nobody@invalid"))
}


class Merges:
    """The merge results kept in one mirror."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror

    def sides(self, oid: str) -> tuple[str, ...]:
        """(base, head) of a commit made here; empty for every other one."""
        if self._mirror.read_ref(f"{_MERGED}/{oid}") is None:
            return ()
        return self._mirror.objects.commit(oid).parents

    def make(self, access: Access, base: str, head: str, stop: threading.Event) -> str | Conflict:
        """The merge commit's id. Raises SourceProblem where the remote does not have ``head``."""
        if not _FULL.match(head):
            raise _problem(access, "what is to be merged is not named by a full commit id")
        lent = f"refs/gitops/head/{head}"
        self._fetch(access, head, lent, stop)
        try:
            self._complete(access, base, head, stop)
            with self._mirror.locked(access) as hold:
                return self._merge(access, base, head, stop, hold)
        finally:
            with self._mirror.locked(access):
                self._mirror.drop_ref(lent)

    def _complete(self, access: Access, base: str, head: str, stop: threading.Event) -> None:
        try:
            self._mirror.files.complete(access, self._needed(base, head), stop)
        except MissingRef:
            raise self._absent(access, head) from None

    def _needed(self, base: str, head: str) -> list[str]:
        """Commits whose files a merge may look into: both sides and where they parted, which for
        histories that crossed are several, to be merged with one another first."""
        found, pairs = [base, head], [(base, head)]
        for _ in range(_CROSSINGS):
            if not pairs:
                break
            ended = self._mirror.git(("merge-base", "--all", *pairs.pop(0)))
            parted = ended.stdout.decode("ascii", "replace").split()
            pairs += combinations(parted, 2)
            found += [oid for oid in parted if oid not in found]
        return found

    def forget(self, access: Access, oid: str) -> None:
        """Drop a result; its objects go when the mirror is tidied."""
        if _FULL.match(oid):
            with self._mirror.locked(access):
                self._mirror.drop_ref(f"{_MERGED}/{oid}")

    def _fetch(self, access: Access, head: str, lent: str, stop: threading.Event) -> None:
        """By its id; else through a ref of which the remote itself says that it is this commit."""
        try:
            self._mirror.bring(access, head, lent, stop)
        except MissingRef:
            name = self._offered(access, head, stop)
            if name is None:
                raise self._absent(access, head) from None
            self._mirror.bring(access, name, lent, stop)
        if self._mirror.objects.peel(head) != head:  # moved meanwhile, or a tag
            raise self._absent(access, head)

    def _offered(self, access: Access, head: str, stop: threading.Event) -> str | None:
        for name, oid in self._mirror.list_refs(access, stop).items():
            if oid == head and _OFFERED.match(name):
                try:
                    return candidates(name)[0]
                except ConfigError:
                    continue
        return None

    def _merge(
        self, access: Access, base: str, head: str, stop: threading.Event, hold: tuple[int, ...]
    ) -> str | Conflict:
        self._silence_attributes()
        argv = ("merge-tree", "--write-tree", "-z", "--name-only", "--no-messages")
        ended = self._run((*argv, base, head), access, stop, hold)
        tree, *names = ended.stdout.decode("utf-8", "surrogateescape").split("\0")
        if ended.code == 1 and names:
            return Conflict(tuple(sorted(name for name in names if name)[:_PATHS]))
        if ended.code and "unrelated histories" in ended.stderr:
            return Conflict((), "the two have no common history")
        if ended.code:
            raise _failed(access, ended)
        return self._commit(tree, (base, head), access, stop, hold)

    def _silence_attributes(self) -> None:
        """Under the lock. One that a kill left half written is written anew."""
        info = self._mirror.folder / "info" / "attributes"
        if not info.exists() or info.read_text("utf-8", "replace") != _ATTRIBUTES:
            info.parent.mkdir(exist_ok=True)
            info.write_text(_ATTRIBUTES)

    def _commit(
        self,
        tree: str,
        sides: tuple[str, str],
        access: Access,
        stop: threading.Event,
        hold: tuple[int, ...],
    ) -> str:
        """Dated like the newer side: history is walked by date."""
        newest = max(self._mirror.objects.commit(side).time for side in sides)
        date = f"@{min(max(newest, 0), _LAST_DATE)} +0000"
        env = {**_NOBODY, "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        argv = ("commit-tree", "-m", "merge preview", "-p", sides[0], "-p", sides[1], tree)
        ended = self._run(argv, access, stop, hold, env)
        oid = ended.stdout.decode("ascii", "replace").strip()
        if ended.code or not _FULL.match(oid):
            raise _failed(access, ended)
        self._mirror.write_ref(f"{_MERGED}/{oid}", oid)
        return oid

    def _run(
        self,
        argv: tuple[str, ...],
        access: Access,
        stop: threading.Event,
        hold: tuple[int, ...],
        env: dict[str, str] | None = None,
    ) -> Ended:
        return run(
            argv,
            folder=self._mirror.folder,
            timeout=_TIME,
            with_=Approach(env or {}),
            stop=stop,
            file_max=access.max_fetch,
            memory_max=_MEMORY,
            hold=hold,
        )

    def _absent(self, access: Access, head: str) -> SourceProblem:
        return SourceProblem(
            f"commit {head[:12]} is not in the repository",
            state=SourceState.GONE,
            hint="it may have been replaced by a newer push",
            place=access.address.url,
        )


def _problem(access: Access, message: str) -> SourceProblem:
    return SourceProblem(message, state=SourceState.INVALID, place=access.address.url)


def _failed(access: Access, ended: Ended) -> SourceUnavailable:
    said = failures.clean(ended.stderr).strip()[:300]
    return SourceUnavailable(f"git could not merge: {said}", place=access.address.url)
