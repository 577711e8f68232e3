"""A card in every state a request can be in, for golden files and tests of posting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from gitops.gate import authors_of, confirmation_phrase, electorate
from gitops.model.approval import (
    Decision,
    Member,
    MemberState,
    Request,
    RequestState,
    Verdict,
    root_of,
)
from gitops.model.delivery import (
    Cause,
    Change,
    ChangeRecord,
    ChangeState,
    DeliveryRecord,
    LaneId,
)
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec, ApprovalPolicy, People, Person
from gitops.model.ids import (
    ApplicationName,
    DeliveryId,
    Digest,
    PersonName,
    RequestId,
    SourceName,
    TargetName,
    combine,
)
from gitops.model.manifest import ObjectId, Origin
from gitops.model.plan import ABSENT, Action, FieldChange, Plan, ResourceChange
from gitops.model.source import Authorship, Commit, Grade, Revision, Signature
from gitops.ports.office import Card, Row

AT = 1_790_000_000.0
ADA, BOB, CYD = (PersonName(name) for name in ("ada", "bob", "cyd"))
PEOPLE = People(
    persons={
        ADA: Person(ADA, emails=("ada@example.com",)),
        BOB: Person(BOB, emails=("bob@example.com",)),
        CYD: Person(CYD, emails=("cyd@example.com",)),
    }
)
REVISION = Revision(SourceName("config"), "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d", "main")
BY_ADA = Signature("Ada Lovelace", "ada@example.com")
COMMIT = Commit(REVISION.id, "web: raise replicas and take 1.4.2", BY_ADA, BY_ADA, time=AT)
AUTHORSHIP = Authorship((COMMIT,), (BY_ADA,), grade=Grade.SIGNED)
PAGE = "https://github.com/example/config/commit/"

WEB = ObjectId("apps", "Deployment", "shop", "web")
UPDATE = ResourceChange(
    Action.UPDATE,
    str(WEB),
    WEB,
    (
        FieldChange(
            "spec.template.spec.containers[name=web].image",
            "r.example/web:1.4.1",
            "r.example/web:1.4.2",
        ),
        FieldChange("spec.replicas", 3, 5, taken_from="kubectl-edit"),
    ),
    origin=Origin("shop/web.yaml", 3),
    restarts=12,
)
CONFIG = ResourceChange(
    Action.UPDATE,
    "ConfigMap shop/settings",
    ObjectId("", "ConfigMap", "shop", "settings"),
    (
        FieldChange("data['app.conf']", "a: 1\nb: 2\n", "a: 1\nb: 3\n"),
        FieldChange("data.level", ABSENT, "debug"),
    ),
)
CREATE = ResourceChange(Action.CREATE, "Service shop/web", ObjectId("", "Service", "shop", "web"))
DELETE = ResourceChange(
    Action.DELETE,
    "PersistentVolumeClaim shop/data",
    ObjectId("", "PersistentVolumeClaim", "shop", "data"),
    stateful=True,
)
BUCKET = ResourceChange(
    Action.REPLACE, "aws_s3_bucket.logs", notes=("forces replacement: bucket",), stateful=True
)
OUTPUT = ResourceChange(
    Action.UPDATE, "output.host", fields=(FieldChange("value", "a", "b"),), output=True
)
CHECKS = ("cidr-overlap", "kube-schema", "overlap", "yaml-lint")
WARNING = Finding(
    "yaml-lint", Severity.WARNING, "too many blanks", "remove them", "shop/web.yaml", 7, 12
)
WRONG = Finding(
    "kube-schema",
    Severity.ERROR,
    'no field "replcas" in spec',
    'did you mean "replicas"?',
    "shop/web.yaml",
    5,
    3,
)


def plan_of(change: Change, *changes: ResourceChange, **more: Any) -> Plan:
    given = {
        "checks": CHECKS,
        "findings": (WARNING,),
        "versions": (("chart shop", "2.1.0"), ("r.example/web", "1.4.2")),
        **more,
    }
    changes = given.pop("changes", changes)
    digest = combine("plan", change.id, *(each.address for each in changes))
    return Plan(
        change.id, change.lane.application, change.lane.target, changes, digest, 40, **given
    )


def row_of(
    state: ChangeState = ChangeState.ASKING,
    *changes: ResourceChange,
    application: str = "shop",
    target: str = "prod-eu",
    member: MemberState | None = None,
    reason: str = "",
    moved: str = "",
    yes: tuple[PersonName, ...] = (),
    policy: ApprovalPolicy = ApprovalPolicy(),  # noqa: B008 - frozen
    people: People = PEOPLE,
    seconds: float | None = None,
    cause: Cause = Cause.COMMIT,
    occasion: str = "",
    authorship: Authorship = AUTHORSHIP,
    planned: Mapping[str, Any] | None = None,
) -> Row:
    lane = LaneId(ApplicationName(application), TargetName(target))
    change = Change(
        lane, 3, combine("after", str(lane)), cause, REVISION, authorship, occasion or str(REVISION)
    )
    plan = plan_of(change, *(changes or (UPDATE, CONFIG, CREATE)), **(planned or {}))
    delivery = DeliveryId(f"d-{lane}") if seconds is not None else None
    record = ChangeRecord(
        change, state, AT, AT + 60, reason, plan.digest, Digest("5" * 64), REQUEST, delivery
    )
    carried = DeliveryRecord(
        DeliveryId(f"d-{lane}"), record, AT, AT + (seconds or 0), state, reason, tuple(yes)
    )
    kind = member or _MEMBER.get(state, MemberState.APPROVED)
    seal = combine("seal", change.id)
    asked = Member(change.id, seal, plan.digest, kind, AT + 86_400, moved, yes, reason)
    spec = ApplicationSpec(lane.application, SourceName("config"), "shop", approval=policy)
    authors = authors_of(authorship, people)
    return Row(
        asked,
        record,
        plan,
        spec,
        electorate(policy, authorship, people),
        (*sorted(authors.persons), *authors.strangers),
        carried if seconds is not None else None,
        PAGE,
    )


_MEMBER = {
    ChangeState.ASKING: MemberState.ASKING,
    ChangeState.DENIED: MemberState.DENIED,
    ChangeState.EXPIRED: MemberState.EXPIRED,
    ChangeState.SUPERSEDED: MemberState.LEFT,
    ChangeState.BLOCKED: MemberState.LEFT,
    ChangeState.OPEN: MemberState.LEFT,
    ChangeState.REPORTED: MemberState.LEFT,
}
REQUEST = RequestId("3f2a9c0d4e5b6a71")


def card_of(*rows: Row, title: str = "", verdicts: tuple[Verdict, ...] = (), **more: Any) -> Card:
    members = tuple(row.member for row in rows)
    asking = [row for row in rows if row.member.state is MemberState.ASKING]
    request = Request(
        more.pop("id", REQUEST),
        str(REVISION),
        title or f"{REVISION}: {COMMIT.subject}",
        root_of(members),
        RequestState.OPEN if asking else RequestState.CLOSED,
        members,
        AT,
        verdicts,
    )
    phrase = confirmation_phrase(row.plan for row in asking if row.plan)
    return Card(request, rows, phrase, **more)


def verdict(person: PersonName, decision: Decision = Decision.APPROVE, reason: str = "") -> Verdict:
    return Verdict(REQUEST, Digest("0" * 64), person, decision, reason, "slack", AT + 30, ())


TWO = ApprovalPolicy("careful", quorum=2)
BUDGET = {"over_budget": ("1 PersistentVolumeClaim would be deleted",)}
ROOT = {"checks": ("terraform", "terraform-fmt"), "findings": (), "versions": ()}


def _members(*states: ChangeState, **more: Any) -> tuple[Row, ...]:
    targets = ("prod-eu", "prod-us", "prod-ap")
    return tuple(
        row_of(state, target=target, seconds=_SECONDS.get(state), yes=(BOB,), **more)
        for state, target in zip(states, targets, strict=False)
    )


_SECONDS = {ChangeState.HEALTHY: 41.0, ChangeState.FAILED: 130.0, ChangeState.APPLYING: 0.0}
FAILED = "Deployment.apps shop/web is degraded: 2 of 5 pods crash: CrashLoopBackOff, exit code 1"

CASES: Mapping[str, Callable[[], Card]] = {
    "asking": lambda: card_of(row_of()),
    "asking-with-page": lambda: card_of(row_of(), url="https://gitops.example/requests/3f2a"),
    "asking-many": lambda: card_of(
        *(row_of(target=target) for target in ("prod-ap", "prod-eu", "prod-us"))
    ),
    "asking-different": lambda: card_of(
        row_of(),
        row_of(ChangeState.ASKING, CREATE, target="prod-us"),
        row_of(ChangeState.BLOCKED, application="api", reason="api/web.yaml:5:3: no field replcas"),
    ),
    "destructive": lambda: card_of(
        row_of(ChangeState.ASKING, DELETE, UPDATE, planned=BUDGET),
    ),
    "terraform-and-kubernetes": lambda: card_of(
        row_of(
            ChangeState.ASKING,
            BUCKET,
            OUTPUT,
            application="network",
            target="default",
            planned=ROOT,
        ),
        row_of(),
    ),
    "superseded": lambda: card_of(
        row_of(ChangeState.SUPERSEDED, reason="a newer commit took its place")
    ),
    "moved": lambda: card_of(
        row_of(moved="Deployment.apps shop/web changed; an earlier yes no longer counts: bob")
    ),
    "quorum": lambda: card_of(row_of(policy=TWO, yes=(BOB,)), verdicts=(verdict(BOB),)),
    "approved": lambda: card_of(
        row_of(ChangeState.ASKING, member=MemberState.APPROVED, yes=(BOB,)),
        verdicts=(verdict(BOB),),
    ),
    "applying": lambda: card_of(row_of(ChangeState.APPLYING, yes=(BOB,)), verdicts=(verdict(BOB),)),
    "applying-many": lambda: card_of(
        *_members(ChangeState.HEALTHY, ChangeState.APPLYING, ChangeState.APPLYING)
    ),
    "verifying": lambda: card_of(
        row_of(ChangeState.VERIFYING, yes=(BOB,), reason="3 objects applied")
    ),
    "healthy": lambda: card_of(
        row_of(ChangeState.HEALTHY, yes=(BOB,), seconds=41.4, reason="3 objects healthy"),
        verdicts=(verdict(BOB, reason="looks right"),),
    ),
    "healthy-many": lambda: card_of(*_members(*[ChangeState.HEALTHY] * 3)),
    "failed": lambda: card_of(row_of(ChangeState.FAILED, yes=(BOB,), seconds=300.0, reason=FAILED)),
    "failed-one-of-many": lambda: card_of(
        *_members(ChangeState.HEALTHY, ChangeState.FAILED, ChangeState.HEALTHY, reason="")
    ),
    "denied": lambda: card_of(
        row_of(ChangeState.DENIED, reason="denied by cyd: not before the freeze is over"),
        verdicts=(verdict(CYD, Decision.DENY, "not before the freeze is over"),),
    ),
    "expired": lambda: card_of(row_of(ChangeState.EXPIRED, reason="nobody answered in time")),
    "nobody-can-approve": lambda: card_of(
        row_of(people=People(persons={ADA: PEOPLE.persons[ADA]}))
    ),
    "replanning": lambda: card_of(row_of(ChangeState.OPEN, member=MemberState.LEFT)),
    "blocked": lambda: card_of(
        row_of(
            ChangeState.BLOCKED,
            reason='shop/web.yaml:5:3: no field "replcas" in spec',
            planned={"findings": (WRONG,), "versions": (), "changes": ()},
        ),
        id=RequestId(""),
    ),
    "drift": lambda: card_of(
        row_of(cause=Cause.DRIFT, authorship=Authorship()), title="drift of shop@prod-eu"
    ),
    "drift-reported": lambda: card_of(
        row_of(
            ChangeState.REPORTED,
            cause=Cause.DRIFT,
            authorship=Authorship(),
            reason="drift reported by policy: 2 to update",
        ),
        title="drift of shop@prod-eu",
        id=RequestId(""),
    ),
    "command": lambda: card_of(
        row_of(
            ChangeState.ASKING,
            ResourceChange(Action.UPDATE, "state lock 7b1c"),
            application="network",
            target="default",
            cause=Cause.COMMAND,
            occasion="unlock 7b1c",
            authorship=Authorship(people=(ADA,)),
            planned={**ROOT, "checks": ()},
        ),
        title="unlock 7b1c of network@default",
    ),
    "rollback": lambda: card_of(
        row_of(cause=Cause.ROLLBACK, authorship=Authorship(people=(ADA,))),
        title="rollback of shop@prod-eu to config@0f1e2d3c4b5a: broke checkout",
    ),
}


def huge() -> Card:
    """Ten thousand changes, lines of 200 kB, everywhere."""
    long = "x" * 200_000
    many = tuple(
        replace(
            UPDATE if number % 2 else DELETE,
            address=f"Deployment.apps shop/web-{number}",
            fields=(FieldChange("data.long", long[:500], "y"),),
            notes=(long[:1000],),
        )
        for number in range(10_000)
    )
    commits = tuple(replace(COMMIT, subject=long) for _ in range(50))
    worst = tuple(
        replace(WRONG, message=f"{number} {long}", severity=Severity.WARNING)
        for number in range(50)
    )
    planned = {
        "findings": worst,
        "over_budget": (long,),
        "versions": tuple((f"image-{n}", long[:300]) for n in range(200)),
        "checks": tuple(f"check-{n}-{long[:200]}" for n in range(80)),
    }
    row = row_of(
        ChangeState.ASKING,
        *many,
        moved=long,
        planned=planned,
        authorship=replace(AUTHORSHIP, commits=commits, signatures=(replace(BY_ADA, email=long),)),
    )
    others = [row_of(target=f"cluster-{n}", reason=long) for n in range(300)]
    return card_of(row, *others, title=long)
