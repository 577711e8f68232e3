"""``gitops run`` as a process of its own that listens on loopback, without any cluster."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from gitops.web.client import Address, Api
from gitops.web.serve import somebody_listens
from tests import warm
from tests.web.hook_cases import SECRET, SIGNING_TOKEN, Case

SECRETS = {"HOOK": SECRET, "SIGNING": SIGNING_TOKEN}
HOOKS: dict[str, Any] = {
    **{
        kind: {"secret": {"env": "HOOK"}}
        for kind in ("github", "gitlab", "gitea", "bitbucket-cloud", "bitbucket-dc")
    },
    "signed": {"gitlab": {"secret": {"env": "SIGNING"}}},
    "any": {"generic": {"secret": {"env": "HOOK"}, "sources": ["config"]}},
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Listening:
    """One controller and the fleet file it runs on."""

    folder: Path
    url: str
    """Of the one source, ``config``."""
    kill_at: str = ""
    port: int = field(default_factory=free_port)
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        fleet = {
            "state_dir": str(self.folder / "state"),
            "api": {"listen": f"127.0.0.1:{self.port}"},
            "sources": {"config": {"git": self.url, "interval": "1h"}},
            "webhooks": HOOKS,
            "people": {"ada": {"emails": ["ada@example.com"]}},
            **self.more,
        }
        self.file = self.folder / "gitops.yaml"
        self.file.write_text(yaml.safe_dump(fleet))
        self.start()

    def start(self) -> None:
        log = self.folder / "controller.log"
        self.child = warm.start(
            ["--config", str(self.file), "run"],
            env={**os.environ, **SECRETS, "GITOPS_KILL_AT": self.kill_at},
            out=log,
            err=log,
        )
        try:
            self.until(self.ready)
        except BaseException:
            self.child.kill()
            self.child.wait()
            raise

    def ready(self) -> bool:
        if not somebody_listens(self.socket):
            return False
        try:
            return httpx.get(f"{self.base}/readyz", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def socket(self) -> Path:
        return self.folder / "state" / "api.sock"

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def api(self) -> Api:
        return Api(Address(self.socket))

    def status(self) -> Any:
        with self.api() as api:
            return api.get("status")

    def revision(self) -> str:
        """The commit the source is at, as far as the controller knows."""
        [found] = self.status()["sources"]
        return str(found["revision"]["id"]) if found["revision"] else ""

    def hook(self, name: str) -> Any:
        return next(
            each for each in self.status()["webhooks"]["webhooks"] if each["webhook"] == name
        )

    def deliveries(self) -> Any:
        with self.api() as api:
            return api.get("webhooks", "deliveries", limit=500)["deliveries"]

    def post(self, name: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        url = f"{self.base}/hooks/{name}"
        return httpx.post(url, content=content, headers=headers, trust_env=False, timeout=30)

    def send(self, found: Case, name: str = "", **headers: str) -> httpx.Response:
        letter = found.letter()
        all = {key: values[0] for key, values in letter.headers.items()} | headers
        return self.post(name or found.kind, letter.body, all)

    def memory(self) -> int:
        """Resident bytes of the process now (proc_pid_statm(5))."""
        pages = Path(f"/proc/{self.child.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGESIZE")

    def until(self, holds: Callable[[], Any], seconds: float = 40) -> Any:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.child.poll() is None, (self.folder / "controller.log").read_text()[-3_000:]
            if found := holds():
                return found
            time.sleep(0.02)
        raise AssertionError(f"waited {seconds} s: {json.dumps(self.status())[:2_000]}")

    def killed(self) -> None:
        assert self.child.wait(30) == -signal.SIGKILL

    def stop(self) -> None:
        self.child.send_signal(signal.SIGTERM)
        assert self.child.wait(20) == 0


def about(found: Case, url: str, **more: Any) -> Case:
    """A case as it would be sent for the repository at an address."""
    text = json.dumps(found.body)
    for theirs in (
        "https://github.com/acme/shop.git",
        "https://gitlab.com/acme/shop.git",
        "https://codeberg.org/acme/shop.git",
        "https://git.example.com/scm/acme/shop.git",
        "https://bitbucket.org/acme/shop",
    ):
        text = text.replace(f'"{theirs}"', json.dumps(url))
    return Case(found.name, found.headers | more.pop("headers", {}), json.loads(text) | more)
