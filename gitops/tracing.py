"""Traces over OTLP: one for each delivery, with a span for each step it went through.

Plays :class:`gitops.ports.observing.Trail`; made by ``app.py`` where the fleet file names an
endpoint, and imported only then. The ids of a trace and of its root span follow from the change's
own id, so that what happens to it after an answer, a restart or in another replica joins the same
trace without anything being kept. Spans hold names of the fleet file, revisions and words of our
own, never a message: there is nothing secret in them by construction. They are sent by a thread of
their own from a bounded queue; a receiver that is slow or away costs spans, never time.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

import requests
import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from gitops import __version__
from gitops.egress.addresses import is_loopback
from gitops.model.delivery import Change, ChangeState
from gitops.model.ids import ChangeId
from gitops.model.observing import TracingSpec
from gitops.ports.observing import Ended
from gitops.secrets import read_secret

_log = structlog.get_logger(__name__)

PATIENCE = 5.0
"""Seconds a receiver has for one answer."""
FAREWELL = 3.0
"""Seconds the end of the process waits for the last spans to be sent."""
QUEUE = 2_048
"""Spans that wait to be sent; more are dropped."""
_ASKED = 10_000
"""Changes of which it is remembered since when people are asked."""
_BAD = frozenset({ChangeState.FAILED})
_NANO = 1_000_000_000


class Traces:
    """One controller's."""

    def __init__(self, spec: TracingSpec) -> None:
        """Raises ConfigError when a header's secret cannot be read."""
        # Its own complaints come once a try and name addresses; ours come once an outage.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._ids = _Ids()
        self._provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": spec.service, "service.version": __version__}),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(_Once(_exporter(spec)), QUEUE, 1_000, 256)
        )
        self._tracer = self._provider.get_tracer("gitops-controller", __version__)
        self._asked: OrderedDict[ChangeId, tuple[int, int]] = OrderedDict()
        """When it was first asked about, and when the last round since then began."""

    def step(self, change: Change, name: str, seconds: float, failed: str) -> None:
        """See :class:`gitops.ports.observing.Trail`."""
        end = time.time_ns()
        start = end - int(seconds * _NANO)
        self._waited(change, name, start, end)
        self._span(change, name, start, end, failed)

    def _waited(self, change: Change, name: str, start: int, end: int) -> None:
        """From the first question to the round that began with the answer: people's time."""
        if name == "ask":
            self._asked.setdefault(change.id, (end, end))
            while len(self._asked) > _ASKED:
                self._asked.popitem(last=False)
        elif name == "watch" and change.id in self._asked:
            self._asked[change.id] = self._asked[change.id][0], start
        elif name == "apply":
            asked, answered = self._asked.pop(change.id, (end, end))
            if answered > asked:
                self._span(change, "answer", asked, answered)

    def _span(self, change: Change, name: str, start: int, end: int, failed: str = "") -> None:
        under = set_span_in_context(NonRecordingSpan(root_of(change)), Context())
        span = self._tracer.start_span(
            name, context=under, start_time=start, attributes=_about(change)
        )
        if failed:
            span.set_attribute("error.type", failed)
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def ended(self, end: Ended) -> None:
        """The whole way, from the opening of the change on."""
        self._asked.pop(end.change.id, None)
        attributes = {
            **_about(end.change),
            "gitops.result": end.state.value,
            "gitops.delivered": end.applied,
        }
        with self._ids.being(root_of(end.change)):
            span = self._tracer.start_span(
                "delivery",
                context=Context(),
                start_time=int(end.opened_at * _NANO),
                attributes=attributes,
            )
        if end.state in _BAD:
            span.set_status(Status(StatusCode.ERROR))
        span.end(max(int(end.at * _NANO), int(end.opened_at * _NANO)))

    def close(self) -> None:
        """Sends what is left, for a few seconds."""
        last = threading.Thread(target=self._provider.shutdown, daemon=True)
        last.start()
        last.join(FAREWELL)


def root_of(change: Change) -> SpanContext:
    """The trace of a change and its root span, from the change's id alone."""
    trace, span = int(change.id[:32], 16) or 1, int(change.id[32:48], 16) or 1
    return SpanContext(trace, span, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def _about(change: Change) -> Mapping[str, str]:
    return {
        "gitops.application": change.lane.application,
        "gitops.target": change.lane.target,
        "gitops.change": change.id,
        "gitops.cause": change.cause.value,
        "gitops.source": change.revision.source,
        "vcs.ref.head.revision": change.revision.id,
    }


def _exporter(spec: TracingSpec) -> OTLPSpanExporter:
    session = requests.Session()
    # Headers are for the receiver that was named, whoever it points to.
    session.max_redirects = 0
    session.trust_env = not is_loopback(urlsplit(spec.endpoint).hostname or "")
    return OTLPSpanExporter(
        endpoint=f"{spec.endpoint}/v1/traces",
        headers={name: read_secret(ref) for name, ref in spec.headers.items()},
        timeout=PATIENCE,
        session=session,
    )


class _Ids(IdGenerator):
    """Random ids, but for the root of a trace, which has those that follow from its change."""

    def __init__(self) -> None:
        self._fixed: SpanContext | None = None

    def being(self, context: SpanContext) -> _Being:
        return _Being(self, context)

    def generate_trace_id(self) -> int:
        return self._fixed.trace_id if self._fixed else random.getrandbits(128) or 1

    def generate_span_id(self) -> int:
        return self._fixed.span_id if self._fixed else random.getrandbits(64) or 1


class _Being:
    def __init__(self, ids: _Ids, context: SpanContext) -> None:
        self._ids, self._context = ids, context

    def __enter__(self) -> None:
        self._ids._fixed = self._context

    def __exit__(self, *_: object) -> None:
        self._ids._fixed = None


class _Once(SpanExporter):
    """Says once that a receiver takes nothing, and once that it does again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._well = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        try:
            result = self._exporter.export(spans)
        except Exception as error:  # whatever it is, it must not end the sending thread
            self._told(False, type(error).__name__)
            return SpanExportResult.FAILURE
        self._told(result is SpanExportResult.SUCCESS, "it did not take them")
        return result

    def _told(self, well: bool, why: str) -> None:
        if well is not self._well:
            self._well = well
            if well:
                _log.info("tracing.sent-again")
            else:
                _log.warning("tracing.unsent", why=why, hint="spans are dropped meanwhile")

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
