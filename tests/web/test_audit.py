"""The audit through API, page and download: who did what when, and whether the record is whole."""

from __future__ import annotations

import csv
import html
import io
import re
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from gitops.errors import Permanent, StoreUnavailable
from gitops.model import events as e
from gitops.model.approval import Decision, MemberState
from gitops.model.delivery import ChangeState
from gitops.model.serving import Role, RoleRule
from gitops.web import trail
from gitops.web.checking import Checking
from gitops.web.trail import Filter, moment
from tests.contract.store_story import ADA, Story, change_of, lane
from tests.web.test_web_sessions import HERE, Service, service

__all__ = ["service"]
DAY = 86_400.0
HOSTILE = "<script>alert(1)</script> javascript:alert(1) \u202e"


class Auditor:
    """Somebody signed in who looks at the record of one delivery and one denial."""

    def __init__(self, service: Service, cookie: str, story: Story, denied: Story) -> None:
        self.service, self.story, self.denied = service, story, denied
        self.headers = {"cookie": f"gitops={cookie}"}
        self._cookie = cookie

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.service.client.get(
            f"{HERE}{path}", params=query, headers={**self.headers, "accept": "text/html"}
        )

    async def events(self, **query: Any) -> list[dict[str, Any]]:
        answer = await self.get("/api/v1/events", **query)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["events"])

    async def post(self, path: str, **more: str) -> httpx.Response:
        csrf = await self.service.csrf(self._cookie)
        headers = {**self.headers, "origin": HERE, "accept": "text/html"}
        return await self.service.client.post(
            f"{HERE}{path}", data={"csrf": csrf, **more}, headers=headers
        )

    async def become(self, role: Role) -> None:
        api = self.service.controller.fleet.api
        self.service.set(replace(api, roles=(RoleRule(role, people=(ADA,)),)))

    async def tamper(self, statement: str, **values: Any) -> None:
        """As somebody would who can write to the database past the controller."""
        store: Any = self.service.controller.ledger._store

        def work(connection: Any) -> None:
            connection.execute(text(statement), values)

        store._database.write(work)


@pytest.fixture
async def auditor(service: Service) -> Auditor:
    ledger: Any = service.controller.ledger
    story = Story(ledger._store, ledger.epoch, change_of(lane()))
    await story.deliver()
    service.clock.time += DAY
    denied = Story(ledger._store, ledger.epoch, change_of(lane("cart"), wish="b"))
    await denied.ask()
    verdict = await denied.verdict("bob", Decision.DENY)
    await denied.say(e.Answered(replace(verdict, reason=HOSTILE)))
    await denied.say(denied.decided(MemberState.DENIED, ("bob",)))
    await denied.say(denied.closed(ChangeState.DENIED))
    cookie = await service.sessions.begin(ADA, "local")
    return Auditor(service, cookie, story, denied)


