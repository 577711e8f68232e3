"""What counts as read, and links that stay inside the tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops.closures import Recorder, moved, normalise
from gitops.errors import RenderError
from gitops.model.source import Read
from gitops.sources.directory import DirectorySnapshot


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "app" / "sub").mkdir(parents=True)
    (root / "app" / "a.yaml").write_text("a")
    (root / "app" / "sub" / "b.yaml").write_text("b")
    (root / "other").mkdir()
    (root / "other" / "c.yaml").write_text("c")
    return root


def recorder(root: Path) -> Recorder:
    return Recorder(DirectorySnapshot.of(root))


def test_reads_and_absences_are_recorded_sorted_and_once(tree: Path) -> None:
    seen = recorder(tree)
    entry = seen.entry("other/c.yaml")
    assert entry is not None
    seen.read(entry)
    assert seen.entry("other/none") is None
    assert seen.entry("app/a.yaml") is not None
    closure = seen.closure(["x"])
    assert [(read.path, read.oid is None) for read in closure.reads] == [
        ("app/a.yaml", False),
        ("other/c.yaml", False),
        ("other/none", True),
    ]
    assert closure.outside == ("x",)


def test_looking_at_a_folder_is_not_reading_all_of_it(tree: Path) -> None:
    seen = recorder(tree)
    assert seen.entry("app") is not None
    assert seen.closure().reads == ()


def test_a_listed_folder_stands_for_everything_beneath(tree: Path) -> None:
    seen = recorder(tree)
    for entry in seen.files("app"):
        seen.read(entry)
    root = DirectorySnapshot.of(tree).entry("app")
    assert root is not None
    assert seen.closure().reads == (Read("app", root.oid),)


def test_only_what_was_read_moves_a_closure(tree: Path) -> None:
    seen = recorder(tree)
    seen.files("app/sub")
    seen.entry("app/a.yaml")
    seen.entry("app/new.yaml")
    closure = seen.closure()
    (tree / "other" / "c.yaml").write_text("changed")
    assert moved(closure, DirectorySnapshot.of(tree)) == ()
    (tree / "app" / "sub" / "z.yaml").write_text("new file")
    assert moved(closure, DirectorySnapshot.of(tree)) == ("app/sub",)
    (tree / "app" / "new.yaml").write_text("was absent")
    (tree / "app" / "a.yaml").unlink()
    assert moved(closure, DirectorySnapshot.of(tree)) == ("app/a.yaml", "app/new.yaml", "app/sub")


@pytest.mark.parametrize(
    ("path", "base", "result"),
    [
        ("a", "", "a"),
        ("./a//b/", "x", "x/a/b"),
        ("../b", "x/y", "x/b"),
        (".", "x", "x"),
        ("", "", ""),
        ("../../z", "x/y", "z"),
        ("x/../..", "a", ""),
    ],
)
def test_paths_are_taken_relative_to_their_folder(path: str, base: str, result: str) -> None:
    assert normalise(path, base) == result


@pytest.mark.parametrize("path", ["..", "../../x", "/etc/passwd", "a\0b", "x/../../.."])
def test_no_path_leaves_the_source(path: str) -> None:
    with pytest.raises(RenderError) as caught:
        normalise(path, "a", place="f:1") if path != ".." else normalise(path, "", place="f:1")
    assert caught.value.place == "f:1"


def test_links_within_the_tree_are_followed_and_recorded(tree: Path) -> None:
    (tree / "link").symlink_to("app")
    (tree / "chain").symlink_to("link/sub")
    seen = recorder(tree)
    entry = seen.resolve("chain/b.yaml")
    assert entry is not None
    assert entry.path == "app/sub/b.yaml"
    assert [read.path for read in seen.closure().reads] == ["app/sub/b.yaml", "chain", "link"]


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("../../etc/passwd", "leaves the source"),
        ("/etc/passwd", "leaves the source"),
        ("nothing", "points to nothing"),
        ("bad", "leads in a circle"),
    ],
)
def test_a_link_out_to_nothing_or_in_a_circle_is_named(tree: Path, target: str, words: str) -> None:
    (tree / "bad").symlink_to(target)
    with pytest.raises(RenderError, match=words) as caught:
        recorder(tree).resolve("bad")
    assert "bad" in str(caught.value)


def test_a_link_that_turns_into_a_folder_moves_the_closure(tree: Path) -> None:
    (tree / "link").symlink_to("app")
    seen = recorder(tree)
    assert seen.resolve("link/a.yaml") is not None
    closure = seen.closure()
    (tree / "link").unlink()
    (tree / "link").mkdir()
    (tree / "link" / "a.yaml").write_text("a")
    assert "link" in moved(closure, DirectorySnapshot.of(tree))
