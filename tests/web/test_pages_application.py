"""The page of one application and the API beside it: what is there, what of it may be done by whom,
and what of a container's words is shown."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import httpx
import pytest

from gitops.engine.onlookers import FORGOTTEN
from gitops.engine.targets.cluster import ClusterMemory
from gitops.errors import ClusterRefused, GitopsError
from gitops.kube.dependents import PODS, REPLICA_SETS, Dependents, _pod, _set, _Yard
from gitops.kube.follower import Follower, Scope
from gitops.kube.held import hold
from gitops.kube.inspector import Inspector
from gitops.kube.memory import Memory
from gitops.kube.transport import Call, Reply, Transport
from gitops.model.cluster import (
    OWNER_LABEL,
    ClusterState,
    ClusterStatus,
    LiveEvent,
    LiveEventKind,
    LiveObject,
    Resource,
)
from gitops.model.delivery import AppliedObject
from gitops.model.ids import ApplicationName, Digest, TargetName
from gitops.model.manifest import ObjectId
from gitops.model.serving import ApiSpec, Role, RoleRule, SignInSpec
from gitops.ports import Cluster
from gitops.store import SqlStore
from gitops.web.objects import key_of
from tests.contract.store_story import Story, change_of, lane
from tests.web.test_web_sessions import ADA, HERE, PUBLIC, Service, service

__all__ = ["service"]

PAGE = "/applications/shop"
HTML = {"accept": "text/html"}
PASSWORD = "hunter2-of-the-shop"
KINDS = {
    "Deployment": Resource("apps", "v1", "Deployment", "deployments", namespaced=True),
    "ConfigMap": Resource("", "v1", "ConfigMap", "configmaps", namespaced=True),
    "Secret": Resource("", "v1", "Secret", "secrets", namespaced=True),
    "CronJob": Resource("batch", "v1", "CronJob", "cronjobs", namespaced=True),
}


@dataclass
class Silent:
    """Stands in for a follower: the test says what the server tells."""

    trouble: GitopsError | None = None

    def start(self) -> None: ...

    async def close(self) -> None: ...


@dataclass
class Wire:
    """Stands in for the transport: answers by path, and remembers what was asked."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[Call] = field(default_factory=list)

    async def send(self, call: Call) -> Reply:
        self.asked.append(call)
        await asyncio.sleep(0)
        for end, answer in self.answers.items():
            if call.path.endswith(end):
                if isinstance(answer, Exception):
                    raise answer
                body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                return Reply(200, body)
        return Reply(200, b'{"items": []}')


