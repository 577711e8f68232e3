"""What each answer of the API holds, for its description. Nothing is checked or converted by these
at run time: answers are written from the model's own values (:mod:`gitops.jsonable`), and a test
holds them to what is said here. Read by :mod:`gitops.web.description` alone.
"""

from typing import Any

from pydantic import BaseModel, Field

from gitops.engine.lanes import Trouble
from gitops.model.approval import Electorate, Member, Request, Verdict
from gitops.model.cluster import ClusterStatus
from gitops.model.delivery import ChangeRecord, DeliveryRecord, LaneId, LaneRecord, Pause, Progress
from gitops.model.events import StoredEvent
from gitops.model.health import Ailment, Health
from gitops.model.hooks import HookDelivery, HooksStatus
from gitops.model.ids import ChangeId, DeliveryId, PersonName
from gitops.model.manifest import ObjectId
from gitops.model.plan import Plan
from gitops.model.preview import Preview
from gitops.model.serving import Role
from gitops.model.source import Revision, SourceStatus
from gitops.model.terraform import Need
from gitops.model.trail import Stretch
from gitops.ports.inspecting import Happening
from gitops.ports.office import Standing
from gitops.ports.terraform import Place
from gitops.web.applications import RootState
from gitops.web.asked import Why
from gitops.web.fleet_routes import TargetCluster, WatchedSource
from gitops.web.steps import Step
from gitops.web.trail import TrailRow
from gitops.web.versions import Version


class Problem(BaseModel):
    """What went wrong, for people (RFC 9457)."""

    title: str
    status: int
    hint: str = ""
    """What to do next."""
    place: str = ""


class ClusterRow(BaseModel):
    name: str
    status: ClusterStatus


class LaneRow(BaseModel):
    record: LaneRecord
    current: ChangeRecord | None
    standing: Standing
    trouble: Trouble | None
    ailments: list[Ailment]


class Status(BaseModel):
    ready: bool
    sources: list[SourceStatus]
    webhooks: HooksStatus
    problems: list[str]
    clusters: list[ClusterRow]
    lanes: list[LaneRow]
    runs: list[Place]
    requests: list[Request]
    paused: list[Pause]
    no_longer_managed: list[LaneId]


class Requests(BaseModel):
    requests: list[Request]
    next: str = Field(description="`before` of the next page; empty at the end.")


class Deliveries(BaseModel):
    deliveries: list[DeliveryRecord]
    live: list[DeliveryId]
    next: str = Field(description="`before` of the next page; empty at the end.")


class MemberRow(BaseModel):
    member: Member
    change: ChangeRecord | None
    plan: Plan | None
    electorate: Electorate | None
    confirmation: str
    needs: dict[str, Need]


class ShownRequest(BaseModel):
    request: Request
    members: list[MemberRow]


class ShownDelivery(BaseModel):
    delivery: DeliveryRecord
    plan: Plan | None
    events: list[StoredEvent]


class ShownChange(BaseModel):
    change: ChangeRecord
    plan: Plan | None
    events: list[StoredEvent]


class OneChange(BaseModel):
    change: ChangeRecord
    delivery: DeliveryRecord | None
    plan: Plan | None
    request: Request | None
    steps: list[Step]
    progress: Progress | None
    trouble: Trouble | None
    together: list[ChangeRecord]
    events: list[StoredEvent]
    request_events: list[StoredEvent]
    broken: int | None


class AskedMember(BaseModel):
    change: ChangeRecord
    authors: list[str]
    electorate: Electorate | None


class MayAnswer(BaseModel):
    approve: list[ChangeId]
    deny: list[ChangeId]
    confirmation: str
    why_not: list[Why]


class OneRequest(BaseModel):
    request: Request
    url: str
    risk: str
    planned: int = Field(description="Of so many members, at most, `risk` tells.")
    members: list[AskedMember]
    may: MayAnswer


class Answered(BaseModel):
    verdict: Verdict


class Lanes(BaseModel):
    lanes: list[LaneId]


class RolledBack(BaseModel):
    changes: dict[str, ChangeId]
    skipped: dict[str, str]


class SourceList(BaseModel):
    sources: list[WatchedSource]


class ClusterList(BaseModel):
    clusters: list[TargetCluster]


class Paused(BaseModel):
    pause: Pause


class Resumed(BaseModel):
    resumed: str


class Nudged(BaseModel):
    source: SourceStatus


class TokenRow(BaseModel):
    id: str
    person: PersonName
    expires_at: float
    note: str
    created_at: float
    revoked_at: float | None
    revoked_by: str | None
    role: Role
    applications: list[str]


class Tokens(BaseModel):
    tokens: list[TokenRow]


class MadeToken(BaseModel):
    id: str
    token: str
    expires_at: float


class Revoked(BaseModel):
    revoked: str


class UserRow(BaseModel):
    person: PersonName
    since: float


class Users(BaseModel):
    users: list[UserRow]


class PasswordSet(BaseModel):
    person: PersonName
    ended: int


class PasswordRemoved(BaseModel):
    removed: PersonName
    ended: int


class SessionRow(BaseModel):
    person: PersonName | None
    subject: str
    way: str
    made: float
    seen: float


