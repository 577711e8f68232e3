"""A shop's fleet as one would meet it: some weeks of history, and something to do on every page.

The screenshots of the documentation and the tests of accessibility look at it. Names and contents
are fixed; days pass by setting the controller's clock. Nothing here is asserted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.sandbox.layout import SandboxInfo
from gitops.web.client import Api
from tests.browser.site import Site
from tests.browser.timed import set_clock
from tests.e2e.process import Process

ADA = ("Ada Lovelace", "ada@example.com")
GRACE = ("Grace Hopper", "grace@example.com")
LIN = ("Lin Wei", "lin@example.com")
PEOPLE = {
    name.lower().split()[0]: {"emails": [mail]}
    for name, mail in (ADA, GRACE, LIN, ("Omar Haddad", "omar@example.com"))
}
SHOWCASE = [pytest.mark.e2e, pytest.mark.xdist_group("showcase")]
"""Marks of every file of tests that look at it."""
SERVICES = ("storefront", "checkout", "payments", "catalog", "search", "reports")
MINUTE, HOUR, DAY = 60.0, 3_600.0, 86_400.0
UNDER_WAY = {"open", "asking", "approved", "applying", "verifying"}
_ASKING = (
    "SELECT 1 FROM request_member m JOIN change c ON c.id = m.change"
    " WHERE c.application = ? AND m.state = 'asking'"
)


class Timed(Process):
    """A controller whose clock is the file ``clock`` in the rig's folder."""

    def __init__(self, site: Showcase) -> None:
        self.rig = site.rig
        with (site.rig.folder / "controller.log").open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, "-m", "tests.browser.timed", str(self.rig.save()), site.clock],
                stdout=log,
                stderr=log,
            )


