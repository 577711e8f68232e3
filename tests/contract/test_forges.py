"""Every forge's client keeps one contract, against a server that refuses what the forge refuses."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitops.errors import Permanent, Transient, Unknown
from gitops.forges import bitbucket_cloud, bitbucket_dc, gitea, github, gitlab
from gitops.forges.line import MOST_PAGES, Line
from gitops.forges.settings import Options, Target
from gitops.forges.shapes import read
from gitops.model.fleet import GitCredentials
from gitops.model.secret import SecretRef
from gitops.plugins import Services
from gitops.ports.forges import (
    Annotation,
    CommitState,
    CommitStatus,
    Forge,
    Overfull,
    PullState,
    Report,
)
from tests.forges.bitbucket_cloud import BitbucketCloudServer, uuid_of
from tests.forges.bitbucket_dc import BitbucketDataCenterServer
from tests.forges.gitea import GiteaServer
from tests.forges.github import GitHubServer
from tests.forges.gitlab import GitLabServer
from tests.forges.server import TOKEN, Comment, Fault, Pull, Recording
from tests.unit.check_cases import Frozen, Keyed, NoChildren

COMMIT, MERGE, HEAD = "c" * 40, "d" * 40, "b" * 40
MARKER = "<!-- gitops-preview -->"
WHEN = "2026-01-02T03:04:05Z"


@dataclass(frozen=True)
class Case:
    """One forge: its client's module, its server, and its own words for the five states."""

    module: Any
    server: type[Recording]
    words: tuple[str, str, str, str, str]

    def login(self, name: str) -> str:
        shown = uuid_of(name) if self.module is bitbucket_cloud else name
        return f"{self.server.kind}:{shown}"


CASES = [
    Case(github, GitHubServer, ("pending", "pending", "success", "failure", "error")),
    Case(gitlab, GitLabServer, ("pending", "running", "success", "failed", "canceled")),
    Case(gitea, GiteaServer, ("pending", "pending", "success", "failure", "error")),
    Case(
        bitbucket_cloud,
        BitbucketCloudServer,
        ("INPROGRESS", "INPROGRESS", "SUCCESSFUL", "FAILED", "STOPPED"),
    ),
    Case(
        bitbucket_dc,
        BitbucketDataCenterServer,
        ("INPROGRESS", "INPROGRESS", "SUCCESSFUL", "FAILED", "CANCELLED"),
    ),
]


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often it is tried again is what counts here, not how long it waits in between."""
    monkeypatch.setattr("gitops.forges.line.FIRST_PAUSE", 0.01)


@pytest.fixture(params=CASES, ids=lambda case: case.module.NAME)
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def server(case: Case) -> Iterator[Recording]:
    with case.server() as running:
        running.commits.add(COMMIT)
        yield running


@pytest.fixture
def forge(case: Case, server: Recording, tmp_path: Path) -> Forge:
    return client(case, server, tmp_path)


def client(case: Case, server: Recording, folder: Path, **more: Any) -> Forge:
    """A client whose source is at the server's own host."""
    (folder / "token").write_text(TOKEN)
    (folder / "token").chmod(0o600)
    options = Options(
        url="https://git.example/acme/config.git",
        credentials=GitCredentials(token=SecretRef(file=folder / "token")),
        api=server.api,
    )
    services = Services(NoChildren(), Keyed(), Frozen(), folder / "state", folder / "cache")
    built: Forge = case.module.build(replace(options, **more), services)
    return built


def status(state: CommitState = CommitState.PENDING, words: str = "checking") -> CommitStatus:
    return CommitStatus(COMMIT, "gitops/shop@prod", state, words, "https://ops.example/r/1")


