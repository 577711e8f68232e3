"""A delivery is one trace at a real OTLP receiver, and a receiver that is away costs nothing."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from structlog.testing import capture_logs

from gitops.engine.measures import Measures
from gitops.model.delivery import ChangeRecord, ChangeState
from gitops.model.observing import TracingSpec
from gitops.model.secret import SecretRef
from gitops.ports.observing import Ended
from gitops.tracing import QUEUE, Traces, root_of
from tests.contract.otlp import Receiver, receiving
from tests.contract.store_story import change_of, lane

CHANGE = change_of(lane())
RECORD = ChangeRecord(CHANGE, ChangeState.OPEN, 0.0, 0.0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def attributes(span: Span) -> dict[str, str]:
    return {a.key: a.value.string_value for a in span.attributes}


def tell(traces: Traces, *steps: str, state: ChangeState = ChangeState.HEALTHY) -> None:
    for step in steps:
        traces.step(CHANGE, step, 0.01, "")
    traces.ended(Ended(CHANGE, state, time.time() - 5, time.time(), True))


def test_a_delivery_is_one_trace_from_watch_to_verify(receiver: Receiver) -> None:
    traces = Traces(TracingSpec(receiver.endpoint))
    steps = ("watch", "render", "check", "plan", "ask", "apply", "verify")
    tell(traces, *steps)
    traces.close()
    assert [span.name for span in receiver.spans] == [*steps, "delivery"]
    assert len({span.trace_id for span in receiver.spans}) == 1
    root = receiver.named("delivery")
    assert root.parent_span_id == b""
    assert {s.parent_span_id for s in receiver.spans if s is not root} == {root.span_id}
    assert len({span.span_id for span in receiver.spans}) == 8
    assert root.end_time_unix_nano - root.start_time_unix_nano == pytest.approx(5e9, rel=0.1)
    assert receiver.resources[0]["service.name"] == "gitops-controller"


def test_spans_say_whose_and_which_and_nothing_foreign(receiver: Receiver) -> None:
    traces = Traces(TracingSpec(receiver.endpoint))
    tell(traces, "render")
    traces.close()
    assert attributes(receiver.named("render")) == {
        "gitops.application": "shop",
        "gitops.target": "prod",
        "gitops.change": CHANGE.id,
        "gitops.cause": "commit",
        "gitops.source": "config",
        "vcs.ref.head.revision": CHANGE.revision.id,
    }
    assert attributes(receiver.named("delivery"))["gitops.result"] == "healthy"
    assert b"raise replicas" not in receiver.bytes
    assert b"ada" not in receiver.bytes


def test_what_comes_after_a_restart_joins_the_same_trace(receiver: Receiver) -> None:
    for steps in (("ask",), ("apply", "verify")):
        traces = Traces(TracingSpec(receiver.endpoint))
        for step in steps:
            traces.step(CHANGE, step, 0.0, "")
        traces.close()
    expected = root_of(CHANGE)
    assert {s.trace_id for s in receiver.spans} == {expected.trace_id.to_bytes(16, "big")}
    assert {s.parent_span_id for s in receiver.spans} == {expected.span_id.to_bytes(8, "big")}


def test_waiting_for_people_is_a_span_of_its_own(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    traces, now = Traces(TracingSpec(receiver.endpoint)), time.time_ns()
    for minutes, steps in ((0, ("watch", "ask")), (60, ("watch", "ask", "apply"))):
        monkeypatch.setattr(time, "time_ns", lambda at=now + minutes * 60 * 10**9: at)
        for step in steps:
            traces.step(CHANGE, step, 0.0, "")
    traces.close()
    waited = receiver.named("answer")
    assert waited.end_time_unix_nano - waited.start_time_unix_nano == 3_600 * 10**9


def test_what_nobody_was_asked_about_has_no_such_span(receiver: Receiver) -> None:
    traces = Traces(TracingSpec(receiver.endpoint))
    tell(traces, "watch", "ask", "apply")
    traces.close()
    assert "answer" not in {span.name for span in receiver.spans}


def test_a_step_that_failed_and_a_delivery_that_failed_are_marked(receiver: Receiver) -> None:
    traces = Traces(TracingSpec(receiver.endpoint))
    traces.step(CHANGE, "apply", 0.1, "ClusterUnavailable")
    tell(traces, state=ChangeState.FAILED)
    traces.close()
    assert receiver.named("apply").status.code == Status.STATUS_CODE_ERROR
    assert attributes(receiver.named("apply"))["error.type"] == "ClusterUnavailable"
    assert receiver.named("delivery").status.code == Status.STATUS_CODE_ERROR


def test_headers_go_to_the_receiver_and_nowhere_it_points_to(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTLP", "Bearer hunter2")
    receiver.code = 307
    spec = TracingSpec(receiver.endpoint, {"authorization": SecretRef(env="OTLP")})
    traces = Traces(spec)
    tell(traces, "render")
    traces.close()
    assert {headers["authorization"] for headers in receiver.headers} == {"Bearer hunter2"}
    assert receiver.spans == []
    assert b"hunter2" not in receiver.bytes


def test_a_round_of_a_lane_is_told_step_by_step(receiver: Receiver) -> None:
    traces = Traces(TracingSpec(receiver.endpoint))
    measures = Measures(traces)
    with measures.round(lane()):
        for step in ("render", "check", "plan", "ask"):
            measures.reached(step, RECORD)
    with measures.round(lane()):
        pass  # nothing was to do
    traces.close()
    assert [s.name for s in receiver.spans] == ["watch", "render", "check", "plan", "ask"]


def test_a_receiver_that_refuses_is_said_once_and_once_that_it_takes_them_again(
    receiver: Receiver,
) -> None:
    with capture_logs() as logged:
        traces = Traces(TracingSpec(receiver.endpoint))
        for code in (401, 401, 400, 200, 200):
            receiver.code = code
            tell(traces, "render")
            traces._provider.force_flush()
        traces.close()
    assert [entry["event"] for entry in logged] == ["tracing.unsent", "tracing.sent-again"]
    assert [span.name for span in receiver.spans] == ["render", "delivery"] * 2


def test_a_receiver_that_never_answers_keeps_nobody_waiting() -> None:
    """More spans than the queue holds, while the sender hangs: telling returns all the same."""
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent:
        traces = Traces(TracingSpec(f"http://127.0.0.1:{silent.getsockname()[1]}"))
        for _ in range(2 * QUEUE):
            traces.step(CHANGE, "render", 0.0, "")
        closing = threading.Thread(target=traces.close)
        closing.start()
        closing.join(20)
        assert not closing.is_alive()
