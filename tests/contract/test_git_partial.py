"""A copy without old file contents, from a server that can leave them out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops.errors import SourceUnavailable
from gitops.model.source import Read, Revision
from gitops.sources.git import GitSource, mirror
from gitops.sources.git.objects import Damaged, Missing
from tests.contract.git_servers import HttpGit, Repo, SshGit, git, http_git, latest, source

OLD, NEW = "old\n" * 400, "new\n" * 400


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """Ten files, each with two versions behind it."""
    made = Repo(tmp_path / "remote")
    git("config", "uploadpack.allowFilter", "true", cwd=made.bare)
    for number in range(3):
        made.commit({f"d{n % 3}/f{n}.yaml": f"{n}.{number}\n" + OLD for n in range(10)})
    made.push()
    return made


@pytest.fixture
def server(repo: Repo) -> Iterator[HttpGit]:
    with http_git(repo.bare.parent) as made:
        yield made


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def watched(state: Path, server: HttpGit, repo: Repo) -> GitSource:
    return source(state, server.url(repo))


def copy(state: Path) -> Path:
    return next((state / "git").glob("*/repository.git"))


def kinds(state: Path, kind: str) -> int:
    """How many objects of a kind the copy has, fetching none."""
    said = git("cat-file", "--batch-check=%(objecttype)", "--batch-all-objects", cwd=copy(state))
    return said.split().count(kind)


async def contents(made: GitSource, revision: Revision) -> dict[str, str]:
    snapshot = await made.snapshot(revision)
    return {e.path: snapshot.read(e).decode() for e in snapshot.files("")}


def on_disk(repo: Repo) -> dict[str, str]:
    names = repo.git("ls-files").split("\n")
    return {name: (repo.work / name).read_text() for name in names}


def take_back(repo: Repo) -> None:
    """Push the first commit's files again. A server with bitmaps does not send what it believes we
    have: everything that follows from the commits we have."""
    git("repack", "-adq", "--write-bitmap-index", cwd=repo.bare)
    repo.git("checkout", "-q", "HEAD~2", "--", ".")
    repo.deliver({}, message="back")


async def test_the_first_look_brings_all_history_and_only_todays_files_in_two_requests(
    watched: GitSource, repo: Repo, server: HttpGit, state: Path
) -> None:
    first = await latest(watched)
    assert (server.packs, kinds(state, "commit"), kinds(state, "blob")) == (2, 3, 10)
    server.requests.clear()
    assert await contents(watched, first) == on_disk(repo)
    assert (await latest(watched, first)) == first
    assert server.packs == 0


async def test_a_push_still_costs_one_fetch_and_brings_its_files(
    watched: GitSource, repo: Repo, server: HttpGit
) -> None:
    first = await latest(watched)
    server.requests.clear()
    repo.deliver({"d1/f1.yaml": NEW, "d1/added.yaml": "x"})
    second = await latest(watched, first)
    assert (server.looks, server.packs) == (1, 1)
    assert await contents(watched, second) == on_disk(repo)
    assert server.packs == 1


async def test_what_a_commit_takes_back_from_long_ago_is_brought_in_one_request(
    watched: GitSource, repo: Repo, server: HttpGit
) -> None:
    first = await latest(watched)
    take_back(repo)
    server.requests.clear()
    second = await latest(watched, first)
    assert server.packs == 2, "the commit, and ten files together"
    assert await contents(watched, second) == on_disk(repo)


async def test_a_difference_to_a_file_that_was_left_out_is_understood(
    watched: GitSource, repo: Repo, server: HttpGit
) -> None:
    noise = "".join(f"{n * 7919 % 10007}\n" for n in range(4000))
    repo.commit({"big": noise})
    repo.deliver({"big": "short"})
    first = await latest(watched)
    repo.deliver({"big": noise.removesuffix("\n")})
    git("repack", "-adfq", "--write-bitmap-index", "--depth=50", cwd=repo.bare)
    server.requests.clear()
    second = await latest(watched, first)
    assert await contents(watched, second) == on_disk(repo)
    assert server.packs == 2, "the commit, and what its file is a difference to"


async def test_every_author_is_known_without_any_old_file(
    watched: GitSource, repo: Repo, state: Path
) -> None:
    repo.commit({"d0/f0.yaml": "by bob"}, person="Bob")
    repo.git("checkout", "-q", "-b", "side", "HEAD~1")
    repo.commit({"d1/f1.yaml": "by carl"}, person="Carl")
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "side", person="Dora")
    repo.push("origin", "main")
    last = await latest(watched)

    async def names(since: Revision | None) -> set[str]:
        found = await watched.authorship(since, last, [Read("", "read")])
        assert found.known
        return {person.name for person in found.signatures}

    assert await names(None) == {"Ann", "Bob", "Carl"}
    earlier = dataclasses.replace(last, id=repo.git("rev-parse", "HEAD~2"))
    assert await names(earlier) == {"Bob", "Carl", "Dora"}
    assert kinds(state, "blob") == 10


async def test_an_earlier_revision_is_whole_again_when_it_is_asked_for(
    watched: GitSource, repo: Repo, server: HttpGit
) -> None:
    last = await latest(watched)
    repo.git("checkout", "-q", "HEAD~2")
    earlier = dataclasses.replace(last, id=repo.head)
    server.requests.clear()
    assert await contents(watched, earlier) == on_disk(repo)
    assert server.packs == 1


async def test_a_revision_that_cannot_be_made_whole_is_not_looked_at(
    watched: GitSource, repo: Repo, server: HttpGit
) -> None:
    first = await latest(watched)
    take_back(repo)
    server.requests.clear()
    server.watch = lambda: setattr(server.faults, "status", 500 if server.packs else 0)
    with pytest.raises(SourceUnavailable):
        await watched.look(first)
    assert (await contents(watched, first))["d0/f0.yaml"].startswith("0.2\n")
    server.watch = lambda: None
    server.faults.status = 0
    assert await contents(watched, await latest(watched, first)) == on_disk(repo)


async def test_a_merge_brings_what_both_sides_started_from(
    watched: GitSource, repo: Repo, server: HttpGit
) -> None:
    repo.git("checkout", "-q", "-b", "proposal", "HEAD~1")
    head = repo.commit({"d0/f0.yaml": "0.1\n" + OLD + "theirs\n"})
    repo.push("origin", "HEAD:refs/pull/1/head")
    repo.git("checkout", "-q", "main")
    base = await latest(watched)
    found = await watched.merged(base, head)
    assert isinstance(found, Revision)
    assert (await contents(watched, found))["d0/f0.yaml"] == "0.2\n" + OLD + "theirs\n"


async def test_a_merge_of_histories_that_crossed_brings_all_they_started_from(
    watched: GitSource, repo: Repo
) -> None:
    """Each of two branches merged the other's first commit: git merges those two first."""

    def lines(**changed: str) -> str:
        return "".join(f"{changed.get(f'l{n}', n)}\n" for n in range(30))

    repo.commit({"x": lines()})
    repo.git("checkout", "-q", "-b", "side")
    side = repo.commit({"x": lines(l0="side")})
    repo.git("checkout", "-q", "main")
    main = repo.commit({"x": lines(l29="main")})
    repo.git("merge", "-q", "--no-ff", "-m", "m", side)
    repo.commit({"x": lines(l0="side", l29="main", l10="main")})
    repo.git("checkout", "-q", "side")
    repo.git("merge", "-q", "--no-ff", "-m", "s", main)
    head = repo.commit({"x": lines(l0="side", l29="main", l20="side")})
    repo.push("origin", "main", "HEAD:refs/pull/1/head")
    found = await watched.merged(await latest(watched), head)
    assert isinstance(found, Revision)
    expected = lines(l0="side", l29="main", l10="main", l20="side")
    assert (await contents(watched, found))["x"] == expected


