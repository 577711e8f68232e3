"""What /metrics says is what is so, and a series leaves with what it is about."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from gitops.app import offline
from gitops.controller import Controller
from gitops.engine.measures import STEP_BOUNDS, Histogram, Measures
from gitops.errors import StaleWrite, StoreUnavailable
from gitops.model import events as e
from gitops.model.delivery import Cause, ChangeRecord, ChangeState, Delivered, Hold, LaneId
from gitops.model.fleet import ApplicationSpec, Fleet, WebhookSpec
from gitops.model.ids import ApplicationName, PersonName, SourceName, TargetName, combine
from gitops.model.plan import SealParts
from gitops.ports import Transaction
from gitops.standing import WORST_FIRST
from gitops.web import metrics as page
from gitops.web import observing
from tests.contract.store_story import Clock, change_of, lane, plan_of

Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def application(name: str, *targets: str) -> ApplicationSpec:
    return ApplicationSpec(
        ApplicationName(name),
        SourceName("config"),
        "app",
        clusters=tuple(map(TargetName, targets or ("prod",))),
    )


@dataclass
class Observed:
    controller: Controller
    clock: Clock
    http: httpx.AsyncClient

    async def scrape(self) -> Series:
        answer = await self.http.get("/metrics")
        assert answer.status_code == 200, answer.text
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }

    async def value(self, name: str, **labels: str) -> float | None:
        return (await self.scrape()).get((name, tuple(sorted(labels.items()))))

    async def names(self, application: str) -> set[str]:
        """Series about an application."""
        return {
            name for name, labels in await self.scrape() if ("application", application) in labels
        }

    def reload(self, *specs: ApplicationSpec) -> None:
        fleet = self.controller.fleet
        given = {spec.name: spec for spec in specs}
        self.controller.roster.reload(replace(fleet, applications=given))

    async def say(self, *events: e.Event) -> None:
        await self.controller.ledger.append(*events)


@pytest.fixture
async def observed(tmp_path: Path) -> AsyncIterator[Observed]:
    specs = {s.name: s for s in (application("shop"), application("cart", "prod", "test"))}
    hook = WebhookSpec("github", "github")
    fleet = Fleet(tmp_path / "gitops.yaml", tmp_path, applications=specs, webhooks=(hook,))
    clock = Clock()
    running = offline(fleet, clock)
    controller = running.controller
    controller.parts.keeper._seconds = 1e9
    await controller.parts.keeper.acquire()
    transport = httpx.ASGITransport(observing.application(controller))
    async with httpx.AsyncClient(transport=transport, base_url="http://metrics") as http:
        yield Observed(controller, clock, http)
    await controller.close()
    running.close()


def told(where: LaneId, cause: Cause = Cause.COMMIT, generation: int = 0) -> list[list[e.Event]]:
    """A change's events up to its claim by a policy, transaction by transaction."""
    change = change_of(where, generation, wish=str(generation), cause=cause)
    plan, seal = plan_of(change), combine("seal", change.id)
    parts = SealParts(change.after, seal, plan.digest, "tools", "uid", seal)
    return [
        [e.ChangeOpened(change)],
        [e.ChangePlanned(change.id, plan, seal, parts), e.AutoApproved(change.id, seal, "always")],
        [e.Claimed(change.id, seal, ("policy: always",))],
    ]


async def deliver(
    observed: Observed, where: LaneId, state: ChangeState = ChangeState.HEALTHY, generation: int = 0
) -> None:
    change = change_of(where, generation, wish=str(generation))
    for events in told(where, generation=generation):
        await observed.say(*events)
    observed.clock.time += 30
    good = state is ChangeState.HEALTHY
    delivered = Delivered(change.after, change.revision, combine("s"), 5.0) if good else None
    hold = None if good else Hold(combine("p"), change.after, "it crashed")
    await observed.say(
        e.ApplyFinished(change.id, "1 updated"),
        e.ChangeClosed(change.id, state, "", delivered, hold),
    )