class TestTheApi:
    async def test_tells_every_event_in_a_sentence_newest_first(self, auditor: Auditor) -> None:
        found = await auditor.events()
        assert len(found) == 16
        assert found[0]["said"].startswith("It was denied and is not applied: why")
        claimed = next(each for each in found if each["kind"] == "claimed")
        assert claimed["said"] == ("Applying begins, approved by ada; together go out chart 1.2.3")
        assert claimed["versions"] == [["chart", "1.2.3"]]
        assert (claimed["application"], claimed["target"]) == ("shop", "prod")
        assert claimed["change"] == auditor.story.change.id
        answered = [each for each in found if each["kind"] == "answered"]
        assert [each["people"] for each in answered] == [["bob"], ["ada"]]
        assert answered[0]["request"] == auditor.denied.request

    async def test_is_narrowed_and_goes_on_by_cursor(self, auditor: Auditor) -> None:
        assert {each["application"] for each in await auditor.events(application="cart")} == {
            "cart"
        }
        mine = await auditor.events(person="bob")
        assert [each["kind"] for each in mine] == ["member-decided", "answered"]
        assert len(await auditor.events(kind="answers")) == 4
        assert len(await auditor.events(kind="answered", since="1h")) == 1
        assert await auditor.events(person="nobody") == []
        assert await auditor.events(person="bob", kind="sources") == []
        gathered: list[int] = []
        before = ""
        while True:
            answer = await auditor.get("/api/v1/events", limit=3, before=before)
            gathered += [each["sequence"] for each in answer.json()["events"]]
            before = answer.json()["next"]
            if not before:
                break
        assert gathered == list(range(16, 0, -1))

    async def test_finds_who_wrote_it_by_their_address(self, auditor: Auditor) -> None:
        people = auditor.service.controller.fleet.people
        ada = replace(people.persons[ADA], emails=("Ada@Example.org",))
        known = replace(people, persons={**people.persons, ADA: ada})
        fleet = replace(auditor.service.controller.fleet, people=known)
        auditor.service.controller.roster.reload(fleet)
        kinds = [each["kind"] for each in await auditor.events(person="ada")]
        assert kinds == ["change-opened", "claimed", "member-decided", "answered", "change-opened"]

    @pytest.mark.parametrize(
        ("query", "said"),
        [
            ({"since": "yesterday"}, "'yesterday' is no time"),
            ({"until": "9999999"}, ""),
            ({"kind": "gossip"}, "no events of kind 'gossip'"),
            ({"before": "x"}, "before"),
            ({"since": "2026-02-31"}, "is no time"),
        ],
    )
    async def test_says_what_it_cannot_understand(
        self, auditor: Auditor, query: dict[str, str], said: str
    ) -> None:
        answer = await auditor.get("/api/v1/events", **query)
        assert answer.status_code == (200 if not said else 422 if "before" in query else 400)
        assert said in answer.text

    async def test_shows_nothing_that_is_secret_or_raw(self, auditor: Auditor) -> None:
        ledger = auditor.service.controller.ledger
        await ledger.append(e.TokenCreated("t1", ADA, "the-hash-canary", 2e6, "for ci"))
        await auditor.become(Role.ADMIN)
        told = (await auditor.get("/api/v1/events")).text
        assert "for ci" in told
        assert "canary" not in told
        assert str(2**70) not in told, "values of plans are in plans"

    async def test_tells_of_tokens_to_admins_alone(self, auditor: Auditor) -> None:
        ledger = auditor.service.controller.ledger
        await ledger.append(e.TokenCreated("t1", ADA, "hash", 2e6, "for ci"))
        for path in ("/api/v1/events", "/audit", "/audit.csv"):
            assert "for ci" not in (await auditor.get(path)).text
            assert "for ci" not in (await auditor.get(path, person="ada")).text
            assert (await auditor.get(path, kind="tokens")).status_code == 403
        assert len(await auditor.events(limit=16)) == 16, "what is left out does not count"
        await auditor.become(Role.ADMIN)
        for path in ("/api/v1/events", "/audit", "/audit.csv"):
            assert "for ci" in (await auditor.get(path, kind="tokens")).text

    async def test_is_for_who_may_look(self, auditor: Auditor) -> None:
        client = auditor.service.client
        for path in ("/api/v1/events", "/api/v1/audit/verify", "/audit", "/audit.csv"):
            assert (await client.get(f"{HERE}{path}")).status_code == 401
        assert (await client.post(f"{HERE}/audit/check")).status_code == 401

    async def test_checks_the_record_in_stretches(self, auditor: Auditor) -> None:
        whole = (await auditor.get("/api/v1/audit/verify")).json()
        assert (whole["checked"], whole["done"], whole["broken"]) == (16, True, [])
        part = (await auditor.get("/api/v1/audit/verify", until=7)).json()
        rest = await auditor.get("/api/v1/audit/verify", after=part["last"], head=part["head"])
        assert rest.json()["head"] == whole["head"]
        assert (await auditor.get("/api/v1/audit/verify", head="x")).status_code == 422


