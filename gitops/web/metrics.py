"""``/metrics``: what a controller is and does, in the form Prometheus reads.

Served by :mod:`gitops.web.observing`. Nothing is kept in a registry: each scrape looks at the state
there is, so a series leaves with the application, source or cluster it is about. Names follow
Prometheus's own rules (prometheus.io/docs/practices/naming): base units, ``_total`` for what only
grows, ``_timestamp_seconds`` instead of ages. Labels are names of the fleet file and words from
short lists; there is never a message, a revision or a person in one.
"""

from __future__ import annotations

import asyncio
import itertools
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client import PROCESS_COLLECTOR
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric

from gitops import __version__
from gitops.controller import Controller
from gitops.engine.measures import Histogram
from gitops.model.approval import MemberState
from gitops.standing import WORST_FIRST, rank
from gitops.web.seen import MOST_NOTICES, LaneState, Seen, look

MOST_LANES = 20_000
"""Lanes with series of their own. Of more, those that need somebody come first."""


class Scrapes:
    """Answers scrapes one after the other; what comes in meanwhile shares the next look."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._looking: asyncio.Task[Seen] | None = None

    async def text(self, accept: str) -> tuple[bytes, str]:
        """(body, content type), in the form the ``Accept`` header prefers."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(look(self._controller))
        seen = await asyncio.shield(self._looking)
        encode, content_type = choose_encoder(accept)
        # Writing out the series of a large fleet takes a while: not on the event loop.
        body = await asyncio.to_thread(encode, Collector(self._controller, seen))
        return body, content_type


class Collector:
    """The families of one look. Made on the event loop, and then used on any one thread."""

    def __init__(self, controller: Controller, seen: Seen) -> None:
        self._measures = measures = controller.measures
        self._seen = seen
        self._ended = dict(measures.deliveries)
        self._changes = dict(measures.changes)
        self._durations = dict(measures.durations)

    def collect(self) -> Iterator[Metric]:
        yield from self._self()
        yield from self._lanes()
        yield from self._deliveries()
        yield from self._questions()
        yield from self._sources()
        yield from self._clusters()
        yield from self._webhooks()
        yield from self._store()
        yield from PROCESS_COLLECTOR.collect()

    def _self(self) -> Iterator[Metric]:
        seen = self._seen
        yield _gauge(
            "gitops_build_info",
            "Version of the controller and of its Python; always 1.",
            ("version", "python"),
            [((__version__, platform.python_version()), 1)],
        )
        yield _one("gitops_lease_held", "1 while this process may write and apply.", seen.lease)
        yield _one("gitops_ready", "1 once sources and clusters were met.", seen.ready)
        yield _one(
            "gitops_event_loop_standstill_longest_seconds",
            "The longest time the event loop stood still since the start.",
            self._measures.pulse.longest,
        )

    def _lanes(self) -> Iterator[Metric]:
        seen = self._seen
        counts = Counter(lane.state for lane in seen.lanes)
        yield _one("gitops_applications", "Applications that are delivered.", seen.applications)
        yield _gauge(
            "gitops_lanes",
            "Lanes (an application on a target) by where they stand.",
            ("state",),
            [((state,), counts[state]) for state in WORST_FIRST],
        )
        yield _one("gitops_lanes_working", "Lanes being worked on now.", seen.working)
        yield _one(
            "gitops_lanes_waiting",
            "Lanes whose last round ended early and that will try again.",
            seen.waiting,
        )
        shown, left_out = self._shown()
        yield _one(
            "gitops_lanes_without_series",
            f"Lanes left out of the series below because there are more than {MOST_LANES}.",
            left_out,
        )
        yield from _of_lanes(shown)
        yield _gauge(
            "gitops_application_paused",
            "1 while an application is paused.",
            ("application",),
            [((name,), 1) for name in sorted(seen.paused)],
        )

    def _shown(self) -> tuple[Sequence[LaneState], int]:
        lanes = self._seen.lanes
        if len(lanes) <= MOST_LANES:
            return lanes, 0
        needing = sorted(lanes, key=lambda lane: rank(lane.state))
        return needing[:MOST_LANES], len(lanes) - MOST_LANES

    def _deliveries(self) -> Iterator[Metric]:
        measures = self._measures
        yield _counter(
            "gitops_deliveries",
            "Deliveries that ended, by result (healthy, failed, superseded).",
            ("application", "target", "result"),
            [
                ((lane.application, lane.target, state.value), count)
                for (lane, state), count in itertools.islice(self._ended.items(), 2 * MOST_LANES)
            ],
        )
        yield _counter(
            "gitops_changes_ended",
            "Changes that ended, carried out or not, by cause and how.",
            ("cause", "result"),
            [((c.value, s.value), count) for (c, s), count in self._changes.items()],
        )
        yield _histogram(
            "gitops_change_duration_seconds",
            "From the opening of a change to healthy, people's answers included.",
            ("cause",),
            {(cause.value,): known for cause, known in self._durations.items()},
        )
        yield _histogram(
            "gitops_step_duration_seconds",
            "How long the steps of a delivery take.",
            ("step",),
            {(step,): known for step, known in measures.steps.items()},
        )
        yield _counter(
            "gitops_step_errors",
            "Steps that an error ended; most are tried again.",
            ("step",),
            [((step,), measures.step_errors[step]) for step in measures.steps],
        )

    def _questions(self) -> Iterator[Metric]:
        requests = self._seen.requests
        yield _one("gitops_requests_open", "Requests that wait for people.", len(requests))
        asking = sum(m.state is MemberState.ASKING for r in requests for m in r.members)
        yield _one("gitops_requests_open_changes", "Changes those requests are about.", asking)
        oldest = min((request.opened_at for request in requests), default=None)
        yield _gauge(
            "gitops_request_oldest_opened_timestamp_seconds",
            "When the oldest open request was opened; absent while there is none.",
            (),
            [((), oldest)] if oldest is not None else [],
        )
        yield _one(
            "gitops_notices_waiting",
            f"Notices that are due and not delivered yet, at most {MOST_NOTICES}.",
            self._seen.notices,
        )

    def _sources(self) -> Iterator[Metric]:
        sources = self._seen.sources
        yield _gauge(
            "gitops_source_ready",
            "1 while the last look at a source was answered with a good revision.",
            ("source",),
            [((s.name,), s.state == "ready") for s in sources],
        )
        yield _counter(
            "gitops_source_polls",
            "Looks at a source by what they said.",
            ("source", "result"),
            [((s.name, result), n) for s in sources for result, n in s.polls.items()],
        )
        yield _gauge(
            "gitops_source_last_success_timestamp_seconds",
            "When a look at a source last got a good revision, in this process.",
            ("source",),
            [((s.name,), s.answered_at) for s in sources if s.answered_at is not None],
        )

    def _clusters(self) -> Iterator[Metric]:
        clusters = self._seen.clusters
        yield _gauge(
            "gitops_cluster_up",
            "1 while a cluster answers and lets us in.",
            ("cluster",),
            [((c.name,), c.ready) for c in clusters],
        )
        yield _counter(
            "gitops_cluster_requests",
            'Requests to a cluster by verb and HTTP status code, "lost" without an answer.',
            ("cluster", "verb", "code"),
            [((c.name, *key), count) for c in clusters for key, count in c.requests.items()],
        )

    def _webhooks(self) -> Iterator[Metric]:
        results = ("accepted", "ignored", "repeated", "refused", "limited")
        hooks = self._seen.hooks.webhooks
        yield _counter(
            "gitops_webhook_requests",
            "Requests to a webhook by what became of them.",
            ("webhook", "result"),
            [((h.webhook, result), getattr(h, result)) for h in hooks for result in results],
        )
        yield _gauge(
            "gitops_webhook_last_verified_timestamp_seconds",
            "When a webhook last had a request that was genuine.",
            ("webhook",),
            [((h.webhook,), h.last_at) for h in hooks if h.last_at is not None],
        )

    def _store(self) -> Iterator[Metric]:
        yield _histogram(
            "gitops_store_write_duration_seconds",
            "How long durable writes to the store take, waiting for their turn included.",
            (),
            {(): self._measures.writes},
        )
        yield _counter(
            "gitops_store_write_failures",
            "Writes that found the store away.",
            (),
            [((), self._measures.write_failures)],
        )