class Sessions(BaseModel):
    sessions: list[SessionRow]


class Ended(BaseModel):
    ended: int


class Webhooks(BaseModel):
    webhooks: HooksStatus


class HookDeliveries(BaseModel):
    deliveries: list[HookDelivery]


class Replayed(BaseModel):
    delivery: HookDelivery


class Sample(BaseModel):
    path: str
    listen: str
    url: str
    at: float
    source: str
    address: str
    ref: str
    headers: dict[str, str]
    body: str


class Previews(BaseModel):
    previews: list[Preview]


class OnePreview(BaseModel):
    preview: Preview | None
    under_way: bool


class Events(BaseModel):
    events: list[TrailRow]
    next: str = Field(description="`before` of the next page; empty at the end.")
    back_to: float | None = Field(description="How far it was looked, where there is more.")


class ApplicationRow(BaseModel):
    name: str
    source: str
    path: str
    project: str
    labels: dict[str, str]
    kind: str = Field(description="`kubernetes` or `terraform`")
    targets: list[Standing]


class ApplicationList(BaseModel):
    applications: list[ApplicationRow]
    next: str = Field(description="`before` of the next page; empty at the end.")


class PolicyRow(BaseModel):
    what: str
    how: str


class TargetRow(BaseModel):
    standing: Standing
    revision: Revision | None
    delivery: str = Field(description="Whose state is there now; empty where that is long ago.")
    change: str = Field(description="The open change; empty for none.")
    rolled_back: bool


class PastRow(BaseModel):
    delivery: DeliveryRecord
    title: str
    authors: list[str]
    live: bool
    may_return: bool


class OneApplication(BaseModel):
    application: ApplicationRow
    pause: Pause | None
    policy: list[PolicyRow]
    targets: list[TargetRow]
    versions: list[Version]
    deliveries: list[PastRow]
    next: str = Field(description="`before` of the deliveries after; empty at the end.")


class ObjectRow(BaseModel):
    key: str
    id: ObjectId
    health: Health
    reason: str
    sync: str = Field(description="Against what was delivered; empty for what the cluster made.")
    action: str = Field(description="What the open change does to it; empty for nothing.")
    containers: list[str]
    restarts: int
    ended: str
    made: list["ObjectRow"]


class Objects(BaseModel):
    target: str
    objects: list[ObjectRow]
    trouble: str = ""
    blind: list[str] = []
    root: RootState | None = None
    next: str = Field(description="`before` of the next page; empty at the end.")


class ObjectEvents(BaseModel):
    object: ObjectId
    events: list[Happening]
    more: bool


class ObjectLog(BaseModel):
    object: ObjectId
    container: str
    text: str
    cut: bool = Field(description="The lines were too long for all of them.")


_APPLICATION = "/applications/{application}"
ANSWERS: dict[tuple[str, str], Any] = {
    ("get", "/status"): Status,
    ("get", "/sources"): SourceList,
    ("get", "/clusters"): ClusterList,
    ("get", "/requests"): Requests,
    ("get", "/deliveries"): Deliveries,
    ("get", "/show/{id}"): ShownRequest | ShownDelivery | ShownChange,
    ("get", "/why/{application}"): dict[str, list[str]],
    ("get", "/changes/{id}"): OneChange,
    ("get", "/requests/{id}"): OneRequest,
    ("post", "/requests/{id}/answer"): Answered,
    ("get", "/applications"): ApplicationList,
    ("get", _APPLICATION): OneApplication,
    ("get", f"{_APPLICATION}/objects"): Objects,
    ("get", f"{_APPLICATION}/objects/{{key}}/events"): ObjectEvents,
    ("get", f"{_APPLICATION}/objects/{{key}}/log"): ObjectLog,
    ("post", f"{_APPLICATION}/again"): Lanes,
    ("post", f"{_APPLICATION}/retry"): Lanes,
    ("post", f"{_APPLICATION}/unlock"): Lanes,
    ("post", f"{_APPLICATION}/rollback"): RolledBack,
    ("post", f"{_APPLICATION}/pause"): Paused,
    ("post", f"{_APPLICATION}/resume"): Resumed,
    ("post", "/sources/{source}/nudge"): Nudged,
    ("get", "/tokens"): Tokens,
    ("post", "/tokens"): MadeToken,
    ("delete", "/tokens/{id}"): Revoked,
    ("get", "/users"): Users,
    ("post", "/users"): PasswordSet,
    ("delete", "/users/{person}"): PasswordRemoved,
    ("get", "/sessions"): Sessions,
    ("delete", "/sessions/{person}"): Ended,
    ("get", "/webhooks"): Webhooks,
    ("get", "/webhooks/deliveries"): HookDeliveries,
    ("post", "/webhooks/deliveries/{id}/replay"): Replayed,
    ("post", "/webhooks/{name}/sample"): Sample,
    ("get", "/events"): Events,
    ("get", "/audit/verify"): Stretch,
    ("get", "/previews"): Previews,
    ("get", "/previews/{source}/{number}"): OnePreview,
    ("post", "/previews/{source}/{number}"): OnePreview,
}
"""By method and path below ``/api/v1``. What is not here answers with an object of its own kind."""
