"""Who brought a change to its branch, as far as the forge knows: authors, mergers, approvers.

Git believes whoever commits; a forge knows whom it authenticated. The lane's round asks here for
every change a commit caused (``kit.provenance``). Each commit is asked about once and remembered
with the state; several lanes of one commit share the asking. A forge that is away holds nothing up:
authorship stays what git claims, says so, and the forge is asked again a little later.

It must never make authorship look better known than it is: whatever is uncertain leaves the grade
where it was, and everybody who may have had a hand in it counts as an author.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from gitops.engine.ledger import Ledger
from gitops.engine.meaning import HEARSAY, pushes_of
from gitops.engine.repositories import into_followed
from gitops.errors import GitopsError, Permanent, Transient
from gitops.foreign import one_line
from gitops.model.fleet import SourceSpec
from gitops.model.ids import SourceName
from gitops.model.source import Authorship, Commit, Grade, PullFacts, Signature
from gitops.ports import Clock, Reading
from gitops.ports.forges import Forge, Overfull, PullRequest
from gitops.records import Unreadable, dumps, loads

_log = structlog.get_logger(__name__)

DEADLINE = 5.0
"""Seconds a round waits for the forge; the asking itself goes on and is remembered."""
LAG = 10.0
"""Seconds after which "no pull request" is believed: forges list a commit with its pull request a
moment after the merge, and a webhook may be faster."""
LONGEST_PAUSE = 60.0
REFUSED_PAUSE = 300.0
"""Seconds until a round asks again: at most, while the forge is away (from :data:`FIRST_PAUSE` on,
twice as long each time); where it refuses us."""
FIRST_PAUSE = 5.0
MOST_COMMITS = 200
"""Of one change; more are not asked about. Where a forge could have told who brought them, that
leaves it open who did: anybody can make a change of that many commits."""
AT_ONCE = 4
"""Questions to the forge of one source; a slow one takes no other's turn."""
_SHOWN = 20
WEB_FLOW = "noreply@github.com"
"""Committer of what is merged or edited in GitHub's pages: nobody, whoever merged stands in."""
_NOBODY = frozenset({"github:web-flow"})

Again = Callable[[float], None]
"""Has the lane looked at again, so many seconds from now."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the forge said of one commit, as it is remembered."""

    pulls: tuple[PullFacts, ...]
    first: float
    """When it was asked first, seconds since the epoch."""
    final: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """What is remembered of the commits of one change."""

    told: Mapping[str, Told]
    pushers: Mapping[str, str]


