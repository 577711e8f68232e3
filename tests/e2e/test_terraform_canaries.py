"""Secrets of a root, from every place they may come from, looked for in every place they must not
reach: logs, records, answers, command lines, and everything on disk but the state itself.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitops.sandbox.layout import SandboxInfo
from gitops.web.client import Api
from tests import warm
from tests.e2e.process import Process, token
from tests.e2e.rig import Rig

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CANARIES = {
    "variable": "vArIabl3-9f27c1<&>d4e",
    "backend": "b4ckend-PASS-77aa31f0",
    "output": "0utput-Zk2x9Lq81-sens",
    "input": "1nput-Mn7Qe5-sensitive",
    "apply": "apply-0nly-Cr3d-55x1a",
    "lost": "l0st-backend-Pw-8812c",
}
ROOT = """\
variable "token" {
  type      = string
  sensitive = true
}

resource "terraform_data" "kept" {
  input = var.token
}

resource "terraform_data" "marked" {
  input = sensitive(file("${path.module}/marked.txt"))
}

resource "terraform_data" "runs" {
  triggers_replace = [%s]
  provisioner "local-exec" {
    command = "echo told: $TF_VAR_token $ONLY_APPLY; echo $ONLY_APPLY >&2; test -e @FLAG@"
  }
}

output "key" {
  value     = sensitive("@OUTPUT@")
  sensitive = true
}
"""
CHART = """\
apiVersion: v1
kind: Secret
metadata: {name: keyed}
stringData: {key: "{{ .Values.key }}"}
"""


def forms(secret: str) -> list[bytes]:
    escaped = json.dumps(secret)[1:-1].replace("<", "\\u003c").replace(">", "\\u003e")
    found = [secret, escaped.replace("&", "\\u0026"), secret[4:-4]]
    return [f.encode() for f in found] + [base64.b64encode(secret.encode()).rstrip(b"=")[:-1]]


def leaks(text: bytes) -> list[str]:
    return [name for name, it in CANARIES.items() if any(form in text for form in forms(it))]


class Watch(threading.Thread):
    """Every command line there is since it was made, looked at as often as can be."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.seen: set[bytes] = set()
        self.before = {entry.name for entry in os.scandir("/proc")}

    def run(self) -> None:
        while not self.stop.wait(0.01):
            for entry in os.scandir("/proc"):
                if entry.name.isdigit() and entry.name not in self.before:
                    with contextlib.suppress(OSError):
                        self.seen.add(Path(entry.path, "cmdline").read_bytes())


@pytest.fixture
def watch() -> Iterator[Watch]:
    made = Watch()
    made.start()
    yield made
    made.stop.set()
    made.join()


@pytest.fixture
def rig(
    tmp_path: Path,
    sandbox: SandboxInfo,
    tools: Any,
    namespace: str,
    a_terraform: tuple[str, Path],
    postgres_database: str,
) -> Rig:
    name, path = a_terraform
    rig = Rig(tmp_path, sandbox, tools.path("kubectl"), namespace)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / name).symlink_to(path)
    rig.fleet["terraform"] = {"folders": [str(tmp_path / "bin")]}
    host = postgres_database.partition("?host=")[2]
    database = postgres_database.partition("?")[0].rpartition("/")[2]
    rest = "sslmode=disable"
    secrets = {
        "token": CANARIES["variable"],
        "only": CANARIES["apply"],
        "pg": f"postgres://gitops:{CANARIES['backend']}@/{database}?host={host}&{rest}",
        "lost": f"postgres://gitops:{CANARIES['lost']}@127.0.0.1:1/{database}?{rest}",
    }
    for key, value in secrets.items():
        (tmp_path / f"{key}.secret").write_text(value)
        (tmp_path / f"{key}.secret").chmod(0o600)

    def ref(key: str) -> dict[str, str]:
        return {"file": str(tmp_path / f"{key}.secret")}

    rig.fleet["applications"]["net"] = {
        "path": "net",
        "terraform": {
            "binary": name,
            "backend": {"pg": {"schema_name": "net"}},
            "allow": {"provisioners": True},
            "environment": {
                "plan": {"PG_CONN_STR": ref("pg"), "TF_VAR_token": ref("token")},
                "apply": {"ONLY_APPLY": ref("only")},
            },
        },
    }
    rig.fleet["applications"]["lost"] = {
        "path": "lost",
        "terraform": {
            "binary": name,
            "backend": {"pg": {"schema_name": "lost"}},
            "environment": {"plan": {"PG_CONN_STR": ref("lost")}},
        },
    }
    rig.app["needs"] = {"key": {"application": "net", "output": "key"}}
    return rig