class TestEveryForge:
    async def test_tells_each_state_in_the_forges_own_words(
        self, case: Case, server: Recording, forge: Forge
    ) -> None:
        for state in CommitState:
            await forge.tell(status(state, f"it is {state.value}"))
        told = [(each.state, each.description) for each in server.statuses]
        wanted = [(w, f"it is {s.value}") for w, s in zip(case.words, CommitState, strict=True)]
        assert [each for each in told if each in wanted] == wanted
        assert {each.url for each in server.statuses} == {"https://ops.example/r/1"}
        assert server.latest() == {"gitops/shop@prod": wanted[-1]}

    async def test_the_same_status_again_changes_nothing_that_people_see(
        self, server: Recording, forge: Forge
    ) -> None:
        for state in CommitState:
            await forge.tell(status(state))
            seen = server.latest()
            await forge.tell(status(state))
            assert server.latest() == seen

    async def test_new_words_for_the_same_state_are_seen(
        self, server: Recording, forge: Forge
    ) -> None:
        for words in ("checking", "awaiting approval", "approved"):
            await forge.tell(status(CommitState.PENDING, words))
            assert server.latest()["gitops/shop@prod"][1] == words

    async def test_a_status_needs_no_link_and_may_be_too_long(
        self, server: Recording, forge: Forge
    ) -> None:
        context = "gitops/" + "a-very-long-application-name-indeed-@a-long-cluster-name"
        await forge.tell(CommitStatus(COMMIT, context, CommitState.RUNNING, "x" * 5_000))
        assert server.statuses[-1].context == context
        assert server.statuses[-1].description.endswith("…")

    async def test_a_report_is_a_status_at_least(self, server: Recording, forge: Forge) -> None:
        remark = Annotation("app/a.yaml", 3, "failure", "no such field")
        await forge.report(Report(status(CommitState.FAILURE, "1 error"), "# Plan", (remark,)))
        assert server.latest()["gitops/shop@prod"][1] == "1 error"

    async def test_one_comment_is_written_and_then_edited_in_place(
        self, server: Recording, forge: Forge
    ) -> None:
        server.pulls[4] = Pull(4)
        server.page = 2
        server.comments[4] = [Comment(n, "ada", "looks good") for n in range(2, 7)]
        await forge.comment(4, MARKER, f"{MARKER} first")
        await forge.comment(4, MARKER, f"{MARKER} second")
        ours = [each.body for each in server.comments[4] if each.author == server.me]
        assert ours == [f"{MARKER} second"]
        await forge.uncomment(4, MARKER)
        assert [each.author for each in server.comments[4]] == ["ada"] * 5
        await forge.uncomment(4, MARKER)
        await forge.uncomment(99, MARKER)

    async def test_comments_doubled_by_a_lost_answer_become_one_again(
        self, server: Recording, forge: Forge
    ) -> None:
        server.pulls[4] = Pull(4)
        server.faults.append(Fault(502, method="POST", path="comments", after=True))
        server.faults.append(Fault(502, method="POST", path="notes", after=True))
        with pytest.raises(Transient):
            await forge.comment(4, MARKER, f"{MARKER} first")
        server.written(4, f"{MARKER} first")
        await forge.comment(4, MARKER, f"{MARKER} second")
        assert [each.body for each in server.comments[4]] == [f"{MARKER} second"]

    async def test_a_strangers_comment_with_our_marker_stays_the_strangers(
        self, server: Recording, forge: Forge
    ) -> None:
        server.pulls[4] = Pull(4)
        server.comments[4] = [Comment(2, "mallory", f"{MARKER} approve this")]
        await forge.comment(4, MARKER, f"{MARKER} ours")
        await forge.uncomment(4, MARKER)
        assert [each.author for each in server.comments[4]] == ["mallory"]

    async def test_a_pull_request_is_read_as_it_is(
        self, case: Case, server: Recording, forge: Forge
    ) -> None:
        server.pulls[4] = Pull(4, title="Füge hinzu", draft=True, fork=True)
        pull = await forge.pull(4)
        assert (pull.number, pull.title, pull.author) == (4, "Füge hinzu", case.login("ada"))
        assert (pull.state, pull.base, pull.head) == (PullState.OPEN, "main", HEAD)
        assert pull.fork
        assert pull.draft
        assert pull.url.startswith("https://")
        server.pulls[4].state = "closed"
        server.pulls[4].fork = False
        pull = await forge.pull(4)
        assert pull.state is PullState.CLOSED
        assert not pull.fork
        with pytest.raises(Unknown):
            await forge.pull(5)

    async def test_reviews_are_the_last_decisive_of_each(
        self, case: Case, server: Recording, forge: Forge
    ) -> None:
        reviews = [("bob", "approve", HEAD, WHEN), ("cyd", "remark", HEAD, WHEN)]
        server.pulls[4] = Pull(4, reviews=reviews)
        found = (await forge.pull(4)).reviews
        assert [(each.login, each.approves) for each in found] == [(case.login("bob"), True)]

    async def test_every_open_one_is_listed_over_as_many_pages_as_it_takes(
        self, server: Recording, forge: Forge
    ) -> None:
        server.page = 2
        server.pulls |= {n: Pull(n) for n in range(1, 6)}
        server.pulls[6] = Pull(6, state="closed")
        assert sorted(pull.number for pull in await forge.open_pulls()) == [1, 2, 3, 4, 5]

    async def test_what_brought_a_commit_names_author_merger_and_approvers(
        self, case: Case, server: Recording, forge: Forge
    ) -> None:
        server.merged(
            4,
            commits=[COMMIT, MERGE],
            merged_as=MERGE,
            merger="cyd",
            reviews=[("bob", "approve", HEAD, WHEN)],
        )
        server.pulls[5] = Pull(5, commits=[COMMIT])
        (pull,) = await forge.pulls_of(COMMIT)
        assert pull.state is PullState.MERGED
        assert (pull.author, pull.merger) == (case.login("ada"), case.login("cyd"))
        assert pull.merged_as == MERGE
        assert [each.login for each in pull.reviews] == [case.login("bob")]

    async def test_a_commit_nobody_asked_to_merge_has_none(
        self, server: Recording, forge: Forge
    ) -> None:
        assert list(await forge.pulls_of(COMMIT)) == []
        assert list(await forge.pulls_of("e" * 40)) == []

    async def test_a_crowd_of_pull_requests_hides_none(
        self, case: Case, server: Recording, forge: Forge
    ) -> None:
        """Whoever may open them could have them listed before the one that names its author."""
        for number in range(1, 40):
            server.merged(number, commits=[COMMIT], author="bob")
        if case.module is gitea:  # it names one at most
            assert len(await forge.pulls_of(COMMIT)) == 1
            return
        with pytest.raises(Overfull, match="39 pull requests"):
            await forge.pulls_of(COMMIT)

    @pytest.mark.parametrize("status_code", [401, 403, 404, 422])
    async def test_a_refusal_is_final_and_names_what_to_look_at(
        self, server: Recording, forge: Forge, status_code: int
    ) -> None:
        echo = f'{{"message": "Bearer {TOKEN}"}}'.encode()
        server.faults.append(Fault(status_code, echo, times=9))
        with pytest.raises(Permanent) as refused:
            await forge.tell(status())
        assert len(server.requests) == 1, "asked again although it was final"
        assert str(status_code) in str(refused.value)
        assert TOKEN not in str(refused.value)

    async def test_a_passing_failure_is_tried_again_by_itself(
        self, server: Recording, forge: Forge
    ) -> None:
        server.faults.append(Fault(503, b"<html>", times=2))
        await forge.tell(status())
        assert "gitops/shop@prod" in server.latest()

    async def test_a_conflict_may_pass(self, server: Recording, forge: Forge) -> None:
        server.faults.append(Fault(409, times=9))
        with pytest.raises(Transient):
            await forge.tell(status())

    @pytest.mark.parametrize(
        ("code", "headers", "body", "least", "most"),
        [
            (429, {"Retry-After": "42"}, b"{}", 42, 42),
            (429, {}, b"{}", 60, 60),
            (403, {"Retry-After": "30"}, b"{}", 30, 30),
            (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, b"{}", 1, 1),
            (403, {}, b'{"message": "You have exceeded a secondary rate limit"}', 60, 60),
            (429, {"Retry-After": "999999999"}, b"{}", 3600, 3600),
        ],
    )
    async def test_a_limit_is_kept_to_and_nobody_waits_for_it(
        self,
        server: Recording,
        forge: Forge,
        code: int,
        headers: dict[str, str],
        body: bytes,
        least: float,
        most: float,
    ) -> None:
        server.faults.append(Fault(code, body, headers, times=9))
        with pytest.raises(Transient) as limited:
            await forge.tell(status())
        assert least <= (limited.value.retry_after or 0) <= most
        asked = len(server.requests)
        with pytest.raises(Transient):
            await forge.pulls_of(COMMIT)
        assert len(server.requests) == asked == 1, "asked again before its time"

    async def test_a_forge_that_is_away_rests_and_comes_back(
        self, case: Case, server: Recording, tmp_path: Path
    ) -> None:
        forge = client(case, server, tmp_path)
        server.down()
        for _ in range(2):
            with pytest.raises(Transient):
                await forge.tell(status())
        server.up()
        with pytest.raises(Transient, match="a moment ago"):
            await forge.tell(status())
        assert server.requests == []
        await client(case, server, tmp_path).tell(status())
        assert server.latest()

    @pytest.mark.parametrize(
        "body",
        [
            b"<html><title>Sign in</title></html>",
            b"",
            b"null",
            b"[" * 100_000,
            b'{"number": NaN}',
            b'{"number": ' + b"9" * 5_000 + b"}",
            b'"\\ud800"',
            b"\xff\xfe",
        ],
        ids=["html", "empty", "null", "deep", "nan", "long", "surrogate", "no-utf8"],
    )
    async def test_an_answer_that_is_no_api_is_refused_in_words(
        self, server: Recording, forge: Forge, body: bytes
    ) -> None:
        server.faults.append(Fault(200, body, {"Content-Type": "application/json"}, times=99))
        for ask in (forge.pull(4), forge.open_pulls(), forge.pulls_of(COMMIT)):
            with pytest.raises(Permanent, match="the forge's answer is") as refused:
                await ask
            assert "html" not in str(refused.value)

    async def test_an_answer_without_end_is_not_taken(
        self, server: Recording, forge: Forge
    ) -> None:
        server.faults.append(Fault(200, b"[" + b" " * (5 << 20), times=99))
        with pytest.raises(Permanent, match="over 4 MiB"):
            await forge.open_pulls()

    async def test_an_answer_cut_short_counts_for_nothing(
        self, server: Recording, forge: Forge
    ) -> None:
        server.faults.append(Fault(200, b'[{"number": 1', times=99))
        with pytest.raises(Permanent):
            await forge.open_pulls()

    @pytest.mark.parametrize("where", ["http://127.0.0.2:1/", "https://evil.example/x", "//x.y/"])
    async def test_no_redirect_leads_to_another_host(
        self, server: Recording, forge: Forge, where: str
    ) -> None:
        server.faults.append(Fault(302, b"", {"Location": where}, times=99))
        with pytest.raises(Permanent, match="another host"):
            await forge.open_pulls()
        with pytest.raises(Permanent, match="sends a write elsewhere"):
            await forge.tell(status())

    async def test_what_it_cannot_sign_in_to_is_said(self, server: Recording, forge: Forge) -> None:
        server.token = "another one"
        with pytest.raises(Permanent, match="refuses the credentials"):
            await forge.open_pulls()

    def test_its_repository_comes_from_the_sources_address(
        self, case: Case, server: Recording, tmp_path: Path
    ) -> None:
        for url in (
            "git@git.example:acme/config.git",
            "ssh://git@git.example:7999/acme/config.git",
            "https://git.example/acme/config",
        ):
            built = client(case, server, tmp_path, url=url)
            root = built._root  # type: ignore[attr-defined]
            assert root.replace("%2F", "/").replace("/repos/c", "/c").endswith("acme/config")
        for url in ("https://git.example/", "https://git.example/acme/..", "/srv/git"):
            with pytest.raises(Permanent, match="repository"):
                client(case, server, tmp_path, url=url)


