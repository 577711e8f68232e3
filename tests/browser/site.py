"""A controller whose pages people open: a repository, a fleet, a process of its own, passwords.

One serves many stories, each with an application of its own: starting a controller costs more than
a story does. What is true is asked of the API server with kubectl and of the store's own file,
never of a page.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import pytest

from gitops.web.client import Api
from tests.contract.listening import free_port
from tests.e2e.process import Process
from tests.e2e.rig import ADA, Rig

PASSWORD = "correct horse battery"
PEOPLE = ("ada", "bob", "cyd")
STORIES: dict[str, dict[str, Any]] = {
    name: {}
    for name in (
        *("approve", "hurry", "deny", "own", "destroy", "race", "moved"),
        *(
            "moving",
            "gone",
            "away",
            "crossed",
            "plain",
            "keys",
            "hostile",
            "broken",
            "refused",
            "ill",
        ),
    )
}
"""Applications of the shared controller, one a story; what their sections say besides."""
STORY = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("browser"),
    pytest.mark.asyncio(loop_scope="session"),
]
"""Marks of every file of stories."""


@dataclass
class Site:
    """``rig`` has the repository and the cluster; ``process`` is the controller once it runs."""

    rig: Rig
    port: int = field(default_factory=free_port)
    process: Process | None = None

    def __post_init__(self) -> None:
        self.rig.fleet["applications"] = {}
        self.rig.fleet["api"] = {
            "listen": f"127.0.0.1:{self.port}",
            "url": self.base,
            "sign_in": {"local": True},
        }

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def target(self) -> str:
        return self.rig.cluster

    # --- the fleet ----------------------------------------------------------------------------

    def name(self, story: str) -> str:
        """Of an application: unique on the cluster, which tests share."""
        return f"{story}-{self.rig.namespace}"

    def add(self, story: str, **more: Any) -> str:
        """An application in the folder of that name; before the start."""
        section = {
            "source": "config",
            "path": story,
            "namespace": self.rig.namespace,
            "verify_timeout": "20s",
            **more,
        }
        self.rig.fleet["applications"][self.name(story)] = section
        self.rig.write(f"{story}/.keep", "")
        return self.name(story)

    # --- the controller -----------------------------------------------------------------------

    def start(self) -> None:
        self.process = Process(self.rig)
        self.running.until(lambda api: api.get("status")["ready"])

    @property
    def running(self) -> Process:
        assert self.process is not None
        return self.process

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()
            self.process = None

    def give_password(self, person: str) -> None:
        """As an operator does."""
        command = [sys.executable, "-m", "gitops.cli", "-c", str(self.rig.save())]
        subprocess.run(
            [*command, "user", "add", person],
            input=f"{PASSWORD}\n",
            text=True,
            capture_output=True,
            check=True,
        )

    def api(self) -> Api:
        """The operator's own."""
        return self.running.api()

    def nudge(self) -> None:
        with self.api() as api:
            api.post("sources", "config", "nudge")

    # --- what happened ------------------------------------------------------------------------

    def commit(
        self,
        path: str,
        manifest: str,
        message: str = "change",
        author: tuple[str, str] = ADA,
    ) -> str:
        """Writes a file, pushes it, and has the controller look; the commit's id."""
        self.rig.write(path, manifest)
        made = self.rig.commit(message, author=author)
        self.nudge()
        return made

    def asked(self, story: str) -> str:
        """Id of the open request with a change of that application; waits for it."""

        def found(_: Api) -> Any:
            return self.query(
                "SELECT m.request FROM request_member m JOIN change c ON c.id = m.change"
                " WHERE c.application = ? AND m.state = 'asking' ORDER BY m.number DESC",
                self.name(story),
            )

        return str(self.running.until(found)[0][0])

    def answer(
        self, story: str, person: str = "bob", decision: str = "approve", reason: str = ""
    ) -> None:
        """As that person, but not from a page."""
        asked = self.asked(story)
        with self.api() as api:
            token = str(api.post("tokens", body={"person": person})["token"])
        with self.running.api(token) as api:
            root = self.query("SELECT root FROM request WHERE id = ?", asked)[0][0]
            body = {"root": root, "decision": decision, "via": "test", "reason": reason}
            api.post("requests", asked, "answer", body=body)

    def states(self, story: str) -> list[str]:
        """Of the changes of an application, newest first, as the store has them; without those
        that turned out to change nothing."""
        found = self.query(
            "SELECT state FROM change WHERE application = ? AND state != 'unchanged'"
            " ORDER BY number DESC",
            self.name(story),
        )
        return [str(row[0]) for row in found]

    def until_state(self, story: str, state: str) -> None:
        """Waits until the newest change of an application is there."""
        self.running.until(lambda _: self.states(story)[:1] == [state])

    def verdicts(self, story: str) -> list[tuple[str, str, str]]:
        """Person, decision and reason of every answer about an application, as they came."""
        found = self.query(
            "SELECT v.person, v.decision, v.payload FROM verdict v WHERE v.request IN"
            " (SELECT m.request FROM request_member m JOIN change c ON c.id = m.change"
            " WHERE c.application = ?) ORDER BY v.number",
            self.name(story),
        )
        return [(person, decision, json.loads(more)["reason"]) for person, decision, more in found]

    def query(self, sql: str, *values: Any) -> list[Any]:
        file = self.rig.folder / "state" / "store" / "gitops.db"
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=30)) as store:
            return store.execute(sql, values).fetchall()

    # --- objects ------------------------------------------------------------------------------

    def settings(self, name: str) -> dict[str, str] | None:
        """A ConfigMap's data, as the API server has it."""
        return self.rig.data(name)
