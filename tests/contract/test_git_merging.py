"""What a pull request would make of a source, over real git servers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops.errors import SourceProblem
from gitops.model.source import Read, Revision, SourceState
from gitops.ports.merging import Conflict, Merging
from gitops.sources.git import GitSource
from tests.contract.git_servers import HttpGit, Repo, SshGit, git, http_git, latest, source


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "remote")
    made.deliver({"a.yaml": "1\n2\n3\n4\n5\n6\n7\n8\n9\n", "b.yaml": "b\n", "apps/x": "x\n"})
    return made


@pytest.fixture
def server(repo: Repo) -> Iterator[HttpGit]:
    with http_git(repo.bare.parent) as made:
        yield made


@pytest.fixture
def watched(tmp_path: Path, server: HttpGit, repo: Repo) -> GitSource:
    return source(tmp_path / "state", server.url(repo))


def propose(repo: Repo, number: int, files: dict[str, str | bytes | None], **kwargs: str) -> str:
    """A pull request's head, under the ref where GitHub shows it and nowhere else."""
    repo.git("checkout", "-q", "-b", f"pr{number}", "main")
    head = repo.commit(files, **kwargs)
    repo.push("origin", f"HEAD:refs/pull/{number}/head")
    repo.git("checkout", "-q", "main")
    return head


async def merged(made: GitSource, base: Revision, head: str) -> Revision:
    found = await made.merged(base, head)
    assert isinstance(found, Revision)
    return found


async def test_a_merge_holds_what_both_sides_changed(watched: GitSource, repo: Repo) -> None:
    head = propose(repo, 7, {"a.yaml": "1\n2\n3\n4\n5\n6\n7\n8\nnine\n", "new.yaml": "n\n"})
    repo.deliver({"a.yaml": "one\n2\n3\n4\n5\n6\n7\n8\n9\n", "apps/x": "y\n"})
    base = await latest(watched)
    assert isinstance(watched, Merging)
    result = await merged(watched, base, head)
    snapshot = await watched.snapshot(result)
    read = {entry.path: snapshot.read(entry) for entry in snapshot.files("")}
    assert read == {
        "a.yaml": b"one\n2\n3\n4\n5\n6\n7\n8\nnine\n",
        "apps/x": b"y\n",
        "b.yaml": b"b\n",
        "new.yaml": b"n\n",
    }
    assert result.ref == base.ref
    assert await latest(watched, base) == base, "and moves nothing that is watched"


async def test_the_same_two_commits_give_the_same_revision_everywhere(
    watched: GitSource, repo: Repo, server: HttpGit, tmp_path: Path
) -> None:
    head = propose(repo, 1, {"new.yaml": "n\n"})
    base = await latest(watched)
    other = source(tmp_path / "other", server.url(repo))
    first = await merged(watched, base, head)
    assert await merged(watched, base, head) == first
    assert await merged(other, await latest(other), head) == first


async def test_a_conflict_names_its_paths(watched: GitSource, repo: Repo) -> None:
    names = {"b.yaml": "theirs\n", "apps/x": "theirs\n", "new\nline": "theirs\n"}
    head = propose(repo, 1, dict(names))
    repo.deliver(dict.fromkeys(names, "ours\n"))
    found = await watched.merged(await latest(watched), head)
    assert found == Conflict(("apps/x", "b.yaml", "new\nline"))


async def test_attributes_decide_nothing_about_a_merge(watched: GitSource, repo: Repo) -> None:
    repo.deliver({".gitattributes": "* merge=union text eol=crlf filter=x\na.yaml -merge\n"})
    head = propose(repo, 1, {"b.yaml": "theirs\n", "a.yaml": "1\n2\n3\n4\n5\n6\n7\n8\nnine\n"})
    repo.deliver({"a.yaml": "one\n2\n3\n4\n5\n6\n7\n8\n9\n"})
    base = await latest(watched)
    snapshot = await watched.snapshot(await merged(watched, base, head))
    entry = snapshot.entry("a.yaml")
    assert entry is not None
    assert snapshot.read(entry) == b"one\n2\n3\n4\n5\n6\n7\n8\nnine\n"
    repo.deliver({"b.yaml": "ours\n"})
    assert await watched.merged(await latest(watched), head) == Conflict(("b.yaml",))


async def test_attributes_decide_nothing_after_a_kill_while_that_was_written_down(
    watched: GitSource, repo: Repo, tmp_path: Path
) -> None:
    head = propose(repo, 1, {"b.yaml": "theirs\n"})
    base = await latest(watched)
    await merged(watched, base, head)
    (found,) = tmp_path.glob("state/**/info/attributes")
    whole = found.read_text()
    assert "!merge" in whole
    for left in ("", "* !mer"):
        found.write_text(left)
        await merged(watched, base, head)
        assert found.read_text() == whole