KEYS = [
    "number",
    "id",
    "iid",
    "state",
    "title",
    "user",
    "author",
    "head",
    "sha",
    "values",
    "base",
    "ref",
    "login",
    "uuid",
    "name",
    "isLastPage",
    "next",
    "links",
    "source",
    "destination",
    "fromRef",
    "toRef",
    "latestCommit",
    "repository",
    "html_url",
    "target_branch",
]
ANSWERS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=8)
    ),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(answer=ANSWERS)
def test_wrong_types_anywhere_end_in_words_and_nothing_else(answer: Any) -> None:
    body = json.dumps(answer).encode()
    for kind in (
        github._Pull,
        gitlab._Request,
        gitea._Pull,
        bitbucket_cloud._Pull,
        bitbucket_dc._Pull,
    ):
        with pytest.raises(Permanent, match="the forge's answer is"):
            read(kind, body)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_one_wrong_type_in_a_true_answer_is_refused_or_left_aside(data: st.DataObject) -> None:
    answer = GitHubServer().shown(Pull(4), merged_by=True)
    key = data.draw(st.sampled_from(sorted(answer)))
    body = json.dumps({**answer, key: data.draw(ANSWERS)}).encode()
    with contextlib.suppress(Permanent):
        assert isinstance(read(github._Pull, body), github._Pull)