def write(rig: Rig, trigger: str) -> None:
    root = ROOT.replace("@FLAG@", str(rig.folder / "flag")).replace("@OUTPUT@", CANARIES["output"])
    rig.write("net/main.tf", root % f'"{trigger}"')
    rig.write("net/marked.txt", CANARIES["input"])
    rig.write("lost/main.tf", 'output "x" {\n  value = 1\n}\n')
    rig.write("app/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n")
    rig.write("app/values.yaml", "key: none\n")
    rig.write("app/templates/keyed.yaml", CHART)
    rig.commit(f"trigger {trigger}")


def told(process: Process, secret: str) -> bytes:
    """Everything the API and the command line say."""
    said: list[bytes] = []
    with process.api(secret) as api:
        pages = [api.get("status"), api.get("requests"), api.get("deliveries")]
        for each in pages[2]["deliveries"]:
            pages.append(api.get("show", each["id"]))
            pages.append(api.get("show", each["change"]["change"]["id"]))
        pages += [api.get("show", each["id"]) for each in pages[1]["requests"]]
        pages += [api.get("why", name) for name in process.rig.fleet["applications"]]
        said += [json.dumps(page, ensure_ascii=False).encode() for page in pages]
        shown = [each["id"] for each in pages[2]["deliveries"]]
    lines = [["status"], ["deliveries"], ["why", "net"], ["why", "lost"]]
    lines += [["show", each] for each in shown[:2]]
    said += [cli(process.rig, secret, *words) for words in lines]
    said += [cli(process.rig, secret, "plan", "net", "--output", form) for form in ("text", "json")]
    return b"\n".join(said)


def cli(rig: Rig, secret: str, *words: str) -> bytes:
    known = {"GITOPS_CONFIG": str(rig.folder / "gitops.yaml"), "GITOPS_TOKEN": secret}
    done = warm.run(words, env={**os.environ, **known}, cwd=rig.folder)
    assert "Traceback" not in done.stderr
    return (done.stdout + done.stderr).encode()


def answer_all(api: Api) -> None:
    for asked in api.get("status")["requests"]:
        shown = api.get("show", asked["id"])
        total = [m["confirmation"] for m in shown["members"] if m["confirmation"]]
        count = sum(int(phrase.split()[1]) for phrase in total)
        body = {"root": asked["root"], "decision": "approve", "via": "cli"}
        if count:
            body["confirmation"] = f"delete {count}"
        api.post("requests", asked["id"], "answer", body=body)


def state_of(api: Api, application: str) -> str:
    found = api.get("deliveries")["deliveries"]
    states = [
        d["state"] for d in found if d["change"]["change"]["lane"]["application"] == application
    ]
    return states[0] if states else ""


def reaches(process: Process, secret: str, application: str, state: str) -> None:
    def holds(api: Api) -> bool:
        if state_of(api, application) == state:
            return True
        answer_all(api)
        return False

    process.until(holds, secret)


def test_no_secret_of_a_root_reaches_anything_but_its_state(rig: Rig, watch: Watch) -> None:
    write(rig, "a")
    process = Process(rig)
    try:
        bob = token(process, "bob")
        reaches(process, bob, "net", "failed")
        said = told(process, bob)
        (rig.folder / "flag").touch()
        with process.api(bob) as api:
            api.post("applications", "net", "again")
        reaches(process, bob, "net", "healthy")
        reaches(process, bob, rig.application, "healthy")
        key = rig.kubectl(
            "-n", rig.namespace, "get", "secret", "keyed", "-o", "jsonpath={.data.key}"
        )
        assert base64.b64decode(key).decode() == CANARIES["output"], "it did flow"
        with process.api(bob) as api:
            api.post("applications", "net", "again")
        process.until(lambda api: looked_for_drift(api, watch))
        said += told(process, bob)
    finally:
        process.stop()
    assert b"connection refused" in said, "the lost backend was told of"
    assert b"told: (hidden) (hidden)" in said, "so was what the program printed"
    assert leaks(said) == []
    assert leaks((rig.folder / "controller.log").read_bytes()) == []
    lines = b"\n".join(watch.seen)
    assert b"-json" in lines
    assert leaks(lines) == []
    found = {
        str(path.relative_to(rig.folder)): leaks(path.read_bytes())
        for path in (rig.folder / "state").rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    assert any(name.startswith("state/store") for name in found), sorted(found)
    assert {name: what for name, what in found.items() if what} == {}


def looked_for_drift(api: Api, watch: Watch) -> bool:
    api.post("sources", "config", "nudge")
    return any(b"-refresh-only" in line for line in watch.seen)
