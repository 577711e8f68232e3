"""A branch (or tag, or commit) of a git repository, as the engine's port sees it.

Built by the package's ``build``; several sources on one address share one :class:`.remote.Remote`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gitops.errors import RenderError, SourceProblem
from gitops.model.ids import SourceName
from gitops.model.source import Authorship, Read, Revision, SourceState
from gitops.ports import Look
from gitops.ports.merging import Conflict
from gitops.sources.git.address import is_commit
from gitops.sources.git.history import History
from gitops.sources.git.merging import Merges
from gitops.sources.git.mirror import MissingRef
from gitops.sources.git.remote import Heads, Remote, stoppable
from gitops.sources.git.signatures import Signatures
from gitops.sources.git.snapshot import GitSnapshot


class GitSource:
    """Plays ports.Source and ports.merging.Merging."""

    def __init__(
        self, name: SourceName, ref: str, remote: Remote, signatures: Signatures | None = None
    ) -> None:
        self._name = name
        self._ref = ref
        self._remote = remote
        self._mirror = remote.mirror
        self._signatures = signatures
        self._history = History(remote.mirror, signatures)
        self._merges = Merges(remote.mirror)

    @property
    def remote(self) -> str:
        """Sources with the same remote answer from one request when looked at together."""
        return self._remote.access.address.url

    async def look(self, last: Revision | None) -> Look:
        """One request; see ports.Source. A rewritten history is no error: the last revision is
        kept here and the look says so. ``HEAD`` as ref follows the remote's default branch."""
        try:
            head = await self._head()
            await self._require_signature(head)
            await self._complete(head)
            revision = Revision(self._name, head, self._ref)
            if last is None or last.id == head:
                return Look(revision)
            rewritten = not await asyncio.to_thread(self._history.is_ancestor, last.id, head)
        except RenderError as error:  # an enormous commit or tag
            raise self._problem(error.message, SourceState.INVALID) from error
        if rewritten:
            await self.keep(last)
        return Look(revision, rewritten)

    async def snapshot(self, revision: Revision) -> GitSnapshot:
        """Raises SourceProblem when neither we nor the remote have the commit any more."""
        await self._ensure(revision.id)
        await self._complete(revision.id)
        commit = await asyncio.to_thread(self._mirror.objects.commit, revision.id)
        return GitSnapshot(revision, commit.tree, self._mirror.objects, self._mirror.listings)

    async def authorship(
        self, since: Revision | None, until: Revision, reads: Sequence[Read]
    ) -> Authorship:
        """See ports.Source. Git believes whoever commits: all of it is claimed, unless signatures
        the operator believes say better."""
        await self._ensure(until.id)
        return await asyncio.to_thread(
            self._history.authorship, since.id if since else None, until.id, reads
        )

    async def merged(self, base: Revision, head: str) -> Revision | Conflict:
        """See ports.merging."""
        await self._ensure(base.id)
        access = self._remote.access
        found = await stoppable(lambda stop: self._merges.make(access, base.id, head, stop))
        return found if isinstance(found, Conflict) else Revision(self._name, found, base.ref)

    async def forget(self, revision: Revision) -> None:
        """See ports.merging."""
        access = self._remote.access
        await stoppable(lambda _stop: self._merges.forget(access, revision.id))

    async def keep(self, revision: Revision) -> None:
        """Hold on to a commit (delivered, approved, shown) although the branch may forget it."""
        if await asyncio.to_thread(self._mirror.objects.has, revision.id):
            access = self._remote.access  # it waits for whoever is fetching
            await stoppable(lambda _stop: self._mirror.keep(access, revision.id))

    async def close(self) -> None:
        """End the process that reads objects; reading again starts a new one."""
        await asyncio.to_thread(self._mirror.objects.close)

    async def _head(self) -> str:
        if is_commit(self._ref):
            await self._ensure(self._ref)
            return await self._peeled(self._ref)
        heads = await self._remote.heads(self._ref)
        found = heads.of(self._ref)
        if found is None:
            raise self._gone(heads)
        return await self._peeled(found)

    async def _peeled(self, found: str) -> str:
        commit = await asyncio.to_thread(self._mirror.objects.peel, found)
        if commit is None:
            raise self._problem(f"{self._ref} is no commit", SourceState.INVALID)
        return commit

    async def _require_signature(self, head: str) -> None:
        signatures = self._signatures
        if signatures is None or not signatures.policy.required:
            return
        verdict = (await asyncio.to_thread(signatures.of, [head]))[head]
        if not verdict.by:
            raise self._problem(
                f"commit {head[:12]} is refused: {verdict.why}",
                SourceState.INVALID,
                "sign it with a key named at `verify:` of this source; nothing of it is delivered",
            )

    async def _complete(self, oid: str) -> None:
        access, files = self._remote.access, self._mirror.files
        try:
            await stoppable(lambda stop: files.complete(access, (oid,), stop))
        except MissingRef:
            raise self._problem(
                f"files of commit {oid[:12]} are no longer in the repository", SourceState.GONE
            ) from None

    async def _ensure(self, oid: str) -> None:
        if await asyncio.to_thread(self._mirror.objects.has, oid):
            return
        try:
            await self._remote.fetch_commit(oid)
        except MissingRef:
            raise self._problem(
                f"commit {oid[:12]} is not in the repository", SourceState.GONE
            ) from None

    def _gone(self, heads: Heads) -> SourceProblem:
        if heads.empty:
            return self._problem(
                "the repository is empty", SourceState.EMPTY, "push a first commit to it"
            )
        names = ", ".join(heads.branches[:5]) or "no branch at all"
        return self._problem(
            f"the repository has no branch or tag {self._ref!r}",
            SourceState.GONE,
            f"it has: {names}. Nothing is deleted; write the new name as `ref:` if it was renamed",
        )

    def _problem(self, message: str, state: SourceState, hint: str = "") -> SourceProblem:
        return SourceProblem(message, state=state, hint=hint, place=self._remote.access.address.url)
