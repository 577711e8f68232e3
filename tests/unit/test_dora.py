"""The figures of a period are what anybody would count by hand."""

from __future__ import annotations

import pytest

from gitops import dora
from gitops.dora import DAY, WEEK, Spread, Stage
from gitops.model.delivery import Cause, ChangeState, LaneId
from gitops.model.ids import ApplicationName, ChangeId, TargetName
from gitops.model.passage import Passage

H = 3_600.0
T = 1_000 * DAY


def passage(
    ended: float,
    state: ChangeState = ChangeState.HEALTHY,
    *,
    cause: Cause = Cause.COMMIT,
    name: str = "shop",
    target: str = "prod",
    generation: int = 1,
    committed: tuple[float, ...] | None = None,
    delivered: bool = True,
    asked: bool = True,
) -> Passage:
    """One that ended ``ended`` seconds after T: committed 100 s before its end, and each later
    place 10 s after the one before."""
    at = T + ended
    return Passage(
        ChangeId(f"{name}{ended}"),
        LaneId(ApplicationName(name), TargetName(target)),
        cause,
        state,
        generation,
        (at - 100,) if committed is None else tuple(T + c for c in committed),
        opened_at=at - 60,
        planned_at=at - 50,
        asked_at=at - 40 if asked else None,
        answered_at=at - 30 if asked else None,
        started_at=at - 20 if delivered else None,
        applied_at=at - 10 if delivered else None,
        ended_at=at,
    )


FAILED, HEALTHY = ChangeState.FAILED, ChangeState.HEALTHY


class TestDora:
    def test_of_nothing_is_not_made_up(self) -> None:
        found = dora.dora([], 30)
        assert (found.deployments, found.per_day, found.failed, found.unrestored) == (0, 0, 0, 0)
        assert (found.lead_time, found.failure_rate, found.time_to_restore) == (None, None, None)

    def test_counts_what_was_carried_out_and_ended_well_by_day(self) -> None:
        found = dora.dora(
            [
                passage(0),
                passage(1, cause=Cause.COMMAND),
                passage(2, FAILED, name="other"),
                passage(3, ChangeState.DENIED, delivered=False),
                passage(4, ChangeState.UNCHANGED, delivered=False),
                passage(5, ChangeState.SUPERSEDED),
                passage(6, cause=Cause.DRIFT),
            ],
            days=4,
        )
        assert (found.deployments, found.per_day) == (3, 0.5)
        assert (found.failed, found.failure_rate) == (1, pytest.approx(1 / 3))

    def test_lead_time_is_that_of_every_commit(self) -> None:
        found = dora.dora([passage(100, committed=(0, 40, 90))], 1)
        assert found.lead_time == Spread(3, 60, 92, 100)

    def test_commits_without_a_time_and_from_the_future_count_for_nothing(self) -> None:
        assert dora.dora([passage(100, committed=(-T, 200))], 1).lead_time is None

    def test_a_lanes_first_delivery_has_no_lead_time(self) -> None:
        assert dora.dora([passage(100, generation=0)], 1).lead_time is None

    def test_a_failure_lasts_until_its_lane_is_healthy_again(self) -> None:
        found = dora.dora(
            [
                passage(0, FAILED),
                passage(1 * H, target="test"),
                passage(2 * H, cause=Cause.DRIFT),
                passage(3 * H),
            ],
            1,
        )
        assert found.time_to_restore == Spread(1, 3 * H, 3 * H, 3 * H)
        assert found.unrestored == 0

    def test_several_failures_in_a_row_are_restored_together(self) -> None:
        found = dora.dora([passage(0, FAILED), passage(H, FAILED), passage(2 * H)], 1)
        assert found.failed == 2
        assert found.time_to_restore == Spread(2, 1.5 * H, 1.9 * H, 2 * H)

    def test_what_was_rolled_back_was_a_failure(self) -> None:
        found = dora.dora([passage(0), passage(2 * H, cause=Cause.ROLLBACK), passage(9 * H)], 1)
        assert (found.deployments, found.failed, found.failure_rate) == (2, 1, 0.5)
        assert found.time_to_restore == Spread(1, 2 * H, 2 * H, 2 * H)

    def test_a_rollback_restores_what_failed_without_being_another_failure(self) -> None:
        found = dora.dora([passage(0), passage(H, FAILED), passage(2 * H, cause=Cause.ROLLBACK)], 1)
        assert (found.failed, found.time_to_restore) == (1, Spread(1, H, H, H))

    def test_what_nothing_healthy_followed_is_said_to_last(self) -> None:
        found = dora.dora([passage(0, FAILED), passage(H, FAILED)], 1)
        assert (found.failed, found.unrestored, found.time_to_restore) == (2, 2, None)


class TestValueStream:
    def test_adds_up_to_the_whole_way(self) -> None:
        found = dora.value_stream([passage(0), passage(50, asked=False)])
        assert [s.stage for s in found] == list(Stage)
        assert sum(s.mean for s in found) == pytest.approx(100)
        means = {s.stage: s.mean for s in found}
        assert (means[Stage.NOTICE], means[Stage.ANSWER], means[Stage.START]) == (40, 5, 20)

    def test_tells_waiting_from_working(self) -> None:
        waits = {s.stage for s in dora.value_stream([passage(0)]) if s.waiting}
        assert waits == {Stage.NOTICE, Stage.ASK, Stage.ANSWER, Stage.START}

    def test_is_of_delivered_commits_alone(self) -> None:
        others = [
            passage(0, FAILED),
            passage(1, cause=Cause.DRIFT),
            passage(2, ChangeState.UNCHANGED, delivered=False),
        ]
        assert dora.value_stream(others) == ()

    def test_a_clock_that_went_back_gives_no_negative_time(self) -> None:
        from dataclasses import replace

        odd = replace(passage(0), answered_at=T - 1_000)
        assert min(dora.stages(odd).values()) == 0
        assert sum(dora.stages(odd).values()) == pytest.approx(100)


class TestWeeks:
    def test_cover_the_period_and_end_with_it(self) -> None:
        found = dora.weeks([], T, T + 30 * DAY)
        assert len(found) == 5
        assert found[-1].start + WEEK == T + 30 * DAY

    def test_hold_each_delivery_once(self) -> None:
        ends = [0, WEEK - 1, WEEK, 2 * WEEK]
        passages = [passage(e, FAILED if e == WEEK else HEALTHY) for e in ends]
        found = dora.weeks(passages, T, T + 2 * WEEK)
        assert [(w.deployed, w.failed) for w in found] == [(2, 0), (1, 1)]
        assert found[0].duration == Spread(2, 60, 60, 60)


class TestReport:
    def test_is_of_all_by_application_and_by_team(self) -> None:
        passages = [passage(0), passage(1, FAILED, name="cart"), passage(2, name="lone")]
        found = dora.report(
            passages, T, T + DAY, lambda a: "" if a == "lone" else "web", complete=False
        )
        assert found.total.deployments == 3
        assert {n: d.failed for n, d in found.applications.items()} == {
            "cart": 1,
            "lone": 0,
            "shop": 0,
        }
        assert {n: d.deployments for n, d in found.teams.items()} == {"web": 2}
        assert not found.complete

    def test_names_drift_by_application_the_most_first(self) -> None:
        drifts = [passage(i, cause=Cause.DRIFT, name=n) for i, n in enumerate("abcbcc")]
        assert list(dora.drift([*drifts, passage(9)]).items()) == [("c", 3), ("b", 2), ("a", 1)]
