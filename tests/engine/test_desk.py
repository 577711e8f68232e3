"""The desk: what is asked, whose answers count, and when they no longer do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from gitops.engine.desk import Desk, Question, seal_of
from gitops.engine.heals import HEALS, WITHIN
from gitops.engine.ledger import Ledger
from gitops.errors import NotAllowed, StaleWrite
from gitops.model.approval import Answer, AnswerKind, Decision, MemberState, Request, RequestState
from gitops.model.delivery import Cause, ChangeRecord, ChangeState
from gitops.model.events import ApplyFinished, ChangeClosed, ChangeOpened, Claimed, MemberDecided
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import (
    ApplicationSpec,
    ApprovalPolicy,
    AutoApprove,
    DriftPolicy,
    Fleet,
    People,
    Person,
)
from gitops.model.ids import ApplicationName, Digest, PersonName, SourceName, TargetName, combine
from gitops.model.plan import Plan, SealParts
from gitops.store import open_memory_store
from tests.contract.store_story import Clock, change_of, lane, plan_of

PEOPLE = People(
    {
        PersonName(n): Person(PersonName(n), (f"{n}@example.org",))
        for n in ("ada", "bob", "cyd", "dan")
    }
)
NOTHING = combine("")


@dataclass
class Office:
    """A desk on a store of its own, and one application whose rules the test sets."""

    ledger: Ledger
    clock: Clock
    spec: ApplicationSpec
    people: People = PEOPLE

    def __post_init__(self) -> None:
        self.desk = Desk(self.fleet, self.spec_of, self.clock)

    def fleet(self) -> Fleet:
        return Fleet(Path("gitops.yaml"), Path("state"), people=self.people)

    def spec_of(self, name: ApplicationName) -> ApplicationSpec | None:
        return replace(self.spec, name=name) if name.startswith("shop") else None

    def policy(self, policy: ApprovalPolicy) -> None:
        self.spec = replace(self.spec, approval=policy)

    async def open(
        self, name: str = "shop", cause: Cause = Cause.COMMIT, wish: str = "a"
    ) -> ChangeRecord:
        known = await self.ledger.read(lambda r: r.lane(lane(name)))
        change = change_of(lane(name), known.generation, wish, cause)
        await self.ledger.append(ChangeOpened(change))
        record = await self.ledger.read(lambda r: r.change(change.id))
        assert record is not None
        return record

    async def ask(
        self, record: ChangeRecord, text: str = "p", plan: Plan | None = None, policy: str = ""
    ) -> Answer:
        plan = plan or plan_of(record.change, text)
        rules = combine("policy", policy) if policy else NOTHING
        parts = SealParts(
            *(record.change.after, NOTHING, plan.digest, "tools", "uid", rules), plan.over_budget
        )
        spec = self.spec_of(record.change.lane.application)
        assert spec is not None
        question = Question(record, spec, plan, parts, "a title", {})
        return await self.ledger.write(lambda tx: self.desk.ask(tx, question))

    async def requests(self) -> Sequence[Request]:
        return await self.ledger.read(lambda r: r.requests(open_only=False))

    async def request(self) -> Request:
        """The newest."""
        return (await self.requests())[0]

    async def answer(
        self,
        person: str,
        decision: Decision = Decision.APPROVE,
        root: Digest | None = None,
        confirmation: str = "",
    ) -> Sequence[ChangeRecord]:
        """The changes it decided."""
        request = await self.request()
        _, decided = await self.ledger.write(
            lambda tx: self.desk.answer(
                tx,
                request=request.id,
                root=root or request.root,
                person=PersonName(person),
                decision=decision,
                reason="not now" if decision is Decision.DENY else "",
                via="test",
                confirmation=confirmation,
            )
        )
        return decided

    async def claim(self, record: ChangeRecord, answer: Answer) -> None:
        await self.ledger.append(Claimed(record.change.id, answer.seal, answer.by))

    async def deliver(self, record: ChangeRecord, answer: Answer) -> None:
        await self.claim(record, answer)
        id = record.change.id
        await self.ledger.append(ApplyFinished(id, "done"), ChangeClosed(id, ChangeState.HEALTHY))

    async def states(self) -> list[MemberState]:
        return [member.state for member in (await self.request()).members]


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    clock = Clock()
    store = open_memory_store(clock)
    epoch = await store.leases.acquire("controller", "test", 1e6)
    application = ApplicationSpec(ApplicationName("shop"), SourceName("config"), "app")
    yield Office(Ledger(store, epoch), clock, replace(application, clusters=(TargetName("prod"),)))
    store.close()


async def test_one_question_is_one_row_however_often_it_is_asked(office: Office) -> None:
    record = await office.open()
    first = await office.ask(record)
    again = await office.ask(record)
    assert (first.kind, again.kind) == (AnswerKind.PENDING, AnswerKind.PENDING)
    assert first.request == again.request
    assert [record.change.id for record in await office.answer("bob")] == [record.change.id]
    assert (await office.ask(record)).kind is AnswerKind.APPROVED


async def test_a_quorum_is_of_different_people(office: Office) -> None:
    office.policy(ApprovalPolicy(quorum=2))
    record = await office.open()
    await office.ask(record)
    assert not await office.answer("bob")
    with pytest.raises(NotAllowed, match="bob has approved this already"):
        await office.answer("bob")
    with pytest.raises(NotAllowed, match="ada is an author"):
        await office.answer("ada")
    assert await office.answer("cyd")
    answer = await office.ask(record)
    assert (answer.kind, answer.by) == (AnswerKind.APPROVED, ("bob", "cyd"))


async def test_an_answer_dies_with_its_seal(office: Office) -> None:
    office.policy(ApprovalPolicy(quorum=2))
    record = await office.open()
    await office.ask(record)
    old = (await office.request()).root
    await office.answer("bob")
    await office.ask(record, "the plan moved")
    request = await office.request()
    assert request.root != old
    assert request.members[0].moved
    with pytest.raises(NotAllowed, match="changed since you looked"):
        await office.answer("cyd", root=old)
    assert not await office.answer("cyd"), "bob said yes to something else"
    assert await office.answer("bob")


async def test_a_yes_outlives_a_new_root_that_left_its_member_alone(office: Office) -> None:
    office.policy(ApprovalPolicy(quorum=2))
    shop, other = await office.open("shop"), await office.open("shop-b")
    await office.ask(shop)
    await office.answer("bob")
    await office.ask(other)
    decided = await office.answer("cyd")
    assert [r.change.id for r in decided] == [shop.change.id], "bob's yes still counts for it"
    assert sorted(await office.states()) == [MemberState.APPROVED, MemberState.ASKING]
    assert [r.change.id for r in await office.answer("dan")] == [other.change.id]


async def test_of_a_yes_and_a_no_the_first_to_be_recorded_stands(office: Office) -> None:
    record = await office.open()
    await office.ask(record)
    await office.answer("bob", Decision.DENY)
    with pytest.raises(NotAllowed, match="too late: bob denied it"):
        await office.answer("cyd")
    assert await office.states() == [MemberState.DENIED]
    where = record.change.lane
    held = await office.ledger.read(lambda r: r.lane(where))
    assert held.hold is not None
    assert "denied by bob: not now" in held.hold.why
    assert (await office.ask(record)).kind is AnswerKind.SUPERSEDED


async def test_an_author_may_take_the_change_back(office: Office) -> None:
    await office.ask(await office.open())
    assert await office.answer("ada", Decision.DENY)


async def test_a_question_past_its_time_is_answered_by_nobody(office: Office) -> None:
    record = await office.open()
    await office.ask(record)
    office.clock.time += 86_401
    with pytest.raises(NotAllowed, match="has expired"):
        await office.answer("bob")
    ended = await office.ledger.write(office.desk.expire)
    assert [r.change.id for r in ended] == [record.change.id]
    assert (await office.request()).state is RequestState.CLOSED
    with pytest.raises(NotAllowed, match="it expired unanswered"):
        await office.answer("bob")
    assert not await office.ledger.write(office.desk.expire)


async def test_deletes_over_the_budget_want_their_number_typed(office: Office) -> None:
    record = await office.open()
    plan = replace(plan_of(record.change), over_budget=("everything",))
    await office.ask(record, plan=plan)
    for wrong in ("", "yes", "delete 1"):
        with pytest.raises(NotAllowed, match="more than its budget"):
            await office.answer("bob", confirmation=wrong)
    assert await office.answer("bob", confirmation="delete 0")


async def test_a_policy_answers_by_itself_and_is_named(office: Office) -> None:
    office.policy(ApprovalPolicy("free", auto=AutoApprove(always=True)))
    answer = await office.ask(await office.open())
    assert (answer.kind, answer.by) == (AnswerKind.APPROVED, ("policy free",))
    assert not await office.ledger.read(lambda r: r.requests(open_only=False))


@pytest.mark.parametrize(
    ("drift", "kind"),
    [
        (DriftPolicy.ASK, AnswerKind.PENDING),
        (DriftPolicy.HEAL, AnswerKind.APPROVED),
        (DriftPolicy.REPORT, AnswerKind.REPORTED),
    ],
)
async def test_drift_is_treated_as_its_policy_says(
    office: Office, drift: DriftPolicy, kind: AnswerKind
) -> None:
    office.spec = replace(office.spec, drift=drift)
    record = await office.open(cause=Cause.DRIFT)
    assert (await office.ask(record)).kind is kind


async def test_healing_never_deletes_beyond_the_budget(office: Office) -> None:
    office.spec = replace(office.spec, drift=DriftPolicy.HEAL)
    record = await office.open(cause=Cause.DRIFT)
    plan = replace(plan_of(record.change), over_budget=("everything",))
    assert (await office.ask(record, plan=plan)).kind is AnswerKind.PENDING


async def test_a_blocking_finding_withdraws_the_question(office: Office) -> None:
    record = await office.open()
    await office.ask(record)
    finding = Finding("lint", Severity.ERROR, "no such field", path="app/a.yaml", line=3)
    plan = replace(plan_of(record.change), findings=(finding, finding))
    answer = await office.ask(record, plan=plan)
    assert answer.kind is AnswerKind.BLOCKED
    assert answer.reason == "app/a.yaml:3: no such field (and 1 more)"
    with pytest.raises(NotAllowed, match="too late"):
        await office.answer("bob")
    id = record.change.id
    kept = await office.ledger.read(lambda r: r.change(id))
    assert kept is not None
    assert kept.state is ChangeState.BLOCKED
    office.clock.time += 1
    assert (await office.ask(record)).kind is AnswerKind.PENDING, "mended without a new commit"


async def test_what_is_blocked_stays_so_when_only_the_policy_moved(office: Office) -> None:
    record = await office.open()
    finding = Finding("lint", Severity.ERROR, "no such field", path="app/a.yaml", line=3)
    plan = replace(plan_of(record.change), findings=(finding,))
    await office.ask(record, plan=plan)
    assert (await office.ask(record, plan=plan, policy="other people")).kind is AnswerKind.BLOCKED
    id = record.change.id
    kept = await office.ledger.read(lambda r: r.change(id))
    assert kept is not None
    assert kept.state is ChangeState.BLOCKED


async def test_an_empty_plan_needs_nobody(office: Office) -> None:
    record = await office.open()
    plan = replace(plan_of(record.change), changes=())
    assert (await office.ask(record, plan=plan)).kind is AnswerKind.NOT_NEEDED


async def test_what_nobody_can_approve_is_said_with_the_question(office: Office) -> None:
    office.people = People({PersonName("ada"): PEOPLE.persons[PersonName("ada")]})
    answer = await office.ask(await office.open())
    assert answer.kind is AnswerKind.PENDING
    assert answer.reason.startswith("Nobody can approve this")


async def test_who_left_the_fleet_file_answers_nothing(office: Office) -> None:
    await office.ask(await office.open())
    office.people = People({name: who for name, who in PEOPLE.persons.items() if name != "bob"})
    with pytest.raises(NotAllowed, match="bob is nobody"):
        await office.answer("bob")
    with pytest.raises(NotAllowed, match="bob is nobody"):
        await office.answer("bob", Decision.DENY)


# --- a plan that moves and comes back -----------------------------------------------------------


async def test_a_plan_that_moved_and_came_back_is_a_new_question_to_everybody(
    office: Office,
) -> None:
    office.policy(ApprovalPolicy(quorum=2))
    record = await office.open()
    await office.ask(record, "first")
    await office.answer("bob")
    await office.ask(record, "second")
    await office.ask(record, "first")
    (member,) = (await office.request()).members
    assert "an earlier yes no longer counts: bob" in member.moved
    assert member.yes == ()
    assert not await office.answer("cyd"), "bob's yes is from before the plan moved"
    assert await office.answer("bob"), "who said yes before may say it again"
    answer = await office.ask(record, "first")
    assert (answer.kind, answer.by) == (AnswerKind.APPROVED, ("bob", "cyd"))


async def test_the_store_takes_no_yes_from_before_the_plan_came_back(office: Office) -> None:
    office.policy(ApprovalPolicy(quorum=2))
    record = await office.open()
    for text in ("first", "second", "first"):
        await office.ask(record, text)
        if text == "first" and not (await office.request()).verdicts:
            await office.answer("bob")
    request = await office.request()
    stale = MemberDecided(request.id, record.change.id, MemberState.APPROVED, (PersonName("bob"),))
    with pytest.raises(StaleWrite, match="nobody answered yes"):
        await office.ledger.append(stale)


async def test_a_yes_in_a_request_that_closed_is_void_once_it_is_asked_again(
    office: Office,
) -> None:
    record = await office.open()
    await office.ask(record, "first")
    await office.answer("bob")
    approved = await office.ask(record, "first")
    for text in ("second", "first"):
        assert (await office.ask(record, text)).kind is AnswerKind.PENDING
    assert len(await office.requests()) == 2
    with pytest.raises(StaleWrite, match="nobody approved"):
        await office.claim(record, approved)


async def test_a_question_asked_anew_does_not_say_that_the_plan_moved_when_it_did_not(
    office: Office,
) -> None:
    record = await office.open()
    await office.ask(record)
    await office.ask(record, policy="other people")
    (member,) = (await office.request()).members
    assert member.moved.startswith("the plan is the same")
    await office.ask(record, "second", policy="other people")
    (member,) = (await office.request()).members
    assert member.moved == "the plan changed since it was asked"


async def test_a_plan_that_comes_to_exceed_its_budget_is_asked_again(office: Office) -> None:
    record = await office.open()
    plan = plan_of(record.change)
    first = await office.ask(record, plan=plan)
    await office.answer("bob")
    over = replace(plan, over_budget=("1 of 2 objects would be deleted",))
    again = await office.ask(record, plan=over)
    assert (again.kind, plan.digest) == (AnswerKind.PENDING, over.digest)
    assert again.seal != first.seal
    (member,) = (await office.request()).members
    assert member.moved == (
        "it now deletes more than its budget allows (1 of 2 objects would be deleted); "
        "an earlier yes no longer counts: bob"
    )
    with pytest.raises(NotAllowed, match="more than its budget"):
        await office.answer("bob")
    assert await office.answer("bob", confirmation="delete 0")


async def test_a_plan_back_within_its_budget_is_asked_again_without_typing(office: Office) -> None:
    record = await office.open()
    plan = plan_of(record.change)
    await office.ask(record, plan=replace(plan, over_budget=("too much",)))
    old = (await office.request()).root
    await office.ask(record, plan=plan)
    (member,) = (await office.request()).members
    assert member.moved == "it no longer deletes more than its budget allows"
    with pytest.raises(NotAllowed, match="changed since you looked"):
        await office.answer("bob", root=old, confirmation="delete 0")
    assert await office.answer("bob")


def test_a_plan_within_its_budget_has_the_seal_it_always_had() -> None:
    parts = SealParts(*[combine(str(n)) for n in range(3)], "tools", "uid", NOTHING)
    before = combine("seal", *[combine(str(n)) for n in range(3)], "tools", "uid", NOTHING)
    assert seal_of(parts) == before
    assert seal_of(replace(parts, over_budget=("x",))) != before


# --- taking an approval back --------------------------------------------------------------------


@pytest.mark.parametrize("person", ["ada", "bob", "cyd"])
async def test_an_approval_can_be_taken_back_until_it_is_applied(
    office: Office, person: str
) -> None:
    record = await office.open()
    answer = await office.ask(record)
    looked_at = (await office.request()).root
    await office.answer("bob")
    approved = await office.ask(record)
    assert approved.kind is AnswerKind.APPROVED
    (denied,) = await office.answer(person, Decision.DENY, root=looked_at)
    assert denied.change.id == record.change.id
    assert await office.states() == [MemberState.DENIED]
    assert (await office.ask(record)).kind is AnswerKind.SUPERSEDED
    with pytest.raises(StaleWrite):
        await office.claim(record, replace(approved, seal=answer.seal))
    held = await office.ledger.read(lambda r: r.lane(record.change.lane))
    assert held.hold is not None
    assert held.hold.why == f"the approval was taken back: denied by {person}: not now"
    with pytest.raises(NotAllowed, match=f"too late: {person} denied it"):
        await office.answer("bob")


async def test_the_present_root_of_an_answered_request_serves_as_well(office: Office) -> None:
    await office.ask(await office.open())
    await office.answer("bob")
    assert await office.answer("cyd", Decision.DENY)


async def test_an_approval_is_not_taken_back_by_who_saw_another_plan(office: Office) -> None:
    await office.ask(await office.open())
    await office.answer("bob")
    with pytest.raises(NotAllowed, match="too late: bob approved it"):
        await office.answer("cyd", Decision.DENY, root=combine("another card"))


async def test_who_is_not_entitled_takes_nothing_back(office: Office) -> None:
    office.policy(ApprovalPolicy(people=(PersonName("bob"),)))
    await office.ask(await office.open())
    await office.answer("bob")
    with pytest.raises(NotAllowed, match="cyd is not among those"):
        await office.answer("cyd", Decision.DENY)
    assert await office.states() == [MemberState.APPROVED]


async def test_what_is_being_applied_is_not_taken_back(office: Office) -> None:
    record = await office.open()
    await office.ask(record)
    await office.answer("bob")
    await office.claim(record, await office.ask(record))
    with pytest.raises(NotAllowed, match="shop@prod is being applied"):
        await office.answer("cyd", Decision.DENY)
    assert await office.states() == [MemberState.APPROVED]


async def test_the_store_lets_nobody_deny_what_is_being_applied(office: Office) -> None:
    record = await office.open()
    await office.ask(record)
    await office.answer("bob")
    await office.claim(record, await office.ask(record))
    request = await office.request()
    late = MemberDecided(request.id, record.change.id, MemberState.DENIED, (PersonName("cyd"),))
    with pytest.raises(StaleWrite, match="not being asked about"):
        await office.ledger.append(late)


async def test_a_no_covers_what_is_asked_and_what_is_approved_but_not_applied(
    office: Office,
) -> None:
    office.policy(ApprovalPolicy(quorum=2))
    shop, other = await office.open("shop"), await office.open("shop-b")
    await office.ask(shop)
    await office.answer("bob")
    await office.ask(other)
    await office.answer("cyd")
    assert sorted(await office.states()) == [MemberState.APPROVED, MemberState.ASKING]
    decided = await office.answer("dan", Decision.DENY)
    assert {r.change.id for r in decided} == {shop.change.id, other.change.id}
    assert await office.states() == [MemberState.DENIED, MemberState.DENIED]


# --- heals that do not last -----------------------------------------------------------------------


async def heal(office: Office, wish: str = "a") -> Answer:
    """One drift, as far as it gets by itself."""
    record = await office.open(cause=Cause.DRIFT, wish=wish)
    answer = await office.ask(record)
    if answer.kind is AnswerKind.APPROVED:
        await office.deliver(record, answer)
    return answer


@pytest.mark.parametrize("wishes", ["aaaa", "abcd"], ids=["the same value", "another value"])
async def test_what_is_changed_again_and_again_is_put_back_only_so_often(
    office: Office, wishes: str
) -> None:
    office.spec = replace(office.spec, drift=DriftPolicy.HEAL)
    for wish in wishes[:HEALS]:
        assert (await heal(office, wish)).by == ("drift policy heal",)
        office.clock.time += 60
    record = await office.open(cause=Cause.DRIFT, wish=wishes[HEALS])
    plan = plan_of(record.change)
    (row,) = plan.changes
    (field,) = row.fields
    taken = replace(row, fields=(replace(field, taken_from="hpa"),))
    answer = await office.ask(record, plan=replace(plan, changes=(taken,)))
    assert answer.kind is AnswerKind.PENDING
    (member,) = (await office.request()).members
    assert member.moved == (
        f"ConfigMap shop/web was put back {HEALS} times within the hour and is changed again by "
        "hpa: it is put back only if somebody says so"
    )
    office.clock.time += WITHIN
    again = await office.ask(record, plan=replace(plan, changes=(taken,)))
    assert again.kind is AnswerKind.PENDING, "time alone does not take the question back"
    assert await office.answer("bob")


async def test_an_hour_without_it_and_drift_is_put_back_again(office: Office) -> None:
    office.spec = replace(office.spec, drift=DriftPolicy.HEAL)
    for _ in range(HEALS):
        await heal(office)
    office.clock.time += WITHIN
    assert (await heal(office)).kind is AnswerKind.APPROVED


async def test_a_policy_that_approves_by_itself_does_not_quarrel_either(office: Office) -> None:
    office.policy(ApprovalPolicy("free", auto=AutoApprove(always=True)))
    kinds = [(await heal(office)).kind for _ in range(HEALS + 1)]
    assert kinds == [AnswerKind.APPROVED] * HEALS + [AnswerKind.PENDING]


async def test_what_people_put_back_themselves_is_no_quarrel(office: Office) -> None:
    for _ in range(HEALS):
        record = await office.open(cause=Cause.DRIFT)
        await office.ask(record)
        await office.answer("bob")
        await office.deliver(record, await office.ask(record))
        office.clock.time += 1
    office.spec = replace(office.spec, drift=DriftPolicy.HEAL)
    assert (await heal(office)).kind is AnswerKind.APPROVED
