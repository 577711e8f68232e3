"""Four eyes in Slack: who somebody is decides what their yes is worth, case by case.

Each case presses real buttons of a real card as some Slack account and hands the form in if there
is one; what counts is read from the store, through the gate every other face uses.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from gitops.model.delivery import Cause
from gitops.model.fleet import ApprovalPolicy, People, Person
from gitops.model.ids import GroupName, PersonName
from gitops.model.source import Authorship, Grade, Signature
from tests.slack import sending
from tests.slack.incoming_rig import REQUEST, Incoming, incoming, text_of
from tests.slack.sending import buttons
from tests.slack.server import SlackServer

ADA, BOB, CYD, DAN = map(PersonName, ("ada", "bob", "cyd", "dan"))
SRE = ApprovalPolicy("prod", groups=(GroupName("sre"),))
TWO = ApprovalPolicy(quorum=2)


def by(*emails: str, **more: Any) -> Authorship:
    return Authorship(signatures=tuple(Signature("x", email) for email in emails), **more)


def user(email: str = "", **flags: Any) -> dict[str, Any]:
    return {"email": email, **flags}


BOBS = user("bob@example.org")
ADAS = user("ada@example.org")
CYDS = user("cyd@example.org")


@dataclass(frozen=True)
class Case:
    """``told`` empty: the answer counts as ``person``'s; else part of what is said in private."""

    who: Mapping[str, Any]
    told: str = ""
    person: PersonName = BOB
    made: Authorship = by("ada@example.org")
    policy: ApprovalPolicy = ApprovalPolicy()
    button: str = "Approve"
    before: tuple[Mapping[str, Any], ...] = ()
    """Who said yes before."""
    ids: Mapping[PersonName, tuple[str, ...]] = field(default_factory=dict)
    """Slack ids in the fleet file; ``{who}`` is the account's, ``{before}`` the first one's."""
    team: str = ""
    cause: Cause = Cause.COMMIT


