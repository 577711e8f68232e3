"""Each state of each kind, as the cluster reports it, is judged as the file's first line says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops import health
from gitops.model.health import Health

GOLDEN = Path(__file__).parent.parent / "golden" / "health"
STATES = sorted(GOLDEN.glob("*.yaml"))


@pytest.mark.parametrize("state", STATES, ids=lambda path: path.stem)
def test_a_state_is_judged_as_written(state: Path) -> None:
    text = state.read_text()
    expected = text.splitlines()[0].removeprefix("# ")
    found = health.assess(yaml.safe_load(text))
    assert f"{found.health}: {found.reason}".removesuffix(": ") == expected


def test_every_rule_has_a_golden_state() -> None:
    kinds = {
        (body["apiVersion"].rpartition("/")[0], body["kind"])
        for body in (yaml.safe_load(path.read_text()) for path in STATES)
    }
    missing = set(health.rules()) - kinds - {("", "ReplicationController")}
    assert not missing


def test_an_object_that_is_not_there_is_missing() -> None:
    assert health.assess(None).health is Health.MISSING


HOSTILE: list[Any] = [None, "text", 7, [], {"a": 1}, [None], [{"type": None}]]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
@pytest.mark.parametrize("kind", sorted(health.rules()), ids=lambda kind: kind[1])
def test_no_shape_of_status_or_spec_breaks_a_rule(kind: tuple[str, str], value: Any) -> None:
    body = {"apiVersion": f"{kind[0]}/v1".lstrip("/"), "kind": kind[1], "metadata": {}}
    for field in ("status", "spec"):
        assert health.assess({**body, field: value}).health in Health
    inner = {"conditions": value, "loadBalancer": value, "containerStatuses": value}
    assert health.assess({**body, "status": inner}).health in Health
