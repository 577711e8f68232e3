"""Every event is one sentence, and names who had a hand in it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitops.model import events as e
from gitops.model.approval import Decision, MemberState, Verdict
from gitops.model.delivery import Cause, ChangeState, Rollback
from gitops.model.fleet import People, Person
from gitops.model.ids import (
    ApplicationName,
    ChangeId,
    DeliveryId,
    Digest,
    PersonName,
    RequestId,
    SourceName,
    combine,
)
from gitops.model.plan import SealParts
from gitops.model.serving import Role
from gitops.model.source import Authorship, Revision, Signature, SourceState, SourceStatus
from gitops.records import dumps
from gitops.sentences import NAMING, actors, had_a_hand, sentence, sieve
from gitops.store.codec import KINDS, kind_of
from gitops.web.trail import GROUPS
from tests.contract.store_story import change_of, lane, plan_of
from tests.unit.test_events_codec import EVENTS

ADA, BOB = PersonName("ada"), PersonName("bob")
PEOPLE = People(
    {
        ADA: Person(ADA, ("ada@example.org",), ("github:Ada-L",)),
        BOB: Person(BOB, ("bob@example.org",)),
    }
)
CHANGE = change_of(lane())
ID, SEAL = CHANGE.id, combine("seal")
REQUEST = RequestId("0123456789abcdef")
PARTS = SealParts(SEAL, SEAL, SEAL, "tools", "uid", SEAL)
AT = 1_764_000_000.0


def verdict(decision: Decision, **more: Any) -> e.Answered:
    covers = ((ID, SEAL), (ChangeId("b"), SEAL))
    return e.Answered(Verdict(REQUEST, SEAL, ADA, decision, "", "cli", AT, covers, **more))


BACK = Rollback(DeliveryId("d"), CHANGE.revision, combine("x"), BOB, "it leaks")
SAID: list[tuple[e.Event, str, tuple[str, ...]]] = [
    (e.ChangeOpened(replace(CHANGE, cause=Cause.DRIFT, authorship=Authorship())),
     "What is live was changed by somebody else", ()),
    (e.ChangeOpened(replace(CHANGE, cause=Cause.COMMAND, occasion="unlock 7",
                            authorship=Authorship(people=(ADA,)))),
     "ada asked to unlock 7", ("ada",)),
    (e.ChangeOpened(replace(CHANGE, cause=Cause.ROLLBACK, rollback=BACK, authorship=Authorship())),
     f"bob asked to go back to {CHANGE.revision.id[:12]}: it leaks", ("bob",)),
    (e.ChangePlanned(ID, plan_of(CHANGE), SEAL, PARTS),
     "Checked and planned: 1 update in prod", ()),
    (e.ChangeBlocked(ID, "no such image"), "Blocked: no such image", ()),
    (e.RequestOpened(REQUEST, "x", "config@1: raise"), "People are asked: config@1: raise", ()),
    (e.MemberAsked(REQUEST, ID, SEAL, SEAL, AT, "replicas 3 → 4"),
     ("Asked about in request 0123456789ab until 2025-11-24 16:00Z; moved since it was shown: "
      "replicas 3 → 4"), ()),
    (verdict(Decision.APPROVE),
     "ada approved request 0123456789ab (the title), 2 changes, on the command line", ("ada",)),
    (verdict(Decision.DENY, confirmation="shop"),
     ("ada denied request 0123456789ab (the title), 2 changes, on the command line, typing the "
      "confirmation"), ("ada",)),
    (e.MemberDecided(REQUEST, ID, MemberState.APPROVED, (BOB, ADA)),
     "Approved by bob, ada, as many as its policy asks for", ("ada", "bob")),
    (e.MemberDecided(REQUEST, ID, MemberState.DENIED, (BOB,), "not on a Friday"),
     "Denied by bob: not on a Friday", ("bob",)),
    (e.AutoApproved(ID, SEAL, "policy: quick"), "Approved without asking, by policy: quick", ()),
    (e.AutoApproved(ID, SEAL, "ada, bob"), "Approved without asking, by ada, bob", ("ada", "bob")),
    (e.Claimed(ID, SEAL, ("ada",)),
     "Applying begins, approved by ada; together go out chart 1.2.3", ("ada",)),
    (e.ApplyFinished(ID, "1 updated"), "Every write is done: 1 updated", ()),
    (e.Noted(ID, "restarted"), "Noted: restarted", ()),
    (e.Reminded(ID, REQUEST, AT, "nobody is left"),
     ("People were reminded of request 0123456789ab, open until 2025-11-24 16:00Z; nobody can "
      "approve it: nobody is left"), ()),
    (e.HealthMoved(ID, False, "web crashes"), "It is not well: web crashes", ()),
    (e.HealthMoved(ID, True, ""), "It is well again", ()),
    (e.ChangeClosed(ID, ChangeState.HEALTHY), "It is live and healthy", ()),
    (e.ChangeClosed(ID, ChangeState.FAILED, "timed out"), "It failed: timed out", ()),
    (e.HoldLifted(lane(), "ada"), "It is no longer held: ada", ("ada",)),
    (e.HoldLifted(lane(), "the source moved", drift=True),
     "Its drift is no longer held: the source moved", ()),
    (e.RollbackLifted(lane(), "bob"), "It goes by the newest revision again: bob", ("bob",)),
    (e.ApplicationPaused(ApplicationName("shop"), ADA, "freeze", AT),
     "ada paused it until 2025-11-24 16:00Z: freeze", ("ada",)),
    (e.ApplicationResumed(ApplicationName("shop"), "its time was up"),
     "The pause ended: its time was up", ()),
    (e.SourceLooked(SourceStatus(SourceName("config"), SourceState.READY,
                                 Revision(SourceName("config"), "1a2b3c4d5e6f7"))),
     "Source config is at 1a2b3c4d5e6f", ()),
    (e.SourceLooked(SourceStatus(SourceName("config"), SourceState.GONE, None, "no branch")),
     "Source config is gone: no branch", ()),
    (e.TokenCreated("t", ADA, "a-hash", AT, "ci", Role.VIEWER, ("shop-*",)),
     "A token was made for ada (ci): viewer at most, for shop-* alone, until 2025-11-24 16:00Z",
     ("ada",)),
    (e.TokenRevoked("t", "operator"), "The token was revoked by operator", ()),
]  # fmt: skip


@pytest.mark.parametrize(("event", "said", "who"), SAID, ids=lambda v: type(v).__name__)
def test_an_event_is_a_sentence_and_has_its_people(
    event: e.Event, said: str, who: tuple[str, ...]
) -> None:
    assert sentence(event, title="the title", versions=(("chart", "1.2.3"),)) == said
    assert actors(event, PEOPLE) == who


def test_a_commit_names_who_wrote_it_how_that_is_known_and_what_it_says() -> None:
    said = sentence(e.ChangeOpened(CHANGE))
    assert said.startswith(f"Revision {CHANGE.revision.id[:12]} of config changes what it reads")
    assert ", written by ada@example.org (claimed): raise replicas" in said
    assert actors(e.ChangeOpened(CHANGE), PEOPLE) == ("ada",)
    many = Authorship(signatures=tuple(Signature("x", f"x{n}@example.org") for n in range(9)))
    said = sentence(e.ChangeOpened(replace(CHANGE, authorship=many)))
    assert "x4@example.org and 4 more (claimed)" in said


def test_no_value_of_a_plan_and_no_hash_of_a_token_is_in_a_sentence() -> None:
    planned = sentence(e.ChangePlanned(ID, plan_of(CHANGE, "a canary"), SEAL, PARTS))
    made = sentence(e.TokenCreated("t", ADA, "a canary", AT))
    assert "canary" not in planned + made


def test_every_kind_has_a_sentence_a_group_and_a_place_in_these_tests() -> None:
    told = {type(event) for event, _, _ in SAID}
    assert told == set(EVENTS)
    plain = {name.rpartition(".")[0] for name in KINDS}
    assert {kind for kinds in GROUPS.values() for kind in kinds} == plain
    assert set(NAMING) <= plain


@pytest.mark.slow
@settings(suppress_health_check=list(HealthCheck), max_examples=40, deadline=None)
@given(st.one_of([st.from_type(kind) for kind in EVENTS]))
def test_whatever_an_event_holds_it_can_be_told(event: e.Event) -> None:
    assert sentence(event)
    actors(event, PEOPLE)


@pytest.mark.parametrize("author", ["ADA@example.org", "7+ada-l@users.noreply.github.com"])
def test_the_sieve_lets_through_everything_somebody_had_a_hand_in(author: str) -> None:
    mine = Authorship(signatures=(Signature("x", author),))
    events = [event for event, _, who in SAID if "ada" in who]
    events.append(e.ChangeOpened(replace(CHANGE, authorship=mine)))
    events.append(e.Claimed(ID, Digest("x"), ("bob", "ada")))
    words = sieve("ada", PEOPLE)
    for event in events:
        assert had_a_hand("ada", event, PEOPLE)
        kept = dumps(type(event), event).lower()
        assert any(word.lower() in kept for word in words), event
        assert kind_of(event).rpartition(".")[0] in NAMING
    odd = PersonName("zoë")
    assert sieve("zoë", People({odd: Person(odd)})) == ("",)
    assert had_a_hand("gone", e.HoldLifted(lane(), "gone"), PEOPLE), "who left is still found"