CASES = {
    # Authors, under every name the fleet file knows them by.
    "author by e-mail": Case(ADAS, "ada is an author"),
    "author in capitals": Case(ADAS, "ada is an author", made=by("ADA@Example.ORG")),
    "author by another e-mail": Case(ADAS, "ada is an author", made=by("ada@home.example")),
    "co-author": Case(BOBS, "bob is an author", made=by("ada@example.org", "bob@example.org")),
    "pusher": Case(BOBS, "bob is an author", made=by("ada@example.org", logins=("github:bob",))),
    "pusher in capitals": Case(BOBS, "bob is an author", made=by(logins=("GitHub:BOB",))),
    "requester": Case(ADAS, "ada is an author", made=Authorship(people=(ADA,))),
    "requester of a rollback": Case(
        ADAS, "ada is an author", made=Authorship(people=(ADA,)), cause=Cause.ROLLBACK
    ),
    "requester of a command": Case(
        ADAS, "ada is an author", made=Authorship(people=(ADA,)), cause=Cause.COMMAND
    ),
    "author by id": Case(user(), "ada is an author", ids={ADA: ("{who}",)}),
    "author on a second account": Case(
        user(), "ada is an author", ids={ADA: ("T0GITOPS:U0LAPTOP", "{who}")}
    ),
    "author under another display name": Case(
        user("ada@example.org", name="bob", real_name="Bob"), "ada is an author"
    ),
    "author of a merge and its merger": Case(
        BOBS,
        "bob is an author",
        made=by("ada@example.org", "noreply@forge", logins=("github:bob",)),
    ),
    "everybody is an author": Case(
        CYDS,
        "cyd is an author",
        made=by(*(f"{name}@example.org" for name in ("ada", "bob", "cyd", "dan"))),
    ),
    # Others.
    "somebody else": Case(BOBS),
    "a third person": Case(CYDS, person=CYD, made=by("ada@example.org", "bob@example.org")),
    "somebody else by id": Case(user(), ids={BOB: ("{who}",)}),
    "id and e-mail agree": Case(BOBS, ids={BOB: ("{who}",)}),
    "e-mail in capitals": Case(user(" BOB@Example.org ")),
    "drift has no author": Case(ADAS, person=ADA, made=Authorship(), cause=Cause.DRIFT),
    "the policy lets authors": Case(
        ADAS, person=ADA, policy=ApprovalPolicy(author_may_approve=True)
    ),
    "requested by another": Case(ADAS, person=ADA, made=Authorship(people=(BOB,))),
    "a known bot and a person": Case(BOBS, made=by("ada@example.org", "bot@forge.example")),
    # Authors nobody knows: it takes two.
    "stranger": Case(BOBS, made=by("who@else.example")),
    "stranger, then the second": Case(
        CYDS, person=CYD, made=by("who@else.example"), before=(BOBS,)
    ),
    "unknown, one twice": Case(
        BOBS, "bob has approved this already", made=Authorship(known=False), before=(BOBS,)
    ),
    "only a bot": Case(BOBS, made=by("bot@forge.example")),
    "below the grade": Case(
        BOBS, "authorship at least signed", policy=ApprovalPolicy(minimum_grade=Grade.SIGNED)
    ),
    "of the grade": Case(
        BOBS,
        made=by("ada@example.org", grade=Grade.SIGNED),
        policy=ApprovalPolicy(minimum_grade=Grade.SIGNED),
    ),
    # Policies.
    "not named": Case(BOBS, "not among those", policy=ApprovalPolicy("p", people=(CYD,))),
    "named": Case(CYDS, person=CYD, policy=ApprovalPolicy("p", people=(CYD,))),
    "not of the group": Case(user("dan@example.org"), "not among those", policy=SRE),
    "of the group": Case(BOBS, policy=SRE),
    "of the group and an author": Case(
        BOBS, "bob is an author", policy=SRE, made=by("bob@example.org")
    ),
    "an empty group": Case(
        BOBS, "not among those", policy=ApprovalPolicy("p", groups=(GroupName("none"),))
    ),
    "an author takes it back": Case(ADAS, person=ADA, button="Deny"),
    "who is not named denies": Case(
        user("dan@example.org"), "not among those", policy=SRE, button="Deny"
    ),
    "an author outside the group denies": Case(ADAS, "not among those", policy=SRE, button="Deny"),
    # Quorum.
    "first of two": Case(BOBS, policy=TWO),
    "second of two": Case(CYDS, person=CYD, policy=TWO, before=(BOBS,)),
    "the same twice": Case(BOBS, "bob has approved this already", policy=TWO, before=(BOBS,)),
    "the same on two accounts": Case(
        user("bob@home.example"),
        "bob has approved this already",
        policy=TWO,
        before=(BOBS,),
        ids={BOB: ("{who}", "{before}")},
    ),
    "the author as the second": Case(ADAS, "ada is an author", policy=TWO, before=(BOBS,)),
    "a guest as the second": Case(
        user("cyd@example.org", is_restricted=True), "guest", policy=TWO, before=(BOBS,)
    ),
    # Accounts that answer nothing, whatever the fleet file says.
    "guest": Case(user("bob@example.org", is_restricted=True), "guest"),
    "guest of one channel": Case(user("bob@example.org", is_ultra_restricted=True), "guest"),
    "guest by id": Case(user(is_restricted=True), "guest", ids={BOB: ("{who}",)}),
    "deactivated": Case(user("bob@example.org", deleted=True), "deactivated"),
    "deactivated by id": Case(user(deleted=True), "deactivated", ids={BOB: ("{who}",)}),
    "bot": Case(user("bob@example.org", is_bot=True), "bot"),
    "app": Case(user("bob@example.org", is_app_user=True), "app"),
    "workflow": Case(user("bob@example.org", is_workflow_bot=True), "workflow"),
    "invited": Case(user("bob@example.org", is_invited_user=True), "invitation"),
    "stranger of a shared channel": Case(user("bob@example.org", is_stranger=True), "another work"),
    "another workspace's account": Case(user("bob@example.org", team_id="T9"), "another workspace"),
    "no workspace": Case(user("bob@example.org", team_id=None), "another workspace"),
    "pressed elsewhere": Case(BOBS, "another workspace", team="T9EVIL"),
    "a flag of another type": Case(user("bob@example.org", is_restricted="no"), "guest"),
    # Accounts nobody knows.
    "unverified e-mail": Case(
        user("bob@example.org", is_email_confirmed=False), "does not say who"
    ),
    "verified is not a word": Case(
        user("bob@example.org", is_email_confirmed="true"), "does not say who"
    ),
    "no e-mail": Case(user(), "does not say who"),
    "a name is no identity": Case(user(name="bob", real_name="bob"), "does not say who"),
    "somebody's e-mail": Case(user("eve@example.org"), "does not say who"),
    "plus address": Case(user("bob+1@example.org"), "does not say who"),
    "alike letters": Case(user("b\u043eb@example.org"), "does not say who"),
    "a bot's e-mail": Case(user("bot@forge.example"), "does not say who"),
    "an id of another workspace": Case(
        user(), "does not say who", ids={BOB: ("T9:{id}",), CYD: ("{id}",)}
    ),
    "a forge's hidden e-mail of somebody": Case(
        user("1+bob@users.noreply.github.com"), "does not say who"
    ),
    "letters that fold into others": Case(user("dan@\u212ao.example"), "does not say who"),
    "an e-mail of somebody whose account is named": Case(
        BOBS, "names another Slack account", ids={BOB: ("T0GITOPS:U0BOB",)}
    ),
    "the same, of a person named in another workspace": Case(BOBS, ids={BOB: ("T9:U0BOB",)}),
    "two persons in one": Case(BOBS, "contradicts itself", ids={CYD: ("{who}",)}),
}