@dataclass
class Showcase(Site):
    """``play`` it once. ``clusters`` by the names they have in the fleet."""

    _: KW_ONLY
    clusters: dict[str, SandboxInfo]
    terraform: Path
    weeks: bool = True
    """With the whole history, or with the last days alone."""
    _tokens: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        fleet = self.rig.fleet
        fleet["clusters"] = {
            name: {
                "context": info.context,
                "kubeconfig": str(info.kubeconfig),
                "labels": {"env": name.partition("-")[0]},
            }
            for name, info in self.clusters.items()
        }
        fleet["people"] = PEOPLE
        fleet["terraform"] = {"folders": [str(self.terraform.parent)]}
        fleet["applications"] = self._applications()
        for name in self.clusters:
            if self.clusters[name] is not self.rig.sandbox:
                self.kubectl(name, "create", "namespace", self.rig.namespace)
        set_clock(self.clock, 0.0)

    def _applications(self) -> dict[str, Any]:
        everywhere = list(self.clusters)
        first = everywhere[:1]

        def section(name: str, team: str, clusters: list[str], **more: Any) -> dict[str, Any]:
            return {
                "path": f"apps/{name}",
                "namespace": self.rig.namespace,
                "clusters": clusters,
                "labels": {"team": team},
                "verify_timeout": "12s",
                **more,
            }

        backend = {"local": {"path": str(self.rig.folder / "dns.tfstate")}}
        binary = self.terraform.name
        return {
            "storefront": section("storefront", "web", everywhere),
            "checkout": section("checkout", "payments", everywhere),
            "payments": section("payments", "payments", first),
            "catalog": section("catalog", "web", first),
            "search": section("search", "web", first),
            "mail-queue": section("mail-queue", "platform", first),
            "reports": section("reports", "data", first),
            "loyalty": section("loyalty", "payments", first),
            "dns": {
                "path": "infra/dns",
                "labels": {"team": "platform"},
                "terraform": {"binary": binary, "backend": backend},
            },
        }

    # --- where and when -----------------------------------------------------------------------

    @property
    def clock(self) -> Path:
        return self.rig.folder / "clock"

    def name(self, story: str) -> str:
        return story

    def kubectl(self, cluster: str, *arguments: str) -> None:
        kubeconfig = self.clusters[cluster].kubeconfig
        command = [self.rig.kubectl_path, "--kubeconfig", kubeconfig, *arguments]
        subprocess.run(command, check=True, capture_output=True)

    def start(self) -> None:
        self.process = Timed(self)
        self.running.until(lambda api: api.get("status")["ready"])

    def at(self, ago: float) -> None:
        """It is ``ago`` seconds before the machine's time."""
        self._away = -ago
        set_clock(self.clock, self._away)

    def later(self, seconds: float) -> None:
        self.at(max(0.0, -self._away - seconds))

    # --- what people do -----------------------------------------------------------------------

    def push(
        self, message: str, author: tuple[str, str], files: dict[str, str], old: float = 9 * MINUTE
    ) -> None:
        """A commit made ``old`` seconds ago; the controller looks, or begins to."""
        for path, text in files.items():
            self.rig.write(path, text)
        when = f"@{int(time.time() + self._away - old)} +0000"
        dates = {"GIT_AUTHOR_DATE": when, "GIT_COMMITTER_DATE": when}
        os.environ.update(dates)
        try:
            self.rig.commit(message, author=author)
        finally:
            for name in dates:
                del os.environ[name]
        if self.process is None:
            self.start()
        self.nudge()

    def token(self, person: str) -> str:
        if person not in self._tokens:
            with self.api() as api:
                made = api.post("tokens", body={"person": person, "days": 80})
            self._tokens[person] = str(made["token"])
        return self._tokens[person]

    def as_person(self, person: str) -> Api:
        return self.running.api(self.token(person))

    def say(self, about: str, person: str, decision: str = "approve", reason: str = "") -> None:
        """A person's answer to what is asked about an application."""
        asked = super().asked(about)
        root = self.query("SELECT root FROM request WHERE id = ?", asked)[0][0]
        body = {"root": root, "decision": decision, "via": "page", "reason": reason}
        with self.as_person(person) as api:
            api.post("requests", asked, "answer", body=body)
        self.settle(about)

    def asked(self, story: str, on: int = 0) -> str:
        """As everywhere, once people are asked about all its targets, or about so many."""
        section = self.rig.fleet["applications"][story]
        wanted = on or len(section.get("clusters", "1"))
        self.running.until(lambda _: len(self.query(_ASKING, story)) == wanted)
        return super().asked(story)

    def settle(self, *about: str) -> None:
        """Waits until nothing of these is under way."""
        for application in about:
            self.running.until(
                lambda _, name=application: (
                    self.states(name) and not set(self.states(name)) & UNDER_WAY
                )
            )

    # --- the story ----------------------------------------------------------------------------

    def play(self) -> None:
        """Ends with the clock at the machine's time, and the controller running."""
        self.at(26 * DAY)
        self._first()
        if self.weeks:
            self._weeks()
        self._roll_back()
        self._lately()
        self.at(0.0)

    def _first(self) -> None:
        self.push(
            "Bring the shop up",
            ADA,
            {
                **service("storefront", "2.3.0", 3),
                **service("checkout", "1.8.0", 2),
                **service("payments", "4.2.0", 3, {"currency": "EUR", "retries": "3"}),
                **service("catalog", "5.1.0", 2),
                **service("search", "0.9.4", 2),
                **service("reports", "3.0.1", 1),
                **queue("3.12.1"),
                "infra/dns/main.tf": records({"www": "203.0.113.10", "api": "203.0.113.11"}),
            },
        )
        for name in (*SERVICES, "mail-queue", "dns"):
            self.asked(name)
        self.later(35 * MINUTE)
        self.say("storefront", "grace")
        self.settle(*SERVICES, "mail-queue", "dns")

    def _weeks(self) -> None:
        steps = (
            (23.2, "storefront", "2.4.0", 3, ADA, "grace", 1.3 * HOUR, "Show prices with tax"),
            (20.4, "checkout", "1.9.0", 2, LIN, "omar", 4.1 * HOUR, "Remember the address"),
            (17.1, "catalog", "5.2.0", 3, GRACE, "ada", 22 * MINUTE, "Sort by what is in stock"),
            (15.0, "storefront", "2.4.1", 3, LIN, "grace", 2.6 * HOUR, "Mend the cart on phones"),
            (12.3, "reports", "3.1.0", 1, ADA, "lin", 7.5 * HOUR, "Count returns by week"),
            (9.2, "checkout", "1.9.1", 3, ADA, "omar", 48 * MINUTE, "Three replicas for the sale"),
            (6.1, "storefront", "2.5.0", 4, GRACE, "lin", 1.9 * HOUR, "New front page"),
        )
        for days, name, version, replicas, author, by, wait, message in steps:
            self.at(days * DAY)
            self.push(message, author, service(name, version, replicas))
            self.asked(name)
            self.later(wait)
            self.say(name, by)

    def _roll_back(self) -> None:
        self.at(3.2 * DAY)
        self.push("Recommend what others bought", LIN, service("catalog", "5.3.0", 3))
        self.asked("catalog")
        self.later(50 * MINUTE)
        self.say("catalog", "ada")
        self.later(2.2 * HOUR)
        with self.as_person("ada") as api:
            body = {"reason": "recommendations are empty for half of the customers"}
            api.post("applications", "catalog", "rollback", body=body)
        self.asked("catalog")
        self.later(6 * MINUTE)
        self.say("catalog", "omar")

    def _lately(self) -> None:
        """What there is to do now."""
        self.at(5.1 * HOUR)
        moved = service("search", "0.10.0", 2, nodes={"disk": "nvme"})
        self.push("Run on the machines with fast disks", GRACE, moved)
        self.asked("search")
        self.later(18 * MINUTE)
        self.say("search", "ada")
        self.at(3.4 * HOUR)
        self.push("Take the mail queue out of service", LIN, {"apps/mail-queue/queue.yaml": _EMPTY})
        self.asked("mail-queue")
        self.at(2.1 * HOUR)
        self.push(
            "Point www at the new load balancer",
            LIN,
            {
                "infra/dns/main.tf": records(
                    {"www": "203.0.113.40", "api": "203.0.113.11", "status": "203.0.113.41"}
                )
            },
        )
        self.asked("dns")
        self.at(1.2 * HOUR)
        self.push("Give points for every order", ADA, _BROKEN)
        self.running.until(lambda _: self.states("loyalty")[:1] == ["blocked"])
        self.at(50 * MINUTE)
        with self.as_person("omar") as api:
            body = {"seconds": 8 * HOUR, "reason": "the auditors work with its numbers today"}
            api.post("applications", "reports", "pause", body=body)
        self.kubectl(
            next(iter(self.clusters)),
            *("-n", self.rig.namespace, "scale", "deployment/storefront", "--replicas=1"),
        )
        self.asked("storefront", on=1)
        self.at(24 * MINUTE)
        more = {"currency": "EUR", "retries": "5", "three-d-secure": "required"}
        self.push(
            "Ask for 3-D Secure on every card\n\nThe bank refuses payments without it from Monday."
            "\nTwo more replicas, since each payment takes longer.",
            ADA,
            service("payments", "4.3.0", 5, more),
        )
        self.asked("payments")