def _of_lanes(lanes: Sequence[LaneState]) -> Iterator[Metric]:
    labels = ("application", "target")
    names = [(lane.lane.application, lane.lane.target) for lane in lanes]
    yield _gauge(
        "gitops_lane_state",
        "Where a lane stands; always 1, the state is a label.",
        (*labels, "state"),
        [((*n, lane.state), 1) for n, lane in zip(names, lanes, strict=True)],
    )
    yield _gauge(
        "gitops_lane_drifted",
        "1 while the target differs from what was delivered, absent while it does not.",
        labels,
        [(n, 1) for n, lane in zip(names, lanes, strict=True) if lane.drifted],
    )
    yield _gauge(
        "gitops_lane_held",
        "1 while what a lane wants was denied, expired or failed, absent while nothing holds it.",
        labels,
        [(n, 1) for n, lane in zip(names, lanes, strict=True) if lane.held],
    )
    yield _gauge(
        "gitops_lane_rolled_back",
        "1 while a lane stands on an earlier revision by a rollback.",
        labels,
        [(n, 1) for n, lane in zip(names, lanes, strict=True) if lane.rolled_back],
    )
    yield _gauge(
        "gitops_lane_asking_timestamp_seconds",
        "Since when people are asked about a lane; absent while they are not.",
        labels,
        [
            (n, lane.asking_since)
            for n, lane in zip(names, lanes, strict=True)
            if lane.asking_since is not None
        ],
    )
    yield _gauge(
        "gitops_lane_delivered_timestamp_seconds",
        "When a lane was last brought to what its source says.",
        labels,
        [
            (n, lane.delivered_at)
            for n, lane in zip(names, lanes, strict=True)
            if lane.delivered_at is not None
        ],
    )


Samples = Iterable[tuple[tuple[str, ...], float | int | bool]]


def _one(name: str, help: str, value: float) -> Metric:
    return _gauge(name, help, (), [((), value)])


def _gauge(name: str, help: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    family = GaugeMetricFamily(name, help, labels=labels)
    for values, value in samples:
        family.add_metric([_label(text) for text in values], float(value))
    return family


def _counter(name: str, help: str, labels: tuple[str, ...], samples: Samples) -> Metric:
    """``_total`` is added."""
    family = CounterMetricFamily(name, help, labels=labels)
    for values, value in samples:
        family.add_metric([_label(text) for text in values], float(value))
    return family


def _histogram(
    name: str, help: str, labels: tuple[str, ...], known: Mapping[tuple[str, ...], Histogram]
) -> Metric:
    family = HistogramMetricFamily(name, help, labels=labels)
    for values, histogram in known.items():
        buckets = [(_bound(bound), n) for bound, n in histogram.cumulative()]
        family.add_metric([_label(text) for text in values], buckets, histogram.total)
    return family


def _label(text: str) -> str:
    """Names of discovered applications come from a source: what UTF-8 cannot hold goes."""
    return str(text).encode("utf-8", "replace").decode("utf-8")


def _bound(value: float) -> str:
    return "+Inf" if value == float("inf") else repr(float(value))