class Provenance:
    """Asks the forges of all sources."""

    def __init__(
        self,
        forge: Callable[[SourceName], Forge | None],
        spec: Callable[[SourceName], SourceSpec | None],
        ledger: Ledger,
        clock: Clock,
        bots: Callable[[], Collection[str]] = tuple,
    ) -> None:
        """``bots``: logins and e-mails of the fleet file that are no persons."""
        self._bots = bots
        self._forge = forge
        self._spec = spec
        self._ledger = ledger
        self._clock = clock
        self._asking: dict[tuple[SourceName, str], asyncio.Task[Told]] = {}
        self._failures: dict[SourceName, int] = {}
        self._turns: dict[SourceName, asyncio.Semaphore] = {}

    async def of(self, source: SourceName, own: Authorship, again: Again) -> Authorship:
        """The authorship git tells, with what the forge knows. Takes :data:`DEADLINE` at most, and
        has ``again`` called when it is worth asking once more."""
        commits = tuple(dict.fromkeys(commit.id for commit in own.commits))
        if not commits:
            return own
        if len(commits) > MOST_COMMITS:
            return await self._beyond(source, own, commits)
        known = await self._ledger.read(lambda reading: _remembered(reading, source, commits))
        try:
            told = await self._ask(source, commits, known.told)
        except GitopsError as error:
            again(self._pause(source, error))
            # Anybody who writes enough at the forge makes it say too much: two people then.
            own = replace(own, known=own.known and not isinstance(error, Overfull))
            own = replace(own, unasked=True, note=own.note or _unasked(error))
            told = known.told
        else:
            self._failures.pop(source, None)
            if any(not each.final for each in told.values()):
                again(LAG)
                own = replace(own, unasked=True)
        heads = {pull.head for each in told.values() for pull in each.pulls} - {""}
        pushers = dict(known.pushers)
        if heads:
            pushers |= await self._ledger.read(lambda reading: _pushers(reading, source, heads))
        return self._joined(source, own, told, pushers)

    async def _beyond(
        self, source: SourceName, own: Authorship, commits: Sequence[str]
    ) -> Authorship:
        """What is remembered of some of them, and that nobody knows it all."""
        some = commits[:MOST_COMMITS]
        known = await self._ledger.read(lambda reading: _remembered(reading, source, some))
        note = own.note or f"{len(commits)} commits are too many to ask the forge about"
        told = self._forge(source) is not None or bool(known.pushers)
        own = replace(own, note=note, known=own.known and not told)
        return self._joined(source, own, known.told, known.pushers)

    def _joined(
        self,
        source: SourceName,
        own: Authorship,
        told: Mapping[str, Told],
        pushers: Mapping[str, str],
    ) -> Authorship:
        spec = self._spec(source)
        return joined_with(own, told, pushers, spec.ref if spec else "", self._bots())

    def _pause(self, source: SourceName, error: GitopsError) -> float:
        if isinstance(error, Permanent):
            return REFUSED_PAUSE
        failures = self._failures[source] = self._failures.get(source, 0) + 1
        return min(FIRST_PAUSE * 2.0 ** min(failures - 1, 10), LONGEST_PAUSE)

    async def close(self) -> None:
        """Ends every asking; what was not remembered is asked again."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(
        self, source: SourceName, commits: Sequence[str], told: Mapping[str, Told]
    ) -> Mapping[str, Told]:
        """Raises Transient or Permanent when not all of them were told."""
        forge = self._forge(source)
        if forge is None:
            return told
        left = [commit for commit in commits if commit not in told or not told[commit].final]
        asking = {c: self._task(forge, source, c, told.get(c)) for c in left}
        if not asking:
            return told
        _, pending = await asyncio.wait(asking.values(), timeout=DEADLINE)
        if pending:
            raise Transient("it takes its time")
        for task in asking.values():
            if (error := task.exception()) is not None:
                raise error
        return {**told, **{commit: task.result() for commit, task in asking.items()}}

    def _task(
        self, forge: Forge, source: SourceName, commit: str, before: Told | None
    ) -> asyncio.Task[Told]:
        key = (source, commit)
        if key not in self._asking:
            task = asyncio.create_task(self._once(forge, source, commit, before))
            self._asking[key] = task
            task.add_done_callback(lambda ended: self._ended(key, ended))
        return self._asking[key]

    def _ended(self, key: tuple[SourceName, str], task: asyncio.Task[Told]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("provenance.unasked", source=key[0], commit=key[1], problem=str(error))

    async def _once(
        self, forge: Forge, source: SourceName, commit: str, before: Told | None
    ) -> Told:
        async with self._turns.setdefault(source, asyncio.Semaphore(AT_ONCE)):
            found = await forge.pulls_of(commit)
        now = self._clock.now()
        first = before.first if before else now
        spec = self._spec(source)
        facts = tuple(facts_of(pull) for pull in found)
        brought = any(covers(each, spec.ref if spec else "") for each in facts)
        told = Told(facts, first, final=brought or now - first >= LAG)
        value = dumps(Told, told)
        await self._ledger.write(lambda tx: tx.memorise(pulls_of(source), commit, value))
        return told


def facts_of(pull: PullRequest) -> PullFacts:
    """Pure: what is kept of a pull request; foreign text cut to what can be shown."""
    return PullFacts(
        number=pull.number,
        url=pull.url,
        title=one_line(pull.title, 200),
        author=pull.author,
        merger=pull.merger,
        base=pull.base,
        head=pull.head,
        merged_as=pull.merged_as,
        made_by_forge=pull.made_by_forge,
        reviewers=tuple(review.login for review in pull.reviews[:_SHOWN]),
        approvers=tuple(review.login for review in pull.reviews if review.approves)[:_SHOWN],
        approved_head=tuple(
            (review.login, review.at)
            for review in pull.reviews
            if review.approves and pull.head and review.commit == pull.head
        )[:_SHOWN],
    )


def covers(pull: PullFacts, ref: str) -> bool:
    """Pure: did it bring its commits to the branch that is followed?"""
    return into_followed(pull.base, ref)


def joined_with(
    own: Authorship,
    told: Mapping[str, Told],
    said: Mapping[str, str],
    ref: str,
    bots: Collection[str] = (),
) -> Authorship:
    """Pure: everybody the forge knows of joins those git names. ``said``: who pushed a commit, as
    the inbox remembers it."""
    pushers = {commit: login.removeprefix(HEARSAY) for commit, login in said.items()}
    firm = {commit: login for commit, login in said.items() if not login.startswith(HEARSAY)}
    pulls = {pull.number: pull for each in told.values() for pull in each.pulls}
    by_commit = {
        commit.id: [
            p for p in (told[commit.id].pulls if commit.id in told else ()) if covers(p, ref)
        ]
        for commit in own.commits
    }
    hands = {
        commit: {firm.get(commit, "")}.union(*((p.author, p.merger) for p in brought)) - {""}
        for commit, brought in by_commit.items()
    }
    covered = {commit for commit, logins in hands.items() if logins}
    authors = {pull.author for pull in pulls.values()} | _pushed(own.commits, by_commit, pushers)
    authors |= _pushed_heads(pulls.values(), by_commit, pushers)
    mergers = {pull.merger for pull in pulls.values()} - authors
    gone = sorted(pull.number for pull in pulls.values() if not pull.author)
    grade = own.grade
    vouched = all(_vouched(commit, hands[commit.id], bots) for commit in own.commits)
    # Asked again, the forge may name somebody else: whoever pushed is not all it knows.
    if own.known and not own.unasked and not gone and vouched:
        grade = max(grade, Grade.AUTHENTICATED, key=lambda each: each.rank)
    note = own.note
    if gone:
        note = f"who opened pull request {gone[0]} has no account any more"
    return replace(
        own,
        signatures=_people_only(own, covered, pulls.values()),
        logins=_without_nobody((*own.logins, *sorted(authors))),
        mergers=_without_nobody((*own.mergers, *sorted(mergers))),
        grade=grade,
        known=own.known and not gone,
        note=note,
        pull_requests=tuple(pulls[number] for number in sorted(pulls))[:_SHOWN],
    )


def _pushed(
    commits: Iterable[Commit],
    by_commit: Mapping[str, Sequence[PullFacts]],
    pushers: Mapping[str, str],
) -> set[str]:
    """Who pushed, unless that was the push their merging makes."""
    return {
        pushers[commit.id]
        for commit in commits
        if pushers.get(commit.id)
        and pushers[commit.id] not in {pull.merger for pull in by_commit[commit.id]}
    }


def _pushed_heads(
    pulls: Iterable[PullFacts],
    by_commit: Mapping[str, Sequence[PullFacts]],
    pushers: Mapping[str, str],
) -> set[str]:
    """Who pushed last to pull requests whose newest commit is none of ours: squashed or rebased,
    no commit may be left to say so. Where commits came over as they were, a merger's push of them
    was the merging."""
    found = set()
    for pull in pulls:
        who = pushers.get(pull.head, "")
        left = {commit for commit, brought in by_commit.items() if pull in brought}
        squashed = left <= {pull.merged_as}
        if who and pull.head not in by_commit and (squashed or who != pull.merger):
            found.add(who)
    return found


def _vouched(commit: Commit, logins: Collection[str], bots: Collection[str]) -> bool:
    """Does the forge know a person behind it? That a bot brought it proves nothing of people it
    names: whoever may start the bot chose them."""
    known = {each.casefold() for each in bots}
    if any(login.casefold() not in known for login in logins):
        return True
    named = {who.email.casefold() for who in (commit.author, commit.committer, *commit.co_authors)}
    return bool(logins) and named <= known | {WEB_FLOW}


def _people_only(
    own: Authorship, covered: set[str], pulls: Iterable[PullFacts]
) -> tuple[Signature, ...]:
    """Without the forge's own name as committer, and without whose name is only on a merge the
    forge made: whoever merged or pushed is among the logins. Somebody named anywhere else stays."""
    made = {pull.merged_as for pull in pulls if pull.made_by_forge and pull.merger}
    named: set[Signature] = set()
    stood_in: set[Signature] = set()
    for commit in own.commits:
        named.update(commit.co_authors)
        mechanical = commit.id in made and commit.id in covered
        for who in (commit.author, commit.committer):
            web = who.email.casefold() == WEB_FLOW and commit.id in covered
            (stood_in if mechanical or web else named).add(who)
    gone = stood_in - named
    return tuple(who for who in own.signatures if who not in gone)


def _without_nobody(logins: Iterable[str]) -> tuple[str, ...]:
    kept = (each for each in logins if each and each.casefold() not in _NOBODY)
    return tuple(dict.fromkeys(kept))


def pulls_of(source: SourceName) -> str:
    """Whose memo it is what the forge told of each commit of a source."""
    return f"pulls/{source}"


def _remembered(reading: Reading, source: SourceName, commits: Sequence[str]) -> _Known:
    told = {}
    for commit in commits:
        if kept := reading.memo(pulls_of(source), commit):
            try:
                told[commit] = loads(Told, kept)
            except Unreadable:
                continue  # asked again
    return _Known(told, _pushers(reading, source, commits))


def _pushers(reading: Reading, source: SourceName, commits: Iterable[str]) -> dict[str, str]:
    found = {commit: reading.memo(pushes_of(source), commit) for commit in commits}
    return {commit: login for commit, login in found.items() if login}


def _unasked(error: GitopsError) -> str:
    return f"the forge could not be asked who brought this: {error.message}"