@pytest.mark.parametrize("case", [CASES[0], CASES[1]], ids=["github", "gitlab"])
async def test_pages_without_end_are_given_up(case: Case, tmp_path: Path) -> None:
    with case.server() as server:
        link = {"Link": f'<{server.api}/endless>; rel="next"'}
        server.faults.append(Fault(200, b"[]", link, times=999))
        with pytest.raises(Permanent, match="pages"):
            await client(case, server, tmp_path).open_pulls()
        assert len(server.requests) == MOST_PAGES


@pytest.mark.parametrize(
    "after", ["http://127.0.0.1:1/x", "https://evil.example/", "{api}/../../admin", "{api}evil/x"]
)
async def test_no_page_is_fetched_from_elsewhere(after: str, tmp_path: Path) -> None:
    for case in (CASES[0], CASES[3]):
        with case.server() as server:
            url = after.format(api=server.api)
            body = b'{"values": [], "next": "%s"}' % url.encode()
            answer = b"[]" if case.module is github else body
            server.faults.append(Fault(200, answer, {"Link": f'<{url}>; rel="next"'}, times=9))
            with pytest.raises(Permanent, match="next page is not at the forge"):
                await client(case, server, tmp_path).open_pulls()
            assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("api", "public", "why"),
    [
        ("https://169.254.169.254", False, "link-local"),
        ("https://[fe80::1]", False, "link-local"),
        ("https://10.0.0.1", True, "private network"),
        ("https://127.0.0.1:1", True, "does not answer"),
    ],
)
async def test_no_forge_is_where_no_forge_can_be(api: str, public: bool, why: str) -> None:
    async def unsigned() -> dict[str, str]:
        return {}

    line = Line(Target(api, "acme/config", public), unsigned)
    with pytest.raises((Permanent, Transient), match=why) as refused:
        await github.GitHub(line, "acme/config").open_pulls()
    assert "allow_local" not in str(refused.value)


