"""The question as a page: what is shown is what is answered, through the one gate."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace

import httpx
import pytest

from gitops.model.approval import Decision, Request, RequestState
from gitops.model.delivery import ChangeState
from gitops.model.events import ChangeClosed
from gitops.model.fleet import ApprovalPolicy
from gitops.model.ids import PersonName
from gitops.model.plan import Action, FieldChange
from gitops.model.serving import Role, RoleRule
from tests.web.change_cases import ADA, BOB, CYD, House, drawn, house, update
from tests.web.test_pages_change import words

__all__ = ["house"]

DELETES = update("web", action=Action.DELETE)
BUDGET = ("1 of 2 objects would be deleted",)


def policies(house: House, policy: ApprovalPolicy, *names: str) -> None:
    house.set(
        applications={
            name: replace(spec, approval=policy) if not names or name in names else spec
            for name, spec in house.controller.fleet.applications.items()
        }
    )


def field(page: httpx.Response, name: str) -> str:
    found = re.search(rf'name="{name}" value="([^"]*)"', page.text)
    return found[1] if found else ""


async def approve(
    house: House, request: Request, person: PersonName = BOB, **more: str
) -> httpx.Response:
    """As a browser does it: with the root that its page shows."""
    path = f"/requests/{request.id}"
    page = await house.get(path, person)
    given = {"root": field(page, "root"), "decision": "approve", **more}
    return await house.post(path, person, **given)


async def states(house: House) -> list[str]:
    return [member.state.value for member in (await house.request()).members]


async def test_the_page_tells_what_is_asked_and_an_approval_leads_to_watching_it(
    house: House,
) -> None:
    request = await house.asked(update("web", FieldChange("spec.replicas", 3, 5)))
    page = await house.get(f"/requests/{request.id}")
    told = words(page.text)
    assert page.headers["cache-control"] == "no-store"
    assert "It needs 1 of: bob, cyd; authorship is claimed." in told
    assert "Covers shop on eu." in told
    assert field(page, "root") == request.root
    answer = await approve(house, request, reason="looks right")
    change = request.members[0].change
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/changes/{change}?done=approved"
    present = await house.request()
    [verdict] = present.verdicts
    assert (verdict.person, verdict.via, verdict.reason) == ("bob", "page", "looks right")
    assert present.state is RequestState.CLOSED
    watched = await house.get(answer.headers["location"])
    assert "Approved. It is applied as soon as it may" in watched.text
    over = await house.get(f"/requests/{request.id}")
    assert "You may withdraw it: shop on eu." in words(over.text)
    assert 'value="approve"' not in over.text


async def test_a_denial_takes_a_reason_and_keeps_what_was_typed(house: House) -> None:
    request = await house.asked()
    path = f"/requests/{request.id}"
    empty = await house.post(path, root=request.root, decision="deny", reason="  ")
    assert empty.status_code == 403
    assert "a denial needs a reason" in empty.text
    assert await states(house) == ["asking"]
    given = await house.post(path, root=request.root, decision="deny", reason="not <b>now</b>")
    assert given.headers["location"] == f"{path}?done=denied"
    assert await states(house) == ["denied"]
    page = await house.get(given.headers["location"])
    assert "Denied. Nothing of it is applied." in page.text
    assert "not &lt;b&gt;now&lt;/b&gt;" in page.text


async def test_an_author_sees_why_they_cannot_and_a_forged_form_changes_nothing(
    house: House,
) -> None:
    request = await house.asked()
    path = f"/requests/{request.id}"
    page = await house.get(path, ADA)
    assert 'value="approve"' not in page.text
    assert "ada is an author of this change: somebody else has to approve" in words(page.text)
    assert 'value="deny"' in page.text, "to take one's own change back endangers nobody"
    forged = await house.post(path, ADA, root=request.root, decision="approve", reason="mine")
    assert forged.status_code == 403
    assert "ada is an author" in forged.text
    assert ">mine</textarea>" in forged.text
    assert await states(house) == ["asking"]


async def test_only_who_the_policy_and_a_role_name_gets_a_form(house: House) -> None:
    policies(house, ApprovalPolicy("few", people=(CYD,)))
    request = await house.asked()
    path = f"/requests/{request.id}"
    page = await house.get(path)
    assert '<form method="post" action="/requests' not in page.text
    assert "bob is not among those policy" in words(page.text).replace("&#39;", "'")
    rules = (RoleRule(Role.VIEWER, people=(CYD,)), RoleRule(Role.APPROVER, people=(BOB,)))
    house.set(api=replace(house.controller.fleet.api, roles=rules))
    page = await house.get(path, CYD)
    assert "cyd is no approver of shop" in words(page.text)
    refused = await house.post(path, CYD, root=request.root, decision="approve")
    assert refused.status_code == 403
    assert await states(house) == ["asking"]


async def test_deletes_over_the_budget_take_typing(house: House) -> None:
    request = await house.asked(DELETES, over_budget=BUDGET)
    page = await house.get(f"/requests/{request.id}")
    assert "To approve, type <code>delete 1</code>" in page.text
    assert 'class="danger">Approve' in page.text
    wrong = await approve(house, request, confirmation="yes", reason="sure")
    assert wrong.status_code == 403
    assert "confirm by typing: delete 1" in wrong.text
    assert 'value="yes"' in wrong.text
    assert ">sure</textarea>" in wrong.text
    assert await states(house) == ["asking"]
    assert (await approve(house, request, confirmation="delete 1")).status_code == 303
    assert await states(house) == ["approved"]


async def test_what_moved_since_it_was_shown_is_not_approved(house: House) -> None:
    record = await house.open()
    await house.ask(record)
    request = await house.request()
    page = await house.get(f"/requests/{request.id}")
    root = field(page, "root")
    await house.ask(record, drawn(record, DELETES, over_budget=BUDGET))
    answer = await house.post(
        f"/requests/{request.id}", root=root, decision="approve", reason="typed with care"
    )
    assert answer.status_code == 409
    told = words(answer.text)
    assert "the plan changed since you looked, so the answer was not taken" in told
    assert "Changed since it was first shown: the plan changed since it was asked" in told
    assert "1 delete in eu" in told
    assert ">typed with care</textarea>" in answer.text
    assert field(answer, "root") == (await house.request()).root != root
    assert await states(house) == ["asking"]


@pytest.mark.parametrize("decision", list(Decision))
async def test_of_two_browsers_the_second_is_told_who_was_first(
    house: House, decision: Decision
) -> None:
    request = await house.asked()
    path = f"/requests/{request.id}"
    given = {"root": request.root, "reason": "because"}
    both = await asyncio.gather(
        house.post(path, BOB, decision=decision.value, **given),
        house.post(path, CYD, decision="approve", **given),
    )
    codes = sorted(answer.status_code for answer in both)
    assert codes == [303, 409]
    late = next(answer for answer in both if answer.status_code == 409)
    first = (await house.request()).verdicts
    assert len(first) == 1
    word = "approved" if first[0].decision is Decision.APPROVE else "denied"
    assert f"too late: {first[0].person} {word} it" in words(late.text)


async def test_a_quorum_says_how_many_are_missing(house: House) -> None:
    policies(house, ApprovalPolicy(quorum=2))
    request = await house.asked()
    answer = await approve(house, request)
    assert answer.headers["location"] == f"/requests/{request.id}?done=counted"
    page = await house.get(answer.headers["location"])
    assert "Your approval counts. Somebody else has to approve as well." in page.text
    assert "It needs 2 (1 of them so far: bob) of: cyd;" in words(page.text)
    assert "bob has approved this already: somebody else has to" in words(page.text)
    assert 'value="approve"' not in page.text
    again = await house.post(f"/requests/{request.id}", root=request.root, decision="approve")
    assert again.status_code == 403
    assert (await approve(house, request, CYD)).headers["location"].startswith("/changes/")


async def test_an_answer_covers_what_one_is_entitled_to_and_says_so(house: House) -> None:
    policies(house, ApprovalPolicy("few", people=(CYD,)), "mail")
    for name in ("shop", "mail"):
        await house.ask(await house.open(name))
    request = await house.request()
    page = await house.get(f"/requests/{request.id}")
    told = words(page.text)
    assert "Covers shop on eu. Your approval covers 1 of the 2 places asked about." in told
    assert "Not mail@eu: bob is not among those policy" in told
    answer = await approve(house, request)
    assert answer.headers["location"] == f"/requests/{request.id}?done=approved"
    assert sorted(await states(house)) == ["approved", "asking"]


async def test_equal_plans_are_shown_once_and_different_ones_apart(house: House) -> None:
    same = update("web", FieldChange("spec.replicas", 3, 5))
    for target in ("eu", "us"):
        record = await house.open(target=target)
        await house.ask(record, drawn(record, same))
    record = await house.open(target="ap")
    await house.ask(record, drawn(record, DELETES))
    request = await house.request()
    page = (await house.get(f"/requests/{request.id}")).text
    told = words(page)
    assert "the same plan in 2 places" in told
    assert told.index("shop on ap") < told.index("the same plan"), "what loses something is first"
    assert page.count("spec.replicas") == 1
    alone = (await house.get(f"/requests/{request.id}?group=1&diff=split")).text
    assert "spec.replicas" not in alone
    assert 'value="approve"' in alone
    assert "All places of this request" in alone
    nowhere = await house.get(f"/requests/{request.id}?group=77")
    assert nowhere.status_code == 200


async def test_a_question_about_many_places_is_bounded_and_paged(house: House) -> None:
    targets = tuple(PersonName(f"t{n:03}") for n in range(90))
    house.set(
        applications={
            name: replace(spec, clusters=targets)
            for name, spec in house.controller.fleet.applications.items()
        }
    )
    wide = [FieldChange(f"data.k{n}", "<'" * 400, '">' * 400) for n in range(9)]
    for number, target in enumerate(targets):
        record = await house.open(target=target)
        field = FieldChange("n", 0, number)
        await house.ask(
            record, drawn(record, update("web", field, *wide[: 9 if number < 41 else 1]), DELETES)
        )
    request = await house.request()
    path = f"/requests/{request.id}"
    seen: set[str] = set()
    for start in (0, 40, 80):
        page = await house.get(f"{path}?members={start}")
        assert len(page.content) < 100 << 10
        assert "90 places" in page.text
        seen |= set(re.findall(r"/changes/([0-9a-f]{64})", page.text))
    assert seen == {member.change for member in request.members}
    assert "all 90 places; this view shows 40 of them" in words((await house.get(path)).text)
    listed = await house.get("/pending")
    assert len(listed.content) < 20 << 10
    assert "and 80 more places" in listed.text
    answer = await approve(house, request)
    assert answer.headers["location"] == f"{path}?done=approved"
    assert set(await states(house)) == {"approved"}


async def test_pending_lists_what_one_may_answer_first(house: House) -> None:
    empty = await house.get("/pending")
    assert "Nothing waits for anybody." in empty.text
    policies(house, ApprovalPolicy("few", people=(CYD,)), "mail")
    await house.asked()
    record = await house.open("mail", wish="other")
    await house.ask(record, drawn(record, DELETES))
    page = words((await house.get("/pending")).text)
    assert page.index("1 question you may answer") < page.index("shop on eu")
    assert page.index("shop on eu") < page.index("1 question for others") < page.index("mail on eu")
    assert "1 delete in eu" in page
    assert "by ada" in page
    author = words((await house.get("/pending", ADA)).text)
    assert "you may answer" not in author
    older = await house.get("/pending?before=nothing")
    assert older.status_code == 200


async def test_many_questions_are_paged(house: House) -> None:
    targets = tuple(PersonName(f"t{n:03}") for n in range(70))
    house.set(
        applications={
            name: replace(spec, clusters=targets)
            for name, spec in house.controller.fleet.applications.items()
        }
    )
    for number, target in enumerate(targets):
        await house.ask(await house.open(target=target, wish=str(number)))
    page = await house.get("/pending")
    assert len(page.content) < 100 << 10
    first = set(re.findall(r'href="(/requests/\w+)"', page.text))
    more = re.search(r'href="(/pending\?before=\w+)"', page.text)
    assert more
    rest = set(re.findall(r'href="(/requests/\w+)"', (await house.get(more[1])).text))
    assert (len(first), len(rest), first & rest) == (60, 10, set())


async def test_what_expired_is_not_answered(house: House) -> None:
    request = await house.asked()
    house.clock.time += 10 * 86_400
    answer = await house.client.post(
        f"/requests/{request.id}", headers=await house.as_(CYD), data={"csrf": "x"}
    )
    assert answer.status_code == 403
    house.cookies.clear()
    late = await house.post(f"/requests/{request.id}", root=request.root, decision="approve")
    assert late.status_code == 403
    assert "has expired" in late.text
    assert await states(house) == ["asking"]


async def test_nobody_answers_for_somebody_else(house: House) -> None:
    request = await house.asked()
    path = f"/requests/{request.id}"
    given = {"root": request.root, "decision": "approve"}
    headers = await house.as_(BOB)
    csrf = await house.csrf(BOB)
    for sent, data in (
        ({**headers, "origin": "https://evil.example"}, {**given, "csrf": csrf}),
        (headers, given),
        (headers, {**given, "csrf": await house.csrf(CYD)}),
        ({"origin": headers["origin"], "accept": "text/html"}, {**given, "csrf": csrf}),
    ):
        house.client.cookies.clear()
        answer = await house.client.post(path, headers=sent, data=data)
        assert answer.status_code in (303, 401, 403)
        assert answer.headers.get("location", "/sign-in").startswith("/sign-in")
    assert await states(house) == ["asking"]
    for odd in ("", "approve&deny", "APPROVE"):
        answer = await house.post(path, root=request.root, decision=odd)
        assert answer.status_code == 400
    assert (await house.post("/requests/nowhere", **given)).status_code == 404
    assert (await house.get("/requests/nowhere")).status_code == 404
    assert (await house.get(f"/requests/{request.id[:6]}")).status_code == 200


async def test_the_api_tells_what_one_may_answer(house: House) -> None:
    request = await house.asked(DELETES, over_budget=BUDGET)
    url = f"/api/v1/requests/{request.id}"
    mine = (await house.get(url)).json()
    [change] = [member.change for member in request.members]
    assert mine["may"]["approve"] == [change]
    assert mine["may"]["confirmation"] == "delete 1"
    assert mine["risk"] == "1 delete in eu"
    theirs = (await house.get(url, ADA)).json()
    assert theirs["may"]["approve"] == []
    assert "ada is an author" in theirs["may"]["why_not"][0]["reason"]


async def test_a_form_moves_under_nobodys_hand(house: House) -> None:
    """The script exchanges the region of the form only while its root is the one it was drawn
    with, and says so where it is not."""
    request = await house.asked()
    page = (await house.get(f"/requests/{request.id}")).text
    region = re.search(r'<section id="answer"[^>]*>', page)
    assert region
    assert f'data-root="{request.root}"' in region[0]
    assert "data-live" in region[0]
    assert 'class="said stale-note"' in page
    await house.answer(CYD)
    after = (await house.get(f"/requests/{request.id}")).text
    assert f'data-root="{request.root}"' not in after


async def test_pages_hear_of_a_question_that_nobody_asks_any_more(house: House) -> None:
    request = await house.asked()
    [member] = request.members
    with house.controller.ledger.bell.listening() as listener:
        await house.controller.ledger.append(ChangeClosed(member.change, ChangeState.SUPERSEDED))
        assert f"request:{request.id}" in await listener.heard()
    assert await states(house) == ["left"]
