"""One word for how a lane stands, the same wherever it is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitops.model.delivery import (
    ChangeRecord,
    ChangeState,
    Delivered,
    Hold,
    LaneId,
    LaneRecord,
    Pause,
    Rollback,
)
from gitops.model.health import Ailment
from gitops.model.ids import (
    ApplicationName,
    DeliveryId,
    PersonName,
    SourceName,
    TargetName,
    combine,
)
from gitops.model.source import Revision
from gitops.ports.office import Standing
from gitops.standing import TONES, WORST_FIRST, Kept, rank, standing
from tests.contract.store_story import change_of

LANE = LaneId(ApplicationName("shop"), TargetName("prod"))
ADA = PersonName("ada")
REVISION = Revision(SourceName("config"), "1a2b3c4d5e6f7a8b")
THERE = Delivered(combine("c"), REVISION, combine("s"), 50.0)
NEVER = LaneRecord(LANE)
DELIVERED = replace(NEVER, delivered=THERE)
HOLD = Hold(combine("p"), combine("newer"), "denied by ada: not now")
SICK = replace(HOLD, closure=THERE.closure, why="it did not become healthy")
BACK = Rollback(DeliveryId("d"), REVISION, combine("l"), ADA, "it is cold")
PAUSE = Pause(LANE.application, ADA, "the freeze", 0.0, 7_200.0)
ILL = Ailment("Deployment.apps shop/web", "it crashes", 70.0)


def change(state: ChangeState) -> ChangeRecord:
    return ChangeRecord(change_of(LANE), state, 60.0, 65.0, "why", request="r")


def of(
    lane: LaneRecord,
    current: ChangeRecord | None = None,
    pause: Pause | None = None,
    ill: Ailment | None = None,
) -> Standing:
    return standing(LANE, Kept.of(lane, current), labels={}, pause=pause, ill=ill)


@pytest.mark.parametrize(
    ("lane", "word", "note"),
    [
        (NEVER, "new", ""),
        (DELIVERED, "healthy", ""),
        (replace(DELIVERED, rollback=BACK), "healthy", "rolled back by ada: it is cold"),
        (replace(DELIVERED, hold=HOLD), "held", HOLD.why),
        (replace(DELIVERED, hold=replace(HOLD, failed=True)), "failed", HOLD.why),
        (replace(DELIVERED, hold=SICK), "failed", SICK.why),
        (replace(DELIVERED, drift_hold=HOLD), "drifted", HOLD.why),
        (replace(DELIVERED, drift_hold=replace(HOLD, failed=True)), "failed", HOLD.why),
        (replace(DELIVERED, hold=HOLD, drift_hold=HOLD), "held", HOLD.why),
    ],
)
def test_a_lane_at_rest_says_what_came_of_the_last_change(
    lane: LaneRecord, word: str, note: str
) -> None:
    found = of(lane)
    assert (found.state, found.note) == (word, note)
    assert found.since == (50.0 if lane.delivered else None)
    assert (found.change, found.request) == ("", "")


@pytest.mark.parametrize("state", [state for state in ChangeState if not state.terminal])
def test_an_open_change_is_what_is_shown(state: ChangeState) -> None:
    current = change(state)
    found = of(replace(DELIVERED, hold=HOLD), current)
    assert (found.state, found.note, found.since) == (state.value, "why", 65.0)
    assert found.change == current.change.id
    assert found.request == ("r" if state is ChangeState.ASKING else "")


@pytest.mark.parametrize("state", [state for state in ChangeState if not state.terminal])
def test_a_pause_hides_what_it_stops_and_nothing_else(state: ChangeState) -> None:
    found = of(DELIVERED, change(state), PAUSE)
    claimed = state in (ChangeState.APPLYING, ChangeState.VERIFYING)
    assert found.state == (state.value if claimed else "paused")
    assert found.note == ("why" if claimed else PAUSE.told)
    assert bool(found.change) is claimed


@pytest.mark.parametrize(
    ("lane", "word"),
    [
        (DELIVERED, "degraded"),
        (replace(DELIVERED, drift_hold=HOLD), "degraded"),
        (replace(DELIVERED, hold=HOLD), "degraded"),
        (replace(DELIVERED, hold=SICK), "failed"),
    ],
)
def test_what_fell_ill_is_told_unless_something_worse_is(lane: LaneRecord, word: str) -> None:
    found = of(lane, ill=ILL)
    assert found.state == word
    if word == "degraded":
        assert (found.note, found.since) == ("Deployment.apps shop/web: it crashes", 70.0)


@pytest.mark.parametrize("state", [state for state in ChangeState if not state.terminal])
@pytest.mark.parametrize(
    ("lane", "ill", "word", "why"),
    [
        (DELIVERED, ILL, "degraded", "it crashes"),
        (replace(DELIVERED, hold=SICK), None, "failed", SICK.why),
    ],
)
def test_what_does_not_work_is_not_hidden_by_a_question(
    lane: LaneRecord, ill: Ailment | None, word: str, why: str, state: ChangeState
) -> None:
    current = change(state)
    found = of(lane, current, ill=ill)
    if state in (ChangeState.APPLYING, ChangeState.VERIFYING):
        assert (found.state, found.note) == (state.value, "why")
        return
    assert found.state == word
    assert why in found.note
    assert f"a newer change is {state.value}" in found.note
    assert found.revision == Kept.of(lane, None).revision
    assert found.change == current.change.id


@pytest.mark.parametrize(
    ("lane", "ill", "word", "why"),
    [
        (DELIVERED, ILL, "degraded", "it crashes"),
        (replace(DELIVERED, hold=SICK), None, "failed", SICK.why),
    ],
)
def test_nobody_pauses_an_incident_out_of_sight(
    lane: LaneRecord, ill: Ailment | None, word: str, why: str
) -> None:
    found = of(lane, change(ChangeState.ASKING), PAUSE, ill)
    assert (found.state, found.change) == (word, "")
    assert found.note.startswith(PAUSE.told)
    assert why in found.note


def test_every_word_has_its_rank_and_the_worst_is_first() -> None:
    open_ = {state.value for state in ChangeState if not state.terminal}
    rest = {"failed", "degraded", "held", "drifted", "paused", "new", "healthy"}
    assert set(WORST_FIRST) == open_ | rest
    assert sorted(WORST_FIRST, key=rank) == list(WORST_FIRST)
    assert rank("unheard of") > max(map(rank, WORST_FIRST))
    assert [TONES[word] for word in WORST_FIRST[:3]] == ["bad"] * 3