class TestLanes:
    async def test_are_counted_by_where_they_stand(self, observed: Observed) -> None:
        await deliver(observed, lane())
        await observed.say(*told(lane("cart"))[0])
        found = await observed.scrape()
        counts = {s: found["gitops_lanes", (("state", s),)] for s in WORST_FIRST}
        assert {s: n for s, n in counts.items() if n} == {"healthy": 1, "open": 1, "new": 1}
        assert found["gitops_applications", ()] == 2

    async def test_say_drift_holds_and_questions(self, observed: Observed) -> None:
        await deliver(observed, lane(), ChangeState.FAILED)
        await observed.say(*told(lane("cart"), Cause.DRIFT)[0])
        found = await observed.scrape()
        shop, cart = ((("application", n), ("target", "prod")) for n in ("shop", "cart"))
        assert found["gitops_lane_held", shop] == 1
        assert found["gitops_lane_state", (*shop[:1], ("state", "held"), *shop[1:])] == 1
        assert ("gitops_lane_drifted", shop) not in found
        assert found["gitops_lane_drifted", cart] == 1

    async def test_of_a_paused_application_say_so_until_it_is_over(
        self, observed: Observed
    ) -> None:
        name, until = ApplicationName("shop"), observed.clock.time + 60
        await observed.say(e.ApplicationPaused(name, PersonName("ada"), "the freeze", until))
        await observed.controller.pauses.load()
        assert await observed.value("gitops_application_paused", application="shop") == 1
        observed.clock.time += 60
        assert await observed.value("gitops_application_paused", application="shop") is None

    async def test_of_a_huge_fleet_lose_their_series_at_rest_first(
        self, observed: Observed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(page, "MOST_LANES", 1)
        await deliver(observed, lane("cart", "test"), ChangeState.FAILED)
        found = await observed.scrape()
        shown = [labels for name, labels in found if name == "gitops_lane_state"]
        assert [dict(labels)["state"] for labels in shown] == ["held"]
        assert found["gitops_lanes_without_series", ()] == 2
        assert found["gitops_lanes", (("state", "new"),)] == 2

    async def test_of_an_application_that_left_have_no_series_any_more(
        self, observed: Observed
    ) -> None:
        await deliver(observed, lane())
        assert "gitops_deliveries_total" in await observed.names("shop")
        observed.reload(application("cart"))
        assert await observed.names("shop") == set()
        observed.reload(application("cart"), application("shop"))
        assert "gitops_deliveries_total" not in await observed.names("shop")


class TestDeliveries:
    async def test_are_counted_by_result(self, observed: Observed) -> None:
        await deliver(observed, lane())
        await deliver(observed, lane(), ChangeState.FAILED, generation=1)
        labels = {"application": "shop", "target": "prod"}
        total = "gitops_deliveries_total"
        assert await observed.value(total, **labels, result="healthy") == 1
        assert await observed.value(total, **labels, result="failed") == 1
        assert await observed.value("gitops_change_duration_seconds_sum", cause="commit") == 30

    async def test_leave_out_what_was_never_carried_out(self, observed: Observed) -> None:
        change = change_of(lane())
        await observed.say(e.ChangeOpened(change))
        await observed.say(e.ChangeClosed(change.id, ChangeState.SUPERSEDED))
        assert await observed.value(
            "gitops_changes_ended_total", cause="commit", result="superseded"
        )
        assert "gitops_deliveries_total" not in await observed.names("shop")

    async def test_are_counted_once_when_their_transaction_is_refused_first(
        self, observed: Observed
    ) -> None:
        change = change_of(lane())
        await observed.say(e.ChangeOpened(change))
        close = e.ChangeClosed(change.id, ChangeState.SUPERSEDED)
        with pytest.raises(StaleWrite, match="superseded"):
            await observed.say(close, close)
        await observed.say(close)
        assert observed.controller.measures.changes.total() == 1


class TestQuestions:
    async def test_have_a_number_and_an_age(self, observed: Observed) -> None:
        oldest = "gitops_request_oldest_opened_timestamp_seconds"
        assert await observed.value(oldest) is None
        opened, (planned, _), _ = told(lane())
        await observed.say(*opened)
        assert isinstance(planned, e.ChangePlanned)
        await observed.say(
            planned,
            e.RequestOpened("r1", "occasion", "a title"),  # type: ignore[arg-type]
            e.MemberAsked("r1", planned.change, planned.seal, planned.plan.digest, 2e9),  # type: ignore[arg-type]
        )
        found = await observed.scrape()
        assert found["gitops_requests_open", ()] == 1
        assert found["gitops_requests_open_changes", ()] == 1
        assert found[oldest, ()] == observed.clock.time
        since = ("gitops_lane_asking_timestamp_seconds",)
        assert found[(*since, (("application", "shop"), ("target", "prod")))]


class TestNotices:
    async def test_that_quiet_hours_hold_back_are_not_taken_for_stuck(
        self, observed: Observed
    ) -> None:
        def work(tx: Transaction) -> None:
            now = observed.clock.now()
            tx.enqueue(e.Notice("1", "mail", "asked", "some change"))
            tx.enqueue(e.Notice("2", "mail", "healthy", "another", not_before=now + 3_600))

        await observed.controller.ledger.write(work)
        assert await observed.value("gitops_notices_waiting") == 1
        observed.clock.time += 3_600
        assert await observed.value("gitops_notices_waiting") == 2


class TestTheRest:
    async def test_build_lease_and_process_are_told(self, observed: Observed) -> None:
        found = await observed.scrape()
        (build,) = [dict(labels) for name, labels in found if name == "gitops_build_info"]
        assert build.keys() == {"version", "python"}
        assert found["gitops_lease_held", ()] == 1
        assert found["process_open_fds", ()] > 0
        observed.controller.ledger.epoch = None
        assert await observed.value("gitops_lease_held") == 0

    async def test_writes_have_a_latency(self, observed: Observed) -> None:
        count = "gitops_store_write_duration_seconds_count"
        before = await observed.value(count) or 0
        await deliver(observed, lane())
        assert await observed.value(count) == before + 4

    async def test_webhooks_are_counted_by_what_became_of_them(self, observed: Observed) -> None:
        observed.controller.inbox.tallies.refused("github", "its signature is wrong")
        total = "gitops_webhook_requests_total"
        assert await observed.value(total, webhook="github", result="refused") == 1
        assert await observed.value(total, webhook="github", result="accepted") == 0

    async def test_every_family_says_what_it_is(self, observed: Observed) -> None:
        text = (await observed.http.get("/metrics")).text
        for family in text_string_to_metric_families(text):
            assert family.documentation, family.name
            assert family.type != "unknown"
        assert "no-store" in (await observed.http.get("/metrics")).headers["cache-control"]

    async def test_openmetrics_is_spoken_to_who_asks(self, observed: Observed) -> None:
        wanted = {"accept": "application/openmetrics-text;version=1.0.0"}
        answer = await observed.http.get("/metrics", headers=wanted)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.endswith("# EOF\n")

    async def test_a_store_that_is_away_is_no_set_of_zeros(
        self, observed: Observed, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(_query: object) -> None:
            raise StoreUnavailable("the disk is gone")

        monkeypatch.setattr(observed.controller.ledger, "read", away)
        answer = await observed.http.get("/metrics")
        assert (answer.status_code, answer.text) == (503, "the store does not answer\n")

    async def test_nothing_else_is_there_and_nothing_can_be_done(self, observed: Observed) -> None:
        for path in ("/", "/api/v1/status", "/metrics/x", "/docs"):
            assert (await observed.http.get(path)).status_code == 404
        for path in ("/metrics", "/healthz", "/readyz"):
            assert (await observed.http.post(path)).status_code == 405

    async def test_a_name_that_utf8_cannot_hold_spoils_no_scrape(self, observed: Observed) -> None:
        observed.reload(application('\udcff"\n\\'))
        assert await observed.names('?"\n\\')


def labels_of(series: Iterable[tuple[str, tuple[tuple[str, str], ...]]]) -> set[str]:
    return {name for _, labels in series for name, _ in labels}


async def test_labels_come_from_a_short_list(observed: Observed) -> None:
    """Another one has to be thought about: every value of it is a series of its own."""
    await deliver(observed, lane())
    assert labels_of(await observed.scrape()) <= {
        "application",
        "target",
        "state",
        "result",
        "cause",
        "step",
        "le",
        "source",
        "cluster",
        "verb",
        "code",
        "webhook",
        "version",
        "python",
    }


class TestMeasures:
    def test_a_histogram_counts_at_its_bounds(self) -> None:
        histogram = Histogram((1, 2))
        for seconds in (0.5, 1, 1.5, 9, -3):
            histogram.add(seconds)
        assert histogram.cumulative() == [(1, 3), (2, 4), (float("inf"), 5)]
        assert histogram.total == 12

    def test_a_step_lasts_until_the_next_or_the_end_of_the_round(self) -> None:
        measures = Measures()
        record = ChangeRecord(change_of(lane()), ChangeState.OPEN, 0.0, 0.0)
        with measures.round(lane()):
            for name in ("render", "plan", "apply", "claim", "claimed", "heard"):
                measures.reached(name, record)
            measures.reached("heard", [])
        counts = {step: sum(h.counts) for step, h in measures.steps.items()}
        assert counts == {
            "watch": 1,
            "render": 1,
            "check": 0,
            "plan": 1,
            "ask": 0,
            "apply": 1,
            "verify": 0,
        }
        assert len(measures.steps["plan"].counts) == len(STEP_BOUNDS) + 1

    def test_a_step_that_an_error_ends_is_counted_as_such(self) -> None:
        measures = Measures()
        record = ChangeRecord(change_of(lane()), ChangeState.OPEN, 0.0, 0.0)

        def crash() -> None:
            with measures.round(lane()):
                measures.reached("claim", record)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            crash()
        assert measures.step_errors == {"apply": 1}
        with measures.round(lane()):
            pass
        assert measures.step_errors == {"apply": 1}