async def test_nothing_that_reads_asks_the_remote(
    watched: GitSource, repo: Repo, server: HttpGit, state: Path
) -> None:
    first = await latest(watched)
    old = repo.git("rev-parse", "HEAD~2:d0/f0.yaml")
    config = git("config", "--list", "--local", cwd=copy(state))
    assert "remote" not in config
    assert "promisor" not in config
    server.requests.clear()
    with pytest.raises(Missing):
        watched._mirror.objects.blob(old)
    assert server.requests == []
    assert await latest(watched, first) == first, "and nothing counts as damaged"
    assert server.packs == 0


async def test_a_server_that_knows_no_filters_gives_an_ordinary_copy(
    watched: GitSource, repo: Repo, server: HttpGit, state: Path
) -> None:
    git("config", "uploadpack.allowFilter", "false", cwd=repo.bare)
    first = await latest(watched)
    assert (server.packs, kinds(state, "blob")) == (1, 30)
    assert not list(copy(state).rglob("*.promisor"))
    repo.deliver({"d0/f0.yaml": NEW})
    assert await contents(watched, await latest(watched, first)) == on_disk(repo)


@pytest.mark.parametrize(("refused", "blobs"), [("blob:none", 30), ("blob:limit", 10)])
async def test_a_server_that_refuses_one_filter_is_asked_without_it(
    watched: GitSource, repo: Repo, state: Path, refused: str, blobs: int
) -> None:
    git("config", f"uploadpackfilter.{refused}.allow", "false", cwd=repo.bare)
    first = await latest(watched)
    assert kinds(state, "blob") == blobs
    repo.deliver({"d0/f0.yaml": NEW})
    assert await contents(watched, await latest(watched, first)) == on_disk(repo)


