"""What a forge knows of a change joins what git claims, and never makes it look better known."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from gitops.engine.ledger import Ledger
from gitops.engine.provenance import (
    FIRST_PAUSE,
    LAG,
    LONGEST_PAUSE,
    MOST_COMMITS,
    WEB_FLOW,
    Provenance,
)
from gitops.engine.supplies import joined
from gitops.errors import Permanent, Transient
from gitops.gate import authors_of, electorate, may_answer
from gitops.model.approval import Decision
from gitops.model.fleet import ApprovalPolicy, People, Person, SourceSpec
from gitops.model.ids import PersonName, SourceName
from gitops.model.source import Authorship, Commit, Grade, Signature
from gitops.ports.forges import Overfull, PullRequest, PullState, Review
from gitops.store import open_memory_store

SOURCE = SourceName("config")
ADA, BOB, CYD = PersonName("ada"), PersonName("bob"), PersonName("cyd")
GITHUB = Signature("GitHub", WEB_FLOW)
PEOPLE = People(
    persons={
        ADA: Person(ADA, emails=("ada@example.com",), logins=("github:ada",)),
        BOB: Person(BOB, emails=("bob@example.com",), logins=("github:bob",)),
        CYD: Person(CYD, emails=("cyd@example.com",), logins=("github:cyd",)),
    },
    bots=("github:renovate[bot]", "renovate@example.com"),
)


class StillClock:
    time = 1_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@dataclass
class FakeForge:
    """Its answers only; what real ones answer is the clients' contract."""

    kind: str = "github"
    pulls: dict[str, list[PullRequest]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    problem: Exception | None = None
    holds: asyncio.Event | None = None

    async def pulls_of(self, commit: str) -> Sequence[PullRequest]:
        self.asked.append(commit)
        if self.holds is not None:
            await self.holds.wait()
        if self.problem is not None:
            raise self.problem
        return self.pulls.get(commit, [])


@dataclass
class Story:
    clock: StillClock
    ledger: Ledger
    forge: FakeForge
    provenance: Provenance
    again: list[float] = field(default_factory=list)

    async def of(self, own: Authorship) -> Authorship:
        return await self.provenance.of(SOURCE, own, self.again.append)

    async def pushed(self, commit: str, login: str) -> None:
        await self.ledger.write(lambda tx: tx.memorise(f"push/{SOURCE}", commit, login))


@pytest.fixture
async def story() -> Story:
    clock, forge = StillClock(), FakeForge()
    store = open_memory_store(clock)
    ledger = Ledger(store)
    ledger.epoch = await store.leases.acquire("controller", "me", 1e9)
    spec = SourceSpec(SOURCE, "git", "https://github.com/acme/config", ref="main")
    provenance = Provenance(
        lambda _name: forge,  # type: ignore[arg-type,return-value]
        lambda _name: spec,
        ledger,
        clock,
        lambda: PEOPLE.bots,
    )
    return Story(clock, ledger, forge, provenance)


def commit(
    digit: str, author: str = "ada", committer: str = "", co: tuple[str, ...] = ()
) -> Commit:
    by = Signature(author, f"{author}@example.com")
    via = GITHUB if committer == "web" else replace(by)
    if committer not in ("", "web"):
        via = Signature(committer, f"{committer}@example.com")
    together = tuple(Signature(each, f"{each}@example.com") for each in co)
    return Commit(digit * 40, "change it", by, via, together)


def claimed(*commits: Commit) -> Authorship:
    everybody = (who for c in commits for who in (c.author, c.committer, *c.co_authors))
    return Authorship(commits, tuple(dict.fromkeys(everybody)))


def pull(number: int = 4, **more: object) -> PullRequest:
    facts = PullRequest(
        number, PullState.MERGED, "Raise it", "github:ada", "main", "b" * 40, False, "https://x/4"
    )
    return replace(facts, **{"merger": "github:bob", **more})  # type: ignore[arg-type]


def may(person: PersonName, authorship: Authorship, policy: ApprovalPolicy | None = None) -> bool:
    return may_answer(
        person, Decision.APPROVE, policy or ApprovalPolicy(), authorship, PEOPLE
    ).allowed


def able(authorship: Authorship, policy: ApprovalPolicy | None = None) -> set[PersonName]:
    return set(electorate(policy or ApprovalPolicy(), authorship, PEOPLE).eligible)


MERGER = ApprovalPolicy(merger_may_approve=True)


async def test_the_pull_requests_author_and_merger_join_the_authors(story: Story) -> None:
    story.forge.pulls["c" * 40] = [pull()]
    found = await story.of(claimed(commit("c", "dan")))
    assert (found.logins, found.mergers) == (("github:ada",), ("github:bob",))
    assert found.grade is Grade.AUTHENTICATED
    assert not found.unasked
    assert story.again == []


async def test_whoever_merged_approves_only_where_the_policy_says_so(story: Story) -> None:
    story.forge.pulls["c" * 40] = [pull()]
    found = await story.of(claimed(commit("c")))
    assert able(found) == {CYD}
    assert able(found, MERGER) == {BOB, CYD}


async def test_a_merger_who_wrote_some_of_it_is_an_author_whatever_the_policy(
    story: Story,
) -> None:
    story.forge.pulls["c" * 40] = [pull()]
    for own in (claimed(commit("c", "bob")), claimed(commit("c", co=("bob",)))):
        assert BOB not in able(await story.of(own), MERGER)
    story.forge.pulls["c" * 40] = [pull(author="github:bob")]
    found = await story.of(claimed(commit("d", "bob")))
    assert BOB not in able(found, MERGER)


async def test_whoever_pushed_is_an_author(story: Story) -> None:
    await story.pushed("c" * 40, "github:cyd")
    await story.of(claimed(commit("c")))
    story.clock.time += LAG
    found = await story.of(claimed(commit("c")))
    assert found.logins == ("github:cyd",)
    assert found.grade is Grade.AUTHENTICATED
    assert not may(CYD, found)


async def test_until_the_forge_has_spoken_a_push_authenticates_nothing(story: Story) -> None:
    """A webhook is faster than the forge's list of pull requests: whoever merged is known then, and
    whoever wrote it, under a name they chose, not yet."""
    await story.pushed("c" * 40, "github:bob")
    own = claimed(commit("c", "dan"))
    assert (await story.of(own)).grade is Grade.CLAIMED
    story.forge.problem = Transient("it is away")
    assert (await story.of(own)).grade is Grade.CLAIMED
    story.forge.problem = None
    story.forge.pulls["c" * 40] = [pull()]
    found = await story.of(own)
    assert (found.grade, found.logins) == (Grade.AUTHENTICATED, ("github:ada",))


async def test_hearsay_of_who_pushed_names_an_author_and_proves_nothing(story: Story) -> None:
    await story.pushed("c" * 40, "~github:cyd")
    story.clock.time += LAG
    await story.of(claimed(commit("c")))
    story.clock.time += LAG
    found = await story.of(claimed(commit("c")))
    assert (found.grade, found.logins) == (Grade.CLAIMED, ("github:cyd",))


async def test_a_bot_does_not_vouch_for_the_person_it_names(story: Story) -> None:
    """Whoever may push a workflow has a bot push, open and merge what they wrote as anybody."""
    bot = "github:renovate[bot]"
    story.forge.pulls["c" * 40] = [pull(author=bot, merger=bot)]
    assert (await story.of(claimed(commit("c", "ada")))).grade is Grade.CLAIMED
    assert (await story.of(claimed(commit("c", "renovate")))).grade is Grade.AUTHENTICATED
    story.forge.pulls["d" * 40] = [pull(author=bot)]
    assert (await story.of(claimed(commit("d", "ada")))).grade is Grade.AUTHENTICATED


async def test_who_pushed_last_to_a_squashed_pull_request_is_an_author(story: Story) -> None:
    """Into somebody else's pull request, merged by somebody else still."""
    await story.pushed("b" * 40, "github:cyd")
    story.forge.pulls["c" * 40] = [pull(merged_as="c" * 40)]
    found = await story.of(claimed(commit("c")))
    assert able(found, MERGER) == {BOB}
    await story.pushed("b" * 40, "github:bob")
    assert able(await story.of(claimed(commit("c"))), MERGER) == {CYD}


async def test_a_merger_whose_merging_pushed_the_head_only_merged(story: Story) -> None:
    await story.pushed("b" * 40, "github:bob")
    story.forge.pulls["c" * 40] = [pull(merged_as="d" * 40)]
    assert able(await story.of(claimed(commit("c"))), MERGER) == {BOB, CYD}


async def test_the_push_that_merging_makes_is_the_mergers(story: Story) -> None:
    story.forge.pulls["c" * 40] = [pull()]
    await story.pushed("c" * 40, "github:bob")
    found = await story.of(claimed(commit("c")))
    assert found.mergers == ("github:bob",)
    assert may(BOB, found, MERGER)


async def test_somebody_else_who_pushed_it_is_an_author_beside_the_merger(story: Story) -> None:
    story.forge.pulls["c" * 40] = [pull()]
    await story.pushed("c" * 40, "github:cyd")
    assert able(await story.of(claimed(commit("c"))), MERGER) == {BOB}


async def test_one_commit_nobody_vouches_for_leaves_the_grade_where_it_was(story: Story) -> None:
    story.forge.pulls["c" * 40] = [pull()]
    for grade in (Grade.CLAIMED, Grade.SIGNED):
        own = replace(claimed(commit("c"), commit("d", "dan")), grade=grade)
        found = await story.of(own)
        assert found.grade is grade
        assert found.logins == ("github:ada",)


async def test_a_rewritten_history_is_never_authenticated(story: Story) -> None:
    story.forge.pulls["c" * 40] = [pull()]
    found = await story.of(replace(claimed(commit("c")), known=False, note="rewritten"))
    assert (found.grade, found.known, found.note) == (Grade.CLAIMED, False, "rewritten")


async def test_a_pull_request_into_another_branch_vouches_for_nothing(story: Story) -> None:
    story.forge.pulls["c" * 40] = [pull(base="release")]
    story.clock.time += LAG
    found = await story.of(claimed(commit("c", "dan")))
    assert found.grade is Grade.CLAIMED
    assert "github:ada" in found.logins, "still somebody who had a hand in it"


async def test_the_forges_own_name_is_nobody_and_the_merger_stands_in(story: Story) -> None:
    story.forge.pulls["c" * 40] = [pull()]
    found = await story.of(claimed(commit("c", committer="web")))
    assert GITHUB not in found.signatures
    assert authors_of(found, PEOPLE).known
    assert able(found) == {CYD}


async def test_the_forges_own_name_on_what_it_knows_nothing_of_is_a_stranger(story: Story) -> None:
    story.clock.time += LAG
    found = await story.of(claimed(commit("c", committer="web")))
    assert GITHUB in found.signatures
    assert not authors_of(found, PEOPLE).known


async def test_a_merge_the_forge_made_names_only_who_merged(story: Story) -> None:
    merged = pull(merged_as="d" * 40, made_by_forge=True)
    story.forge.pulls |= {"c" * 40: [merged], "d" * 40: [merged]}
    own = claimed(commit("c"), commit("d", "bob", "web"))
    found = await story.of(own)
    assert [who.email for who in found.signatures] == ["ada@example.com"]
    assert able(found, MERGER) == {BOB, CYD}
    assert able(found) == {CYD}


async def test_a_merge_somebody_made_at_home_is_theirs(story: Story) -> None:
    merged = pull(merged_as="d" * 40)
    story.forge.pulls |= {"c" * 40: [merged], "d" * 40: [merged]}
    found = await story.of(claimed(commit("c"), commit("d", "bob", "web")))
    assert BOB not in able(found, MERGER)


async def test_for_a_bots_change_the_merger_stands_in_whatever_the_policy(story: Story) -> None:
    story.forge.pulls["c" * 40] = [pull(author="github:renovate[bot]")]
    found = await story.of(claimed(commit("c", "renovate")))
    assert able(found, MERGER) == {ADA, CYD}
    assert authors_of(found, PEOPLE).persons == {BOB}


async def test_a_bot_that_merges_its_own_change_leaves_nobody_known(story: Story) -> None:
    bot = "github:renovate[bot]"
    story.forge.pulls["c" * 40] = [pull(author=bot, merger=bot)]
    group = electorate(ApprovalPolicy(), await story.of(claimed(commit("c", "renovate"))), PEOPLE)
    assert group.needed == 2


@pytest.mark.parametrize(
    "more",
    [
        {"author": "github:mallory"},
        {"merger": "github:mallory"},
        {"author": "github:dependabot[bot]"},
        {"author": ""},
    ],
    ids=str,
)
async def test_a_stranger_anywhere_asks_for_two(story: Story, more: dict[str, object]) -> None:
    story.forge.pulls["c" * 40] = [pull(**more)]
    found = await story.of(claimed(commit("c")))
    assert electorate(ApprovalPolicy(), found, PEOPLE).needed == 2
    assert electorate(MERGER, found, PEOPLE).needed == 2


async def test_each_commit_is_asked_about_once_however_many_lanes_want_it(story: Story) -> None:
    story.forge.pulls |= {"c" * 40: [pull()], "d" * 40: [pull()]}
    own = claimed(commit("c"), commit("d"))
    answers = await asyncio.gather(*(story.of(own) for _ in range(20)))
    assert len(set(map(repr, answers))) == 1
    assert sorted(story.forge.asked) == ["c" * 40, "d" * 40]
    again = Provenance(
        lambda _name: story.forge,  # type: ignore[arg-type,return-value]
        lambda _name: None,
        story.ledger,
        story.clock,
    )
    assert await again.of(SOURCE, own, story.again.append) == answers[0]
    assert len(story.forge.asked) == 2, "remembered beyond a restart"


async def test_no_pull_request_is_believed_only_after_the_forge_had_time(story: Story) -> None:
    own = claimed(commit("c"))
    found = await story.of(own)
    assert (found.unasked, story.again) == (True, [LAG])
    story.forge.pulls["c" * 40] = [pull()]
    found = await story.of(own)
    assert (found.unasked, found.logins) == (False, ("github:ada",))


async def test_a_direct_push_is_believed_in_the_end(story: Story) -> None:
    own = claimed(commit("c"))
    await story.of(own)
    story.clock.time += LAG
    assert not (await story.of(own)).unasked
    await story.of(own)
    assert len(story.forge.asked) == 2


@pytest.mark.parametrize("problem", [Transient("it is away"), Permanent("it refuses (403)")])
async def test_a_forge_that_does_not_tell_holds_nothing_up(
    story: Story, problem: Exception
) -> None:
    story.forge.problem = problem
    own = claimed(commit("c"))
    found = await story.of(own)
    assert (found.grade, found.unasked) == (Grade.CLAIMED, True)
    assert "the forge could not be asked" in found.note
    assert found.signatures == own.signatures
    for _ in range(20):
        await story.of(own)
    assert story.again[0] >= FIRST_PAUSE
    assert story.again[-1] >= LONGEST_PAUSE
    assert story.again == sorted(story.again)
    story.forge.problem = None
    story.forge.pulls["c" * 40] = [pull()]
    assert (await story.of(own)).grade is Grade.AUTHENTICATED


async def test_a_forge_made_to_say_too_much_leaves_it_open_who_wrote_it(story: Story) -> None:
    story.forge.problem = Overfull("the answer is over 4 MiB")
    found = await story.of(claimed(commit("c")))
    assert "over 4 MiB" in found.note
    assert electorate(ApprovalPolicy(), found, PEOPLE).needed == 2


async def test_a_slow_forge_is_waited_for_a_moment_and_heard_when_it_speaks(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.engine.provenance.DEADLINE", 0.05)
    story.forge.holds = asyncio.Event()
    story.forge.pulls["c" * 40] = [pull()]
    own = claimed(commit("c"))
    assert (await story.of(own)).unasked
    story.forge.holds.set()
    assert (await story.of(own)).grade is Grade.AUTHENTICATED
    assert story.forge.asked == ["c" * 40]
    await story.provenance.close()


async def test_a_slow_forge_takes_no_other_sources_turn(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.engine.provenance.DEADLINE", 0.05)
    slow = FakeForge(holds=asyncio.Event())
    story.forge.pulls["c" * 40] = [pull()]
    both = Provenance(
        lambda name: slow if name == "slow" else story.forge,  # type: ignore[arg-type,return-value]
        lambda _name: None,
        story.ledger,
        story.clock,
    )
    many = claimed(*(commit(digit) for digit in "0123456789"))
    assert (await both.of(SourceName("slow"), many, story.again.append)).unasked
    monkeypatch.setattr("gitops.engine.provenance.DEADLINE", 60)  # this machine may be slow too
    found = await both.of(SOURCE, claimed(commit("c")), story.again.append)
    assert found.grade is Grade.AUTHENTICATED
    await both.close()


async def test_closing_leaves_no_question_behind(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.engine.provenance.DEADLINE", 0.01)
    story.forge.holds = asyncio.Event()
    await story.of(claimed(commit("c")))
    await story.provenance.close()


async def test_what_is_remembered_and_unreadable_is_asked_again(story: Story) -> None:
    await story.ledger.write(lambda tx: tx.memorise(f"pulls/{SOURCE}", "c" * 40, '{"no": 1}'))
    story.forge.pulls["c" * 40] = [pull()]
    assert (await story.of(claimed(commit("c")))).logins == ("github:ada",)


async def test_too_many_commits_are_not_asked_about(story: Story) -> None:
    many = tuple(replace(commit("c"), id=f"{n:040x}") for n in range(MOST_COMMITS + 1))
    found = await story.of(Authorship(many))
    assert story.forge.asked == []
    assert "too many" in found.note
    assert found.grade is Grade.CLAIMED
    assert electorate(ApprovalPolicy(), found, PEOPLE).needed == 2, "anybody can push that many"


async def test_where_nobody_could_have_told_many_commits_are_as_well_known_as_few(
    story: Story,
) -> None:
    many = tuple(replace(commit("c"), id=f"{n:040x}") for n in range(MOST_COMMITS + 1))
    alone = Provenance(lambda _name: None, lambda _name: None, story.ledger, story.clock)
    assert (await alone.of(SOURCE, Authorship(many), story.again.append)).known
    await story.pushed(many[0].id, "github:cyd")
    found = await alone.of(SOURCE, Authorship(many), story.again.append)
    assert (found.known, found.logins) == (False, ("github:cyd",))


async def test_the_facts_are_attached(story: Story) -> None:
    head = "b" * 40
    reviews = (
        Review("github:bob", True, head, 5.0),
        Review("github:cyd", True, "1" * 40, 6.0),
        Review("github:dan", False, head, 7.0),
    )
    story.forge.pulls |= {"c" * 40: [pull(reviews=reviews)], "d" * 40: [pull(reviews=reviews)]}
    found = await story.of(claimed(commit("c"), commit("d")))
    (facts,) = found.pull_requests
    assert (facts.number, facts.author, facts.merger) == (4, "github:ada", "github:bob")
    assert facts.reviewers == ("github:bob", "github:cyd", "github:dan")
    assert facts.approvers == ("github:bob", "github:cyd")
    assert facts.approved_head == (("github:bob", 5.0),)
    other = joined(found, Authorship(people=(CYD,), grade=Grade.SIGNED))
    assert other.pull_requests == (facts,)
    assert other.mergers == ("github:bob",)
    assert other.grade is Grade.SIGNED


async def test_a_source_on_no_forge_costs_nothing_and_still_knows_who_pushed(story: Story) -> None:
    alone = Provenance(lambda _name: None, lambda _name: None, story.ledger, story.clock)
    own = claimed(commit("c"))
    assert await alone.of(SOURCE, own, story.again.append) == own
    await story.pushed("c" * 40, "github:cyd")
    found = await alone.of(SOURCE, own, story.again.append)
    assert (found.logins, found.grade) == (("github:cyd",), Grade.AUTHENTICATED)
    nothing = Authorship(known=False, note="no authors are named")
    assert await alone.of(SOURCE, nothing, story.again.append) == nothing
    assert story.again == []


async def test_the_very_account_a_forge_commits_with_is_nobody(story: Story) -> None:
    story.forge.pulls["c" * 40] = [pull(merger="github:web-flow")]
    assert (await story.of(claimed(commit("c")))).mergers == ()
