"""A git source over real git: what a look finds, what it keeps, what it asks of the remote."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitops.errors import ConfigError, RenderError, SourceProblem
from gitops.model.source import EntryKind, Read, Revision, SourceState
from gitops.sources.directory import DirectorySnapshot
from gitops.sources.git import GitSource
from gitops.sources.git.objects import Damaged, Missing
from tests.contract.git_servers import HttpGit, Repo, git, http_git, latest, source


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    made = Repo(tmp_path / "remote")
    made.deliver({"apps/web/one.yaml": "kind: One\n", "apps/db/two.yaml": "kind: Two\n"})
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


# --- looking ----------------------------------------------------------------------------------


async def test_the_first_look_brings_the_branchs_head(watched: GitSource, repo: Repo) -> None:
    look = await watched.look(None)
    assert look.revision == Revision(look.revision.source, repo.head, "main")
    assert not look.rewritten


async def test_a_push_is_found_by_one_head_request_and_one_fetch(
    watched: GitSource, repo: Repo, server: HttpGit
) -> None:
    first = await latest(watched)
    server.requests.clear()
    new = repo.deliver({"apps/web/one.yaml": "kind: Uno\n"})
    look = await watched.look(first)
    assert (look.revision.id, look.rewritten) == (new, False)
    assert (server.looks, server.packs) == (1, 1)


async def test_nothing_is_fetched_while_nothing_moves(watched: GitSource, server: HttpGit) -> None:
    first = await latest(watched)
    server.requests.clear()
    assert (await watched.look(first)).revision == first
    assert (server.looks, server.packs) == (1, 0)


async def test_sources_on_one_address_share_one_request_and_one_copy(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    repo.git("checkout", "-q", "-b", "stable")
    repo.deliver({"stable.yaml": "kind: Stable\n"})
    pair = [
        source(state, server.url(repo), "a"),
        source(state, server.url(repo), "b", ref="stable"),
    ]
    looks = await asyncio.gather(*(one.look(None) for one in pair))
    assert looks[0].revision.id != looks[1].revision.id
    assert (server.looks, server.packs) == (1, 1)
    assert len(list((state / "git").iterdir())) == 1


async def test_a_look_is_never_answered_by_a_request_older_than_itself(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    one, two = (source(state, server.url(repo), name) for name in "ab")
    await latest(one)
    server.arrived.clear()
    early = asyncio.create_task(one.look(None))
    await asyncio.to_thread(server.arrived.wait, 10)
    new = repo.deliver({"late.yaml": "kind: Late\n"})
    assert (await two.look(None)).revision.id == new
    await early


async def test_a_missing_branch_of_one_source_does_not_hurt_another(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    good = source(state, server.url(repo), "a")
    bad = source(state, server.url(repo), "b", ref="nowhere")
    for _ in range(2):
        found, gone = await asyncio.gather(good.look(None), bad.look(None), return_exceptions=True)
        assert not isinstance(found, BaseException)
        assert found.revision.id == repo.head
        assert isinstance(gone, SourceProblem)
        assert gone.state is SourceState.GONE
    repo.git("checkout", "-q", "-b", "nowhere")
    new = repo.deliver({"now.yaml": "here"})
    assert (await latest(bad)).id == new


async def test_a_deleted_branch_is_gone_and_names_what_there_is(
    watched: GitSource, repo: Repo
) -> None:
    first = await latest(watched)
    repo.git("checkout", "-q", "-b", "master")
    repo.push()
    repo.git("push", "-q", "origin", ":main")
    with pytest.raises(SourceProblem, match="no branch or tag 'main'") as caught:
        await watched.look(first)
    assert caught.value.state is SourceState.GONE
    assert "master" in caught.value.hint
    kept = await watched.snapshot(first)
    assert kept.entry("apps/web/one.yaml") is not None


async def test_a_branch_that_comes_back_is_followed_again(watched: GitSource, repo: Repo) -> None:
    first = await latest(watched)
    repo.git("push", "-q", "origin", ":main")
    with pytest.raises(SourceProblem):
        await watched.look(first)
    new = repo.deliver({"x": "1"})
    assert (await watched.look(first)).revision.id == new


async def test_an_empty_repository_is_empty_until_its_first_commit(
    state: Path, tmp_path: Path
) -> None:
    repo = Repo(tmp_path / "new")
    with http_git(repo.bare.parent) as server:
        watched = source(state, server.url(repo))
        with pytest.raises(SourceProblem, match="empty") as caught:
            await watched.look(None)
        assert caught.value.state is SourceState.EMPTY
        new = repo.deliver({"x": "1"})
        assert (await latest(watched)).id == new


async def test_a_force_push_says_rewritten_and_keeps_the_old_commit(
    watched: GitSource, repo: Repo, state: Path
) -> None:
    repo.deliver({"secret-plan.yaml": "kind: Old\n"})
    old = await latest(watched)
    repo.git("reset", "-q", "--hard", "HEAD~1")
    repo.commit({"other.yaml": "kind: New\n"})
    repo.push("--force", "origin", "main")
    look = await watched.look(old)
    assert look.rewritten
    assert not (await watched.look(look.revision)).rewritten
    folder = next((state / "git").glob("*/repository.git"))
    git("-c", "safe.directory=*", "gc", "--quiet", "--prune=now", cwd=folder)
    snapshot = await watched.snapshot(old)
    entry = snapshot.entry("secret-plan.yaml")
    assert entry is not None
    assert snapshot.read(entry) == b"kind: Old\n"


async def test_a_moved_back_branch_is_rewritten_too(watched: GitSource, repo: Repo) -> None:
    repo.deliver({"x": "1"})
    last = await latest(watched)
    repo.git("reset", "-q", "--hard", "HEAD~1")
    repo.push("--force", "origin", "main")
    assert (await watched.look(last)).rewritten


async def test_a_replaced_repository_is_rewritten(watched: GitSource, repo: Repo) -> None:
    last = await latest(watched)
    repo.git("checkout", "-q", "--orphan", "fresh")
    repo.commit({"all": "new"})
    repo.push("--force", "origin", "fresh:main")
    assert (await watched.look(last)).rewritten


async def test_an_ancestor_far_back_is_still_an_ancestor(watched: GitSource, repo: Repo) -> None:
    last = await latest(watched)
    tip = last.id
    tree = repo.git("rev-parse", "HEAD^{tree}")
    lines = []
    for number in range(400):
        parent = f"from {tip}\n" if number == 0 else ""
        lines.append(
            f"commit refs/heads/main\ncommitter A <a@x> {1700000000 + number} +0000\n"
            f"data 1\nx\n{parent}M 040000 {tree} \n"
        )
    git("fast-import", "--quiet", cwd=repo.bare, input="".join(lines))
    assert not (await watched.look(last)).rewritten


async def test_an_annotated_tag_stands_for_its_commit_and_may_move(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    repo.git("tag", "-a", "-m", "one", "v1")
    repo.push("origin", "v1")
    tagged = source(state, server.url(repo), ref="v1")
    first = await latest(tagged)
    assert first.id == repo.head
    repo.commit({"x": "1"})
    repo.git("tag", "-f", "-a", "-m", "two", "v1")
    repo.push("--force", "origin", "v1", "main")
    assert (await tagged.look(first)).revision.id == repo.head


async def test_a_tag_on_a_file_is_invalid(state: Path, server: HttpGit, repo: Repo) -> None:
    repo.git("tag", "blob", "HEAD:apps/web/one.yaml")
    repo.push("origin", "blob")
    with pytest.raises(SourceProblem, match="is no commit") as caught:
        await source(state, server.url(repo), ref="blob").look(None)
    assert caught.value.state is SourceState.INVALID


async def test_a_pinned_commit_is_fetched_once_and_never_asked_about_again(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    pinned = repo.head
    repo.deliver({"x": "1"})
    made = source(state, server.url(repo), ref=pinned)
    assert (await latest(made)).id == pinned
    server.requests.clear()
    assert (await latest(made)).id == pinned
    assert server.requests == []


async def test_branches_a_and_a_slash_b_can_follow_one_another(
    state: Path, server: HttpGit, repo: Repo
) -> None:
    repo.push("origin", "HEAD:release")
    await latest(source(state, server.url(repo), "a", ref="release"))
    repo.git("push", "-q", "origin", ":release", "HEAD:release/1")
    assert (await latest(source(state, server.url(repo), "b", ref="release/1"))).id == repo.head


async def test_a_revision_of_an_earlier_process_is_fetched_by_its_id_if_the_copy_is_lost(
    tmp_path: Path, server: HttpGit, repo: Repo
) -> None:
    first = await latest(source(tmp_path / "old", server.url(repo)))
    repo.deliver({"x": "1"})
    snapshot = await source(tmp_path / "new", server.url(repo)).snapshot(first)
    assert snapshot.entry("x") is None
    with pytest.raises(SourceProblem, match="not in the repository") as caught:
        await source(tmp_path / "new", server.url(repo)).snapshot(
            Revision(first.source, "1" * 40, "main")
        )
    assert caught.value.state is SourceState.GONE


async def test_a_local_repository_needs_the_operators_leave(state: Path, repo: Repo) -> None:
    with pytest.raises(ConfigError, match="folder of this machine"):
        source(state, repo.bare)
    for url in (repo.bare, f"file://{repo.bare}"):
        assert (await latest(source(state, url, allow_local=True))).id == repo.head


# --- reading ----------------------------------------------------------------------------------


async def test_a_commit_reads_exactly_like_the_working_tree_it_was_made_from(
    watched: GitSource, repo: Repo
) -> None:
    repo.write({"run.sh": "#!/bin/sh\n", "a.d/x": "1", "a/x": "2", "a-b": "3", "-rf": "4"})
    repo.write({"new\nline": "5", "quo\"te'": "6", "caf\u00e9": "7"})
    (repo.work / "run.sh").chmod(0o755)
    (repo.work / "link").symlink_to("/etc/passwd")
    (repo.work / "caf\udce9").write_text("not UTF-8")
    repo.deliver({})
    theirs = await watched.snapshot(await latest(watched))
    ours = DirectorySnapshot.of(repo.work)
    assert theirs.entry("") == ours.entry("")
    strip = [(e.path, e.kind, e.oid, e.executable) for e in ours.files("")]
    assert [(e.path, e.kind, e.oid, e.executable) for e in theirs.files("")] == strip
    assert [e.path for e in theirs.children("")] == [e.path for e in ours.children("")]
    for entry in theirs.files(""):
        assert theirs.read(entry) == ours.read(entry)


async def test_a_link_is_an_entry_of_its_own(watched: GitSource, repo: Repo) -> None:
    (repo.work / "out").symlink_to("/etc/passwd")
    (repo.work / "folder").symlink_to("apps")
    repo.deliver({})
    snapshot = await watched.snapshot(await latest(watched))
    out = snapshot.entry("out")
    assert out is not None
    assert (out.kind, snapshot.read(out)) == (EntryKind.LINK, b"/etc/passwd")
    assert snapshot.entry("folder/web/one.yaml") is None


async def test_a_submodule_is_an_entry_and_is_never_fetched(
    watched: GitSource, repo: Repo, tmp_path: Path, server: HttpGit
) -> None:
    canary = Repo(tmp_path / "remote", "canary")
    oid = canary.deliver({"x": "1"})
    modules = f'[submodule "m"]\n path = m\n url = {server.url(canary)}\n'
    repo.write({".gitmodules": modules})
    repo.git("add", ".gitmodules")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{oid},m")
    repo.git("commit", "-q", "-m", "submodule")
    repo.push()
    snapshot = await watched.snapshot(await latest(watched))
    entry = snapshot.entry("m")
    assert entry is not None
    assert (entry.kind, entry.oid) == (EntryKind.GITLINK, oid)
    with pytest.raises(RenderError, match="gitlink"):
        snapshot.read(entry)
    assert not any("canary" in line for line in server.requests)


async def test_attributes_filters_and_hooks_are_inert(
    watched: GitSource, repo: Repo, tmp_path: Path, state: Path
) -> None:
    canary = tmp_path / "canary"
    repo.deliver(
        {
            ".gitattributes": "* filter=evil text eol=crlf ident\n*.bin filter=lfs\n",
            "$Id$.yaml": "a: $Id$\nb: 1\n",
            "big.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        }
    )
    await latest(watched)
    folder = next((state / "git").glob("*/repository.git"))
    (folder / "hooks").mkdir(exist_ok=True)
    for name in ("post-checkout", "reference-transaction", "post-merge", "pre-auto-gc"):
        hook = folder / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch {canary}\n")
        hook.chmod(0o755)
    repo.deliver({"x": "1"})
    snapshot = await watched.snapshot(await latest(watched))
    for path in ("$Id$.yaml", "big.bin"):
        entry = snapshot.entry(path)
        assert entry is not None
        assert snapshot.read(entry) == (repo.work / path).read_bytes()
    assert not canary.exists()


async def test_a_file_over_the_limit_is_named_with_both_numbers(
    watched: GitSource, repo: Repo
) -> None:
    repo.deliver({"big.bin": b"\0" * ((16 << 20) + 1)})
    snapshot = await watched.snapshot(await latest(watched))
    entry = snapshot.entry("big.bin")
    assert entry is not None
    with pytest.raises(RenderError, match=r"big\.bin: the file has 16777217 bytes; 16777216 is"):
        snapshot.read(entry)


async def test_a_second_revision_reads_only_the_trees_that_differ(
    watched: GitSource, repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.deliver({f"apps/a{n:02d}/x.yaml": str(n) for n in range(50)})
    first = await watched.snapshot(await latest(watched))
    assert len(first.files("")) == 52
    repo.deliver({"apps/a07/x.yaml": "changed"})
    second = await watched.snapshot(await latest(watched))
    read: list[str] = []
    plain = watched._mirror.objects._typed

    def counting(oid: str, *rest: object) -> bytes:
        read.append(oid)
        return plain(oid, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(watched._mirror.objects, "_typed", counting)
    assert len(second.files("")) == 52
    assert len(read) == 3, "the root, apps and apps/a07"


async def test_a_snapshot_may_be_read_from_many_threads(watched: GitSource, repo: Repo) -> None:
    contents = {f"d{n % 7}/f{n}.yaml": f"kind: K{n}\n" * 20 for n in range(200)}
    repo.deliver(dict(contents))
    snapshot = await watched.snapshot(await latest(watched))

    def everything() -> dict[str, str]:
        return {e.path: snapshot.read(e).decode() for e in snapshot.files("")}

    for found in await asyncio.gather(*(asyncio.to_thread(everything) for _ in range(8))):
        assert contents.items() <= found.items()


async def test_a_damaged_copy_is_said_and_made_anew_with_the_next_look(
    watched: GitSource, repo: Repo, state: Path
) -> None:
    first = await latest(watched)
    for path in next((state / "git").glob("*/repository.git/objects")).rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"")
    fresh = source(state, watched.remote, "again")
    fresh._mirror.objects.reopen()
    for _ in range(3):
        try:
            found = await latest(fresh)
        except Damaged:
            continue
    snapshot = await fresh.snapshot(found)
    assert found == Revision(fresh._name, first.id, "main")
    assert [e.path for e in snapshot.files("apps/web")] == ["apps/web/one.yaml"]


async def test_a_deleted_copy_is_made_anew(watched: GitSource, repo: Repo, state: Path) -> None:
    first = await latest(watched)
    home = next((state / "git").iterdir())
    home.rename(state / "elsewhere")
    watched._mirror.objects.reopen()
    with pytest.raises(Missing):
        watched._mirror.objects.commit(first.id)
    assert await latest(watched) == first
    assert (await watched.snapshot(first)).entry("apps") is not None


# --- authorship -------------------------------------------------------------------------------


async def authors(
    made: GitSource, since: Revision | None, until: Revision, *paths: str
) -> tuple[set[str], bool, str]:
    reads = [Read(path, "read") for path in paths]
    found = await made.authorship(since, until, reads)
    return {person.name for person in found.signatures}, found.known, found.note


async def test_authors_are_those_whose_commits_touch_what_was_read(
    watched: GitSource, repo: Repo
) -> None:
    first = await latest(watched)
    repo.commit({"apps/web/one.yaml": "1"}, person="Bob", message="x\n\nco-AUTHORED-by: Eve <e@x>")
    repo.commit({"apps/db/two.yaml": "2"}, person="Mallory")
    repo.deliver({"apps/web/new.yaml": "3"}, person="Carl", GIT_COMMITTER_NAME="Dora")
    last = await latest(watched)
    assert await authors(watched, first, last, "apps/web") == (
        {"Bob", "Eve", "Carl", "Dora"},
        True,
        "",
    )
    assert (await authors(watched, first, last, "apps/web/one.yaml"))[0] == {"Bob", "Eve"}
    assert (await authors(watched, first, last, "apps/web/absent.yaml"))[0] == set()
    assert (await authors(watched, first, last, ""))[0] == {"Bob", "Eve", "Carl", "Dora", "Mallory"}


async def test_a_change_undone_within_the_range_still_counts(
    watched: GitSource, repo: Repo
) -> None:
    first = await latest(watched)
    repo.commit({"apps/web/one.yaml": "evil"}, person="Bob")
    repo.deliver({"apps/web/one.yaml": "kind: One\n"}, person="Carl")
    found = await authors(watched, first, await latest(watched), "apps/web/one.yaml")
    assert found[0] == {"Bob", "Carl"}


async def test_a_merge_counts_both_sides_and_the_merger(watched: GitSource, repo: Repo) -> None:
    first = await latest(watched)
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit({"apps/web/one.yaml": "1"}, person="Bob")
    repo.git("checkout", "-q", "main")
    repo.commit({"apps/web/three.yaml": "3"}, person="Carl")
    repo.git("merge", "-q", "--no-ff", "-m", "merge", "feature", person="Dora")
    repo.push("origin", "main")
    last = await latest(watched)
    assert (await authors(watched, first, last, "apps/web"))[0] == {"Bob", "Carl", "Dora"}
    assert (await authors(watched, first, last, "apps/db"))[0] == set()


async def test_a_side_branch_whose_change_the_merge_dropped_still_counts(
    watched: GitSource, repo: Repo
) -> None:
    first = await latest(watched)
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit({"apps/web/one.yaml": "1"}, person="Bob")
    repo.git("checkout", "-q", "main")
    repo.commit({"apps/db/two.yaml": "3"}, person="Carl")
    repo.git("merge", "-q", "--no-ff", "-s", "ours", "-m", "merge", "feature", person="Dora")
    repo.push("origin", "main")
    assert "Bob" in (await authors(watched, first, await latest(watched), "apps/web"))[0]


async def test_a_folder_replaced_by_a_link_counts_for_what_was_read_through_it(
    watched: GitSource, repo: Repo
) -> None:
    first = await latest(watched)
    repo.write({"apps/web/one.yaml": None})
    (repo.work / "apps/web").rmdir()
    (repo.work / "apps/web").symlink_to("db")
    repo.deliver({}, person="Bob")
    last = await latest(watched)
    assert (await authors(watched, first, last, "apps/web/absent.yaml"))[0] == {"Bob"}


async def test_without_a_start_each_files_last_writer_counts(
    watched: GitSource, repo: Repo
) -> None:
    repo.commit({"apps/web/one.yaml": "1"}, person="Bob")
    repo.commit({"apps/web/three.yaml": "3"}, person="Carl")
    repo.commit({"apps/web/three.yaml": "4"}, person="Dora")
    repo.deliver({"apps/db/two.yaml": "5"}, person="Eve")
    last = await latest(watched)
    assert await authors(watched, None, last, "apps/web", "gone") == ({"Bob", "Dora"}, True, "")
    assert (await authors(watched, None, last, ""))[0] == {"Bob", "Dora", "Eve"}


async def test_what_a_merge_itself_wrote_is_the_mergers(watched: GitSource, repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "feature")
    repo.commit({"apps/web/one.yaml": "1"}, person="Bob")
    repo.git("checkout", "-q", "main")
    repo.commit({"apps/web/one.yaml": "2"}, person="Carl")
    repo.git("merge", "-q", "--no-commit", "-s", "ours", "feature")
    repo.write({"apps/web/one.yaml": "3"})
    repo.deliver({}, person="Dora")
    found = await authors(watched, None, await latest(watched), "apps/web/one.yaml")
    assert found == ({"Dora"}, True, "")


async def test_after_a_rewrite_authorship_is_unknown_but_names_what_is_new(
    watched: GitSource, repo: Repo
) -> None:
    repo.deliver({"apps/web/one.yaml": "1"}, person="Bob")
    old = await latest(watched)
    repo.git("reset", "-q", "--hard", "HEAD~1")
    repo.commit({"apps/web/one.yaml": "2"}, person="Carl")
    repo.push("--force", "origin", "main")
    new = (await watched.look(old)).revision
    people, known, note = await authors(watched, old, new, "apps/web")
    assert (people, known) == ({"Carl"}, False)
    assert "rewritten" in note


async def test_after_a_replacement_every_last_writer_counts_and_it_is_said(
    watched: GitSource, repo: Repo
) -> None:
    old = await latest(watched)
    repo.git("checkout", "-q", "--orphan", "fresh")
    repo.commit({"apps/web/one.yaml": "2"}, person="Carl")
    repo.push("--force", "origin", "fresh:main")
    new = (await watched.look(old)).revision
    people, known, note = await authors(watched, old, new, "apps/web", "apps/db")
    assert people == {"Carl"}
    assert not known
    assert "unrelated" in note


async def test_odd_paths_have_authors_too(watched: GitSource, repo: Repo) -> None:
    names = ["new\nline", ":(top)x", "-rf", "*", "caf\udce9"]
    first = await latest(watched)
    repo.commit(dict.fromkeys(names, "1"), person="Bob")
    repo.git("checkout", "-q", "-b", "side")
    repo.deliver({"x": "2"}, person="Carl")
    repo.git("checkout", "-q", "main")
    repo.git("merge", "-q", "--no-ff", "-m", "m", "side", person="Dora")
    repo.push("origin", "main")
    last = await latest(watched)
    for name in names:
        assert (await authors(watched, first, last, name))[0] == {"Bob"}
        assert (await authors(watched, None, last, name))[0] == {"Bob"}