class TestThePage:
    async def test_shows_sentences_with_their_people_and_links(self, auditor: Auditor) -> None:
        page = await auditor.get("/audit")
        assert page.status_code == 200
        assert len(page.content) < 100 << 10
        assert "together go out chart 1.2.3" in page.text
        assert f'href="/changes/{auditor.story.change.id}"' in page.text
        assert f'href="/requests/{auditor.denied.request}"' in page.text
        assert "4 chains with 16 events stand behind this page: complete and unchanged" in page.text
        assert "tampered" not in page.text

    async def test_escapes_whatever_people_wrote(self, auditor: Auditor) -> None:
        page = (await auditor.get("/audit", person=HOSTILE, since="30d")).text
        assert "<script>alert" not in page
        page = (await auditor.get("/audit")).text
        assert "<script>alert" not in page
        assert html.escape("<script>alert(1)</script>") in page
        assert "\u202e" not in page
        assert not re.search(r"<[^>]* (style|on\w+)=", page)

    async def test_keeps_the_filter_in_every_link(self, auditor: Auditor) -> None:
        page = (await auditor.get("/audit", application="cart", since="7d")).text
        assert "/audit.csv?since=7d&amp;application=cart" in page
        assert "/audit?since=24h&amp;application=cart" in page
        assert "shop" not in page.split("<tbody>")[1].split("</tbody>")[0]

    async def test_of_a_filter_that_is_no_filter_shows_it_again(self, auditor: Auditor) -> None:
        page = await auditor.get("/audit", since="yesterday", person="bob")
        assert page.status_code == 400
        assert "is no time" in page.text
        assert 'value="yesterday"' in page.text
        assert 'value="bob"' in page.text

    async def test_says_when_nothing_fits(self, auditor: Auditor) -> None:
        assert "Nothing fits this filter" in (await auditor.get("/audit", kind="sources")).text

    async def test_pages_back_and_stays_still_there(
        self, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gitops.web.pages.audit.ROWS", 5)
        first = (await auditor.get("/audit")).text
        assert 'href="/audit?before=12"' in first
        assert "application:*" in first
        second = (await auditor.get("/audit", before="12")).text
        assert "application:*" not in second, "an old page does not move"
        assert 'href="/audit"' in second

    @pytest.mark.parametrize(
        ("statement", "seen"),
        [
            ("UPDATE event SET payload = replace(payload, 'ada', 'bob') WHERE kind = 'claimed.1'",
             "✗ does not fit"),
            ("UPDATE event SET payload = '{' WHERE kind = 'claimed.1'", "✗ does not fit"),
            ("UPDATE event SET kind = 'gossip.1' WHERE kind = 'claimed.1'", "no longer be read"),
            ("UPDATE event SET at = 1e300 WHERE kind = 'claimed.1'", "✗ does not fit"),
            ("DELETE FROM event WHERE kind = 'apply-finished.1'", "✗ does not fit"),
        ],
    )  # fmt: skip
    async def test_says_loudly_which_event_was_tampered_with(
        self, auditor: Auditor, statement: str, seen: str
    ) -> None:
        await auditor.tamper(statement)
        page = (await auditor.get("/audit")).text
        place = 9 if "DELETE" in statement else 7
        subject = auditor.story.change.id
        assert "The record was tampered with." in page
        assert f"Event {place} of {subject} does not follow from those before it" in page
        assert seen in page
        assert "complete and unchanged." not in page
        other = (await auditor.get("/audit", application="cart")).text
        assert "tampered" not in other
        assert (await auditor.get("/api/v1/events")).status_code == 200

    async def test_checks_everything_when_asked_and_gives_what_to_keep(
        self, auditor: Auditor
    ) -> None:
        page = (await auditor.get("/audit")).text
        assert 'action="/audit/check"' in page
        assert (await auditor.post("/audit/check", csrf="a guess")).status_code == 403
        answer = await auditor.post("/audit/check")
        assert answer.status_code == 303
        assert answer.headers["location"] == "/audit#check"
        checking = Checking(auditor.service.controller)
        checking.begin()
        await checking.done()
        assert checking.state is not None
        while "so far" in (page := (await auditor.get("/audit")).text):
            pass
        assert "16 events, every one of them complete and unchanged" in page
        assert f"gitops audit verify --expect 16:{checking.state.head}" in page

    async def test_names_what_the_whole_check_finds(
        self, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gitops.web.checking.STRETCH", 3)
        await auditor.tamper("UPDATE event SET at = at + 1 WHERE sequence in (3, 12)")
        checking = Checking(auditor.service.controller)
        with auditor.service.controller.ledger.bell.listening() as listener:
            checking.begin()
            checking.begin()
            await checking.done()
            assert await listener.heard() == ("audit:check",)
        assert checking.state is not None
        assert [each.sequence for each in checking.state.broken] == [3, 12]
        assert (checking.state.checked, checking.state.found, checking.state.share) == (16, 2, 1)

    async def test_says_why_a_check_ended_early(
        self, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(query: object) -> None:
            raise StoreUnavailable("the disk is gone")

        checking = Checking(auditor.service.controller)
        monkeypatch.setattr(auditor.service.controller.ledger, "read", away)
        checking.begin()
        await checking.done()
        assert checking.state is not None
        assert checking.state.trouble == "the disk is gone"
        assert checking.state.ended is not None


class TestTheDownload:
    async def test_is_everything_that_fits_as_a_spreadsheet(
        self, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(trail, "PORTION", 3)
        answer = await auditor.get("/audit.csv")
        assert answer.headers["content-type"].startswith("text/csv")
        assert (
            answer.headers["content-disposition"] == 'attachment; filename="audit-1970-01-13.csv"'
        )
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["sequence"] for row in rows] == [str(n) for n in range(16, 0, -1)]
        assert rows[0]["time"] == "1970-01-13T13:46:40.000Z"
        denial = next(row for row in rows if row["kind"] == "answered")
        assert "<script>" in denial["what"], "it is text there"
        assert "\u202e" not in answer.text
        few = await auditor.get("/audit.csv", application="cart", kind="answers")
        assert len(few.text.splitlines()) == 3

    async def test_is_refused_before_it_begins(self, auditor: Auditor) -> None:
        assert (await auditor.get("/audit.csv", since="soon")).status_code == 400

    async def test_that_breaks_off_says_so(
        self, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*given: object) -> None:
            raise StoreUnavailable("the disk is gone")

        monkeypatch.setattr(trail, "page", away)
        lines = [each async for each in trail.sheet(auditor.service.controller, Filter())]
        assert "this ended early: the disk is gone" in lines[-1]


@pytest.mark.parametrize(
    ("written", "to", "found"),
    [
        ("", False, None),
        ("7d", False, 10 * DAY - 7 * DAY),
        ("90 min", False, 10 * DAY - 5_400),
        ("1970-01-03", False, 2 * DAY),
        ("1970-01-03", True, 3 * DAY),
        ("19700103", True, 3 * DAY),
        ("1970-01-03T12:00", True, 2.5 * DAY),
        ("1970-01-03T12:00+02:00", False, 2.5 * DAY - 7_200),
        (" 86400 ", False, DAY),
        ("86400.5", False, DAY + 0.5),
    ],
)
def test_times_are_written_as_people_write_them(
    written: str, to: bool, found: float | None
) -> None:
    assert moment(written, 10 * DAY, to=to) == found


@pytest.mark.parametrize("written", ["x", "7y", "-1d", "2026-13-01", "1e9", "٣d", "9" * 40])
def test_other_times_are_refused_with_what_would_do(written: str) -> None:
    with pytest.raises(Permanent) as refused:
        moment(written, 10 * DAY)
    assert "7d" in refused.value.hint