# --- manifests ------------------------------------------------------------------------------------


def service(
    name: str,
    version: str,
    replicas: int,
    settings: dict[str, str] | None = None,
    nodes: dict[str, str] | None = None,
) -> dict[str, str]:
    """A Deployment, a Service and settings, as a folder of an application has them."""
    labels = {"app": name}
    container = {
        "name": name,
        "image": f"registry.example.com/shop/{name}:{version}",
        "ports": [{"containerPort": 8080}],
        "envFrom": [{"configMapRef": {"name": name}}],
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
    }
    pod = {"containers": [container], **({"nodeSelector": nodes} if nodes else {})}
    template = {"metadata": {"labels": labels}, "spec": pod}
    strategy = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {**labels, "app.kubernetes.io/version": version}},
        "spec": {
            "replicas": replicas,
            "strategy": strategy,
            "selector": {"matchLabels": labels},
            "template": template,
        },
    }
    entrance = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    config = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"LOG_LEVEL": "info", **(settings or {})},
    }
    folder = f"apps/{name}"
    return {
        f"{folder}/deployment.yaml": yaml.safe_dump(deployment, sort_keys=False),
        f"{folder}/service.yaml": yaml.safe_dump(entrance, sort_keys=False),
        f"{folder}/settings.yaml": yaml.safe_dump(config, sort_keys=False),
    }


def queue(version: str) -> dict[str, str]:
    labels = {"app": "mail-queue"}
    container = {"name": "queue", "image": f"registry.example.com/rabbitmq:{version}"}
    stateful = {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "mail-queue"},
        "spec": {
            "serviceName": "mail-queue",
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
        },
    }
    front = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "mail-queue"},
        "spec": {"clusterIP": "None", "selector": labels, "ports": [{"port": 5672}]},
    }
    settings = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "mail-templates"},
        "data": {"welcome": "Dear customer,\nwelcome to the shop.\n"},
    }
    return {
        "apps/mail-queue/queue.yaml": yaml.safe_dump_all([stateful, front], sort_keys=False),
        "apps/mail-queue/templates.yaml": yaml.safe_dump(settings, sort_keys=False),
    }


def records(names: dict[str, str]) -> str:
    widest = max(map(len, names))
    lines = "\n".join(f'    {name:{widest}} = "{address}"' for name, address in names.items())
    return _ROOT.replace("RECORDS", lines)


_EMPTY = "# The mail queue is a service of the provider's now.\n"
_ROOT = """\
locals {
  records = {
RECORDS
  }
}

resource "terraform_data" "record" {
  for_each = local.records
  input    = { name = "${each.key}.shop.example.com", type = "A", address = each.value, ttl = 300 }
}

output "names" {
  value = sort([for each in terraform_data.record : each.input.name])
}
"""
_BROKEN = {
    "apps/loyalty/deployment.yaml": """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: loyalty
  labels: {app: loyalty}
spec:
  replicas: two
  selector:
    matchLabels: {app: loyalty}
  template:
    metadata:
      labels: {app: loyalty}
    spec:
      containers:
        - name: loyalty
          image: registry.example.com/shop/loyalty:0.1.0
          resource: {requests: {cpu: 100m}}
"""
}