class Shop:
    """A cluster's memory without the cluster, in front of the real inspector."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.live = Memory()
        self.live.follow = self._follow_kinds  # type: ignore[attr-defined]
        self.wire = Wire()
        self.inspector = Inspector(cast(Transport, self.wire), service.clock)
        self.followers: list[Silent] = []
        self.yards: dict[str, _Yard] = {}
        self.pods = Dependents(service.clock, self._follow)
        self.pods.attend(["shop"])
        self.memory = ClusterMemory(applied={}, followed=True)
        self.revision = 0
        clusters: Any = service.controller.clusters
        clusters._connected[TargetName("prod")] = cast(Cluster, self)
        clusters._memories[lane()] = self.memory

    def _follow(self, resource: Resource, yard: _Yard, scope: Scope) -> Follower:
        self.yards[scope.namespace] = yard
        self.followers.append(Silent())
        return cast(Follower, self.followers[-1])

    async def _follow_kinds(self, kinds: Sequence[Resource]) -> None: ...

    async def resource(self, group: str, kind: str, version: str = "") -> Resource:
        return KINDS[kind]

    def status(self) -> ClusterStatus:
        return ClusterStatus(ClusterState.READY)

    async def close(self) -> None: ...

    # --- what the cluster says ----------------------------------------------------------------

    def put(self, kind: str, name: str, /, **body: Any) -> LiveObject:
        self.revision += 1
        labels = {OWNER_LABEL: "shop"}
        metadata = {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{kind}-{name}",
            "resourceVersion": str(self.revision),
            "labels": labels,
        }
        held = hold(KINDS[kind], {"metadata": metadata, **body})
        self.live.put(held)
        return held

    def deployment(self, name: str, ready: int = 2) -> LiveObject:
        status = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": ready}
        return self.put("Deployment", name, spec={"replicas": 2}, status=status)

    def replica_set(self, name: str, owner: LiveObject, revision: int) -> str:
        self.revision += 1
        body = {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "uid": f"uid-{name}",
                "resourceVersion": str(self.revision),
                "annotations": {"deployment.kubernetes.io/revision": str(revision)},
                "ownerReferences": [{"uid": owner.uid, "controller": True}],
            }
        }
        self.yards["shop"].put(_set(REPLICA_SETS, body))
        return f"uid-{name}"

    def pod(self, name: str, owner: str, **state: Any) -> str:
        """Well, unless ``state`` of its one container says otherwise; gives its key."""
        self.revision += 1
        container = {"name": "web", "ready": not state, "restartCount": 5 if state else 0, **state}
        body = {
            "metadata": {
                "name": name,
                "namespace": "shop",
                "uid": f"uid-{name}",
                "resourceVersion": str(self.revision),
                "ownerReferences": [{"uid": owner, "controller": True}],
            },
            "spec": {"containers": [{"name": "web"}]},
            "status": {"phase": "Running", "containerStatuses": [container]},
        }
        self.yards["shop"].put(_pod(PODS, body))
        return key_of(ObjectId("", "Pod", "shop", name))

    async def delivered(self, *things: LiveObject | ObjectId) -> None:
        """Everything of these was applied as it is."""
        ids = [thing if isinstance(thing, ObjectId) else thing.id for thing in things]
        seen = AppliedObject(Digest("d"), Digest("p"), "u")
        cast(dict[ObjectId, AppliedObject], self.memory.applied).update(dict.fromkeys(ids, seen))
        await self.service.controller.ledger.write(
            lambda tx: tx.record_applied(lane(), dict.fromkeys(ids, seen))
        )


CRASHING = {
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
}


@pytest.fixture
async def shop(service: Service) -> AsyncIterator[Shop]:
    made = Shop(service)
    yield made
    await made.inspector.close()


@pytest.fixture
async def ada(service: Service) -> Mapping[str, str]:
    """Headers of a browser of hers."""
    cookie = await service.sessions.begin(ADA, "local")
    return {**HTML, "cookie": f"gitops={cookie}", "origin": HERE}


async def deliver(service: Service, wish: str, generation: int = 0, target: str = "prod") -> Story:
    """One change carried to its target; returns its story."""

    class Book:
        async def write(self, work: Callable[[Any], Any], epoch: object) -> Any:
            return await service.controller.ledger.write(work)

        async def read(self, query: Callable[[Any], Any]) -> Any:
            return await service.controller.ledger.read(query)

    change = change_of(lane(target=target), generation, wish)
    story = Story(cast(SqlStore, Book()), cast(Any, None), change)
    story.plan = replace(story.plan, versions=(("web", wish),))
    await story.approve()
    await story.say(story.claimed())
    service.clock.time += 5
    await story.say(story.finished(), story.closed())
    return story


async def get(service: Service, path: str, headers: Mapping[str, str]) -> httpx.Response:
    return await service.client.get(path, headers=dict(headers))


def content(page: str) -> str:
    """What is between the frame."""
    return page.split("<main", 1)[1].split("</main>", 1)[0]


async def test_what_the_cluster_made_stands_beneath_what_was_delivered_and_costs_no_request(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    web, quiet = shop.deployment("web", ready=1), shop.put("ConfigMap", "settings")
    await shop.delivered(web, quiet)
    new = shop.replica_set("web-new", web, 2)
    shop.replica_set("web-old", web, 1)
    shop.pod("web-new-a", new)
    shop.pod("web-new-b", new, **CRASHING)
    answer = await get(service, PAGE, ada)
    assert answer.status_code == 200
    text = answer.text
    for words in ("web-new", "1 of 2 pods are well", "OOMKilled", "exit code 137", "5 restarts"):
        assert words in text, words
    assert "1 earlier ReplicaSet" in text
    assert "web-old" not in text
    assert text.index("web-new-b") < text.index("web-new-a"), "what is ill comes first"
    assert text.index("web-new-a") < text.index("settings")
    assert shop.wire.asked == []


async def test_each_object_says_how_it_is_against_what_was_delivered(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    same, other = shop.put("ConfigMap", "same"), shop.put("ConfigMap", "other")
    stray = shop.put("ConfigMap", "stray")
    gone = ObjectId("", "ConfigMap", "shop", "gone")
    await shop.delivered(same, other, gone)
    shop.memory.drifted[other.id] = "differs"
    answer = await get(service, "/api/v1/applications/shop/objects", ada)
    rows = {row["id"]["name"]: row["sync"] for row in answer.json()["objects"]}
    assert rows == {
        "same": "in sync",
        "other": "drifted",
        "gone": "missing",
        stray.id.name: "not wanted any more",
    }
    page = (await get(service, f"{PAGE}?state=attention", ada)).text
    assert "gone" in page
    assert "<b>same</b>" not in page


async def test_a_page_hears_of_movement_while_somebody_looks_and_once_for_much_of_it(
    service: Service, shop: Shop, ada: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.engine.onlookers.GATHERS", 0.01)
    vigil = service.controller.vigil
    vigil.awake = True
    web = shop.deployment("web")

    async def moves() -> None:
        for _ in range(5):
            vigil.heard(lane(), cast(Cluster, shop), LiveEvent(LiveEventKind.CHANGED, web))
            await vigil.look()
        await asyncio.sleep(0.05)

    rung: list[str] = []
    monkeypatch.setattr(service.controller.ledger.bell, "ring", rung.extend)
    await moves()
    assert rung == [], "nobody looks"
    page = (await get(service, PAGE, ada)).text
    assert "objects:shop" in page.split('data-topics="')[1].split('"')[0].split()
    await moves()
    assert rung == ["objects:shop"]
    service.clock.time += FORGOTTEN + 1
    await moves()
    assert rung == ["objects:shop"]


async def test_thousands_of_objects_are_counted_and_the_page_stays_small(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    name = "a-name-as-long-as-a-generated-one-gets-in-a-large-fleet"
    things = [shop.put("ConfigMap", f"{name}-{n}") for n in range(1_600)]
    for n in range(400):
        web = shop.deployment(f"{name}-{n}", ready=2 if n % 2 else 1)
        pods = shop.replica_set(f"{name}-{n}-made", web, 1)
        for each in ("first", "second"):
            shop.pod(f"{name}-{n}-{each}", pods, **({} if n % 2 else CRASHING))
        things.append(web)
    await shop.delivered(*things)
    answer = await get(service, PAGE, ada)
    assert len(answer.content) <= 100 << 10
    assert "400 Deployment.apps" in answer.text
    assert "1600 ConfigMap" in answer.text
    assert "of 2000 are shown" in answer.text
    found = await get(service, f"{PAGE}?q={name}-399", ada)
    assert f"{name}-399-first" in found.text
    assert f"<b>{name}-398</b>" not in found.text
    seen: list[str] = []
    before = ""
    while before or not seen:
        path = f"/api/v1/applications/shop/objects?limit=500&before={before}"
        part = (await get(service, path, ada)).json()
        seen += [row["key"] for row in part["objects"]]
        before = part["next"]
    assert len(seen) == len(set(seen)) == 2_000


async def test_what_objects_say_is_text_and_nothing_else(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> \u202e {{7*7}}"
    web = shop.deployment("web", ready=0)
    await shop.delivered(web)
    waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": evil}}
    key = shop.pod("web-a", web.uid, state=waiting)
    event = {"type": "Warning", "reason": evil, "message": evil, "count": 3}
    shop.wire.answers = {"/events": {"items": [event]}, "/log": evil.encode()}
    for path in (PAGE, f"{PAGE}/object?id={key}", f"{PAGE}?q={evil}&kind={evil}&target=prod"):
        answer = await get(service, path, ada)
        assert answer.status_code == 200, path
        assert "<script>alert" not in answer.text
        assert "<img src=x" not in answer.text
        assert "\u202e" not in answer.text
        assert "{{7*7}}" in answer.text


async def test_a_log_shows_no_value_of_a_secret_we_deliver(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    encoded = base64.b64encode(PASSWORD.encode()).decode()
    secret = shop.put("Secret", "db", data={"password": encoded})
    web = shop.deployment("web")
    await shop.delivered(web, secret)
    key = shop.pod("web-a", web.uid)
    hidden = f"{PASSWORD[:9]}\x1b[31m{PASSWORD[9:]}"
    shop.wire.answers["/log"] = f"with {PASSWORD}\nor {hidden}\nor {encoded}\nend".encode()
    told = f"failed to sign in with {PASSWORD}"
    shop.wire.answers["/events"] = {"items": [{"message": told}]}
    at = f"/api/v1/applications/shop/objects/{key}"
    for path in (f"{PAGE}/object?id={key}", f"{at}/log", f"{at}/events"):
        answer = await get(service, path, ada)
        assert answer.status_code == 200, answer.text
        assert "hunter2" not in answer.text, path
        assert encoded not in answer.text
        assert "hidden" in answer.text
    page = (await get(service, PAGE, ada)).text
    assert encoded not in page


async def test_the_end_of_a_log_that_was_cut_may_be_half_a_secret_and_is_left_out(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    web = shop.deployment("web")
    await shop.delivered(web)
    key = shop.pod("web-a", web.uid)
    shop.wire.answers["/log"] = b"x" * (47 << 10) + b"\n" + b"hunter2" * 1_000
    answer = await get(service, f"/api/v1/applications/shop/objects/{key}/log", ada)
    assert answer.json()["cut"] is True
    assert "hunter2" not in answer.text
    (asked,) = shop.wire.asked
    assert dict(asked.query) == {"container": "web", "tailLines": "100", "limitBytes": "49152"}


async def test_of_what_crashes_the_log_before_the_last_restart_is_read(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    web = shop.deployment("web", ready=0)
    await shop.delivered(web)
    key = shop.pod("web-a", web.uid, **CRASHING)
    shop.wire.answers["/log"] = b"cannot reach the database"
    page = await get(service, f"{PAGE}/object?id={key}", ada)
    assert "cannot reach the database" in page.text
    assert "before its last restart" in page.text
    asked = [dict(call.query) for call in shop.wire.asked if call.path.endswith("/log")]
    assert [query.get("previous") for query in asked] == ["true"]
    await get(service, f"{PAGE}/object?id={key}&previous=false&container=web", ada)
    asked = [dict(call.query) for call in shop.wire.asked if call.path.endswith("/log")]
    assert [query.get("previous") for query in asked] == ["true", None]


async def test_a_right_that_is_missing_is_named_with_the_rule_that_gives_it(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    web = shop.deployment("web")
    await shop.delivered(web)
    key = shop.pod("web-a", web.uid)
    said = 'User "x" cannot {} resource "{}" in API group "" in the namespace "shop"'
    for end, verb, resource in (("/events", "list", "events"), ("/log", "get", "pods/log")):
        shop.wire.answers[end] = ClusterRefused(said.format(verb, resource), code=403)
    page = (await get(service, f"{PAGE}/object?id={key}", ada)).text
    for rule in ("resources: [events], verbs: [list]", "resources: [pods/log], verbs: [get]"):
        assert rule in page
    answer = await get(service, f"/api/v1/applications/shop/objects/{key}/log", ada)
    assert answer.status_code == 400
    assert "resources: [pods/log], verbs: [get]" in answer.json()["hint"]
    shop.followers[0].trouble = ClusterRefused(said.format("list", "pods"), code=403)
    page = (await get(service, PAGE, ada)).text
    assert "resources: [pods], verbs: [list, watch]" in page


async def test_readers_who_reload_ask_the_cluster_once(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    web = shop.deployment("web")
    await shop.delivered(web)
    path = f"{PAGE}/object?id={shop.pod('web-a', web.uid)}"
    answers = await asyncio.gather(*(get(service, path, ada) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(shop.wire.asked) == 2, "its events, its log"
    service.clock.time += 3
    await get(service, path, ada)
    assert len(shop.wire.asked) == 4


async def test_the_jobs_of_a_cron_job_and_their_logs_are_found_through_it(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    cron = shop.put("CronJob", "report")
    await shop.delivered(cron)
    job = _object("report-1", "j1", cron.uid)
    stranger = _object("other", "j2", "somebody")
    pod = _object("report-1-x", "p1", "j1")
    pod |= {"spec": {"containers": [{"name": "report"}]}, "status": {"phase": "Failed"}}
    shop.wire.answers = {"/jobs": {"items": [job, stranger]}, "/pods": {"items": [pod]}}
    shop.wire.answers["/log"] = b"no such table"
    page = (await get(service, f"{PAGE}/object?id={key_of(cron.id)}", ada)).text
    assert "report-1-x" in page
    assert "other" not in content(page)
    under = f"{key_of(ObjectId('', 'Pod', 'shop', 'report-1-x'))}&under={key_of(cron.id)}"
    assert "no such table" in (await get(service, f"{PAGE}/object?id={under}", ada)).text


def _object(name: str, uid: str, owner: str) -> dict[str, Any]:
    owners = [{"uid": owner, "controller": True}]
    metadata = {"name": name, "namespace": "shop", "uid": uid, "ownerReferences": owners}
    return {"metadata": metadata}


async def test_anonymous_readers_see_how_it_stands_and_no_container_s_words(
    service: Service, shop: Shop
) -> None:
    service.set(
        ApiSpec(listen="127.0.0.1:8080", url=PUBLIC, sign_in=SignInSpec(local=True, anonymous=True))
    )
    web = shop.deployment("web")
    await shop.delivered(web)
    key = shop.pod("web-a", web.uid)
    page = await get(service, PAGE, HTML)
    assert page.status_code == 200
    assert "<form method" not in content(page.text)
    assert (await get(service, f"{PAGE}/object?id={key}", HTML)).status_code == 303
    at = f"/api/v1/applications/shop/objects/{key}"
    for path in (f"{at}/log", f"{at}/events"):
        assert (await get(service, path, {})).status_code == 401
    assert shop.wire.asked == []


async def test_what_is_not_there_is_said(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    nothing = "0" * 16
    for path in (
        "/applications/nothing",
        f"{PAGE}?target=mars",
        f"{PAGE}/object?id={nothing}",
        f"/api/v1/applications/shop/objects/{nothing}/log",
        "/api/v1/applications/nothing",
        "/api/v1/applications/nothing/objects",
    ):
        answer = await get(service, path, ada)
        assert answer.status_code == 404, path
    assert (await get(service, f"{PAGE}/object?id=x", ada)).status_code == 422
    web = shop.deployment("web")
    await shop.delivered(web)
    key = shop.pod("web-a", web.uid)
    answer = await get(service, f"/api/v1/applications/shop/objects/{key}/log?container=db", ada)
    assert answer.status_code == 404
    assert "web" in answer.json()["hint"]


# --- acting -------------------------------------------------------------------------------------


async def post(
    service: Service, act: str, headers: Mapping[str, str], **fields: str
) -> httpx.Response:
    csrf = await service.csrf(headers["cookie"].partition("=")[2])
    return await service.client.post(
        f"{PAGE}/{act}", data={"csrf": csrf, **fields}, headers=dict(headers)
    )


async def test_an_operator_pauses_and_resumes_and_a_refusal_keeps_what_was_typed(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    page = (await get(service, PAGE, ada)).text
    assert f'action="{PAGE}/pause"' in page
    refused = await post(service, "pause", ada, seconds="14400", reason="  ", target="prod")
    assert refused.status_code == 403
    assert '<option value="14400" selected>' in refused.text
    assert 'role="alert"' in refused.text
    answer = await post(
        service, "pause", ada, seconds="14400", reason="the <b>freeze", target="prod"
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{PAGE}?target=prod&done=pause"
    page = (await get(service, answer.headers["location"], ada)).text
    assert "the &lt;b&gt;freeze" in page
    assert "It is paused: nothing of it" in page
    assert f'action="{PAGE}/resume"' in page
    assert (await post(service, "resume", ada)).status_code == 303
    assert service.controller.pauses.of(ApplicationName("shop")) is None
    for act, fields in (("pause", {"seconds": "1", "reason": "x"}), ("rollback", {})):
        assert (await post(service, act, ada, **fields)).status_code == 400
    assert (await post(service, "delete", ada)).status_code == 404


async def test_whoever_is_no_operator_of_it_acts_on_nothing(
    service: Service, shop: Shop, ada: Mapping[str, str]
) -> None:
    roles = (
        RoleRule(Role.VIEWER, people=(ADA,)),
        RoleRule(Role.OPERATOR, people=(ADA,), applications=("other-*",)),
    )
    service.set(replace(service.controller.fleet.api, roles=roles))
    page = (await get(service, PAGE, ada)).text
    assert "<form method" not in content(page)
    for act in ("pause", "resume", "again", "retry", "rollback"):
        sent = {"seconds": "3600", "reason": "x", "delivery": "abcd"}
        assert (await post(service, act, ada, **sent)).status_code == 403
    assert service.controller.pauses.of(ApplicationName("shop")) is None


async def test_deliveries_are_told_with_a_way_back_and_versions_with_where_they_differ(
    service: Service, ada: Mapping[str, str]
) -> None:
    spec = service.controller.roster.named(ApplicationName("shop"))
    both = replace(spec, clusters=(TargetName("prod"), TargetName("test")))
    fleet = replace(service.controller.fleet, applications={spec.name: both})
    service.controller.roster.reload(fleet)
    await deliver(service, "1.0")
    await deliver(service, "1.0", target="test")
    newest = await deliver(service, "2.0", generation=1)
    view = (await get(service, "/api/v1/applications/shop?limit=2", ada)).json()
    said = {(v["name"], v["version"]): (v["targets"], v["differs"]) for v in view["versions"]}
    assert said == {("web", "1.0"): (["test"], True), ("web", "2.0"): (["prod"], True)}
    rows = view["deliveries"]
    assert [row["live"] for row in rows] == [True, True]
    assert rows[0]["delivery"]["change"]["change"]["id"] == newest.change.id
    more = await get(service, f"/api/v1/applications/shop?limit=2&before={view['next']}", ada)
    (first,) = more.json()["deliveries"]
    assert (first["live"], first["may_return"]) == (False, True)
    page = (await get(service, PAGE, ada)).text
    assert page.count("differs") == 2
    assert page.count(f'action="{PAGE}/rollback"') == 1
    assert first["delivery"]["id"] in page
    unknown = await post(service, "rollback", ada, delivery="abcdef12", reason="why", target="prod")
    assert unknown.status_code == 404
    listed = (await get(service, "/api/v1/applications", ada)).json()
    assert [each["lane"]["target"] for each in listed["applications"][0]["targets"]] == [
        "prod",
        "test",
    ]
    assert listed["next"] == ""


async def test_many_targets_are_a_few_and_a_number(
    service: Service, ada: Mapping[str, str]
) -> None:
    spec = service.controller.roster.named(ApplicationName("shop"))
    many = replace(spec, clusters=tuple(TargetName(f"cluster-{n:03}") for n in range(300)))
    fleet = replace(service.controller.fleet, applications={spec.name: many})
    service.controller.roster.reload(fleet)
    answer = await get(service, f"{PAGE}?target=cluster-299", ada)
    assert "and 276 more targets" in answer.text
    assert 'aria-current="true">cluster-299' in answer.text
    assert len(answer.content) <= 100 << 10
