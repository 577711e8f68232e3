"""One bare repository on disk for each remote address, and every operation that writes to it.

Called by :mod:`.remote` and :mod:`.merging`, off the event loop. A lock file keeps other processes
out; git holds it too while it runs, so that a git that outlived our own ``kill -9`` is waited for
and not joined.
Nothing here deletes a commit: what was ever looked at stays under a ref of ours or for two weeks.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from gitops.errors import SourceUnavailable
from gitops.sources.git import failures
from gitops.sources.git.objects import Objects
from gitops.sources.git.partial import REMOTE, WITHOUT_ENORMOUS, WITHOUT_FILES, Files, promises
from gitops.sources.git.process import Access, Approach, Ended, approach, run
from gitops.sources.git.snapshot import Listings

_LOCK_WAIT = 0.02
_LISTING_MAX = 32 << 20
_LOOSE_MAX = 6_000
"""Loose objects (estimated) before they are packed."""
_PACKS_MAX = 100
_FETCH = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-recurse-submodules",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--no-show-forced-updates",
    "--refmap=",
)
_LOCAL = 120.0
"""Seconds for git at work on the local copy only."""


class MissingRef(Exception):
    """The remote answered: at least one of the refs asked for does not exist."""


class Mirror:
    """The local copy of one remote. Its methods block and are safe to call from any thread."""

    def __init__(self, base: Path, url: str) -> None:
        name = hashlib.sha256(url.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._home = base / name
        self.folder = self._home / "repository.git"
        self.objects = Objects(self.folder)
        self.listings = Listings()
        self.files = Files(self)
        self._filters: tuple[str, ...] = (WITHOUT_ENORMOUS, WITHOUT_FILES)
        """For a partial copy; the last one for a new one as well."""
        self._partial: bool | None = None
        self._ready = False

    def fetch(
        self, access: Access, refs: Sequence[str], stop: threading.Event | None = None
    ) -> dict[str, str]:
        """Bring these refs up to date in one request; full ref name → object id.

        Raises MissingRef when one of them does not exist (then none is brought), SourceProblem or
        SourceUnavailable otherwise.
        """
        with self.locked(access) as hold:
            self._bring(access, {ref: _own(ref) for ref in refs}, stop, hold)
            found = {ref: self.read_ref(_own(ref)) for ref in refs}
            self._tidy(hold)
        return {ref: oid for ref, oid in found.items() if oid}

    def bring(self, access: Access, wanted: str, name: str, stop: threading.Event) -> None:
        """Bring one ref or commit under a name of ours, which is its caller's to remove. Raises
        as :meth:`fetch`; a server that gives no commit by its id is MissingRef as well."""
        with self.locked(access) as hold:
            self._bring(access, {wanted: name}, stop, hold)

    def _bring(
        self,
        access: Access,
        names: Mapping[str, str],
        stop: threading.Event | None,
        hold: tuple[int, ...],
    ) -> None:
        specs = tuple(f"+{ref}:{name}" for ref, name in names.items())
        ended = self._fetch(access, specs, stop, hold)
        if ended.code and failures.is_damage(ended.stderr) and self._is_broken(hold):
            self._start_over()
            ended = self._fetch(access, specs, stop, hold)
        self._raise_for(ended, access)

    def list_refs(self, access: Access, stop: threading.Event | None = None) -> dict[str, str]:
        """Branches, tags and HEAD as the remote has them now: full ref name → object id."""
        argv = ("ls-remote", "--quiet", "--end-of-options", access.address.url)
        with self.locked(access) as hold:
            ended = self._call(argv, access, stop, hold)
        if ended.code:
            raise failures.explain(ended.stderr, access.address)
        rows = (line.split("\t", 1) for line in ended.stdout.decode("utf-8", "replace").split("\n"))
        return {row[1]: row[0] for row in rows if len(row) == 2 and not row[1].endswith("^{}")}

    def present(self, ref: str) -> str | None:
        """What the last fetch of ``ref`` brought; asks nobody."""
        return self.read_ref(_own(ref))

    def keep(self, access: Access, oid: str) -> None:
        """Hold on to a commit whatever happens to the remote's branches. Durable on return."""
        name = f"refs/gitops/keep/{oid}"
        if self.read_ref(name) is None:
            with self.locked(access):
                self.write_ref(name, oid)

    def write_ref(self, name: str, oid: str) -> None:
        """Under the lock. Durable on return."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        with fresh.open("w") as file:
            file.write(f"{oid}\n")
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)

    def drop_ref(self, name: str) -> None:
        """Under the lock; nothing there is fine. (Nothing of ours ever packs refs.)"""
        _unlink(iter((self.folder / name,)))

    def git(self, argv: tuple[str, ...], **options: object) -> Ended:
        """Run git on the local copy alone: no transport is allowed."""
        return run(argv, folder=self.folder, timeout=_LOCAL, **options)  # type: ignore[arg-type]

    def _fetch(
        self,
        access: Access,
        specs: tuple[str, ...],
        stop: threading.Event | None,
        hold: tuple[int, ...],
    ) -> Ended:
        filter = self._filter()
        ended = self._call((*_FETCH, *self._from(access, filter), *specs), access, stop, hold)
        if filter and failures.is_filter_refused(ended.stderr):
            self._filters = self._filters[1:] if self.partial else ()
            if ended.code:
                return self._fetch(access, specs, stop, hold)
            self._unmark()  # it warned and sent everything
        return ended

    def bring_files(self, access: Access, oids: Sequence[str], stop: threading.Event) -> None:
        """Bring file contents by their ids, in one request. Raises as :meth:`fetch`."""
        config = ("-c", "fetch.negotiationAlgorithm=noop")  # they follow from nothing we have
        argv = (*config, *_FETCH[:-1], "--stdin", *self._from(access, WITHOUT_FILES))
        with self.locked(access) as hold:
            listed = "\n".join([*oids, ""]).encode("ascii")
            self._raise_for(self._call(argv, access, stop, hold, listed), access)
            self._tidy(hold)

    @property
    def partial(self) -> bool:
        """Are old files left out of this copy?"""
        if self._partial is None:
            packs = self.folder / "objects" / "pack"
            self._partial = self.objects.partial = any(packs.glob("*.promisor"))
        return self._partial

    def _filter(self) -> str:
        """What a fetch leaves out: of a whole copy nothing, of a new one as much as possible."""
        fresh = not any((self.folder / "refs" / "gitops").glob("*/*"))
        if not self.partial and not fresh:
            return ""
        return next(iter(self._filters if self.partial else self._filters[-1:]), "")

    def _from(self, access: Access, filter: str) -> tuple[str, ...]:
        if not filter:
            return ("--end-of-options", access.address.url)
        self._partial = None
        return (f"--filter={filter}", "--end-of-options", REMOTE)

    def _unmark(self) -> None:
        """Nothing is missing here: an ordinary copy after all."""
        _unlink((self.folder / "objects" / "pack").glob("*.promisor"))
        self._partial = None

    def _call(
        self,
        argv: tuple[str, ...],
        access: Access,
        stop: threading.Event | None,
        hold: tuple[int, ...],
        input: bytes = b"",
    ) -> Ended:
        """Git with the remote; once more where the token it was lent can be replaced."""
        ended, refused = Ended(1, b"", ""), ""
        while True:
            with approach(access, refused) as way:
                if refused and way.token == refused:
                    return ended
                if REMOTE in argv:
                    # A new version of a file may come as its difference to one we left out: then
                    # git asks the same remote for that, under the same restrictions.
                    env = {**way.env, "GIT_NO_LAZY_FETCH": "0"}
                    config = {**way.config, **promises(access.address.url)}
                    way = replace(way, env=env, config=config)  # noqa: PLW2901 - adds to it
                ended = run(
                    argv,
                    folder=self.folder,
                    timeout=access.timeout,
                    with_=way,
                    stop=stop,
                    stdout_max=_LISTING_MAX,
                    file_max=access.max_fetch,
                    hold=hold,
                    input=input,
                )
                ended = replace(ended, stderr=failures.clean(ended.stderr, way.secrets))
            if refused or not (ended.code and way.token):
                return ended
            if not failures.is_unauthorised(ended.stderr):
                return ended
            refused = way.token

    def _raise_for(self, ended: Ended, access: Access) -> None:
        if ended.code == 0:
            return
        packs = list((self.folder / "objects" / "pack").glob("tmp_pack_*"))
        full = any(pack.stat().st_size >= access.max_fetch for pack in packs)
        self._clean()
        if full:
            raise failures.over_limit(access.max_fetch, access.address)
        if failures.is_missing_ref(ended.stderr):
            raise MissingRef
        raise failures.explain(ended.stderr, access.address)

    @contextlib.contextmanager
    def locked(self, access: Access) -> Iterator[tuple[int, ...]]:
        """The mirror for us alone. Raises SourceUnavailable when another process keeps it."""
        self._home.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _wait_for(handle, access)
            if not self._ready or self.objects.damaged or not self.folder.exists():
                self._prepare()
            yield (handle,)
        finally:
            os.close(handle)

    def _prepare(self) -> None:
        """Under the lock nothing else runs here, so every temporary file is a dead one's."""
        if self.objects.damaged or not (self.folder / "HEAD").exists():
            self._start_over()
        self._clean()
        self._ready = True

    def _is_broken(self, hold: tuple[int, ...]) -> bool:
        """Is something missing that our own refs lead to?"""
        if not (self.folder / "HEAD").exists():
            return True
        promised = ("--exclude-promisor-objects",) if self.partial else ()
        argv = ("rev-list", "--objects", "--all", "--quiet", *promised)
        ended = run(argv, folder=self.folder, timeout=_LOCAL, hold=hold, with_=self._promised())
        return ended.code != 0

    def _promised(self) -> Approach:
        """For git at work on the whole copy: what a partial one lacks is no damage."""
        return Approach(config=promises("/dev/null")) if self.partial else Approach()

    def _start_over(self) -> None:
        """A new empty copy; a damaged one is put aside for whoever wants to know why."""
        if self.folder.exists():
            aside = self._home / "damaged.git"
            shutil.rmtree(aside, ignore_errors=True)
            self.folder.rename(aside)
        fresh = Path(tempfile.mkdtemp(prefix="new-", dir=self._home))
        ended = run(
            ("init", "--quiet", "--bare", "--template=", str(fresh)), folder=fresh, timeout=_LOCAL
        )
        if ended.code:
            raise SourceUnavailable(
                f"the local copy cannot be made: {failures.clean(ended.stderr).strip()[:300]}",
                place=str(self._home),
            )
        fresh.rename(self.folder)
        self._partial = None
        self.files.forget()
        self.objects.reopen()

    def _clean(self) -> None:
        """Remove what a git that was killed left behind; safe under the lock only."""
        for old in self._home.glob("new-*"):
            shutil.rmtree(old, ignore_errors=True)
        for pattern in ("*.lock", "refs/**/*.lock", "refs/gitops/*/.*.new"):
            _unlink(self.folder.glob(pattern))
        objects = self.folder / "objects"
        for pattern in ("pack/tmp_*", "pack/.tmp-*", "tmp_*", "??/tmp_obj_*", "pack/*.keep"):
            _unlink(objects.glob(pattern))
        for pattern in ("tmp_objdir-*", "incoming-*"):
            for folder in objects.glob(pattern):
                shutil.rmtree(folder, ignore_errors=True)

    def _tidy(self, hold: tuple[int, ...]) -> None:
        """Pack loose objects once there are many; judged by one of the 256 folders, as git does.
        A partial copy gets a pack with each fetch: then those are made one."""
        sample, packs = self.folder / "objects" / "17", self.folder / "objects" / "pack"
        many_loose = sample.exists() and len(os.listdir(sample)) * 256 > _LOOSE_MAX  # noqa: PTH208
        many_packs = self.partial and sum(1 for _ in packs.glob("*.pack")) > _PACKS_MAX
        if not (many_loose or many_packs):
            return
        promised = ("--exclude-promisor-objects",) if self.partial else ()
        for argv in (
            ("repack", *(("-a",) if many_packs else ()), "-d", "-l", "-q"),
            ("prune", "--expire=2.weeks.ago", *promised),
        ):
            run(argv, folder=self.folder, timeout=_LOCAL, hold=hold, with_=self._promised())
        self.objects.reopen()

    def read_ref(self, name: str) -> str | None:
        """What a ref of our own names."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / name).read_text("ascii").strip() or None
        with contextlib.suppress(FileNotFoundError):
            for line in (self.folder / "packed-refs").read_text("ascii").splitlines():
                oid, _, found = line.partition(" ")
                if found == name:
                    return oid
        return None


def _own(ref: str) -> str:
    """Our name for a remote's ref: flat, so that ``a`` and ``a/b`` can follow one another."""
    return f"refs/gitops/look/{hashlib.sha256(ref.encode()).hexdigest()[:24]}"


def _wait_for(handle: int, access: Access) -> None:
    deadline = time.monotonic() + access.timeout
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise SourceUnavailable(
                    "another process has been fetching this repository for too long",
                    place=access.address.url,
                ) from None
            time.sleep(_LOCK_WAIT)
        else:
            return


def _unlink(paths: Iterator[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
