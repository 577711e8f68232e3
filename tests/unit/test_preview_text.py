"""How a preview reads at each forge. Golden files are rewritten with ``GITOPS_UPDATE_GOLDEN=1``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from gitops.model.delivery import LaneId
from gitops.model.finding import Finding, Severity
from gitops.model.ids import ApplicationName, ChangeId, SourceName, TargetName, combine
from gitops.model.manifest import ObjectId, Origin
from gitops.model.plan import ABSENT, Action, FieldChange, Plan, ResourceChange
from gitops.model.preview import Depth, LanePreview, Preview
from gitops.model.source import Revision
from gitops.ports.forges import CommitState
from gitops.preview_text import code, comment, dialect, marker, overall, report

GOLDEN = Path(__file__).parent.parent / "golden" / "previews"
BASE = Revision(SourceName("config"), "b" * 40, "main")
HEAD = "a" * 40
WEB = ObjectId("apps", "Deployment", "shop", "web")
HOSTILE = (
    "@everyone fixes #1 !2 [x](https://evil.example) ![i](https://evil.example/i.png) "
    "<img src=x onerror=alert(1)> </details> --> `` ``` ```` | \\| $`x`$ ~~~ \u202e :tada: &#64;ada"
)


def change(action: Action, name: str = "web", *fields: FieldChange, **more: Any) -> ResourceChange:
    id = ObjectId(WEB.group, WEB.kind, WEB.namespace, name)
    return ResourceChange(action, str(id), id, fields, combine(action, name), **more)


def plan(*changes: ResourceChange, app: str = "shop", at: str = "prod-eu", **more: Any) -> Plan:
    digest = combine("plan", *(each.digest for each in changes))
    name, target = ApplicationName(app), TargetName(at)
    return Plan(ChangeId(""), name, target, changes, digest, **more)


def lane(made: Plan | None = None, app: str = "shop", at: str = "", **more: Any) -> LanePreview:
    where = at or (made.target if made else "prod-eu")
    name = made.application if made else app
    return LanePreview(LaneId(ApplicationName(name), TargetName(where)), made, **more)


def preview(*lanes: LanePreview, **more: Any) -> Preview:
    return Preview(
        SourceName("config"), 7, HEAD, BASE, "Change it", "github:ada", lanes=lanes, **more
    )


IMAGE = FieldChange(
    "spec.template.spec.containers[name=web].image", "shop/web:1.4.1", "shop/web:1.4.2"
)
TEXT = FieldChange("data.['app.conf']", "a\nb\nc\nd\n", "a\nB\nc\nd\n")
WHOLE = FieldChange("", ABSENT, {"kind": "Deployment", "spec": {"replicas": 2}})
FULL = plan(
    change(Action.DELETE, "old", stateful=True),
    change(Action.UPDATE, "web", IMAGE, restarts=3, origin=Origin("apps/shop/web.yaml", 12)),
    change(Action.CREATE, "new", WHOLE, predicted=True),
    change(Action.REPLACE, "svc", TEXT, notes=("forces replacement: spec.selector",)),
    findings=(
        Finding("kube-schema", Severity.WARNING, "no limits", "set them", "apps/shop/web.yaml", 20),
        Finding("yaml-lint", Severity.INFO, "a long line", "", "apps/shop/web.yaml", 3),
    ),
    over_budget=("1 StatefulSet would be deleted",),
)
BLOCKED = plan(
    app="api",
    findings=(Finding("overlap", Severity.ERROR, "taken by web", "remove it", "api/a.yaml", 2, 1),),
)
NASTY = plan(
    change(Action.UPDATE, HOSTILE, FieldChange(HOSTILE, HOSTILE, f"x\n/close\n```\n{HOSTILE}")),
    app="sh`op|",
    at="<b>prod</b>",
    findings=(Finding("x`y", Severity.WARNING, HOSTILE, HOSTILE, f"{HOSTILE}.yaml", 1),),
)

STATES = {
    "full": preview(lane(FULL), lane(plan(at="prod-us")), untouched=12),
    "blocked": preview(lane(BLOCKED), lane(FULL)),
    "new-and-gone": preview(
        lane(plan(change(Action.CREATE, "x", WHOLE), app="fresh"), arrives=True),
        lane(plan(change(Action.DELETE, "x"), app="gone"), departs=True),
        refused=("apps/Bad_Name: no name of an application",),
    ),
    "troubles": preview(
        lane(app="shop", problem="cluster prod-eu does not answer"),
        lane(app="api", waits="host of db is known once its change is applied"),
        lane(plan(app="web"), note="a change of it is open already"),
    ),
    "nothing": preview(untouched=3),
    "conflict": preview(conflicts=("apps/a.yaml", "apps/b|`.yaml")),
    "failed": preview(problem="the repository does not answer (https://git.example)"),
    "fork": preview(lane(BLOCKED), fork=True, depth=Depth.LINT),
    "hostile": preview(lane(NASTY), conflicts=(), refused=(HOSTILE,)),
}


def text_of(shown: Preview, kind: str, **more: Any) -> str:
    spoken = dialect(kind)
    return comment(shown, spoken, marker("config 1234", spoken), **more).text


@pytest.mark.parametrize("kind", ["github", "bitbucket"])
@pytest.mark.parametrize("state", STATES)
def test_a_comment_reads_as_agreed(state: str, kind: str) -> None:
    golden = GOLDEN / f"{state}.{kind}.md"
    text = text_of(STATES[state], kind)
    if os.environ.get("GITOPS_UPDATE_GOLDEN") == "1":
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def outside_code(text: str) -> str:
    """What a forge reads as more than text: without fenced blocks, code spans and <code>."""
    kept, fence = [], ""
    for line in text.split("\n"):
        opened = re.match(r"(`{3,})", line)
        if fence:
            if re.fullmatch(rf"`{{{len(fence)},}}", line):
                fence = ""
        elif opened:
            fence = opened[1]
        else:
            kept.append(line)
    rest = "\n".join(kept)
    rest = re.sub(r"<code>[^<]*</code>", "", rest)
    return re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", rest)


@pytest.mark.parametrize("kind", ["github", "gitlab", "gitea", "bitbucket", "a-new-one"])
def test_whatever_strangers_write_is_code_and_nothing_else(kind: str) -> None:
    left = outside_code(text_of(STATES["hostile"], kind))
    for piece in (
        "@every",
        "#1",
        "!2",
        "evil",
        "<img",
        "alert",
        ":tada:",
        "/close",
        "\u202e",
        "&#",
    ):
        assert piece not in left, piece
    rows = [line for line in left.split("\n") if line.startswith("|")]
    assert {row.count("|") for row in rows} == {8}, "a table stays a table"
    if dialect(kind).folds:
        assert left.count("<details>") == left.count("</details>") == 1
    else:
        assert "<" not in left


@pytest.mark.parametrize(
    "text", ["`", "``", "a`", "`a", "a``b`", "\\", "a\nb", "|", "x" * 500, " "]
)
def test_a_code_span_cannot_be_left(text: str) -> None:
    shown = code(text)
    assert "\n" not in shown
    assert "|" not in shown
    assert outside_code(shown).strip() == ""


def large(lanes: int, objects: int) -> Preview:
    def one(number: int) -> LanePreview:
        fields = [FieldChange(f"data.k{n}", "old " * 20, "new " * 20) for n in range(objects)]
        small = [FieldChange("data.k", "1", "2")]
        app = f"app{number:03}"
        return lane(plan(change(Action.UPDATE, "x", *(small if number % 2 else fields)), app=app))

    return preview(*map(one, range(lanes)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["github", "bitbucket", "gitlab"])
@pytest.mark.parametrize(("lanes", "objects"), [(4, 2_000), (300, 30), (1, 20_000)])
def test_a_comment_fits_its_forge_and_the_longest_is_cut(
    kind: str, lanes: int, objects: int
) -> None:
    spoken = dialect(kind)
    made = comment(large(lanes, objects), spoken, marker("config 1", spoken))
    assert len(made.text.encode()) <= spoken.limit
    if len(made.whole) < lanes:
        assert "gitops preview show config 7" in made.text
        assert "more line" in made.text or "more plan" in made.text
    assert made.text.count("```") % 2 == 0, "no block is left open"


def test_a_plan_that_is_not_shown_whole_is_not_counted_as_shown() -> None:
    made = comment(large(4, 2_000), dialect("github"), "")
    assert {each.application for each in made.whole} == {"app001", "app003"}


def test_known_secrets_are_taken_out_wherever_they_turn_up() -> None:
    leak = plan(change(Action.UPDATE, "web", FieldChange("data.x", "a", "hunter22")))
    shown = preview(lane(leak), problem="")
    masked = comment(shown, dialect("github"), "", mask=lambda t: t.replace("hunter22", "***"))
    assert "hunter22" not in masked.text
    told = report(shown, ApplicationName("shop"), lambda t: t.replace("hunter22", "***"))
    assert "hunter22" not in told.summary


def test_a_report_has_remarks_at_file_and_line() -> None:
    told = report(STATES["blocked"], ApplicationName("api"))
    assert told.state is CommitState.FAILURE
    assert told.description == "api/a.yaml:2:1: taken by web"
    (remark,) = told.remarks
    assert (remark.path, remark.line, remark.severity) == ("api/a.yaml", 2, "failure")
    assert remark.message == "taken by web\nremove it"
    fine = report(STATES["full"], ApplicationName("shop"))
    assert (fine.state, len(fine.remarks)) == (CommitState.SUCCESS, 2)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("full", (CommitState.SUCCESS, "1 create, 1 update, 1 replacement, 1 delete in prod-eu")),
        ("blocked", (CommitState.FAILURE, "cannot be delivered: api")),
        ("troubles", (CommitState.FAILURE, "cannot be delivered: shop")),
        ("nothing", (CommitState.SUCCESS, "no application reads what it changes")),
        ("conflict", (CommitState.FAILURE, "cannot be merged: apps/a.yaml, apps/b|`.yaml")),
        ("failed", (CommitState.ERROR, "no preview: the repository does not answer")),
        ("fork", (CommitState.FAILURE, "cannot be delivered: api")),
    ],
)
def test_the_one_status_over_all_says_how_it_stands(
    state: str, expected: tuple[CommitState, str]
) -> None:
    told = overall(STATES[state])
    assert told.state is expected[0]
    assert told.description.startswith(expected[1])
