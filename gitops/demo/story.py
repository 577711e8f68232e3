"""The story: a commit, a question, an answer, a rollout, a hand edit, and each of them proven.

Called by the ``demo`` command. Acts are played in order; an act that cannot be proven raises, and
:attr:`Story.act` names it. Nothing here trusts the controller: what is true is asked of the API
server by :class:`gitops.demo.witness.Witness`, and of a Terraform state by the tool itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from gitops.demo.stage import SOURCE, Stage
from gitops.demo.witness import Rollout
from gitops.errors import NotAllowed, Permanent, Transient
from gitops.web.client import Api

T = TypeVar("T")

WAIT = 90.0
"""Seconds anything may take before the demo gives up; far more than it needs."""
_PAUSE = 0.02
APPLICATIONS = {"api": "Kustomize", "cache": "Helm", "page": "plain YAML"}
FIRST = {"page": ("2.3.0", 2), "api": ("1.4.0", 2), "cache": ("7.4.1", 1)}
SECOND = {**FIRST, "api": ("1.5.0", 3)}
OBJECTS = {"page": 2, "api": 2, "cache": 1}
ROOT = "site"
"""The one Terraform root."""
HOST = "shop.example.com"
"""What the Terraform root puts out, and the front takes in."""


class Voice(Protocol):
    """Who tells the story."""

    def headline(self, text: str) -> None: ...

    def say(self, text: str) -> None: ...

    def proof(self, text: str) -> None:
        """Something the API server, or a Terraform state, confirmed."""

    def question(self, found: Any) -> None:
        """A request as the API answers it: checks and plans."""

    def approves(self, person: str) -> bool:
        """Does the human in front of the terminal, as that person, say yes?"""


@dataclass(frozen=True, slots=True)
class Measured:
    """How long one thing took, in seconds."""

    what: str
    seconds: float


@dataclass
class Story:
    """``play`` it once. ``act`` is where it is, ``times`` what it measured, ``proofs`` how many
    facts the API server confirmed; ``of_state`` the same of the Terraform state."""

    stage: Stage
    voice: Voice
    act: str = ""
    times: list[Measured] = field(default_factory=list)
    proofs: int = 0
    of_state: int = 0

    def play(self) -> None:
        """Raises the GitopsError of the first step that cannot be proven."""
        self._set_up()
        self._first_delivery()
        self._second_delivery()
        self._root_and_what_takes_its_output()
        self._drift()

    # --- acts ---------------------------------------------------------------------------------

    def _set_up(self) -> None:
        self._begin("A control plane, a repository, a controller")
        begun = time.monotonic()
        self.stage.start_sandbox(lambda message: None)
        self._took("control plane ready", begun)
        self.voice.say("etcd, API server, controllers, scheduler; nodes that only pretend to run")
        self.stage.make_repository()
        kinds = ", ".join(f"{name} ({kind})" for name, kind in sorted(APPLICATIONS.items()))
        self.voice.say(f"a git repository, people ada and grace, applications {kinds}")
        begun = time.monotonic()
        self.stage.start_controller()
        self._operator = self._until(self._ready, "the controller to be ready")
        self._took("controller ready", begun)
        self._ada, self._grace = self.stage.api("ada"), self.stage.api("grace")

    def _first_delivery(self) -> None:
        self._begin("Ada pushes a commit: three applications")
        self.stage.repository.furnish("apps", "bases")
        found = self._pushed("Open the shop: page, API and cache", set(APPLICATIONS))
        self._took_asking(found)
        self._prove(not self.stage.witness.owned(), "nothing is applied before somebody said yes")
        self._begin("Ada says yes to her own commit")
        self._refused(found)
        self._prove(not self.stage.witness.owned(), "still nothing is applied")
        self._begin("Grace looks, and answers")
        self._approved(found, "approved → all healthy")
        self._prove(self.stage.witness.owned() == OBJECTS, "5 objects, each with its owner's label")
        self._prove_rollouts(FIRST)

    def _second_delivery(self) -> None:
        self._begin("Ada changes the API's image and replicas")
        before = self.stage.witness.rollouts()
        path = "apps/api/kustomization.yaml"
        self.stage.repository.replace(path, "newTag: 1.4.0", "newTag: 1.5.0")
        self.stage.repository.replace(path, "count: 2", "count: 3")
        found = self._pushed("API 1.5.0 on three replicas", {"api"})
        self._took_asking(found)
        self._approved(found, "approved → rolled out")
        self._prove_rollouts(SECOND)
        after = self.stage.witness.rollouts()
        same = all(before[name].version == after[name].version for name in ("page", "cache"))
        self._prove(same, "page and cache were not touched")

    def _root_and_what_takes_its_output(self) -> None:
        tool = self.stage.root_tool
        self._begin(f"Ada pushes a {tool.title} root, and a front that takes its output")
        self.voice.say(
            f"run with {tool.name} {tool.version()}; front has needs: {{host: site.host}}"
        )
        self.stage.repository.furnish("infra", "web")
        found = self._pushed("Give the shop its address", {ROOT, "front"})
        self._took_asking(found, "a root and what needs it")
        self._prove_state(not self._outputs(), "no state before somebody said yes")
        self._prove("front" not in self.stage.witness.settings(), "no ConfigMap front either")
        self._approved(found, "approved → root applied, output delivered")
        self._prove_state(
            self.stage.root_tool.resources(self.stage.tfstate) == ["terraform_data.site"],
            "terraform_data.site is in the state",
        )
        self._prove_state(self._outputs() == {"host": HOST}, f"output host is {HOST}")
        front = self.stage.witness.settings().get("front", {})
        self._prove(front.get("host") == HOST, f"configmap/front: host is {HOST}")

    def _drift(self) -> None:
        self._begin("Somebody scales the page to nothing: kubectl scale deployment/page")
        self.stage.witness.scale("page", 0)
        begun = time.monotonic()
        found = self._until(lambda: self._asking({"page"}), "the drift to be noticed")
        self._took("hand edit → noticed and asked", begun)
        self.voice.question(found)
        self._prove(self.stage.witness.rollouts()["page"].wanted == 0, "it is left until answered")
        self._approved(found, "approved → put back")
        self._prove_rollouts(SECOND)

    # --- what acts are made of ----------------------------------------------------------------

    def _begin(self, act: str) -> None:
        self.act = act
        self.voice.headline(act)

    def _ready(self) -> Api | None:
        api = self.stage.api()
        try:
            return api if api.get("status")["ready"] else None
        except Transient:
            return None

    def _pushed(self, message: str, applications: set[str]) -> Any:
        commit = self.stage.repository.commit(message)
        self._pushed_at = time.monotonic()
        self.stage.repository.push()
        self._operator.post("sources", SOURCE, "nudge")
        found = self._until(lambda: self._asking(applications), f"a question about {commit[:12]}")
        self._asked_at = time.monotonic()
        self.voice.question(found)
        return found

    def _took_asking(self, found: Any, about: str = "") -> None:
        count = len(found["members"])
        about = about or f"{count} application{'s' if count > 1 else ''}"
        what = f"push → question ({about})"
        self.times.append(Measured(what, self._asked_at - self._pushed_at))

    def _asking(self, applications: set[str]) -> Any | None:
        """The open request in which all of these, and nothing else, wait for an answer."""
        status = self._operator.get("status")
        _refuse_trouble(status)
        for request in status["requests"]:
            found = self._operator.get("show", request["id"])
            waiting = {
                row["change"]["change"]["lane"]["application"]
                for row in found["members"]
                if row["member"]["state"] == "asking"
            }
            if waiting == applications:
                return found
        return None

    def _refused(self, found: Any) -> None:
        try:
            self._answer(self._ada, found, "approve")
        except NotAllowed as refusal:
            self.voice.say(f"refused: {refusal.message}")
        else:
            raise Permanent("an author could approve their own change")

    def _approved(self, found: Any, what: str) -> None:
        if not self.voice.approves("grace"):
            self._answer(self._grace, found, "deny", "no, said the person at the terminal")
            raise Declined("denied, and nothing of it was applied")
        begun = time.monotonic()
        self._answer(self._grace, found, "approve")
        request = found["request"]["id"]
        self._until(lambda: self._healthy(request), "what was approved to become healthy")
        self._took(what, begun)

    def _answer(self, api: Api, found: Any, decision: str, reason: str = "") -> None:
        request = found["request"]
        body = {"root": request["root"], "decision": decision, "reason": reason, "via": "cli"}
        api.post("requests", request["id"], "answer", body=body)

    def _healthy(self, request: str) -> bool:
        rows = self._operator.get("show", request)["members"]
        for row in rows:
            change = row["change"]
            if change["state"] in ("failed", "denied", "expired", "superseded"):
                name = change["change"]["lane"]["application"]
                raise Permanent(f"{name} is {change['state']}: {change['reason']}")
        return all(row["change"]["state"] in ("healthy", "unchanged") for row in rows)

    def _prove(self, holds: bool, fact: str) -> None:
        """Raises Permanent unless the fact, read from the API server, holds."""
        if not holds:
            raise Permanent(f"the API server does not agree that {fact}")
        self.proofs += 1
        self.voice.proof(fact)

    def _prove_state(self, holds: bool, fact: str) -> None:
        """Raises Permanent unless the fact, read from the state by the tool itself, holds."""
        name = self.stage.root_tool.name
        if not holds:
            raise Permanent(f"{name} does not agree that: {fact}")
        self.of_state += 1
        self.voice.proof(f"{name}: {fact}")

    def _outputs(self) -> Mapping[str, Any]:
        return self.stage.root_tool.outputs(self.stage.tfstate)

    def _prove_rollouts(self, wanted: Mapping[str, tuple[str, int]]) -> None:
        """Every Deployment runs the image and the number of ready replicas it should."""
        live = self.stage.witness.rollouts()
        for name, (tag, replicas) in wanted.items():
            self._prove(
                name in live and _runs(live[name], name, tag, replicas),
                f"deployment/{name}: {replicas} of {replicas} ready on {tag}",
            )

    def _took(self, what: str, begun: float) -> None:
        self.times.append(Measured(what, time.monotonic() - begun))

    def _until(self, found: Callable[[], T | None], what: str) -> T:
        """Raises Permanent at the deadline, or when the controller is no more."""
        deadline = time.monotonic() + WAIT
        while not (value := found()):
            self.stage.check_alive()
            if time.monotonic() > deadline:
                raise Permanent(f"waited {WAIT:.0f} s in vain for {what}")
            time.sleep(_PAUSE)
        return value


class Declined(Permanent):
    """The person at the terminal said no: the end of the story, but nothing went wrong."""


def _runs(live: Rollout, application: str, tag: str, replicas: int) -> bool:
    return (
        live.application == application
        and live.image.endswith(f":{tag}")
        and live.wanted == live.ready == replicas
        and live.current
    )


def _refuse_trouble(status: Any) -> None:
    """Raises Permanent when the controller says that something cannot work."""
    problems: Iterable[str] = [
        *status["problems"],
        *(row["current"]["reason"] for row in status["lanes"] if _blocked(row["current"])),
    ]
    for problem in problems:
        raise Permanent(problem)


def _blocked(current: Any) -> bool:
    return bool(current) and current["state"] == "blocked"
