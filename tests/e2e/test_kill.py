"""kill -9 anywhere, then start again: nothing unapproved is applied, nothing approved is lost.

The controller is a process of its own here and ends itself with SIGKILL when the named step begins
(``GITOPS_KILL_AT``). What happened is judged by the API server's own audit log.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.process import Process, approve, delivered, request, token
from tests.e2e.rig import Rig, config_map

pytestmark = pytest.mark.e2e

BEFORE_THE_ANSWER = ["render", "check", "plan", "ask"]
AFTER_THE_ANSWER = ["claim", "claimed", "executed", "verify"]


def writes(rig: Rig) -> list[str]:
    """Every write to the test's objects that the API server accepted, dry-runs left out."""
    found = []
    for line in Path(rig.sandbox.audit_log).read_text().splitlines():
        if rig.namespace not in line:  # the log of every test; most of it is others'
            continue
        event = json.loads(line)
        about = event.get("objectRef") or {}
        if about.get("namespace") != rig.namespace or about.get("resource") != "configmaps":
            continue
        if event["verb"] not in ("create", "patch", "update", "delete"):
            continue
        if event["stage"] != "ResponseComplete" or "dryRun=All" in event["requestURI"]:
            continue
        if event["responseStatus"]["code"] < 300 and about.get("name") != "kube-root-ca.crt":
            found.append(f"{event['verb']} {about.get('name')} {event['responseStatus']['code']}")
    return found


def objects(rig: Rig) -> str:
    return f"/api/v1/namespaces/{rig.namespace}/configmaps"


def newest_version(rig: Rig) -> str:
    version: str = json.loads(rig.kubectl("get", "--raw", objects(rig)))["metadata"][
        "resourceVersion"
    ]
    return version


def history(rig: Rig, since: str) -> list[tuple[str, str]]:
    """Every change the cluster kept of the test's objects. What was under way when its sender was
    killed is kept although the audit log tells of no success: the answer had no taker."""
    query = f"watch=true&resourceVersion={since}&timeoutSeconds=1"
    lines = rig.kubectl("get", "--raw", f"{objects(rig)}?{query}").splitlines()
    events = [
        (event["type"], event["object"]["metadata"]["name"]) for event in map(json.loads, lines)
    ]
    return [(kind, name) for kind, name in events if name != "kube-root-ca.crt"]


def test_killed_at_every_step_before_the_question_it_is_asked_once_after_the_restart(
    rig: Rig,
) -> None:
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.commit()
    for step in BEFORE_THE_ANSWER:
        Process(rig, step).wait_killed()
        assert writes(rig) == [], step
    process = Process(rig)
    secret = token(process, "bob")
    process.until(request)
    assert writes(rig) == []
    approve(process, secret)
    process.until(delivered)
    process.stop()
    assert rig.data("a") == {"v": "1"}
    assert writes(rig) == ["patch a 201"]


def test_killed_at_every_step_after_the_answer_it_is_carried_out_once_after_the_restart(
    rig: Rig,
) -> None:
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.write("app/b.yaml", config_map("b", v="1"))
    rig.commit()
    first, *others = AFTER_THE_ANSWER
    process = Process(rig, first)
    secret = token(process, "bob")
    approve(process, secret)
    process.wait_killed()
    for step in others:
        Process(rig, step).wait_killed()
    process = Process(rig)
    process.until(delivered)
    process.stop()
    assert rig.data("a") == {"v": "1"}
    assert rig.data("b") == {"v": "1"}
    assert sorted(w for w in writes(rig) if w.endswith("201")) == ["patch a 201", "patch b 201"]
    assert sorted(set(writes(rig)) - {"patch a 201", "patch b 201"}) == []


def test_killed_in_the_middle_of_apply_the_rest_is_applied_and_nothing_twice(rig: Rig) -> None:
    names = [f"m{number:03}" for number in range(60)]
    for name in names:
        rig.write(f"app/{name}.yaml", config_map(name, v="1"))
    rig.commit()
    version = newest_version(rig)
    process = Process(rig)
    secret = token(process, "bob")
    approve(process, secret)
    end = time.monotonic() + 20
    while len(writes(rig)) < 5 and time.monotonic() < end:
        time.sleep(0.005)
    process.child.kill()
    process.wait_killed()
    at_the_kill = len(writes(rig))
    process = Process(rig)
    process.until(delivered)
    process.stop()
    assert at_the_kill >= 5
    assert sorted(history(rig, version)) == [("ADDED", name) for name in names]


def test_a_second_controller_waits_for_the_first_one_s_lease(rig: Rig) -> None:
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.commit()
    first = Process(rig)
    first.until(request)
    try:
        second = subprocess.run(
            [sys.executable, "-m", "gitops.cli", "--config", str(rig.save()), "run"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    finally:
        first.stop()
    assert second.returncode == 1
    assert "another controller already listens" in second.stderr
