"""How values look to people. Golden files are rewritten with ``GITOPS_UPDATE_GOLDEN=1``."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from gitops.cli import output
from gitops.cli.settings import Settings
from gitops.jsonable import from_json, to_json
from gitops.model.approval import Decision, Member, MemberState, Request, RequestState, Verdict
from gitops.model.cluster import ClusterState, ClusterStatus
from gitops.model.delivery import (
    Cause,
    Change,
    ChangeRecord,
    ChangeState,
    Delivered,
    DeliveryRecord,
    LaneId,
)
from gitops.model.finding import Finding, Severity
from gitops.model.ids import (
    ApplicationName,
    ChangeId,
    DeliveryId,
    Digest,
    PersonName,
    RequestId,
    SourceName,
    TargetName,
)
from gitops.model.manifest import ObjectId, Origin
from gitops.model.plan import ABSENT, Action, FieldChange, Plan, ResourceChange
from gitops.model.source import Authorship, Revision, Signature, SourceState, SourceStatus
from gitops.model.terraform import Need
from gitops.ports.office import Standing

GOLDEN = Path(__file__).parent.parent / "golden" / "cli"
AT = 1_790_000_000.0
SHOP, PROD = ApplicationName("shop"), TargetName("prod")
LANE = LaneId(SHOP, PROD)
REVISION = Revision(SourceName("repo"), "1a2b3c4d5e6f7a8b", "main")

WEB = ResourceChange(
    Action.UPDATE,
    "Deployment.apps shop/web",
    object=ObjectId("apps", "Deployment", "shop", "web"),
    fields=(
        FieldChange("spec.replicas", 2, 3, taken_from="kubectl-edit"),
        FieldChange("spec.template.spec.containers[name=web].image", "web:1", "web:2"),
        FieldChange("metadata.labels.old", "yes", ABSENT),
        FieldChange("metadata.labels.empty", ABSENT, ""),
        FieldChange("spec.paused", None, True),
        FieldChange("spec.strategy", ABSENT, {"type": "Recreate"}),
        FieldChange("metadata.annotations.long", "a" * 200, "b" * 200),
    ),
    notes=("adopts an existing object",),
    origin=Origin("apps/shop/web.yaml", 1),
    restarts=2,
)
CONFIG = ResourceChange(
    Action.UPDATE,
    "ConfigMap shop/settings",
    fields=(
        FieldChange(
            "data['app.conf']",
            "".join(f"line {i}\n" for i in range(9)),
            "".join(f"line {i}\n" if i != 4 else "line four\n" for i in range(9)),
        ),
    ),
    origin=Origin("apps/shop/settings.yaml", 3, 1),
)
HOSTILE = ResourceChange(
    Action.CREATE,
    "ConfigMap shop/\x1b[2Jevil",
    fields=(FieldChange("data.[bold]x[/]", ABSENT, "\x1b]0;own\x07a\u202eb\x00[red]c"),),
    predicted=True,
)
PLAN = Plan(
    ChangeId("c" * 64),
    SHOP,
    PROD,
    (
        WEB,
        CONFIG,
        HOSTILE,
        ResourceChange(Action.DELETE, "PersistentVolumeClaim shop/data", stateful=True),
        ResourceChange(
            Action.REPLACE, "Job.batch shop/migrate", notes=("forces replacement: spec.selector",)
        ),
    ),
    Digest("d" * 64),
    unchanged=14,
    findings=(
        Finding("yaml-lint", Severity.WARNING, "too many blanks", "remove them", "a.yaml", 3, 7),
        Finding("kube-schema", Severity.ERROR, "spec.x is unknown", "did you mean 'y'?", "b.yaml"),
    ),
    over_budget=("1 PersistentVolumeClaim would be deleted",),
    versions=(("chart web", "1.2.3"), ("image web", "web:2")),
    checks=("cidr-overlap", "kube-schema", "yaml-lint"),
)
EMPTY = Plan(ChangeId("c" * 64), SHOP, PROD, (), Digest("d" * 64), unchanged=14)

SITE = replace(EMPTY, application=ApplicationName("site"), digest=Digest("e" * 64))

CHANGE = Change(LANE, 4, Digest("a" * 64), Cause.COMMIT, REVISION)
OTHER = replace(CHANGE, lane=LaneId(SHOP, TargetName("staging")))
MEMBERS = (
    Member(CHANGE.id, Digest("e" * 64), PLAN.digest, expires_at=AT + 3600, moved="web: replicas"),
    Member(OTHER.id, Digest("e" * 64), PLAN.digest, MemberState.APPROVED),
)
REQUEST = Request(
    RequestId("r" * 64),
    "repo@1a2b",
    "repo@1a2b3c4d5e6f: raise\nreplicas",
    Digest("f" * 64),
    RequestState.OPEN,
    MEMBERS,
    AT,
    (
        Verdict(
            RequestId("r" * 64),
            Digest("f" * 64),
            PersonName("ada"),
            Decision.APPROVE,
            "looks right",
            "cli",
            AT + 60,
            ((OTHER.id, MEMBERS[1].seal),),
        ),
    ),
)
WRITTEN = replace(CHANGE, authorship=Authorship(signatures=(Signature("Cyd", "cyd@x.org"),)))
RECORD = ChangeRecord(CHANGE, ChangeState.HEALTHY, AT, AT + 9)
DELIVERIES = (
    DeliveryRecord(
        DeliveryId("0" * 16),
        replace(RECORD, change=WRITTEN),
        AT,
        AT + 8.25,
        ChangeState.HEALTHY,
        "3 objects are healthy",
        ("ada", "bob"),
        (("chart", "1.4.2"), ("web", "2")),
    ),
    DeliveryRecord(
        DeliveryId("1" * 16),
        RECORD,
        AT,
        None,
        ChangeState.FAILED,
        "0 of 2 replicas are available",
        ("policy: staging",),
    ),
)
SOURCES = (
    SourceStatus(SourceName("repo"), SourceState.READY, REVISION, "", AT, AT),
    SourceStatus(SourceName("gone"), SourceState.GONE, None, "branch 'x' is not there", AT),
)
CLUSTERS = {
    PROD: ClusterStatus(ClusterState.READY),
    TargetName("far"): ClusterStatus(ClusterState.UNREACHABLE, "no answer for 5 s", AT),
}
THERE = Delivered(Digest("a" * 64), REVISION, Digest("b" * 64), AT)
WHY = "denied by ada: not before the freeze"
LANES = (
    (Standing(LANE, "asking", "1a2b3c4d5e6f", AT, "1 of 2", change=CHANGE.id), THERE),
    (Standing(LaneId(ApplicationName("web"), PROD), "new", "", None), None),
    (Standing(LaneId(ApplicationName("old"), PROD), "held", "", None, WHY), None),
)


def plain() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, markup=False, highlight=False, emoji=False, soft_wrap=True), out


CASES: dict[str, Callable[[Console], None]] = {
    "plan": lambda c: output.show_plan(PLAN, c),
    "plan-empty": lambda c: output.show_plan(EMPTY, c),
    "findings": lambda c: output.show_findings(PLAN.findings, c),
    "request": lambda c: output.show_request(REQUEST, {CHANGE.id: PLAN, OTHER.id: PLAN}, c),
    "request-with-outputs": lambda c: output.show_request(
        REQUEST,
        {CHANGE.id: SITE, OTHER.id: EMPTY},
        c,
        needs={CHANGE.id: {}, OTHER.id: {"host": Need("site", "host")}},
    ),
    "deliveries": lambda c: output.show_deliveries(DELIVERIES, c, live=[DELIVERIES[0].id]),
    "deliveries-none": lambda c: output.show_deliveries((), c),
    "status": lambda c: output.show_status(SOURCES, CLUSTERS, LANES, c),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_it_looks_as_agreed(case: str) -> None:
    console, out = plain()
    CASES[case](console)
    golden = GOLDEN / f"{case}.txt"
    if os.environ.get("GITOPS_UPDATE_GOLDEN") == "1":
        golden.write_text(out.getvalue(), encoding="utf-8")
    assert out.getvalue() == golden.read_text(encoding="utf-8")


def test_outputs_are_told_apart_from_what_is_made_and_come_last() -> None:
    told = ResourceChange(Action.UPDATE, "output.host", output=True)
    made = ResourceChange(Action.CREATE, "terraform_data.site")
    plan = replace(EMPTY, changes=(told, replace(told, address="output.size"), made))
    assert plan.risk == "1 to create; 2 outputs change"
    assert replace(plan, changes=(told,)).risk == "1 output changes"
    console, out = plain()
    output.show_plan(plan, console)
    shown = out.getvalue()
    assert shown.startswith("shop on prod: 1 to create; 14 unchanged; 2 outputs change\n")
    assert shown.index("terraform_data.site") < shown.index("output.host")


def test_nothing_foreign_reaches_a_terminal_as_anything_but_text() -> None:
    out = io.StringIO()
    settings = Settings(Path("x"))
    console = output.make_console(settings)
    console.file = out
    output.show_plan(PLAN, console)
    shown = out.getvalue()
    assert not any(c in shown for c in ("\x1b", "\x07", "\x00", "\u202e"))
    assert "[red]c" in shown


def test_colour_is_used_only_where_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    for color in (True, False):
        out = io.StringIO()
        console = output.make_console(Settings(Path("x"), color=color))
        console.file = out
        output.show_plan(PLAN, console)
        assert ("\x1b[" in out.getvalue()) is color


@pytest.mark.parametrize(
    "value",
    [PLAN, EMPTY, REQUEST, CHANGE, THERE, LANES[0][0], *DELIVERIES, *SOURCES],
    ids=lambda value: type(value).__name__,
)
def test_values_survive_json(value: object) -> None:
    assert from_json(type(value), to_json(value)) == value


def test_an_absent_field_has_no_key_and_null_has_one() -> None:
    told = to_json(FieldChange("a", ABSENT, None))
    assert told == {"path": "a", "after": None, "taken_from": ""}


def test_what_a_value_keeps_for_itself_is_told_nobody() -> None:
    told = to_json(ObjectId("apps", "Deployment", "shop", "api"))
    assert isinstance(told, dict)
    assert set(told) == {"group", "kind", "namespace", "name"}


def test_bytes_have_no_place_in_json() -> None:
    with pytest.raises(TypeError, match="bytes"):
        to_json({"a": b"x"})


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"path": 1}, "path: str expected, int found"),
        ([], "dict expected, list found"),
        ({"path": "a", "taken_from": True}, "taken_from: str expected, bool found"),
    ],
)
def test_json_that_does_not_fit_is_refused_by_field(value: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_json(FieldChange, value)
