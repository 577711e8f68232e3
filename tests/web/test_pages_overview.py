"""The overview: what is shown of a fleet, to whom, and how it is asked for."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path

import httpx
import pytest

from gitops.app import offline
from gitops.controller import Controller
from gitops.engine.board import Row
from gitops.engine.lanes import Trouble, _Lane
from gitops.engine.watches import SourceWatch
from gitops.model import events as e
from gitops.model.approval import Decision, Verdict
from gitops.model.cluster import ClusterState, ClusterStatus
from gitops.model.delivery import ChangeState, Delivered, Hold, LaneId
from gitops.model.fleet import ApplicationSpec, Fleet, People, Person, SourceSpec
from gitops.model.ids import ApplicationName, PersonName, RequestId, SourceName, TargetName
from gitops.model.serving import ApiSpec, Role, RoleRule, SignInSpec
from gitops.model.source import Revision, SourceState, SourceStatus
from gitops.model.terraform import TerraformSpec
from gitops.ports.office import Standing
from gitops.web.api import build
from gitops.web.auth.sessions import Sessions
from gitops.web.pages import overview
from gitops.web.pages.matrix import CELLS, MOST, Wanted, view
from tests.contract.store_story import Clock, Story, change_of

HERE = "http://127.0.0.1:8080"
ADA, BOB = PersonName("ada"), PersonName("bob")
EVIL = "<img src=x onerror=alert(1)>\u202e\"'"


def spec(name: str, *targets: str, **more: object) -> ApplicationSpec:
    clusters = tuple(TargetName(target) for target in targets)
    source = SourceName("config")
    return ApplicationSpec(ApplicationName(name), source, name, clusters=clusters, **more)  # type: ignore[arg-type]


def row(
    name: str, states: dict[str, str], trouble: str = "", revision: str = "1", **more: object
) -> Row:
    labels = more.get("labels", {})
    standings = tuple(
        Standing(
            LaneId(ApplicationName(name), TargetName(target)),
            state,
            revision,
            5.0,
            "",
            labels,  # type: ignore[arg-type]
            trouble=trouble,
        )
        for target, state in sorted(states.items())
    )
    return Row(spec(name, *states, **more), standings)


def names(rows: list[Row], wanted: Wanted) -> list[str]:
    return [line.name for line in view(rows, wanted).lines]


ROWS = [
    row("cart", {"east": "healthy", "west": "failed"}, labels={"team": "pay"}),
    row("mail", {"east": "healthy", "west": "healthy"}, labels={"team": "chat"}, revision="abc12"),
    row("shop", {"east": "asking", "west": "healthy"}, project="web", labels={"team": "pay"}),
    row("wiki", {"north": "healthy"}, trouble="no route"),
]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), ["cart", "wiki", "shop", "mail"]),
        (Wanted(sort="name"), ["cart", "mail", "shop", "wiki"]),
        (Wanted(q="AI"), ["mail"]),
        (Wanted(q="abc1"), ["mail"]),
        (Wanted(q="team=pay shop"), ["shop"]),
        (Wanted(q="nothing"), []),
        (Wanted(label="team=pay"), ["cart", "shop"]),
        (Wanted(label="team"), ["cart", "shop", "mail"]),
        (Wanted(label="team=pay,tier"), []),
        (Wanted(state="failed"), ["cart"]),
        (Wanted(state="trouble"), ["wiki"]),
        (Wanted(state="nonsense"), []),
        (Wanted(cluster="north"), ["wiki"]),
        (Wanted(cluster="*st", state="asking"), ["shop"]),
        (Wanted(cluster="east", state="failed"), []),
        (Wanted(project="web"), ["shop"]),
        (Wanted(source="other"), []),
    ],
)
def test_what_is_asked_for_is_found_and_the_worst_comes_first(
    wanted: Wanted, found: list[str]
) -> None:
    assert names(ROWS, wanted) == found


def test_a_whole_revision_is_found_by_what_is_shown_of_it() -> None:
    whole = "0123456789abcdef" * 2
    rows = [row("cart", {"east": "healthy"}, revision=whole[:12]), *ROWS]
    assert names(rows, Wanted(q=whole)) == ["cart"]


def test_states_are_counted_as_if_none_had_been_chosen() -> None:
    found = view(ROWS, Wanted(state="failed", label="team"))
    assert found.counts == (("failed", 1), ("asking", 1), ("healthy", 4))
    assert (found.troubled, found.applications, found.known) == (0, 1, 4)


def test_few_clusters_stand_side_by_side_and_many_are_counted() -> None:
    few = view(ROWS, Wanted())
    assert few.columns == ("east", "north", "west")
    [line] = [line for line in few.lines if line.name == "wiki"]
    assert [cell and cell.state for cell in line.cells(few.columns)] == [None, "healthy", None]
    states = {f"edge-{n:03}": "healthy" for n in range(300)} | {"edge-007": "failed"}
    many = view([row("cart", states)], Wanted())
    assert many.columns == ()
    assert many.lines[0].counts == (("failed", 1), ("healthy", 299))
    assert [each.lane.target for each in many.lines[0].exceptions(3)] == ["edge-007"]
    assert view([row("cart", states)], Wanted(cluster="edge-00[1-7]")).columns[0] == "edge-001"


def test_workspaces_share_a_column() -> None:
    roots = [
        Row(
            spec(f"root-{n}", terraform=TerraformSpec(workspace=f"w{n}")),
            (Standing(LaneId(ApplicationName(f"root-{n}"), TargetName(f"w{n}")), "new", "", None),),
        )
        for n in range(20)
    ]
    found = view([*ROWS, *roots], Wanted())
    assert found.columns == ("east", "north", "west", "")
    cells = {line.name: line.cells(found.columns) for line in found.lines}
    assert [bool(cell) for cell in cells["root-3"]] == [False, False, False, True]
    assert not cells["cart"][-1]


@pytest.mark.parametrize("page", [1, 2, 99_999])
def test_pages_are_bounded_and_one_past_the_end_is_the_last(page: int) -> None:
    rows = [row(f"app-{n:04}", {"east": "healthy", "west": "healthy"}) for n in range(120)]
    found = view(rows, Wanted(page=page))
    assert found.pages == 3
    assert found.page == min(page, 3)
    assert len(found.lines) in (MOST, 20)
    wide = [row(f"app-{n:04}", {f"c{m}": "healthy" for m in range(8)}) for n in range(120)]
    assert len(view(wide, Wanted()).lines) * 8 <= CELLS
    assert view([], Wanted(page=page)).pages == 1


def test_an_address_holds_what_was_chosen_and_nothing_else() -> None:
    wanted = Wanted(q="a&b=<", state="failed", page=3)
    assert wanted.at(state="") == "/?q=a%26b%3D%3C"
    assert wanted.at(page=4) == "/?q=a%26b%3D%3C&state=failed&page=4"
    assert Wanted().at() == "/"


# --- the page -------------------------------------------------------------------------------------


@dataclass
class Page:
    controller: Controller
    client: httpx.AsyncClient
    clock: Clock

    async def get(self, path: str = "/", person: PersonName | None = None) -> str:
        headers = {"accept": "text/html"}
        if person:
            api = self.controller.fleet.api
            sessions = Sessions(self.controller.ledger, self.clock, lambda: api.sign_in)
            headers["cookie"] = f"gitops={await sessions.begin(person, 'local')}"
        answer = await self.client.get(path, headers=headers)
        assert answer.status_code == 200, answer.text
        assert len(answer.content) <= 100 << 10
        return answer.text

    async def deliver(
        self, name: str, target: str, state: ChangeState = ChangeState.HEALTHY, why: str = ""
    ) -> Story:
        lane = LaneId(ApplicationName(name), TargetName(target))
        change = change_of(lane)
        story = Story(None, e.Epoch("", 0), change)  # type: ignore[arg-type]
        append = self.controller.ledger.append
        await append(story.opened(), story.planned())
        await append(e.AutoApproved(change.id, story.seal, "auto"), story.claimed())
        there = Delivered(change.after, change.revision, story.seal, self.clock.time)
        hold = Hold(story.plan.digest, change.after, why, failed=True)
        good = state is ChangeState.HEALTHY
        ended = e.ChangeClosed(
            change.id, state, why, there if good else None, None if good else hold
        )
        await append(story.finished(), ended)
        return story

    async def ask(self, name: str, target: str) -> Story:
        change = change_of(LaneId(ApplicationName(name), TargetName(target)))
        story = Story(None, e.Epoch("", 0), change)  # type: ignore[arg-type]
        story.request = RequestId(f"r-{name}-{target}")
        append = self.controller.ledger.append
        title = f"{name} to {target}: {EVIL}"
        opened = e.RequestOpened(story.request, change.occasion + name + target, title)
        await append(story.opened(), story.planned(), opened, story.asked())
        return story


def people() -> People:
    return People({ADA: Person(ADA, emails=("ada@example.org",)), BOB: Person(BOB)})


@pytest.fixture
async def page(tmp_path: Path) -> AsyncIterator[Page]:
    applications = {
        name: spec(name, "east", "west", labels={"team": "pay", "x": EVIL})
        for name in map(ApplicationName, ("cart", "mail", "shop"))
    }
    api = ApiSpec(listen="127.0.0.1:8080", sign_in=SignInSpec(anonymous=True, local=True))
    source = SourceSpec(SourceName("config"), "git", "https://u:hunter2@git.example/c.git?t=s")
    fleet = Fleet(
        tmp_path / "f",
        tmp_path,
        sources={source.name: source},
        applications=applications,
        people=people(),
        api=api,
    )
    clock = Clock()
    running = offline(fleet, clock)
    controller = running.controller
    controller.parts.keeper._seconds = 1e10
    await controller.parts.keeper.acquire()
    controller.ready.set()
    transport = httpx.ASGITransport(build(controller, trusted=False))
    async with httpx.AsyncClient(transport=transport, base_url=HERE) as client:
        yield Page(controller, client, clock)
    await controller.close()
    running.close()


def text_of(html: str) -> str:
    body = html.partition("<main")[2]
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


async def test_every_lane_says_how_it_stands_and_why(page: Page) -> None:
    await page.deliver("cart", "east")
    story = await page.deliver("cart", "west", ChangeState.FAILED, f"it broke {EVIL}")
    html = await page.get()
    assert "<img" not in html.partition("<main")[2]
    text = text_of(html)
    assert "✗ failed" in text
    assert "it broke <img src=x onerror=alert(1)>\\u{202e}" in text
    assert story.change.revision.id[:7] in text or "failed" in text
    assert "1 healthy" in text
    assert "4 new" in text


async def test_what_waits_is_told_to_who_may_answer_it(page: Page) -> None:
    story = await page.ask("cart", "east")
    assert "1 question for others" in text_of(await page.get())
    assert "1 question for others" in text_of(await page.get(person=ADA)), "she wrote it"
    html = await page.get(person=BOB)
    assert "1 question you may answer" in text_of(html)
    assert f'href="/requests/{story.request}"' in html
    viewers = ApiSpec(
        listen="127.0.0.1:8080",
        sign_in=SignInSpec(local=True),
        roles=(RoleRule(Role.VIEWER, people=(BOB,)),),
    )
    page.controller.roster.reload(replace(page.controller.fleet, api=viewers))
    assert "1 question for others" in text_of(await page.get(person=BOB))


async def test_who_has_said_yes_is_not_asked_again(page: Page) -> None:
    story = await page.ask("cart", "east")
    request = await page.controller.ledger.read(lambda r: r.request(story.request))
    assert request is not None
    covers = ((story.change.id, story.seal),)
    said = Verdict(request.id, request.root, BOB, Decision.APPROVE, "", "cli", 1.0, covers)
    await page.controller.ledger.append(e.Answered(said))
    assert "1 question for others" in text_of(await page.get(person=BOB))


async def test_trouble_of_sources_clusters_and_lanes_is_told(page: Page) -> None:
    controller = page.controller
    assert "Nothing waits for anybody" in text_of(await page.get())
    source = controller.fleet.sources[SourceName("config")]

    async def moved(_: object) -> None: ...

    watch = SourceWatch(source, None, controller.ledger, page.clock, moved)  # type: ignore[arg-type]
    gone = Revision(source.name, "a" * 40)
    watch.status = SourceStatus(source.name, SourceState.GONE, gone, "no branch", 1.0)
    controller.watches[source.name] = watch

    class Away:
        def status(self) -> ClusterStatus:
            return ClusterStatus(ClusterState.UNREACHABLE, "no route", 1.0)

        async def close(self) -> None: ...

    controller.clusters._connected[TargetName("east")] = Away()  # type: ignore[assignment]
    lane = LaneId(ApplicationName("mail"), TargetName("west"))
    controller.lanes._lanes[lane] = _Lane(trouble=Trouble("no route", "", 0.0, 0.0, 1))
    text = text_of(await page.get())
    assert "1 source not read: config" in text
    assert "1 cluster away: east" in text
    assert "✗ unreachable" in text
    assert "1 in trouble" in text
    assert "in trouble: no route" in text


async def test_an_empty_page_says_what_to_do(page: Page) -> None:
    text = text_of(await page.get("/?q=nothing&state=failed"))
    assert "Nothing matches" in text
    assert "Any state" in text
    page.controller.roster.reload(replace(page.controller.fleet, applications={}))
    assert "No application yet" in text_of(await page.get())


async def test_a_write_is_on_the_page_at_once_and_old_ages_go(page: Page) -> None:
    assert "6 new" in text_of(await page.get())
    await page.deliver("cart", "east")
    assert "5 new" in text_of(await page.get())
    page.clock.time += overview.FRESH + 120
    assert "2 min ago" in text_of(await page.get())


@pytest.mark.parametrize("path", ["/?page=0", "/?page=x", f"/?q={'x' * 300}", "/?page=100001"])
async def test_nonsense_is_refused(page: Page, path: str) -> None:
    answer = await page.client.get(path, headers={"accept": "text/html"})
    assert answer.status_code == 422
    assert "Back to the fleet" in answer.text


@pytest.mark.parametrize("targets", [1, 3, 8, 40])
async def test_a_page_stays_small_however_much_there_is_to_say(page: Page, targets: int) -> None:
    labels = {str(n) + '"' * 99: "<" * 99 for n in range(9)}
    on = [f"c{number}" for number in range(targets)]
    names = [ApplicationName(f"app-{'x' * 49}-{number:04}") for number in range(300)]
    applications = {name: spec(name, *on, labels=labels) for name in names}
    page.controller.roster.reload(replace(page.controller.fleet, applications=applications))
    for lane in page.controller.roster.lanes():
        trouble = Trouble('"<&' * 9_000, "", 0.0, 0.0, 1)
        page.controller.lanes._lanes[lane] = _Lane(trouble=trouble)
    text = text_of(await page.get())
    assert f"300 applications on {targets} target" in text
    last = re.search(r"page 1 of (\d+)", text)
    assert last
    assert f"page {last[1]} of {last[1]}" in text_of(await page.get("/?page=50000"))
