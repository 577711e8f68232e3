"""A folder as a source: the same ids as git, nothing followed, nothing mixed."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from gitops.errors import RenderError, SourceProblem
from gitops.model.ids import PersonName, SourceName
from gitops.model.source import EntryKind, SourceState
from gitops.ports import MAX_BLOB
from gitops.sources import directory, remembered
from gitops.sources.directory import DirectorySnapshot, DirectorySource
from gitops.sources.remembered import KEPT, Remembered


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "config"
    (root / "apps" / "web").mkdir(parents=True)
    (root / "apps" / "web" / "one.yaml").write_text("kind: One\n")
    (root / "apps" / "web.d").mkdir()
    (root / "apps" / "web.d" / "two.yaml").write_text("kind: Two\n")
    (root / "apps" / "web-a").write_text("x")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("apps/web/one.yaml")
    (root / "outside").symlink_to("/etc/passwd")
    (root / "empty" / "nothing").mkdir(parents=True)
    return root


def git_tree(root: Path) -> str:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(root.parent),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_DIR": str(root.parent / "oracle.git"),
        "GIT_WORK_TREE": str(root),
    }
    for argv in (["init", "-q"], ["add", "-A", "."]):
        subprocess.run(["git", *argv], env=env, cwd=root, check=True)
    done = subprocess.run(
        ["git", "write-tree"], env=env, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def aged(root: Path) -> None:
    """Let every file look as if it had been written long ago."""
    old = time.time() - 1000
    for path in root.rglob("*"):
        os.utime(path, (old, old), follow_symlinks=False)


def test_every_content_id_equals_the_one_git_computes(folder: Path) -> None:
    (folder / os.fsdecode(b"caf\xe9 \n'\"")).write_text("odd name")
    (folder / "-rf").write_text("dash")
    root = DirectorySnapshot.of(folder).entry("")
    assert root is not None
    assert root.oid == git_tree(folder)


def test_an_empty_folder_is_gits_empty_tree(tmp_path: Path) -> None:
    root = DirectorySnapshot.of(tmp_path).entry("")
    assert root is not None
    assert root.oid == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def test_children_and_files_are_sorted_and_hold_no_empty_folders(folder: Path) -> None:
    snapshot = DirectorySnapshot.of(folder)
    assert [e.path for e in snapshot.children("")] == ["apps", "link", "outside", "run.sh"]
    assert [e.path for e in snapshot.files("apps")] == [
        "apps/web-a",
        "apps/web.d/two.yaml",
        "apps/web/one.yaml",
    ]
    assert snapshot.entry("empty") is None
    assert snapshot.children("apps/web/one.yaml") == ()


def test_a_link_is_an_entry_of_its_own_and_never_followed(folder: Path) -> None:
    snapshot = DirectorySnapshot.of(folder)
    entry = snapshot.entry("outside")
    assert entry is not None
    assert entry.kind is EntryKind.LINK
    assert snapshot.read(entry) == b"/etc/passwd"


def test_the_git_folder_is_no_content(folder: Path) -> None:
    before = DirectorySnapshot.of(folder).revision
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("[core]")
    assert DirectorySnapshot.of(folder).revision == before


def test_a_file_edited_after_the_snapshot_is_refused_not_mixed(folder: Path) -> None:
    snapshot = DirectorySnapshot.of(folder)
    entry = snapshot.entry("apps/web/one.yaml")
    assert entry is not None
    assert snapshot.read(entry) == b"kind: One\n"
    (folder / "apps/web/one.yaml").write_text("kind: Six\n")
    with pytest.raises(RenderError, match=r"apps/web/one\.yaml: the file changed"):
        snapshot.read(entry)


def test_a_file_swapped_for_a_link_after_the_snapshot_is_refused(folder: Path) -> None:
    snapshot = DirectorySnapshot.of(folder)
    entry = snapshot.entry("run.sh")
    assert entry is not None
    (folder / "run.sh").unlink()
    (folder / "run.sh").symlink_to("/etc/passwd")
    with pytest.raises(RenderError, match="changed"):
        snapshot.read(entry)


def test_a_file_over_the_limit_is_named_with_both_numbers(folder: Path) -> None:
    with (folder / "big.bin").open("wb") as file:
        file.truncate(MAX_BLOB + 1)
    snapshot = DirectorySnapshot.of(folder)
    entry = snapshot.entry("big.bin")
    assert entry is not None
    with pytest.raises(RenderError, match=r"big\.bin: the file has 16777217 bytes; 16777216"):
        snapshot.read(entry)


def test_pipes_and_sockets_are_passed_over(folder: Path) -> None:
    before = DirectorySnapshot.of(folder).revision
    os.mkfifo(folder / "pipe")
    assert DirectorySnapshot.of(folder).revision == before


async def test_a_look_reads_only_what_changed(folder: Path) -> None:
    aged(folder)
    source = DirectorySource(folder, SourceName("local"))
    first = (await source.look(None)).revision
    target = folder / "apps/web/one.yaml"
    facts = target.stat()
    assert (await source.look(first)).revision == first
    target.write_text("kind: Six\n")
    os.utime(target, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert (await source.look(first)).revision != first, "same size and mtime: ctime must tell"


async def test_an_unchanged_folder_is_not_read_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(folder)
    source = DirectorySource(folder, SourceName("local"))
    first = await source.look(None)
    hashed: list[int] = []
    monkeypatch.setattr(directory, "_hash_file", lambda _handle, size: hashed.append(size))
    assert await source.look(first.revision) == first
    assert hashed == []


async def test_an_earlier_state_that_is_gone_is_said_to_be_gone(folder: Path) -> None:
    source = DirectorySource(folder, SourceName("local"))
    first = (await source.look(None)).revision
    (folder / "new.yaml").write_text("kind: New\n")
    await source.look(first)
    with pytest.raises(SourceProblem, match="keeps no history") as caught:
        await source.snapshot(first)
    assert caught.value.state is SourceState.GONE


async def test_a_missing_folder_is_gone_not_empty(tmp_path: Path) -> None:
    with pytest.raises(SourceProblem, match="no such file") as caught:
        await DirectorySource(tmp_path / "nowhere", SourceName("local")).look(None)
    assert caught.value.state is SourceState.GONE


async def test_authors_come_from_the_fleet_file_or_are_unknown(folder: Path) -> None:
    named = DirectorySource(folder, SourceName("local"), (PersonName("ann"),))
    look = await named.look(None)
    assert (await named.authorship(None, look.revision, ())).people == ("ann",)
    unknown = await DirectorySource(folder, SourceName("l")).authorship(None, look.revision, ())
    assert not unknown.known
    assert "authors:" in unknown.note


def test_a_folder_needs_the_operators_leave(folder: Path) -> None:
    options = directory.Options(name="local", url=str(folder))
    with pytest.raises(SourceProblem, match="allow_local"):
        directory.build(options, None)  # type: ignore[arg-type]


async def test_a_state_people_were_asked_about_is_to_be_had_after_the_folder_moved_on(
    tmp_path: Path,
) -> None:
    root = tmp_path / "config"
    (root / "app").mkdir(parents=True)
    (root / "app" / "run.sh").write_text("#!/bin/sh\n")
    (root / "app" / "run.sh").chmod(0o755)
    states = Remembered(tmp_path / "state" / "kept")
    source = DirectorySource(root, SourceName("here"), states=states)
    first = (await source.look(None)).revision
    before = await source.snapshot(first)
    read, ids = before.files("app"), [before.entry(path) for path in ("", "app")]
    await source.remember(first)
    await source.remember(first)
    (root / "app" / "run.sh").write_text("#!/bin/sh\nexit 1\n")
    second = (await source.look(first)).revision
    assert second.id != first.id
    again = await DirectorySource(root, SourceName("here"), states=states).snapshot(first)
    assert (again.revision, again.files("app")) == (first, read)
    assert [again.entry(path) for path in ("", "app")] == ids
    assert again.read(again.files("app")[0]) == b"#!/bin/sh\n"
    await source.remember(first)  # it is another by now: nothing to keep, and no error
    await source.retain([first])
    assert states.find(first)


async def test_states_nobody_wants_are_removed_but_for_the_newest(tmp_path: Path) -> None:
    root = tmp_path / "config"
    root.mkdir()
    states = Remembered(tmp_path / "kept")
    source = DirectorySource(root, SourceName("here"), states=states)
    seen = []
    for number in range(KEPT + 3):
        (root / "a.yaml").write_text(f"kind: A{number}\n")
        seen.append((await source.look(None)).revision)
        await source.remember(seen[-1])
    await source.retain([seen[0]])
    assert len([revision for revision in seen if states.find(revision)]) == KEPT + 1
    assert states.find(seen[0])


async def test_a_folder_with_links_or_too_large_is_not_kept(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = Remembered(folder.parent / "kept")
    source = DirectorySource(folder, SourceName("here"), states=states)
    linked = (await source.look(None)).revision
    await source.remember(linked)
    assert states.find(linked) is None
    for link in ("link", "outside"):
        (folder / link).unlink()
    large = (await source.look(None)).revision
    monkeypatch.setattr(remembered, "LARGEST", 3)
    await source.remember(large)
    assert states.find(large) is None
