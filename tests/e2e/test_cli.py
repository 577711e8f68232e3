"""The commands, as processes of their own, against a running controller and without one."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import warm
from tests.e2e.rig import BOB, Rig, config_map
from tests.e2e.test_kill import Process, request, token

pytestmark = pytest.mark.e2e

READS = {"get", "list", "watch"}


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def gitops(rig: Rig, *arguments: str, env: Mapping[str, str] | None = None, stdin: str = "") -> Ran:
    found = warm.run(
        arguments,
        env={**os.environ, "GITOPS_CONFIG": str(rig.folder / "gitops.yaml"), **(env or {})},
        cwd=rig.folder,
        input=stdin,
    )
    assert "Traceback" not in found.stderr
    return Ran(found.returncode, found.stdout, found.stderr)


def acting(secret: str) -> dict[str, str]:
    return {"GITOPS_TOKEN": secret}


@pytest.fixture
def painted(rig: Rig) -> Rig:
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rig.commit("paint the sky")
    rig.save()
    return rig


# --- without a controller ---------------------------------------------------------------------


def test_plan_tells_by_its_exit_code_and_writes_nothing(painted: Rig) -> None:
    rig = painted
    seen = Path(rig.sandbox.audit_log).stat().st_size
    agent = {"NO_COLOR": "1"}
    changes = gitops(rig, "plan", "--output", "json")
    assert changes.code == 2, changes.err
    (row,) = changes.json
    assert row["lane"] == {"application": rig.application, "target": rig.cluster}
    assert [c["action"] for c in row["plan"]["changes"]] == ["create"]
    assert row["error"] == ""
    shown = gitops(rig, "plan", rig.application, env=agent)
    assert shown.code == 2
    assert "1 to create" in shown.out
    assert "\x1b[" not in shown.out

    rig.kubectl("-n", rig.namespace, "create", "configmap", "colours", "--from-literal=sky=blue")
    rig.write("app/colours.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: [}\n")
    local = gitops(rig, "plan", "--local", str(rig.work))
    assert local.code == 1
    assert "app/colours.yaml:3" in local.out + local.err
    rig.write("app/colours.yaml", config_map("colours", sky="grey"))
    local = gitops(rig, "plan", "--local", str(rig.work), "--output", "json")
    assert local.code == 2
    (row,) = local.json
    fields = {f["path"]: f["after"] for c in row["plan"]["changes"] for f in c["fields"]}
    assert fields["data.sky"] == "grey", "what is not committed yet"

    rig.git("rm", "--quiet", "--force", "app/colours.yaml")
    rig.write("app/nothing.yaml", "# nothing yet\n")
    rig.commit("an application of nothing")
    nothing = gitops(rig, "plan")
    assert nothing.code == 0, nothing.out + nothing.err

    assert gitops(rig, "plan", "no-such-application").code == 1
    assert gitops(rig, "plan", "--no-such-option").code == 1
    assert gitops(rig, "--config", "missing.yaml", "plan").code == 1
    made = requests_since(rig, seen)
    assert any("dryRun=All" in event["requestURI"] for event in made)
    assert [event for event in made if writes(event)] == []
    assert not (rig.folder / "state" / "store").exists()
    assert not (rig.folder / "state" / "vault").exists()


def requests_since(rig: Rig, offset: int) -> list[Mapping[str, Any]]:
    """Every request our own client made about the test's namespace."""
    with Path(rig.sandbox.audit_log).open() as file:
        file.seek(offset)
        events = [json.loads(line) for line in file]
    return [
        event
        for event in events
        if "gitops" in event.get("userAgent", "") and rig.namespace in event["requestURI"]
    ]


def writes(event: Mapping[str, Any]) -> bool:
    return event["verb"] not in READS and "dryRun=All" not in event["requestURI"]


def test_render_needs_no_fleet_file(rig: Rig, tmp_path: Path) -> None:
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rendered = gitops(
        rig, "render", "--local", str(rig.work / "app"), "-o", "json", env={"GITOPS_CONFIG": ""}
    )
    assert rendered.code == 0, rendered.err
    (item,) = rendered.json["items"]
    assert item["data"] == {"sky": "blue"}


# --- with a controller ------------------------------------------------------------------------


