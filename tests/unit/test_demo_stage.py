"""Where the demo is played: wherever that is, its controller has a socket, and all of it goes."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from gitops.demo.roottool import RootTool
from gitops.demo.stage import Stage, ending, folder_for

TOOL = RootTool("tofu", Path("/nonexistent/tofu"))
DEEP = "a-folder-with-a-rather-long-name/" * 5


@pytest.fixture(params=["short", DEEP])
def usual(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The system's folder for temporary files, with a short or a very long path."""
    folder = tmp_path / str(request.param)
    folder.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def socket_of(folder: Path) -> Path:
    """Where the link leads; only long paths have one."""
    return (folder / "run").readlink()


def test_a_socket_too_deep_is_put_where_it_fits_for_us_alone_and_that_is_removed(
    usual: Path,
) -> None:
    folder = folder_for(usual / DEEP)
    with Stage(folder, TOOL):
        room = socket_of(folder)
        assert len(str(room)) < 80
        assert stat.S_IMODE(room.stat().st_mode) == 0o700
        assert f"rmdir {room}" in ending(folder)
    assert not room.exists()
    assert not (folder / "run").is_symlink()


def test_a_demo_that_stays_keeps_its_socket_until_the_folder_is_used_again(usual: Path) -> None:
    folder = folder_for(usual / DEEP)
    with Stage(folder, TOOL, stays=True):
        room = socket_of(folder)
    assert room.is_dir()
    assert folder_for(folder) == folder
    assert not room.exists()


def test_what_a_link_names_is_never_removed_with_something_in_it(usual: Path) -> None:
    folder = folder_for(usual / DEEP)
    precious = usual / "precious"
    precious.mkdir()
    (precious / "letter.txt").touch()
    with Stage(folder, TOOL, stays=True):
        socket_of(folder).rmdir()
        (folder / "run").unlink()
        (folder / "run").symlink_to(precious)
    folder_for(folder)
    assert (precious / "letter.txt").exists()


def test_a_short_folder_holds_its_socket_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        with Stage(folder_for(None), TOOL) as stage:
            assert not (stage.folder / "run").is_symlink()
