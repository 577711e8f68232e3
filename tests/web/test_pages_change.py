"""The page of one change: where it is, what it does, who was asked, and whether that is all."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gitops.engine.lanes import Trouble
from gitops.model.approval import Decision
from gitops.model.delivery import Cause, ChangeState
from gitops.model.events import Noted
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApprovalPolicy
from gitops.model.plan import FieldChange
from gitops.model.serving import Role, RoleRule, SignInSpec
from gitops.model.source import Authorship, Commit, Grade, PullFacts, Signature
from gitops.model.terraform import TerraformSpec
from gitops.office import FrontOffice
from tests.web.change_cases import BOB, CYD, HUB, PUBLIC, House, drawn, house, update

__all__ = ["house"]

SMITH = "</script><img src=x onerror=alert(1)>\u202e{{7*7}}"
COMMIT = "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d"


def words(html: str) -> str:
    """What is read, on one line."""
    return " ".join(re.sub(r"<[^>]*>", "", html).split())


def present(html: str) -> str:
    found = re.search(r'aria-current="step">.*?<strong>(\w+)</strong>', html, re.DOTALL)
    return found[1] if found else ""


async def test_a_change_is_found_by_its_id_a_prefix_and_its_delivery(house: House) -> None:
    record = await house.deliver("a")
    id = record.change.id
    for path in (f"/changes/{id}", f"/changes/{id[:8]}"):
        page = await house.get(path)
        assert page.status_code == 200
        assert page.headers["cache-control"] == "no-store"
        assert id in page.text
    there = await house.get(f"/deliveries/{id[:16]}")
    assert (there.status_code, there.headers["location"]) == (303, f"/changes/{id}")
    for path in ("/changes/ffffffffffff", "/deliveries/ffffffffffff"):
        assert (await house.get(path)).status_code == 404
    for path in ("/changes/short", "/changes/abc", f"/changes/{'f' * 65}"):
        assert (await house.get(path)).status_code in (404, 422)
    house.client.cookies.clear()
    refused = await house.client.get(f"/changes/{id}", headers={"accept": "text/html"})
    assert refused.headers["location"].startswith("/sign-in?next=%2Fchanges%2F")


async def test_its_way_is_told_as_it_goes(house: House) -> None:
    record = await house.open()
    path = f"/changes/{record.change.id}"
    assert present((await house.get(path)).text) == "checks"
    house.clock.time += 10
    await house.ask(record)
    house.clock.time += 100
    page = (await house.get(path)).text
    assert present(page) == "ask"
    assert "waits for 1 approval of bob, cyd" in words(page)
    assert "waited 2 min" in words(page)
    assert "It needs 1 of: bob, cyd; authorship is claimed" in words(page)
    await house.answer(BOB)
    assert present((await house.get(path)).text) == "apply"
    await house.claim(record)
    assert "being applied" in words((await house.get(path)).text)
    house.clock.time += 7
    await house.end(record, ChangeState.HEALTHY)
    page = (await house.get(path)).text
    assert present(page) == ""
    assert "approved by bob" in words(page)
    assert "3 writes done" in page
    assert "The record is complete and unchanged: 9 events" in words(page)
    topics = re.search(r'data-topics="([^"]*)"', page)
    assert topics
    assert f"change:{record.change.id}" in topics[1].split(" ")


async def test_what_a_check_found_leads_to_its_file(house: House) -> None:
    record = await house.open(wish=COMMIT)
    finding = Finding("yaml-lint", Severity.ERROR, "no field", "write another", "a b/x.yaml", 7, 3)
    await house.ask(record, drawn(record, checks=("overlap", "yaml-lint"), findings=(finding,)))
    page = (await house.get(f"/changes/{record.change.id}")).text
    at = f"{HUB}/blob/{record.change.revision.id}/a%20b/x.yaml#L7"
    assert f'href="{at}"' in page
    assert "a b/x.yaml:7:3: no field" in words(page)
    assert "write another" in page
    assert present(page) == "checks"
    assert "✓ passed overlap" in words(page)
    assert "what a check blocks nobody can approve" in page


async def test_who_made_it_is_told_with_what_that_is_worth(house: House) -> None:
    ada = Signature("Ada", "ada@example.org")
    commits = tuple(Commit(f"{n:040x}", f"step {n}", ada, ada) for n in range(70))
    pull = PullFacts(
        7, "https://forge.example/7", "Raise it", "github:ada", "github:bob", approvers=("cyd",)
    )
    given = Authorship(commits, (ada,), grade=Grade.SIGNED, pull_requests=(pull,))
    record = await house.open(authorship=given)
    page = (await house.get(f"/changes/{record.change.id}")).text
    told = words(page)
    assert "authorship is signed: the commits' signatures were verified" in told.replace(
        "&#39;", "'"
    )
    assert "62 more commits" in told
    assert "and 30 more" in told
    assert "Pull request 7 : Raise it" in told.replace("7: ", "7 : ")
    assert 'href="https://forge.example/7" rel="noreferrer"' in page
    assert "approved by cyd, merged by github:bob" in told
    hostile = replace(pull, url="javascript:alert(1)")
    other = await house.open(
        "mail", authorship=replace(given, pull_requests=(hostile,), known=False, note="who knows")
    )
    page = (await house.get(f"/changes/{other.change.id}")).text
    assert "javascript:" not in page
    assert "two different people have to approve" in page


async def test_what_went_out_together_is_listed(house: House) -> None:
    first = await house.open(target="eu")
    for target in ("us", "ap"):
        await house.open(target=target)
    await house.open("mail", wish="other")
    page = (await house.get(f"/changes/{first.change.id}")).text
    assert "shop on us" in page
    assert "shop on ap" in page
    assert "mail on" not in page


async def test_answers_and_why_others_may_not_are_told(house: House) -> None:
    house.set(
        applications={
            name: replace(spec, approval=ApprovalPolicy(quorum=2))
            for name, spec in house.controller.fleet.applications.items()
        }
    )
    record = await house.open()
    await house.ask(record)
    await house.answer(BOB)
    await house.ask(record, text="it moved")
    page = words((await house.get(f"/changes/{record.change.id}")).text)
    assert "ada is an author of this change: somebody else has to approve" in page
    assert "approved to an earlier plan" in page
    assert "an earlier yes no longer counts: bob" in page
    await house.answer(CYD, Decision.DENY)
    page = words((await house.get(f"/changes/{record.change.id}")).text)
    assert "not before the freeze" in page
    assert "denied by cyd" in page


async def test_the_difference_is_shown_as_asked_for_without_script(house: House) -> None:
    record = await house.open()
    fields = (FieldChange("spec.replicas", 3, 5, "kubectl-edit"), FieldChange("a", "x\ny", "x\nz"))
    await house.ask(record, drawn(record, update("web", *fields), update("api")))
    path = f"/changes/{record.change.id}"
    unified = (await house.get(path)).text
    assert '<del><span class="sr">gone: </span><b aria-hidden="true">−</b>3</del>' in unified
    assert "taken from kubectl-edit" in unified
    split = (await house.get(f"{path}?diff=split")).text
    assert "<td><del>3</del></td><td><ins>5</ins></td>" in split
    assert '<th scope="col">Live now</th>' in split
    alone = (await house.get(f"{path}?object=1")).text
    assert "shop/api" in alone
    assert "shop/web" not in alone.split('id="p"')[1]
    for odd in ("from=x", "from=-1", "object=1e9", "line=-4", f"kind={'k' * 500}"):
        assert (await house.get(f"{path}?{odd}")).status_code == 422
    assert (await house.get(f"{path}?action=<b>&kind=%22&from=9999")).status_code == 200


async def test_foreign_text_is_text(house: House) -> None:
    person = Signature(SMITH, "ada@example.org")
    given = Authorship((Commit(COMMIT, SMITH * 3_000, person, person),), (person,))
    record = await house.open(authorship=given)
    finding = Finding(SMITH, Severity.WARNING, SMITH, SMITH, SMITH, 1, 1)
    field = FieldChange(SMITH, SMITH, f"{SMITH}\n{SMITH}", SMITH)
    change = replace(update(SMITH, field), notes=(SMITH,))
    await house.ask(record, drawn(record, change, findings=(finding,), versions=((SMITH, SMITH),)))
    await house.controller.ledger.append(Noted(record.change.id, SMITH))
    request = await house.request()
    for path in (
        f"/changes/{record.change.id}",
        f"/changes/{record.change.id}?diff=split",
        f"/requests/{request.id}",
        "/pending",
    ):
        page = (await house.get(path)).text
        assert "<img src=x" not in page
        assert "\u202e" not in page
        assert "{{7*7}}" in page or path == "/pending"
        assert len(page.encode()) < 100 << 10
        assert not re.search(r"<[^>]* style=", page)


async def test_a_page_stays_small_whatever_a_change_holds(house: House) -> None:
    record = await house.open()
    wide = tuple(FieldChange(f"data.k{n}", "<'" * 400, '">' * 400) for n in range(10))
    changes = [update(f"c{n}", *wide[: 10 if n < 90 else 1]) for n in range(2_000)]
    findings = tuple(
        Finding(f"check-{n % 60}", Severity.WARNING, "m" * 900, "h\n" * 900, f"f{n}", n)
        for n in range(600)
    )
    many = drawn(record, *changes, findings=findings, versions=(("v" * 300, "1"),) * 300)
    await house.ask(record, many)
    noted = [Noted(record.change.id, f"{n} " + "n" * 3_000) for n in range(100)]
    await house.controller.ledger.append(*noted)
    for query in ("", "?diff=split", "?from=700", "?object=3&diff=split"):
        page = await house.get(f"/changes/{record.change.id}{query}")
        assert page.status_code == 200
        assert len(page.content) < 100 << 10, query
        assert "Show more" in page.text or "object" in query
        assert "2,000" in page.text


async def test_a_record_that_was_tampered_with_is_told_loudly(house: House) -> None:
    record = await house.open()
    await house.ask(record)
    store = house.controller.ledger._store

    def tamper(tx) -> None:  # type: ignore[no-untyped-def]
        tx._connection.exec_driver_sql(
            "UPDATE event SET at = at + 1 WHERE kind = 'change-planned.1'"
        )

    epoch = house.controller.ledger.epoch
    assert epoch is not None
    await store.write(tamper, epoch)
    page = words((await house.get(f"/changes/{record.change.id}")).text)
    assert "The record was tampered with: event 2 does not follow" in page
    told = await house.get(f"/api/v1/changes/{record.change.id}")
    assert told.json()["broken"] == 2


async def test_an_operator_can_go_back_retry_and_ask_again(house: House) -> None:
    first = await house.deliver("a")
    second = await house.deliver("b")
    page = (await house.get(f"/changes/{second.change.id}")).text
    assert "which was healthy" in page
    assert f'value="{first.change.id[:16]}"' in page
    older = (await house.get(f"/changes/{first.change.id}")).text
    assert "which this delivery brought" in older
    failed = await house.deliver("c", ChangeState.FAILED)
    path = f"/changes/{failed.change.id}"
    page = (await house.get(path)).text
    assert f'action="{path}/retry"' in page
    answer = await house.post(f"{path}/retry")
    assert (answer.status_code, answer.headers["location"]) == (303, f"{path}?done=retry")
    assert "It is tried again." in (await house.get(f"{path}?done=retry")).text
    assert "alert" not in (await house.get(f"{path}?done=<script>alert")).text
    nothing = await house.post(f"{path}/rollback", delivery="f" * 16, reason="w&y")
    assert nothing.status_code == 404
    assert 'value="w&amp;y"' in nothing.text
    assert "there is no delivery" in nothing.text
    assert (await house.post(f"{path}/dance")).status_code == 404
    lock = await house.post(f"{path}/unlock", lock="x")
    assert lock.status_code == 404


async def test_who_is_no_operator_sees_no_button_and_does_nothing(house: House) -> None:
    failed = await house.deliver("c", ChangeState.FAILED)
    path = f"/changes/{failed.change.id}"
    rules = (RoleRule(Role.APPROVER, people=(BOB,)), RoleRule(Role.OPERATOR, people=(CYD,)))
    house.set(api=replace(house.controller.fleet.api, roles=rules))
    assert "/retry" not in (await house.get(path)).text
    assert (await house.post(f"{path}/retry")).status_code == 403
    assert "/retry" in (await house.get(path, CYD)).text
    forged = await house.client.post(
        f"{path}/retry", headers=await house.as_(CYD), data={"csrf": "guess"}
    )
    assert forged.status_code == 403
    anonymous = SignInSpec(anonymous=True)
    house.set(api=replace(house.controller.fleet.api, sign_in=anonymous))
    house.client.cookies.clear()
    page = await house.client.get(path, headers={"accept": "text/html"})
    assert page.status_code == 200
    assert "/retry" not in page.text


@pytest.mark.parametrize("cause", list(Cause))
async def test_every_cause_has_its_page(house: House, cause: Cause) -> None:
    record = await house.open(cause=cause, occasion="unlock 7b1c", authorship=Authorship())
    page = await house.get(f"/changes/{record.change.id}")
    assert page.status_code == 200


async def test_a_card_leads_to_its_page(house: House) -> None:
    record = await house.open()
    office = FrontOffice(house.controller)
    unasked = await office.unasked(record.change.id)
    assert unasked
    assert unasked.url == office.page(record.change.id) == f"{PUBLIC}/changes/{record.change.id}"
    await house.ask(record)
    request = await house.request()
    card = await office.card(request.id)
    assert card
    assert card.url == f"{PUBLIC}/requests/{request.id}"
    house.set(api=replace(house.controller.fleet.api, url=""))
    card = await office.card(request.id)
    assert card
    assert card.url == ""


async def test_the_api_tells_what_the_page_shows(house: House) -> None:
    record = await house.deliver("a")
    told = (await house.get(f"/api/v1/changes/{record.change.id[:10]}")).json()
    assert [step["state"] for step in told["steps"]] == ["done"] * 6
    assert (told["broken"], told["progress"]) == (None, None)
    assert told["delivery"]["state"] == "healthy"
    assert len(told["events"]) == 7
    assert [event["kind"] for event in told["request_events"]] == ["request-opened.1", "answered.1"]
    assert (await house.get("/api/v1/changes/ffffffff")).status_code == 404


async def test_a_lock_that_holds_it_up_can_be_asked_to_be_forced(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await house.open()
    specs = dict(house.controller.fleet.applications)
    name = record.change.lane.application
    specs[name] = replace(specs[name], terraform=TerraformSpec())
    house.set(applications=specs)
    trouble = Trouble("the state is locked by eve", "", 0.0, 0.0, 1, lock="7b1c-<x>")
    monkeypatch.setattr(house.controller.lanes, "trouble", lambda lane: trouble)
    page = (await house.get(f"/changes/{record.change.id}")).text
    assert 'name="lock" value="7b1c-&lt;x&gt;"' in page
    assert "the state is locked by eve" in words(page)
    assert present(page) == "checks"
    other = await house.post(f"/changes/{record.change.id}/unlock", lock="another")
    assert other.status_code == 404
    assert "no lock" in other.text