async def test_many_pushes_do_not_leave_many_packs(
    watched: GitSource, repo: Repo, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_PACKS_MAX", 4)
    last = await latest(watched)
    for number in range(8):
        repo.deliver({"d0/f0.yaml": f"{number}\n"})
        last = await latest(watched, last)
    assert len(list((copy(state) / "objects" / "pack").glob("*.pack"))) <= 5
    assert await contents(watched, last) == on_disk(repo)
    fresh = source(state, watched.remote, "again")
    repo.git("checkout", "-q", "HEAD~8", "--", ".")
    repo.deliver({}, message="back")
    assert await contents(fresh, await latest(fresh)) == on_disk(repo)


async def test_a_damaged_partial_copy_is_made_good(
    watched: GitSource, repo: Repo, state: Path, server: HttpGit
) -> None:
    await latest(watched)
    for path in (copy(state) / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"")
    watched._mirror.objects.reopen()
    repo.deliver({"d0/f0.yaml": NEW})
    for _ in range(3):
        try:
            last = await latest(watched)
        except Damaged:
            continue
    assert await contents(watched, last) == on_disk(repo)


async def test_folders_that_hold_one_another_a_billion_times_are_walked_once(
    watched: GitSource, repo: Repo, server: HttpGit
) -> None:
    tree = repo.git("mktree", input=f"100644 blob {repo.git('rev-parse', 'HEAD:d0/f0.yaml')}\tx\n")
    for _ in range(12):
        rows = "".join(f"040000 tree {tree}\td{n}\n" for n in range(10))
        tree = repo.git("mktree", input=rows)
    bomb = repo.git("commit-tree", "-p", "HEAD", "-m", "bomb", tree)
    repo.push("origin", f"{bomb}:refs/heads/main")
    assert (await latest(watched)).id == bomb


async def test_a_partial_copy_is_made_over_ssh_too(repo: Repo, state: Path, tmp_path: Path) -> None:
    server = SshGit(tmp_path / "ssh")
    try:
        made = source(state, server.url(repo), credentials=server.credentials())
        assert await contents(made, await latest(made)) == on_disk(repo)
        assert kinds(state, "blob") == 10
    finally:
        server.close()


async def test_what_a_fetch_fetches_by_itself_runs_no_hook(
    watched: GitSource, repo: Repo, state: Path, tmp_path: Path
) -> None:
    first = await latest(watched)
    canary = tmp_path / "canary"
    hooks = copy(state) / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("reference-transaction", "pre-auto-gc", "post-checkout"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {canary}\n")
        (hooks / name).chmod(0o755)
    take_back(repo)
    assert await contents(watched, await latest(watched, first)) == on_disk(repo)
    assert not canary.exists()