def test_a_change_is_followed_answered_and_traced_by_commands_alone(painted: Rig) -> None:
    rig = painted
    process = Process(rig)
    created = {person: created_token(process, person) for person in ("ada", "bob")}
    ada, bob = (acting(created[p]["token"]) for p in ("ada", "bob"))
    id = process.until(request)["id"]

    status = gitops(rig, "status")
    assert status.code == 0
    assert rig.application in status.out
    assert f"gitops show {id[:12]}" in status.out
    shown = gitops(rig, "show", id[:8])
    assert "may approve (1 needed): bob, cyd" in shown.out
    assert "ada is an author" in shown.out

    nobody = gitops(rig, "approve", id, "--yes")
    assert nobody.code == 1
    assert "gitops token create" in nobody.err, "told how to get a token"
    author = gitops(rig, "approve", id, "--yes", env=ada)
    assert author.code == 1
    assert "ada is an author of this change: somebody else has to approve" in author.err
    stale = gitops(rig, "approve", id, "--yes", "--root", "0" * 64, env=bob)
    assert stale.code == 1
    assert "changed since you looked" in stale.err
    unsure = gitops(rig, "approve", id, env=bob, stdin="n\n")
    assert unsure.code == 1
    assert rig.data("colours") is None
    sure = gitops(rig, "approve", id, env=bob, stdin="y\n")
    assert sure.code == 0, sure.err
    assert "approved as bob" in sure.out
    process.until(lambda _: rig.data("colours") == {"sky": "blue"})
    process.until(lambda api: api.get("deliveries")["deliveries"][0]["state"] == "healthy")

    (delivery,) = gitops(rig, "deliveries", "--output", "json").json["deliveries"]
    assert delivery["approved_by"] == ["bob"]
    assert "healthy" in gitops(rig, "deliveries", rig.application).out
    assert "paint the sky" in gitops(rig, "show", delivery["id"][:10]).out
    assert "Nothing is waiting." in gitops(rig, "why", rig.application).out
    late = gitops(rig, "approve", id, "--yes", env=bob)
    assert late.code == 1
    assert "too late: bob approved it" in late.err

    rig.write("app/colours.yaml", config_map("colours", sky="grey"))
    rig.commit("winter")
    nudged = gitops(rig, "nudge", "config")
    assert nudged.code == 0
    assert "config is ready at" in nudged.out
    id = process.until(request)["id"]
    assert gitops(rig, "deny", id, env=bob).code == 1, "a denial needs a reason"
    denied = gitops(rig, "deny", id, "--reason", "too early", env=bob)
    assert denied.code == 0, denied.err
    assert "too early" in gitops(rig, "why", rig.application).out
    assert gitops(rig, "ask", rig.application).code == 1, "asking takes a person"
    assert gitops(rig, "ask", rig.application, env=ada).code == 0
    again = process.until(request)["id"]
    assert again != id
    assert gitops(rig, "approve", again, "--yes", env=bob).code == 0
    process.until(lambda _: rig.data("colours") == {"sky": "grey"})
    process.until(lambda api: not request(api))
    idle = gitops(rig, "retry", rig.application, env=ada)
    assert (idle.code, "nothing to retry" in idle.err) == (1, True)
    back = gitops(rig, "rollback", rig.application, "--reason", "it is cold", env=ada)
    assert back.code == 0, back.err
    process.until(request)
    assert gitops(rig, "pause", rig.application, "2 h", "--reason", "x", env=bob).code == 1
    paused = gitops(rig, "pause", rig.application, "2h", "--reason", "the freeze", env=bob)
    assert (paused.code, "paused by bob until" in paused.out) == (0, True), paused.err
    assert "paused by bob until" in gitops(rig, "status").out
    assert gitops(rig, "resume", rig.application, env=ada).code == 0
    process.until(request)

    for words in (
        ("status",),
        ("deliveries",),
        ("show", delivery["id"]),
        ("show", again),
        ("why", rig.application),
        ("nudge", "config"),
        ("token", "list"),
    ):
        told = gitops(rig, *words, "--output", "json")
        assert told.code == 0, (words, told.err)
        assert told.json is not None
    wrong = gitops(rig, "show", "ffffffff", "--output", "json")
    assert wrong.code == 1
    assert json.loads(wrong.err)["errors"][0]["message"]
    assert gitops(rig, "why", "nonsense").code == 1
    assert gitops(rig, "nudge", "nonsense").code == 1

    listed = gitops(rig, "token", "list")
    assert created["bob"]["id"] in listed.out
    assert created["bob"]["token"] not in listed.out
    assert gitops(rig, "token", "revoke", created["bob"]["id"]).code == 0
    assert "revoked" in gitops(rig, "token", "list").out
    refused = gitops(rig, "ask", rig.application, env=bob)
    assert refused.code == 1
    assert created["bob"]["token"] not in refused.err
    made = gitops(rig, "token", "create", "cyd", "--days", "1", "--note", "laptop")
    assert re.fullmatch(r"gct_\S+\n", made.out)
    assert gitops(rig, "token", "create", "mallory").code == 1
    process.stop()
    gone = gitops(rig, "status")
    assert gone.code == 1
    assert "gitops run" in gone.err


def created_token(process: Process, person: str) -> Any:
    return process.until(lambda api: api.post("tokens", body={"person": person}))


def test_deletes_over_the_budget_are_typed_out(painted: Rig) -> None:
    rig = painted
    rig.write("app/shapes.yaml", config_map("shapes", sun="round"))
    rig.commit()
    process = Process(rig)
    cyd = acting(token(process, "cyd"))
    assert gitops(rig, "approve", process.until(request)["id"], "--yes", env=cyd).code == 0
    process.until(lambda _: rig.data("shapes"))
    process.until(lambda api: not request(api))
    rig.remove("app/colours.yaml")
    rig.remove("app/shapes.yaml")
    rig.write("app/kept.yaml", config_map("kept", v="1"))
    rig.commit(author=BOB)
    gitops(rig, "nudge", "config")
    id = process.until(request)["id"]
    plain = gitops(rig, "approve", id, "--yes", env=cyd)
    assert plain.code == 1
    assert "confirm by typing: delete 2" in plain.err
    wrong = gitops(rig, "approve", id, env=cyd, stdin="y\ndelete 3\n")
    assert wrong.code == 1
    assert rig.data("shapes") == {"sun": "round"}
    right = gitops(rig, "approve", id, env=cyd, stdin="y\ndelete 2\n")
    assert right.code == 0, right.err
    process.until(lambda _: rig.data("shapes") is None and rig.data("kept"))
    process.child.send_signal(signal.SIGINT)
    assert process.child.wait(20) == 0, "ctrl-C ends it as cleanly as SIGTERM"
