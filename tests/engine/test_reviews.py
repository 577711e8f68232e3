"""A review counts as a verdict only if what was reviewed is what is asked about."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from gitops.engine.reviews import SHOWN_FOR, shown_to
from gitops.model.approval import Answer, AnswerKind, Decision
from gitops.model.delivery import Change, ChangeRecord
from gitops.model.events import Answered, ChangeOpened, Noted
from gitops.model.fleet import ApplicationSpec, ApprovalPolicy, People, Person
from gitops.model.ids import ApplicationName, PersonName, SourceName, TargetName
from gitops.model.source import Authorship, PullFacts, Signature
from gitops.store import open_memory_store
from tests.contract.store_story import Clock, change_of, lane, plan_of
from tests.engine.test_desk import Office

HEAD, URL = "b" * 40, "https://forge.example/pull/4"
COUNTS = ApprovalPolicy(review_counts=True)
PEOPLE = People(
    {
        PersonName(n): Person(PersonName(n), (f"{n}@example.org",), (f"github:{n}",))
        for n in ("ada", "bob", "cyd", "dan")
    }
)
FACTS = PullFacts(
    4,
    URL,
    "Raise it",
    "github:ada",
    merger="github:cyd",
    head=HEAD,
    reviewers=("github:bob",),
    approvers=("github:bob",),
    approved_head=(("github:bob", 1e9),),
)


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    from gitops.engine.ledger import Ledger

    clock = Clock()
    store = open_memory_store(clock)
    epoch = await store.leases.acquire("controller", "test", 1e12)
    application = ApplicationSpec(ApplicationName("shop"), SourceName("config"), "app")
    spec = replace(application, clusters=(TargetName("prod"),), approval=COUNTS)
    yield Office(Ledger(store, epoch), clock, spec, PEOPLE)
    store.close()


async def opened(office: Office, facts: PullFacts = FACTS, name: str = "shop") -> ChangeRecord:
    """A change that this pull request brought; opened, not asked."""
    by = Signature("ada", "ada@example.org")
    authorship = Authorship(
        signatures=(by,),
        logins=(facts.author,),
        mergers=(facts.merger,),
        pull_requests=(facts,),
    )
    change: Change = replace(change_of(lane(name), 0, "a"), authorship=authorship)
    await office.ledger.append(ChangeOpened(change))
    record = await office.ledger.read(lambda reading: reading.change(change.id))
    assert record is not None
    return record


async def posted(office: Office, record: ChangeRecord, **more: Any) -> None:
    """What the preview showed of the plan that will be asked about."""
    plans = {str(record.change.lane): plan_of(record.change, "p").digest}
    value = json.dumps({"head": HEAD, "plans": plans, **more})
    source = record.change.revision.source
    await office.ledger.write(lambda tx: tx.memorise(shown_to(source), "4", value))


async def ask(office: Office, facts: PullFacts = FACTS, **shown: Any) -> Answer:
    record = await opened(office, facts)
    await posted(office, record, **shown)
    return await office.ask(record)


async def told(office: Office, record: ChangeRecord) -> list[str]:
    events = await office.ledger.read(lambda reading: reading.events(record.change.id))
    return [each.event.text for each in events if isinstance(each.event, Noted)]


async def test_a_review_of_the_very_plan_approves_it(office: Office) -> None:
    answer = await ask(office)
    assert (answer.kind, answer.by) == (AnswerKind.APPROVED, ("bob",))
    request = await office.request()
    (verdict,) = request.verdicts
    assert (verdict.person, verdict.decision, verdict.via) == ("bob", Decision.APPROVE, "review")
    assert URL in verdict.reason
    assert HEAD[:12] in verdict.reason
    events = await office.ledger.read(lambda reading: reading.events(request.id))
    assert any(isinstance(each.event, Answered) for each in events)


async def test_without_the_policy_people_are_asked(office: Office) -> None:
    office.policy(ApprovalPolicy())
    assert (await ask(office)).kind is AnswerKind.PENDING


@pytest.mark.parametrize(
    "shown",
    [
        {"head": "e" * 40},
        {"plans": {}},
        {"plans": {"shop@prod": "another"}},
        {"plans": {"shop@prod": 3}},
        {"plans": ["shop@prod"]},
        {"plans": None},
        {"head": None},
        {"at": 2e9},
        {"at": float("inf")},
        {"at": "now"},
    ],
    ids=str,
)
async def test_a_review_of_anything_else_counts_for_nothing(
    office: Office, shown: dict[str, Any]
) -> None:
    assert (await ask(office, **shown)).kind is AnswerKind.PENDING


async def test_a_plan_shown_long_ago_counts_for_nothing_however_long_we_run(
    office: Office,
) -> None:
    record = await opened(office)
    await posted(office, record)
    office.clock.time += SHOWN_FOR + 1
    assert (await office.ask(record)).kind is AnswerKind.PENDING


@pytest.mark.parametrize("value", ["", "[]", "null", "{", '"x"', "3"])
async def test_what_is_remembered_and_unreadable_counts_for_nothing(
    office: Office, value: str
) -> None:
    record = await opened(office)
    source = record.change.revision.source
    await office.ledger.write(lambda tx: tx.memorise(shown_to(source), "4", value))
    assert (await office.ask(record)).kind is AnswerKind.PENDING


@pytest.mark.parametrize(
    "approved",
    [
        (("github:ada", 1e9),),
        (("github:cyd", 1e9),),
        (("github:mallory", 1e9),),
        (("gitlab:bob", 1e9),),
        (("github:bob", 0.0),),
        (),
    ],
    ids=["author", "merger", "stranger", "other-forge", "before", "nobody"],
)
async def test_a_review_by_anybody_the_gate_would_refuse_counts_for_nothing(
    office: Office, approved: tuple[tuple[str, float], ...]
) -> None:
    answer = await ask(office, replace(FACTS, approved_head=approved))
    assert answer.kind is AnswerKind.PENDING
    assert (await office.request()).verdicts == ()


async def test_why_a_review_did_not_count_is_noted(office: Office) -> None:
    facts = replace(FACTS, approved_head=(("github:ada", 1e9),))
    record = await opened(office, facts)
    await posted(office, record)
    await office.ask(record)
    (text,) = await told(office, record)
    assert "ada's review of pull request 4 does not count" in text
    assert "author" in text


async def test_a_quorum_is_of_different_people_reviews_included(office: Office) -> None:
    office.policy(replace(COUNTS, quorum=2))
    assert (await ask(office)).kind is AnswerKind.PENDING
    assert [verdict.person for verdict in (await office.request()).verdicts] == ["bob"]
    assert len(await office.answer("dan")) == 1


async def test_two_reviews_make_a_quorum_of_two(office: Office) -> None:
    office.policy(replace(COUNTS, quorum=2))
    both = (("github:bob", 1e9), ("github:dan", 1e9))
    answer = await ask(office, replace(FACTS, approved_head=both))
    assert (answer.kind, answer.by) == (AnswerKind.APPROVED, ("bob", "dan"))


async def test_only_what_was_shown_is_approved_with_it(office: Office) -> None:
    other = await opened(office, replace(FACTS, approved_head=()), name="shop-2")
    await office.ask(other)
    assert (await ask(office)).kind is AnswerKind.APPROVED
    approved = {v.covers for r in await office.requests() for v in r.verdicts}
    assert [change for covers in approved for change, _ in covers] != [other.change.id]
    states = {m.change: m.state.value for r in await office.requests() for m in r.members}
    assert states[other.change.id] == "asking"


async def test_deletes_over_the_budget_need_somebody_to_type(office: Office) -> None:
    record = await opened(office)
    plan = replace(plan_of(record.change, "p"), over_budget=("12 objects of 20",))
    plans = {str(record.change.lane): plan.digest}
    source = record.change.revision.source
    value = json.dumps({"head": HEAD, "plans": plans})
    await office.ledger.write(lambda tx: tx.memorise(shown_to(source), "4", value))
    assert (await office.ask(record, plan=plan)).kind is AnswerKind.PENDING
    assert any("does not count" in text for text in await told(office, record))


async def test_a_question_somebody_insists_on_is_put_to_people(office: Office) -> None:
    from gitops.engine.desk import Question
    from gitops.model.ids import combine
    from gitops.model.plan import SealParts

    record = await opened(office)
    await posted(office, record)
    plan = plan_of(record.change, "p")
    nothing = combine("")
    parts = SealParts(record.change.after, nothing, plan.digest, "tools", "uid", nothing, ())
    question = Question(record, office.spec, plan, parts, "a title", {}, insisted=True)
    answer = await office.ledger.write(lambda tx: office.desk.ask(tx, question))
    assert answer.kind is AnswerKind.PENDING