def test_the_table_has_sixty_cases() -> None:
    assert len(CASES) >= 60


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


def people_of(ids: Mapping[PersonName, tuple[str, ...]]) -> People:
    emails = {name: (f"{name}@example.org", f"{name}@home.example") for name in (ADA, CYD, DAN)}
    emails[BOB] = ("bob@example.org",)
    emails[DAN] += ("dan@ko.example",)
    persons = {
        name: Person(name, known, (f"github:{name}",), tuple(ids.get(name, ())))
        for name, known in emails.items()
    }
    bots = ("bot@forge.example", "noreply@forge", "github:web-flow")
    return People(persons, {GroupName("sre"): (BOB, CYD), GroupName("none"): ()}, bots)


def account(slack: SlackServer, given: Mapping[str, Any]) -> str:
    flags = {key: value for key, value in given.items() if key != "email"}
    return slack.add_user(str(flags.pop("name", "somebody")), given["email"], **flags)


@pytest.mark.parametrize("name", CASES)
async def test_an_answer_in_slack_is_worth_what_its_person_may_say(
    tmp_path: Path, slack: SlackServer, name: str
) -> None:
    case = CASES[name]
    who = account(slack, case.who)
    earlier = [account(slack, each) for each in case.before]
    first = next(iter(earlier), "")
    known = {"who": f"{slack.team}:{who}", "id": who, "before": f"{slack.team}:{first}"}
    ids = {p: tuple(each.format(**known) for each in given) for p, given in case.ids.items()}
    policy = replace(case.policy)
    async with incoming(tmp_path, slack, people=people_of(ids), policy=policy) as rig:
        await rig.ask(authorship=case.made, cause=case.cause)
        for each in earlier:
            await rig.approve(each)
        before = len(await rig.verdicts())
        posted = len(slack.posted())
        told = await pressed(rig, case, who)
        given = (await rig.verdicts())[before:]
        if case.told:
            assert case.told in told
            assert given == ()
        else:
            [verdict] = given
            assert verdict.person == case.person
        assert len(slack.posted()) == posted, "all of it is private"


async def pressed(rig: Incoming, case: Case, who: str) -> str:
    """Everything the person was shown."""
    slack = rig.slack
    before = set(slack.views)
    if case.button not in buttons(slack.message(rig.cards[REQUEST])):
        # Nobody can: the card has no button, but anybody can still write.
        return await rig.command(f"approve {REQUEST} {(await rig.request()).root}", who)
    await rig.press(case.button, who, team=case.team)
    opened = [view for id, view in slack.views.items() if id not in before]
    told = text_of(opened)
    if opened and "submit" in opened[-1]:
        payload = sending.submit(slack, opened[-1]["id"], who, {"reason": "no"}, team=case.team)
        told += text_of(await rig.interact(payload))
    return told


async def test_a_closed_account_is_noticed_and_a_fresh_one_is_not_asked_about_each_time(
    tmp_path: Path, slack: SlackServer
) -> None:
    bob = account(slack, BOBS)
    async with incoming(tmp_path, slack, people=people_of({})) as rig:
        await rig.ask()
        asked = len(slack.calls_of("users.info"))
        assert "healthy" in await rig.command("status", bob)
        assert "without an answer" in await rig.command("pending", bob)
        assert len(slack.calls_of("users.info")) == asked + 1
        slack.users[bob]["deleted"] = True
        rig.clock.time += 200
        assert "deactivated" in await rig.command("pending", bob)


async def test_without_slack_nobody_is_anybody(tmp_path: Path, slack: SlackServer) -> None:
    bob = account(slack, BOBS)
    people = people_of({BOB: (f"{slack.team}:{bob}",)})
    async with incoming(tmp_path, slack, people=people) as rig:
        await rig.ask()
        fault = slack.fail("users.info", status=500, times=-1)
        try:
            await rig.press("Approve", bob)
            assert "Nothing was done" in rig.shown()
            assert "Nothing was done" in await rig.command(f"approve {REQUEST} 0123", bob)
        finally:
            slack.faults.remove(fault)
        assert not await rig.verdicts()
