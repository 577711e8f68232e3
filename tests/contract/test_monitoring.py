"""Prometheus's own tool agrees with the metrics' names, the alerts, and what sets them off."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from gitops.model.delivery import ChangeState
from tests.conftest import Tools
from tests.contract.store_story import lane
from tests.web.test_metrics import Observed, deliver, observed  # noqa: F401 - a fixture

FOLDER = Path(__file__).parents[2] / "examples" / "monitoring"


def promtool(tools: Tools, *arguments: str, given: bytes | None = None) -> str:
    done = subprocess.run(
        [tools.path("promtool"), *arguments],
        cwd=FOLDER,
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=120,
        check=False,
    )
    said = done.stdout.decode()
    assert done.returncode == 0, said
    return said


@pytest.mark.parametrize("accept", ["text/plain", "*/*"])
async def test_metrics_are_named_as_they_should_be(
    tools: Tools,
    observed: Observed,  # noqa: F811
    accept: str,
) -> None:
    await deliver(observed, lane(), ChangeState.FAILED)
    answer = await observed.http.get("/metrics", headers={"accept": accept})
    assert promtool(tools, "check", "metrics", given=answer.content) == ""


@pytest.mark.parametrize("trials", ["alerts-test.yaml", "alerts-days-test.yaml"])
def test_alerts_go_off_when_they_should_and_only_then(tools: Tools, trials: str) -> None:
    assert "SUCCESS" in promtool(tools, "test", "rules", trials)


def test_a_trial_that_is_wrong_is_noticed(tools: Tools, tmp_path: Path) -> None:
    wrong = yaml.safe_load((FOLDER / "alerts-test.yaml").read_text())
    wrong["rule_files"] = [str(FOLDER / "alerts.yaml")]
    wrong["tests"] = wrong["tests"][:1]
    wrong["tests"][0]["alert_rule_test"][1]["eval_time"] = "3m"
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    with pytest.raises(AssertionError, match="FAILED"):
        promtool(tools, "test", "rules", str(tmp_path / "wrong.yaml"))


def test_the_configuration_is_one_prometheus_takes(tools: Tools) -> None:
    assert "SUCCESS" in promtool(tools, "check", "config", "--lint=all", "prometheus.yaml")