async def test_a_proxy_of_the_environment_hears_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with GitHubServer() as server:
        server.commits.add(COMMIT)
        await client(CASES[0], server, tmp_path).tell(status())
        assert server.latest()


async def test_github_vouches_only_for_a_merge_it_signed_itself(tmp_path: Path) -> None:
    with GitHubServer() as server:
        server.merged(4, commits=[COMMIT, MERGE], merged_as=MERGE, merger="bob")
        forge = client(CASES[0], server, tmp_path)
        assert not (await forge.pull(4)).made_by_forge
        server.made_here.add(MERGE)
        assert (await forge.pull(4)).made_by_forge
        server.second_parent = "2" * 40
        assert not (await forge.pull(4)).made_by_forge


async def test_github_vouches_for_no_conflict_that_somebody_resolved_in_the_browser(
    tmp_path: Path,
) -> None:
    """Such a commit is GitHub's by name and signature, its text is whoever's resolved it; pushed to
    the branch as it is, it is what the pull request became."""
    with GitHubServer() as server:
        server.merged(4, commits=[COMMIT, MERGE], merged_as=MERGE, merger="bob", head=MERGE)
        server.made_here.add(MERGE)
        assert not (await client(CASES[0], server, tmp_path).pull(4)).made_by_forge


async def test_github_reviews_follow_each_other(tmp_path: Path) -> None:
    with GitHubServer() as server:
        reviews = [
            ("bob", "approve", "1" * 40, WHEN),
            ("bob", "reject", HEAD, WHEN),
            ("cyd", "approve", "1" * 40, WHEN),
            ("cyd", "approve", HEAD, "2026-01-02T04:00:00Z"),
            ("cyd", "remark", HEAD, WHEN),
            ("dan", "approve", HEAD, WHEN),
            ("dan", "dismissed", HEAD, WHEN),
            ("", "approve", HEAD, WHEN),
        ]
        server.page = 3
        server.pulls[4] = Pull(4, reviews=reviews)
        found = (await client(CASES[0], server, tmp_path).pull(4)).reviews
        assert [(r.login, r.approves, r.commit) for r in found] == [
            ("github:bob", False, HEAD),
            ("github:cyd", True, HEAD),
        ]
        assert found[1].at == 1_767_326_400.0


