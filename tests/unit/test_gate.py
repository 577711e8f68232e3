"""The gate: four eyes, whoever asks through whichever face."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitops.gate import (
    authors_of,
    auto_approves,
    confirmation_phrase,
    electorate,
    entitled,
    may_answer,
    may_ask,
    nobody_can,
)
from gitops.model.approval import Decision
from gitops.model.fleet import ApprovalPolicy, AutoApprove, People, Person
from gitops.model.ids import ApplicationName, ChangeId, Digest, GroupName, PersonName, TargetName
from gitops.model.plan import Action, FieldChange, Plan, ResourceChange
from gitops.model.source import Authorship, Grade, Signature

ADA, BOB, CYD = PersonName("ada"), PersonName("bob"), PersonName("cyd")
PEOPLE = People(
    persons={
        ADA: Person(ADA, emails=("ada@example.com", "ada@home.example"), logins=("github:ada",)),
        BOB: Person(BOB, emails=("bob@example.com",)),
        CYD: Person(CYD, emails=("cyd@example.com",)),
    },
    groups={GroupName("sre"): (BOB, CYD)},
    bots=("bot@forge.example", "github:web-flow"),
)
ANYBODY = ApprovalPolicy()


def by(*emails: str, **more: object) -> Authorship:
    signatures = tuple(Signature("x", email) for email in emails)
    return Authorship(signatures=signatures, **more)  # type: ignore[arg-type]


def approves(person: PersonName, authorship: Authorship, policy: ApprovalPolicy = ANYBODY) -> bool:
    return may_answer(person, Decision.APPROVE, policy, authorship, PEOPLE).allowed


@pytest.mark.parametrize(
    ("name", "twin"),
    [("sam", "\u017fam"), ("kim", "\u212aim"), ("strasse", "stra\u00dfe"), ("fia", "\ufb01a")],
)
def test_letters_that_only_look_like_a_persons_are_a_strangers(name: str, twin: str) -> None:
    """Case folding makes one of these of the other; forges have an account for each."""
    person = Person(PersonName(name), (f"{name}@example.com",), (f"bitbucket:{name}",))
    people = People(persons={person.name: person})
    assert people.by_login(f"Bitbucket:{name.upper()}") == person
    assert people.by_email(f"{name.upper()}@EXAMPLE.com") == person
    assert people.by_login(f"bitbucket:{twin}") is None
    assert people.by_email(f"{twin}@example.com") is None


def test_accented_letters_keep_their_case_and_no_more() -> None:
    person = Person(PersonName("j"), ("j\u00fcrgen@example.com",))
    people = People(persons={person.name: person})
    assert people.by_email("J\u00dcRGEN@example.com") == person
    assert people.by_email("ju\u0308rgen@example.com") is None


@pytest.mark.parametrize(
    ("authorship", "may"),
    [
        (by("ada@example.com"), {BOB, CYD}),
        (by("ADA@Example.COM"), {BOB, CYD}),
        (by("ada@home.example"), {BOB, CYD}),
        (by("ada@example.com", "bob@example.com"), {CYD}),
        (by("ada@example.com", "bob@example.com", "cyd@example.com"), set()),
        (by("bob@example.com", logins=("github:ada",)), {CYD}),
        (by("bob@example.com", logins=("GitHub:Ada",)), {CYD}),
        (Authorship(people=(ADA,)), {BOB, CYD}),
        (Authorship(), {ADA, BOB, CYD}),
    ],
)
def test_whoever_had_a_hand_in_a_change_never_approves_it(
    authorship: Authorship, may: set[PersonName]
) -> None:
    assert {person for person in PEOPLE.persons if approves(person, authorship)} == may


@pytest.mark.parametrize(
    ("email", "may"),
    [
        ("12345+ada@users.noreply.github.com", {BOB, CYD}),
        ("Ada@users.noreply.GitHub.com", {BOB, CYD}),
        ("12345+mallory@users.noreply.github.com", set()),
        ("1-ada@users.noreply.gitlab.com", set()),
        ("ada@users.noreply.github.com.evil.example", set()),
        ("ada@x@users.noreply.github.com", set()),
    ],
)
def test_an_address_a_forge_made_to_hide_the_real_one_names_its_login(
    email: str, may: set[PersonName]
) -> None:
    group = electorate(ANYBODY, by(email), PEOPLE)
    assert set(group.eligible) == (may or set(PEOPLE.persons))
    assert group.needed == (1 if may else 2)


MERGED = by("ada@example.com", logins=("github:ada",), mergers=("github:bob",))


@pytest.mark.parametrize(
    ("authorship", "policy", "may"),
    [
        (MERGED, ANYBODY, {CYD}),
        (MERGED, ApprovalPolicy(merger_may_approve=True), {BOB, CYD}),
        (MERGED, ApprovalPolicy(author_may_approve=True), {ADA, BOB, CYD}),
        (by("bob@example.com", mergers=("github:bob",)), ANYBODY, {ADA, CYD}),
        (
            by("bob@example.com", mergers=("github:bob",)),
            ApprovalPolicy(merger_may_approve=True),
            {ADA, CYD},
        ),
        (
            by("bot@forge.example", mergers=("github:bob",)),
            ApprovalPolicy(merger_may_approve=True),
            {ADA, CYD},
        ),
        (
            by("bot@forge.example", logins=("github:web-flow",), mergers=("github:bob",)),
            ANYBODY,
            {ADA, CYD},
        ),
        (by("ada@example.com", mergers=("github:mallory",)), ANYBODY, {BOB, CYD}),
    ],
)
def test_whoever_merged_is_an_author_unless_the_policy_and_another_author_say_otherwise(
    authorship: Authorship, policy: ApprovalPolicy, may: set[PersonName]
) -> None:
    people = replace(
        PEOPLE,
        persons={**PEOPLE.persons, BOB: replace(PEOPLE.persons[BOB], logins=("github:bob",))},
    )
    group = electorate(policy, authorship, people)
    assert set(group.eligible) == may
    assert group.needed == (2 if "github:mallory" in authorship.mergers else 1)


def test_a_merger_may_ask_for_another_try() -> None:
    policy = ApprovalPolicy("prod", groups=(GroupName("sre"),))
    people = replace(PEOPLE, groups={GroupName("sre"): (CYD,)})
    assert may_ask(ADA, policy, people, Authorship(mergers=("github:ada",))).allowed


def test_a_grade_is_asked_of_what_only_a_merger_is_known_of() -> None:
    policy = ApprovalPolicy(minimum_grade=Grade.AUTHENTICATED)
    assert not approves(CYD, Authorship(mergers=("github:ada",)), policy)


def test_an_author_may_approve_only_where_the_policy_says_so_outright() -> None:
    policy = ApprovalPolicy(author_may_approve=True)
    assert approves(ADA, by("ada@example.com"), policy)


def test_an_author_may_take_the_change_back() -> None:
    ruling = may_answer(ADA, Decision.DENY, ANYBODY, by("ada@example.com"), PEOPLE)
    assert ruling.allowed


@pytest.mark.parametrize(
    ("person", "authorship", "may"),
    [
        (BOB, None, True),
        (ADA, None, False),
        (ADA, by("ada@home.example"), True),
        (ADA, by("bob@example.com"), False),
        (ADA, Authorship(logins=("github:ada",)), True),
        (PersonName("mallory"), by("mallory@else.example"), False),
        (PersonName("mallory"), Authorship(people=(PersonName("mallory"),)), False),
    ],
)
def test_another_try_is_for_who_is_entitled_or_wrote_it(
    person: PersonName, authorship: Authorship | None, may: bool
) -> None:
    policy = ApprovalPolicy("prod", groups=(GroupName("sre"),))
    ruling = may_ask(person, policy, PEOPLE, authorship)
    assert ruling.allowed is may
    assert person in ruling.reason


@pytest.mark.parametrize("decision", list(Decision))
def test_a_stranger_answers_nothing(decision: Decision) -> None:
    ruling = may_answer(PersonName("mallory"), decision, ANYBODY, Authorship(), PEOPLE)
    assert not ruling.allowed
    assert "mallory" in ruling.reason


def test_a_policy_names_its_people_and_its_groups() -> None:
    policy = ApprovalPolicy(people=(ADA,), groups=(GroupName("sre"),))
    assert entitled(policy, PEOPLE) == {ADA, BOB, CYD}
    assert entitled(ApprovalPolicy(groups=(GroupName("sre"),)), PEOPLE) == {BOB, CYD}
    assert entitled(ApprovalPolicy(groups=(GroupName("none"),)), PEOPLE) == frozenset()


@pytest.mark.parametrize(
    "authorship",
    [
        by("who@else.example"),
        by("ada@example.com", "who@else.example"),
        by("bot@forge.example"),
        by(""),
        Authorship(known=False, note="no authors are named"),
        Authorship(logins=("github:nobody",)),
    ],
)
def test_where_authorship_is_not_known_two_people_have_to_approve(authorship: Authorship) -> None:
    group = electorate(ANYBODY, authorship, PEOPLE)
    assert group.needed == 2
    assert "two different people" in group.note


def test_where_only_an_unknown_author_keeps_a_request_from_being_approved_that_is_said() -> None:
    pushed = replace(by("ada@example.com"), logins=("github:ada-at-work",))
    two = People({ADA: PEOPLE.persons[ADA], BOB: PEOPLE.persons[BOB]})
    text = nobody_can(electorate(ANYBODY, pushed, two), ANYBODY)
    assert text.endswith("add that e-mail or login to theirs: then it takes 1.")
    alone = People({ADA: PEOPLE.persons[ADA]})
    text = nobody_can(electorate(ANYBODY, by("ada@example.com"), alone), ANYBODY)
    assert "login" not in text


def test_a_bot_beside_a_person_makes_nothing_unknown() -> None:
    authors = authors_of(by("ada@example.com", "bot@forge.example"), PEOPLE)
    assert authors.known
    assert authors.persons == {ADA}


def test_a_higher_quorum_stands() -> None:
    policy = ApprovalPolicy(quorum=3)
    group = electorate(policy, by("ada@example.com"), PEOPLE)
    assert group.needed == 3
    assert not group.possible


def test_a_request_nobody_can_approve_says_so_and_names_who_could_be_added() -> None:
    policy = ApprovalPolicy("prod", groups=(GroupName("sre"),))
    authorship = by("bob@example.com", "cyd@example.com")
    text = nobody_can(electorate(policy, authorship, PEOPLE), policy)
    assert text.startswith("Nobody can approve this")
    assert "bob is an author" in text
    assert "group 'sre'" in text


@pytest.mark.parametrize("grade", [Grade.CLAIMED, Grade.SIGNED])
def test_authorship_below_the_policy_s_grade_lets_nobody_approve(grade: Grade) -> None:
    policy = ApprovalPolicy(minimum_grade=Grade.AUTHENTICATED)
    authorship = by("ada@example.com", grade=grade)
    assert not electorate(policy, authorship, PEOPLE).eligible
    assert not auto_approves(
        ApprovalPolicy(minimum_grade=Grade.AUTHENTICATED, auto=AutoApprove(always=True)),
        plan_of(),
        {},
        authorship,
    )


def plan_of(*changes: ResourceChange, over_budget: tuple[str, ...] = ()) -> Plan:
    return Plan(
        ChangeId("c"),
        ApplicationName("shop"),
        TargetName("prod"),
        changes,
        Digest("d"),
        over_budget=over_budget,
    )


UPDATE = ResourceChange(Action.UPDATE, "ConfigMap shop/a")
DELETE = ResourceChange(Action.DELETE, "ConfigMap shop/b")
TAKE = ResourceChange(
    Action.UPDATE, "Deployment shop/c", fields=(FieldChange("spec.replicas", 3, 5, "kubectl"),)
)


@pytest.mark.parametrize(
    ("auto", "plan", "labels", "yes"),
    [
        (None, plan_of(UPDATE), {}, False),
        (AutoApprove(), plan_of(UPDATE), {}, False),
        (AutoApprove(always=True), plan_of(UPDATE), {}, True),
        (AutoApprove(always=True), plan_of(DELETE), {}, True),
        (AutoApprove(always=True), plan_of(DELETE, over_budget=("too many",)), {}, False),
        (AutoApprove(always=True), replace(plan_of(UPDATE), hides=True), {}, False),
        (AutoApprove(always=True), plan_of(TAKE), {}, False),
        (AutoApprove(always=True, takes=True), plan_of(TAKE), {}, True),
        (AutoApprove(no_deletes=True), plan_of(UPDATE), {}, True),
        (AutoApprove(no_deletes=True), plan_of(UPDATE, DELETE), {}, False),
        (AutoApprove(clusters={"env": "staging"}), plan_of(UPDATE), {"env": "staging"}, True),
        (AutoApprove(clusters={"env": "staging"}), plan_of(UPDATE), {"env": "prod"}, False),
        (AutoApprove(clusters={"env": "staging"}), plan_of(UPDATE), {}, False),
        (
            AutoApprove(no_deletes=True, clusters={"env": "staging"}),
            plan_of(DELETE),
            {"env": "staging"},
            False,
        ),
    ],
)
def test_a_policy_approves_by_itself_only_what_it_names(
    auto: AutoApprove | None, plan: Plan, labels: dict[str, str], yes: bool
) -> None:
    assert auto_approves(ApprovalPolicy(auto=auto), plan, labels, by("ada@example.com")) is yes


def test_deletes_over_the_budget_are_confirmed_by_their_number() -> None:
    over = plan_of(DELETE, DELETE, UPDATE, over_budget=("2 of 3",))
    assert confirmation_phrase([over]) == "delete 2"
    assert confirmation_phrase([over, plan_of(DELETE)]) == "delete 2"
    assert confirmation_phrase([plan_of(DELETE)]) == ""
