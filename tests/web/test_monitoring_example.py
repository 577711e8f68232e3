"""Alerts and dashboard ask for series there are, and every alert is tried."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.config import load
from tests.web.test_metrics import Observed, observed  # noqa: F401 - a fixture

FOLDER = Path(__file__).parents[2] / "examples" / "monitoring"
TRIALS = sorted(FOLDER.glob("alerts-*test.yaml"))
NAME = re.compile(r"\b(?:gitops|process)_[a-z_]+\b(?!=)")


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((FOLDER / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return found


def questions() -> list[str]:
    targets = [t for panel in dashboard()["panels"] for t in panel.get("targets", ())]
    return [*(rule["expr"] for rule in alerts()), *(target["expr"] for target in targets)]


@pytest.fixture
async def known(observed: Observed) -> set[str]:  # noqa: F811
    """Every series the controller can have, whether there is one of it now or not."""
    text = (await observed.http.get("/metrics")).text
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    suffixes = {"histogram": ("_bucket", "_sum", "_count")}
    return {name + suffix for name, kind in types.items() for suffix in suffixes.get(kind, ("",))}


@pytest.mark.parametrize("question", questions())
async def test_every_series_asked_for_exists(question: str, known: set[str]) -> None:
    asked = set(NAME.findall(question))
    assert asked
    assert asked <= known


async def test_series_in_the_trials_of_alerts_exist(known: set[str]) -> None:
    tests = [test for file in TRIALS for test in yaml.safe_load(file.read_text())["tests"]]
    given = {s["series"].split("{")[0] for test in tests for s in test["input_series"]}
    assert given <= known


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_every_alert_is_tried_and_says_what_to_do(alert: dict[str, Any]) -> None:
    trials = "".join(file.read_text() for file in TRIALS)
    assert re.search(rf'alertname(: |="){alert["alert"]}\b', trials)
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"].keys() == {"summary", "description"}


def test_panels_do_not_lie_on_one_another() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        place = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert at["x"] + at["w"] <= 24
        assert not place & taken, panel["title"]
        taken |= place
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))


def test_its_fleet_file_is_one() -> None:
    fleet = load(FOLDER / "gitops.yaml")
    assert fleet.metrics.listen