async def test_an_app_reports_as_a_check_run_with_remarks_at_file_and_line(tmp_path: Path) -> None:
    with GitHubServer() as server:
        server.commits.add(COMMIT)
        server.app = 12
        forge = github.GitHub(client(CASES[0], server, tmp_path)._line, "acme/config", app=12)  # type: ignore[attr-defined]
        await forge.report(Report(status(CommitState.RUNNING), "planning"))
        remarks = tuple(Annotation("a.yaml", n, "warning", f"remark {n}") for n in range(1, 121))
        await forge.report(Report(status(CommitState.FAILURE, "bad"), "# Plan", remarks))
        (run,) = server.runs
        assert (run.status, run.conclusion) == ("completed", "failure")
        assert [each["start_line"] for each in run.annotations] == list(range(1, 121))
        await forge.report(Report(status(CommitState.SUCCESS, "good"), "# Plan"))
        assert [each.conclusion for each in server.runs] == ["failure", "success"]
        server.checks = False
        await forge.report(Report(status(CommitState.FAILURE, "worse"), "# Plan"))
        assert server.latest()["gitops/shop@prod"] == ("failure", "worse")


async def test_an_app_knows_its_own_comments(tmp_path: Path) -> None:
    with GitHubServer() as server:
        server.app = 12
        server.pulls[4] = Pull(4)
        forge = github.GitHub(client(CASES[0], server, tmp_path)._line, "acme/config", app=12)  # type: ignore[attr-defined]
        await forge.comment(4, MARKER, f"{MARKER} one")
        await forge.comment(4, MARKER, f"{MARKER} two")
        assert [each.body for each in server.comments[4]] == [f"{MARKER} two"]


async def test_a_repositorys_own_token_learns_who_it_is_from_its_first_comment(
    tmp_path: Path,
) -> None:
    with BitbucketCloudServer() as server:
        server.repository_token = True
        server.pulls[4] = Pull(4)
        forge = client(CASES[3], server, tmp_path)
        await forge.comment(4, MARKER, f"{MARKER} one")
        await forge.comment(4, MARKER, f"{MARKER} two")
        assert [each.body for each in server.comments[4]] == [f"{MARKER} two"]


async def test_bitbucket_is_asked_again_while_it_still_indexes(tmp_path: Path) -> None:
    with BitbucketCloudServer() as server:
        server.faults.append(Fault(202, b'{"type": "error"}', path="pullrequests"))
        with pytest.raises(Transient, match="still looking"):
            await client(CASES[3], server, tmp_path).pulls_of(COMMIT)


async def test_gitlab_without_approvals_has_merge_requests_all_the_same(tmp_path: Path) -> None:
    with GitLabServer() as server:
        server.approvals = False
        server.pulls[4] = Pull(4, reviews=[("bob", "approve", HEAD, WHEN)])
        assert (await client(CASES[1], server, tmp_path).pull(4)).reviews == ()


async def test_long_texts_do_not_keep_a_list_from_being_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitops.forges.line.LIMIT", 64 << 10)
    with GitHubServer() as server:
        for number in range(1, 41):
            server.pulls[number] = Pull(number, title="x" * 6_000)
        found = await client(CASES[0], server, tmp_path).open_pulls()
        assert [each.number for each in found] == list(range(1, 41))
        server.pulls[41] = Pull(41, title="x" * 70_000)
        with pytest.raises(Overfull, match="over 64 KiB"):
            await client(CASES[0], server, tmp_path).open_pulls()
