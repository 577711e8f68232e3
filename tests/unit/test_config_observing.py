"""What the fleet file says of metrics, traces and the log is taken as written, or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops.config import load
from gitops.errors import ConfigError
from gitops.model.fleet import Fleet
from gitops.model.secret import SecretRef


def loaded(folder: Path, text: str) -> Fleet:
    (folder / "fleet.yaml").write_text(text)
    return load(folder / "fleet.yaml")


def test_nothing_is_served_or_sent_unless_it_is_asked_for(tmp_path: Path) -> None:
    fleet = loaded(tmp_path, "people: {ada: {}}\n")
    assert (fleet.metrics.listen, fleet.tracing.endpoint) == ("", "")
    assert (fleet.log.format, fleet.log.level) == ("console", "info")


def test_everything_is_taken_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTLP", "Bearer x")
    fleet = loaded(
        tmp_path,
        "metrics: {listen: '0.0.0.0:9464'}\n"
        "tracing: {endpoint: 'https://otlp.test/', headers: {authorization: {env: OTLP}}}\n"
        "log: {format: json, level: debug}\n",
    )
    assert fleet.metrics.listen == "0.0.0.0:9464"
    assert fleet.tracing.endpoint == "https://otlp.test"
    assert dict(fleet.tracing.headers) == {"authorization": SecretRef(env="OTLP")}
    assert (fleet.log.format, fleet.log.level) == ("json", "debug")


@pytest.mark.parametrize(
    "text",
    [
        "metrics: {listen: '9464'}",
        "metrics: {listen: '0.0.0.0'}",
        "metrics: {listen: ':9464'}",
        "metrics: {listen: 'a@b:1'}",
        "metrics: {listen: '127.0.0.1:9464/metrics'}",
        "metrics: {listen: '127.0.0.1:0'}",
        "metrics: {listen: '127.0.0.1:99999'}",
        "tracing: {endpoint: 'http://collector:4318'}",
        "tracing: {endpoint: 'ftp://collector', plain_http: true}",
        "tracing: {endpoint: 'http://user:hunter2@collector:4318', plain_http: true}",
        "tracing: {endpoint: 'https://user:hunter2@collector'}",
        "tracing: {endpoint: 'http://[', plain_http: true}",
        "tracing: {headers: {authorization: 'hunter2'}}",
        "tracing: {headers: {'a b': {env: HOME}}}",
        "tracing: {endpoint: 'http://collector:4318', plain_http: true, headers: {a: {env: HOME}}}",
        "log: {format: xml}",
        "log: {level: loud}",
    ],
)
def test_what_does_not_fit_is_refused_at_its_line_without_repeating_it(
    tmp_path: Path, text: str
) -> None:
    with pytest.raises(ConfigError, match=r"fleet\.yaml:1:\d+") as refused:
        loaded(tmp_path, f"{text}\n")
    assert "hunter2" not in str(refused.value)


def test_plain_http_to_a_collector_may_be_permitted(tmp_path: Path) -> None:
    text = "tracing: {endpoint: 'http://collector:4318', plain_http: true}\n"
    assert loaded(tmp_path, text).tracing.endpoint == "http://collector:4318"
