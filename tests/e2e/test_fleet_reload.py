"""SIGHUP: a good fleet file takes force at once, a bad one changes nothing, loudly."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from gitops.errors import NotAllowed
from gitops.web.client import Api
from tests.e2e.rig import Rig, config_map
from tests.e2e.test_kill import Process, approve, delivered, request, token

pytestmark = pytest.mark.e2e


@pytest.fixture
def painted(rig: Rig) -> Rig:
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.write("b/b.yaml", config_map("b", v="1"))
    rig.commit()
    return rig


def hup(process: Process, rig: Rig, fleet: str = "") -> None:
    if fleet:
        (rig.folder / "gitops.yaml").write_text(fleet)
    else:
        rig.save()
    os.kill(process.child.pid, signal.SIGHUP)


def log(rig: Rig) -> str:
    return (rig.folder / "controller.log").read_text()


def healthy(application: str) -> Any:
    def holds(api: Api) -> bool:
        found = api.get("deliveries", application=application)["deliveries"]
        return bool(found) and found[0]["state"] == "healthy"

    return holds


def test_a_good_file_takes_force_and_a_bad_one_leaves_the_old_in_force(painted: Rig) -> None:
    rig = painted
    process = Process(rig)
    secret = token(process, "bob")
    approve(process, secret)
    process.until(delivered)

    second = f"{rig.application}-b"
    rig.fleet["applications"][second] = {"path": "b", "namespace": rig.namespace}
    hup(process, rig)
    approve(process, secret)
    process.until(healthy(second))
    assert rig.data("b") == {"v": "1"}

    good = (rig.folder / "gitops.yaml").read_text()
    hup(process, rig, good + "aplications: {}\n")
    line = good.count("\n") + 1
    process.until(lambda _: "fleet.kept" in log(rig))
    assert f"gitops.yaml:{line}" in log(rig), "the log names file and line"
    assert "did you mean" in log(rig)
    rig.write("b/b.yaml", config_map("b", v="2"))
    rig.commit()
    process.until(lambda api: api.post("sources", "config", "nudge"))
    approve(process, secret)
    process.until(lambda _: rig.data("b") == {"v": "2"})

    del rig.fleet["applications"][second]
    hup(process, rig)
    left = process.until(lambda api: api.get("status")["no_longer_managed"])
    assert [lane["application"] for lane in left] == [second]
    assert rig.data("b") == {"v": "2"}, "what leaves the file is left alone in its cluster"
    assert not process.until(lambda api: [api.get("status")["requests"]])[0]
    process.stop()


def test_an_open_question_is_asked_again_under_a_tightened_policy(painted: Rig) -> None:
    rig = painted
    process = Process(rig)
    secrets = {person: token(process, person) for person in ("bob", "cyd")}
    old = process.until(request)

    rig.app["approval"] = {"quorum": 2, "people": ["bob", "cyd"]}
    hup(process, rig)
    new = process.until(lambda api: (r := request(api)) and r["root"] != old["root"] and r)
    body = {"root": old["root"], "decision": "approve", "via": "cli"}
    with process.api(secrets["bob"]) as api, pytest.raises(NotAllowed, match="changed since"):
        api.post("requests", new["id"], "answer", body=body)
    approve(process, secrets["bob"])
    assert rig.data("a") is None, "one of two is not enough any more"
    approve(process, secrets["cyd"])
    process.until(delivered)

    # The budget decides what is in a plan, so the plan itself is drawn again.
    for name in "cdefg":
        rig.write(f"app/{name}.yaml", config_map(name, v="1"))
    rig.commit()
    process.until(lambda api: api.post("sources", "config", "nudge"))
    for secret in secrets.values():
        approve(process, secret)
    process.until(lambda _: rig.data("g"))
    process.until(lambda api: not request(api))
    rig.remove("app/g.yaml")
    rig.commit()
    process.until(lambda api: api.post("sources", "config", "nudge"))
    asked = process.until(request)
    assert not phrase(process, asked["id"])
    rig.app["delete_budget"] = {"objects": 0}
    hup(process, rig)
    process.until(lambda api: (r := request(api)) and r["root"] != asked["root"])
    assert phrase(process, asked["id"]) == "delete 1"

    rig.fleet["people"] = {name: who for name, who in rig.fleet["people"].items() if name != "bob"}
    rig.app["approval"] = {"people": ["cyd"]}
    hup(process, rig)
    process.until(lambda _: log(rig).count("fleet.reloaded") == 3)
    with process.api(secrets["bob"]) as api, pytest.raises(NotAllowed):
        api.post("requests", asked["id"], "answer", body={"root": "x", "decision": "deny"})
    process.stop()


def phrase(process: Process, request: str) -> str:
    with process.api() as api:
        (row,) = api.get("show", request)["members"]
    return str(row["confirmation"])


def test_the_state_folder_is_its_owner_s_alone(painted: Rig) -> None:
    process = Process(painted)
    process.until(request)
    state = painted.folder / "state"
    assert state.stat().st_mode & 0o077 == 0
    assert process.socket.stat().st_mode & 0o077 == 0
    process.stop()
    assert not process.socket.exists()