async def test_without_common_history_there_is_nothing_to_merge(
    watched: GitSource, repo: Repo
) -> None:
    repo.git("checkout", "-q", "--orphan", "fresh")
    head = repo.commit({"c.yaml": "c"})
    repo.push("origin", "HEAD:refs/pull/3/head")
    found = await watched.merged(await latest(watched), head)
    assert isinstance(found, Conflict)
    assert "no common history" in found.reason


async def test_the_authors_of_a_merge_are_those_of_its_commits(
    watched: GitSource, repo: Repo
) -> None:
    delivered = await latest(watched)
    head = propose(
        repo,
        1,
        {"a.yaml": "1\n2\n3\n4\n5\n6\n7\n8\nnine\n"},
        person="Bob",
        message="x\n\nCo-authored-by: Eve <e@x>",
    )
    repo.commit({"a.yaml": "one\n2\n3\n4\n5\n6\n7\n8\n9\n"}, person="Carl")
    repo.deliver({"b.yaml": "ours\n"}, person="Dora")
    base = await latest(watched)
    result = await merged(watched, base, head)

    async def names(since: Revision | None, path: str) -> set[str]:
        found = await watched.authorship(since, result, [Read(path, "read")])
        assert found.known
        assert result.id not in {commit.id for commit in found.commits}
        return {person.name for person in found.signatures}

    assert await names(base, "a.yaml") == {"Bob", "Eve"}
    assert await names(base, "b.yaml") == set()
    assert await names(delivered, "a.yaml") == {"Bob", "Eve", "Carl"}
    assert await names(None, "a.yaml") == {"Bob", "Eve", "Carl"}
    assert await names(None, "b.yaml") == {"Dora"}


async def test_a_server_that_gives_no_commit_by_its_id_is_asked_for_the_ref_it_shows(
    watched: GitSource, repo: Repo, server: HttpGit
) -> None:
    base = await latest(watched)
    server.faults.no_ids = True
    propose(repo, 4, {"first.yaml": "1"})
    repo.git("checkout", "-q", "pr4")
    head = repo.commit({"second.yaml": "2"})
    repo.push("origin", "HEAD:refs/elsewhere/4")
    with pytest.raises(SourceProblem, match="is not in the repository") as caught:
        await watched.merged(base, head)
    assert caught.value.state is SourceState.GONE
    repo.push("origin", "HEAD:refs/merge-requests/4/head")
    snapshot = await watched.snapshot(await merged(watched, base, head))
    assert snapshot.entry("second.yaml") is not None


@pytest.mark.parametrize(
    "head", ["main", "--upload-pack=touch x", "HEAD", "", "refs/pull/1/head", "A" * 40]
)
async def test_nothing_but_a_commit_id_is_merged(
    watched: GitSource, server: HttpGit, head: str
) -> None:
    base = await latest(watched)
    server.requests.clear()
    with pytest.raises(SourceProblem, match="full commit id"):
        await watched.merged(base, head)
    assert server.requests == []


async def test_a_tag_or_file_is_no_head(watched: GitSource, repo: Repo) -> None:
    repo.git("tag", "-a", "-m", "one", "v1")
    repo.push("origin", "v1")
    base = await latest(watched)
    for name in ("v1", "HEAD:a.yaml"):
        with pytest.raises(SourceProblem, match="is not in the repository"):
            await watched.merged(base, repo.git("rev-parse", name))


async def test_what_is_forgotten_leaves_nothing_of_ours_behind(
    watched: GitSource, repo: Repo, tmp_path: Path
) -> None:
    head = propose(repo, 1, {"new.yaml": "n\n"})
    base = await latest(watched)
    folder = next((tmp_path / "state" / "git").glob("*/repository.git"))
    before = git("for-each-ref", cwd=folder)
    result = await merged(watched, base, head)
    assert git("for-each-ref", cwd=folder) != before
    await watched.forget(result)
    await watched.forget(dataclasses.replace(base, id="../../keep"))
    assert git("for-each-ref", cwd=folder) == before
    assert await merged(watched, base, head) == result


async def test_a_merge_is_made_over_ssh_too(repo: Repo, tmp_path: Path) -> None:
    server = SshGit(tmp_path / "ssh")
    try:
        made = source(tmp_path / "state", server.url(repo), credentials=server.credentials())
        head = propose(repo, 1, {"new.yaml": "n\n"})
        snapshot = await made.snapshot(await merged(made, await latest(made), head))
        assert snapshot.entry("new.yaml") is not None
    finally:
        server.close()
