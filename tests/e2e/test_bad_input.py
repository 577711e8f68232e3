"""Bad input: said at its file and line, held to the one application, and nothing is lost.

Everything a repository may get wrong, from a typing error to an attempt at what is outside it.
"""

from __future__ import annotations

import base64
import textwrap
from dataclasses import dataclass

import pytest

from gitops.jsonable import to_json
from gitops.model.delivery import ChangeRecord, ChangeState, LaneId
from gitops.model.ids import ApplicationName, TargetName
from gitops.web import views
from tests.e2e.rig import Rig, System, config_map

pytestmark = pytest.mark.e2e


@pytest.fixture
def two(rig: Rig) -> Rig:
    """Two applications of one repository; only the first is ever hurt."""
    rig.fleet["applications"][other(rig)] = {"path": "other", "namespace": rig.namespace}
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.write("other/b.yaml", config_map("b", v="1"))
    rig.commit("two applications")
    return rig


def other(rig: Rig) -> str:
    return f"{rig.application}-b"


@dataclass(frozen=True)
class Case:
    """What a commit writes, and what people have to read afterwards."""

    files: dict[str, str]
    place: str
    says: str


KUSTOMIZE = "resources: [a.yaml, {}]\n"
CASES = {
    "a manifest that is no YAML": Case(
        {"app/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a\ndata:\n  v: '2'\n"},
        "app/a.yaml:",
        "",
    ),
    "a manifest without a kind": Case(
        {"app/a.yaml": "apiVersion: v1\nmetadata: {name: a}\n"}, "app/a.yaml:1", "kind"
    ),
    "an unknown field": Case(
        {"app/a.yaml": config_map("a", v="2") + "dota: {v: '2'}\n"}, "app/a.yaml:", "dota"
    ),
    "a value of the wrong type": Case(
        {"app/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {v: 2}\n"},
        "app/a.yaml:4",
        "not a number",
    ),
    "the same object twice": Case({"app/again.yaml": config_map("a", v="2")}, "app/a", "twice"),
    "a kustomization that names what is not there": Case(
        {"app/kustomization.yaml": KUSTOMIZE.format("gone.yaml")},
        "app/kustomization.yaml:1",
        "gone.yaml",
    ),
    "a kustomization that is no YAML": Case(
        {"app/kustomization.yaml": "resources: [a.yaml\nnamePrefix: x\n"},
        "app/kustomization.yaml:",
        "",
    ),
    "a base on another host": Case(
        {"app/kustomization.yaml": KUSTOMIZE.format("https://example.com/base?ref=v1")},
        "app/kustomization.yaml:1",
        "example.com",
    ),
    "a base outside the repository": Case(
        {"app/kustomization.yaml": KUSTOMIZE.format("../../../etc")},
        "app/kustomization.yaml:1",
        "leaves the source",
    ),
    "a chart whose template does not close": Case(
        {
            "app/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
            "app/templates/a.yaml": config_map("a", v="{{ .Values.colour ") + "{{ if }}\n",
        },
        "app/templates/a.yaml:",
        "",
    ),
    "a chart that wants a value nobody gives": Case(
        {
            "app/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
            "app/templates/a.yaml": config_map("a", v="{{ required 'say a colour' .Values.c }}"),
        },
        "app/templates/a.yaml:",
        "",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_what_is_wrong_is_told_at_its_line_and_holds_back_nobody_else(
    two: Rig, name: str
) -> None:
    rig, case = two, CASES[name]
    async with rig.controller() as system:
        await system.nudge()
        await system.answer("cyd")
        await system.quiet()
        for path, text in case.files.items():
            rig.write(path, text)
        rig.write("other/b.yaml", config_map("b", v="2"))
        rig.commit("one is bad, one is good")
        await system.nudge()

        record = await system.last()
        assert record.state is ChangeState.BLOCKED, record
        assert record.reason.startswith(case.place), record.reason
        assert case.says in record.reason
        assert record.reason in await told(system)
        await system.answer("cyd")
        await system.quiet()
        assert (await last_of(system, other(rig))).state is ChangeState.HEALTHY
        assert rig.data("b") == {"v": "2"}
        assert rig.data("a") == {"v": "1"}, "what was delivered stays"

        for path in case.files:
            rig.remove(path)
        rig.write("app/a.yaml", config_map("a", v="3"))
        rig.commit("mended")
        await system.nudge()
        await system.answer("cyd")
        await system.quiet()
    assert rig.data("a") == {"v": "3"}


async def test_a_link_that_leads_out_of_the_repository_is_never_followed(two: Rig) -> None:
    rig = two
    outside = rig.folder / "outside.yaml"
    outside.write_text(config_map("stolen", v="canary-7391"))
    (rig.work / "app" / "link.yaml").symlink_to(outside)
    rig.commit("a link")
    async with rig.controller() as system:
        await system.nudge()
        record = await system.last()
        assert record.state is ChangeState.BLOCKED
        assert "app/link.yaml" in record.reason
    assert "canary-7391" not in everything_kept(rig)
    assert rig.data("stolen") is None


async def test_an_object_two_applications_claim_is_refused_to_the_second(two: Rig) -> None:
    rig = two
    async with rig.controller() as system:
        await system.nudge()
        await system.answer("cyd")
        await system.quiet()
        rig.write("other/a.yaml", config_map("a", v="of the other"))
        rig.commit("a claim on somebody else's object")
        await system.nudge()
        record = await last_of(system, other(rig))
        assert record.state is ChangeState.BLOCKED, record
        assert rig.application in record.reason
        assert "other/a.yaml" in record.reason
    assert rig.data("a") == {"v": "1"}


SECRET = "hunter2-canary-5150"
BAD_SECRETS: dict[str, str] = {
    "no base64": f"data: {{password: '{SECRET}'}}",
    "a number": "data: {password: 51505150}",
    "an unknown field": f"stringDota: {{password: {SECRET}}}",
    "a list": f"stringData: {{password: [{SECRET}]}}",
}


@pytest.mark.parametrize("how", BAD_SECRETS)
async def test_a_secret_that_is_wrong_is_refused_without_its_value(
    two: Rig, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rig = two
    rig.write("app/s.yaml", secret(BAD_SECRETS[how]))
    rig.commit("a secret")
    async with rig.controller() as system:
        await system.nudge()
        record = await system.last()
        assert record.state is ChangeState.BLOCKED, record
        assert "app/s.yaml" in record.reason
        shown = await all_that_is_shown(system)
    hidden((SECRET, "51505150"), shown + everything_kept(rig) + "".join(capfd.readouterr()))


@pytest.mark.parametrize("renderer", ["plain", "kustomize"])
async def test_a_secret_that_is_delivered_shows_its_value_nowhere(
    two: Rig, renderer: str, capfd: pytest.CaptureFixture[str]
) -> None:
    rig = two
    if renderer == "kustomize":
        rig.write("app/kustomization.yaml", "resources: [a.yaml, s.yaml, leak.yaml]\n")
    changed = SECRET[::-1]
    rig.write("app/s.yaml", secret(f"stringData: {{password: {SECRET}}}"))
    # The same value where nothing says that it is one.
    rig.write("app/leak.yaml", config_map("leak", url=f"postgres://u:{SECRET}@db"))
    rig.commit("a secret")
    async with rig.controller() as system:
        await system.nudge()
        shown = await all_that_is_shown(system)
        await system.answer("cyd")
        await system.quiet()
        assert (await system.last()).state is ChangeState.HEALTHY
        rig.write("app/s.yaml", secret(f"stringData: {{password: {changed}}}"))
        rig.commit("another password")
        await system.nudge()
        plan = await system.plan()
        assert {c.object.kind for c in plan.changes if c.object} == {"Secret"}
        shown += await all_that_is_shown(system)
        await system.answer("cyd")
        await system.quiet()
        shown += await all_that_is_shown(system)
    live = rig.live("secret", "s")
    assert live is not None
    assert base64.b64decode(live["data"]["password"]).decode() == changed
    hidden((SECRET, changed), shown + everything_kept(rig) + "".join(capfd.readouterr()))


def secret(body: str) -> str:
    return textwrap.dedent(f"""\
        apiVersion: v1
        kind: Secret
        metadata: {{name: s}}
        {body}
        """)


def hidden(values: tuple[str, ...], text: str) -> None:
    for value in values:
        assert value not in text
        assert base64.b64encode(value.encode()).decode().rstrip("=") not in text


def everything_kept(rig: Rig) -> str:
    """Every byte below the state folder."""
    kept = [path for path in (rig.folder / "state").rglob("*") if path.is_file()]
    assert kept
    return "".join(path.read_bytes().decode("latin-1") for path in kept)


async def all_that_is_shown(system: System) -> str:
    """What status, why, deliveries and show would print of everything there is."""
    controller = system.controller
    answers = [
        await views.status(controller),
        await views.why(controller, system.lane.application),
        await views.deliveries(controller, "", "", 50, ""),
    ]
    for record in await system.changes():
        answers.append(await views.show(controller, record.change.id))
        if record.request:
            answers.append(await views.show(controller, record.request))
    return str(to_json(answers))


async def told(system: System) -> str:
    sentences = await views.why(system.controller, system.lane.application)
    assert sentences is not None
    return " ".join(sentences[str(system.lane)])


async def last_of(system: System, application: str) -> ChangeRecord:
    lane = LaneId(ApplicationName(application), TargetName(system.rig.cluster))
    found = await system.controller.ledger.read(lambda r: r.changes(open_only=False, lane=lane))
    return found[0]
