"""Outputs that flow from a root into an application, on a real tool and a real cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitops.model.approval import Request
from gitops.model.delivery import ChangeState, LaneId
from gitops.model.ids import ApplicationName, TargetName
from gitops.sandbox.layout import SandboxInfo
from gitops.web.views import why
from tests.e2e.rig import Rig, System

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

KNOWN = """\
    variable "zone" {
      type    = string
      default = "a"
    }

    output "zone" {
      value = var.zone
    }

    output "count" {
      value = 2
    }
    """
UNKNOWN = """\
    resource "terraform_data" "host" {
      input = "first.example.com"
    }

    output "host" {
      value = terraform_data.host.id
    }
    """


@pytest.fixture
def both(
    tmp_path: Path, sandbox: SandboxInfo, tools: Any, namespace: str, a_terraform: tuple[str, Path]
) -> Rig:
    """A root ``net`` and the rig's own application, which takes outputs in."""
    name, path = a_terraform
    rig = Rig(tmp_path, sandbox, tools.path("kubectl"), namespace)
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / name).symlink_to(path)
    rig.fleet["terraform"] = {"folders": [str(folder)]}
    rig.fleet["applications"]["net"] = {"path": "net", "terraform": {"binary": name}}
    return rig


@pytest.fixture
def zoned(both: Rig) -> Rig:
    """The application takes an output that every plan knows."""
    return takes(both, "zone", KNOWN)


@pytest.fixture
def hosted(both: Rig) -> Rig:
    """The application takes an output that only the apply makes known."""
    return takes(both, "host", UNKNOWN)


def takes(both: Rig, output: str, root: str, data: str = "") -> Rig:
    both.app["needs"] = {output: {"application": "net", "output": output}}
    both.write("net/main.tf", root)
    both.write("app/web.yaml", config(data or f'{{{output}: "${{needs.{output}}}"}}'))
    both.commit("both at once")
    return both


def root_lane() -> LaneId:
    return LaneId(ApplicationName("net"), TargetName("default"))


def config(data: str) -> str:
    return f"""\
    apiVersion: v1
    kind: ConfigMap
    metadata: {{name: web}}
    data: {data}
    """


async def answered(system: System, request: Request, confirmation: str = "") -> None:
    await system.answer("bob", confirmation=confirmation, request=request)
    await system.quiet()


async def delivered(system: System) -> None:
    """Both, as one question."""
    await system.nudge()
    await system.until_asking(2)
    await answered(system, await system.request())


async def told(system: System) -> str:
    found = await why(system.controller, system.lane.application)
    assert found is not None
    return " ".join(found[str(system.lane)])


async def test_known_outputs_are_previewed_as_one_question_and_applied_in_order(
    both: Rig,
) -> None:
    takes(both, "zone", KNOWN, '{zone: "${needs.zone}", url: "https://${needs.zone}.x"}')
    async with both.controller() as system:
        await system.nudge()
        await system.until_asking(2)
        request = await system.request()
        assert len(request.members) == 2, "one commit, one question"
        await answered(system, request)
        assert both.data("web") == {"zone": "a", "url": "https://a.x"}
        arrived = await system.controller.ledger.read(
            lambda r: (r.lane(root_lane()).delivered, r.lane(system.lane).delivered)
        )
        assert arrived[0]
        assert arrived[1]
        assert arrived[0].at <= arrived[1].at, "the root first"


async def test_an_output_that_is_not_known_yet_is_waited_for_and_then_asked_about(
    hosted: Rig,
) -> None:
    async with hosted.controller() as system:
        await system.nudge()
        request = await system.request()
        assert len(request.members) == 1
        assert "known once its change is applied" in await told(system)
        await answered(system, request)
        await system.until_async(lambda: asked(system))
        plan = await system.plan()
        (change,) = plan.changes
        assert change.fields or change.action.value == "create"
        await system.approve("bob")
        data = hosted.data("web")
        assert data
        assert len(data["host"]) == 36


async def test_a_changed_output_is_a_change_of_the_application_by_the_root_s_author(
    zoned: Rig,
) -> None:
    async with zoned.controller() as system:
        await delivered(system)
        zoned.write("net/main.tf", KNOWN.replace('"a"', '"b"'))
        zoned.commit("the zone moves", author=("Cyd", "cyd@example.com"))
        await system.nudge()
        await system.until_asking(2)
        request = await system.request()
        changes = await system.controller.ledger.read(lambda r: r.changes())
        ours = next(c for c in changes if c.change.lane == system.lane)
        emails = {s.email for s in ours.change.authorship.signatures}
        assert "cyd@example.com" in emails
        await answered(system, request)
        assert zoned.data("web") == {"zone": "b"}


async def test_a_root_that_is_denied_takes_its_dependents_back(zoned: Rig) -> None:
    async with zoned.controller() as system:
        await delivered(system)
        zoned.write("net/main.tf", KNOWN.replace('"a"', '"b"'))
        zoned.commit("the zone moves")
        await system.nudge()
        await system.until_asking(2)
        await system.deny("bob", "stay")
        await system.quiet()
        await system.until_asking(0)
        assert zoned.data("web") == {"zone": "a"}


async def test_an_output_nobody_has_is_named_with_the_nearest(both: Rig) -> None:
    both.app["needs"] = {"zone": {"application": "net", "output": "zones"}}
    both.write("net/main.tf", KNOWN)
    both.write("app/web.yaml", config('{zone: "${needs.zone}"}'))
    both.commit("both at once")
    async with both.controller() as system:
        await system.nudge()
        await answered(system, await system.request())
        await system.until_async(lambda: says(system, "did you mean zone?"))


async def test_a_chart_takes_outputs_as_values(both: Rig) -> None:
    both.app["needs"] = {
        "place.zone": {"application": "net", "output": "zone"},
        "size": {"application": "net", "output": "count"},
    }
    both.write("net/main.tf", KNOWN)
    both.write("app/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n")
    both.write("app/values.yaml", "place: {zone: none, kept: yes}\nsize: 0\n")
    template = config('{zone: "{{ .Values.place.zone }}", size: "{{ .Values.size }}"}')
    both.write("app/templates/web.yaml", template)
    both.commit("a chart")
    async with both.controller() as system:
        await delivered(system)
        assert both.data("web") == {"zone": "a", "size": "2"}


async def asked(system: System) -> bool:
    changes = await system.controller.ledger.read(lambda r: r.changes(lane=system.lane))
    return any(change.state is ChangeState.ASKING for change in changes)


async def says(system: System, text: str) -> bool:
    return text in await told(system)


async def test_an_open_question_with_a_value_that_will_not_be_is_withdrawn(hosted: Rig) -> None:
    async with hosted.controller() as system:
        await system.nudge()
        await answered(system, await system.request())
        await system.until_async(lambda: asked(system))
        await system.approve("bob")
        hosted.write("app/web.yaml", config('{host: "${needs.host}", more: "1"}'))
        hosted.commit("the application alone")
        await system.nudge()
        await system.until_async(lambda: asked(system))
        another = UNKNOWN.replace("input", 'triggers_replace = ["x"]\n      input')
        hosted.write("net/main.tf", another)
        hosted.commit("another host")
        await system.nudge()
        await system.until_asking(1)
        await system.until_async(lambda: says(system, "known once its change is applied"))
        assert not await asked(system), "nobody says yes to the old host"
        (request,) = await system.requests()
        await answered(system, request, "delete 1")
        await system.until_async(lambda: asked(system))
        await system.approve("bob")
        data = hosted.data("web")
        assert data
        assert data["more"] == "1"
