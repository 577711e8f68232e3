"""The vault gives back exactly what was put, or nothing at all."""

from __future__ import annotations

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gitops import sealing
from gitops.errors import ConfigError, StoreUnavailable
from gitops.model.delivery import LaneId
from gitops.model.ids import Digest
from gitops.model.manifest import ObjectId
from gitops.model.plan import Action
from gitops.model.sealed import SealedObject, SealedSet
from gitops.records import Unreadable
from gitops.vault import FolderVault, Keyring

SEAL = Digest("ab" * 32)
OTHER = Digest("cd" * 32)
KEY = bytes(range(32))


@pytest.fixture
def vault(tmp_path: Path) -> FolderVault:
    return FolderVault(tmp_path / "vault", Keyring(KEY))


def file_of(folder: Path, seal: str) -> Path:
    return folder / "vault" / seal[:2] / seal


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


class TestFolderVault:
    @pytest.mark.parametrize("content", [b"", b"x", b"password: hunter2\n" * 100_000])
    async def test_what_is_put_comes_back(self, vault: FolderVault, content: bytes) -> None:
        await vault.put(SEAL, content)
        assert await vault.get(SEAL) == content

    async def test_a_seal_never_put_is_none(self, vault: FolderVault) -> None:
        assert await vault.get(SEAL) is None

    async def test_putting_twice_keeps_the_latter(self, vault: FolderVault) -> None:
        await vault.put(SEAL, b"one")
        await vault.put(SEAL, b"two")
        assert await vault.get(SEAL) == b"two"
        assert list(await vault.held()) == [SEAL]

    async def test_discarded_content_is_gone_and_discarding_again_is_fine(
        self, vault: FolderVault, tmp_path: Path
    ) -> None:
        await vault.put(SEAL, b"one")
        await vault.discard(SEAL)
        await vault.discard(SEAL)
        assert await vault.get(SEAL) is None
        assert not file_of(tmp_path, SEAL).exists()

    async def test_held_lists_every_seal_and_nothing_else(
        self, vault: FolderVault, tmp_path: Path
    ) -> None:
        assert list(await vault.held()) == []
        await vault.put(OTHER, b"2")
        await vault.put(SEAL, b"1")
        file_of(tmp_path, SEAL).with_name("notes.txt").write_text("mine")
        assert list(await vault.held()) == [SEAL, OTHER]

    async def test_nothing_in_clear_reaches_the_disk(
        self, vault: FolderVault, tmp_path: Path
    ) -> None:
        await vault.put(SEAL, b"password: hunter2")
        kept = file_of(tmp_path, SEAL).read_bytes()
        assert b"hunter2" not in kept
        assert base64.b64encode(b"hunter2")[:-2] not in kept

    async def test_only_the_owner_can_look(self, vault: FolderVault, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            await vault.put(SEAL, b"x")
        finally:
            os.umask(before)
        path = file_of(tmp_path, SEAL)
        assert [mode(p) for p in (path, path.parent, path.parent.parent)] == [0o600, 0o700, 0o700]

    @pytest.mark.parametrize("damage", ["flip", "cut", "empty", "foreign", "grow"])
    async def test_a_damaged_file_counts_as_lost_and_is_said(
        self, vault: FolderVault, tmp_path: Path, damage: str
    ) -> None:
        await vault.put(SEAL, b"password: hunter2")
        path = file_of(tmp_path, SEAL)
        whole = path.read_bytes()
        path.write_bytes(
            {
                "flip": whole[:-1] + bytes([whole[-1] ^ 1]),
                "cut": whole[:20],
                "empty": b"",
                "foreign": b"hello",
                "grow": whole + b"\0",
            }[damage]
        )
        with capture_logs() as logs:
            assert await vault.get(SEAL) is None
        assert [(log["log_level"], log["seal"]) for log in logs] == [("warning", SEAL)]

    async def test_content_moved_to_another_seal_does_not_open(
        self, vault: FolderVault, tmp_path: Path
    ) -> None:
        await vault.put(SEAL, b"approved for one change")
        await vault.put(OTHER, b"approved for another")
        file_of(tmp_path, OTHER).write_bytes(file_of(tmp_path, SEAL).read_bytes())
        assert await vault.get(OTHER) is None

    async def test_another_key_does_not_open(self, vault: FolderVault, tmp_path: Path) -> None:
        await vault.put(SEAL, b"x")
        assert await FolderVault(tmp_path / "vault", Keyring.throwaway()).get(SEAL) is None

    @pytest.mark.parametrize("name", ["", "../../etc/passwd", "AB" * 32, "ab" * 32 + "\n", "ab"])
    async def test_what_is_no_seal_never_becomes_a_path(
        self, vault: FolderVault, name: str
    ) -> None:
        with pytest.raises(ValueError, match="64 hex"):
            await vault.put(Digest(name), b"x")

    async def test_a_disk_that_refuses_is_a_passing_error_with_its_place(
        self, vault: FolderVault, tmp_path: Path
    ) -> None:
        (tmp_path / "vault").write_text("in the way")
        with pytest.raises(StoreUnavailable) as caught:
            await vault.put(SEAL, b"password: hunter2")
        assert caught.value.place.startswith(str(tmp_path))
        assert "hunter2" not in str(caught.value)

    async def test_a_failed_put_keeps_the_old_content_and_no_litter(
        self, vault: FolderVault, tmp_path: Path
    ) -> None:
        await vault.put(SEAL, b"old")
        code = (
            "import asyncio, resource, signal, sys\n"
            "from pathlib import Path\n"
            "from gitops.errors import StoreUnavailable\n"
            "from gitops.vault import FolderVault, Keyring\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
            "vault = FolderVault(Path(sys.argv[1]), Keyring(bytes(range(32))))\n"
            "try:\n"
            "    asyncio.run(vault.put('ab' * 32, b'x' * 10_000))\n"
            "except StoreUnavailable:\n"
            "    sys.exit(7)\n"
        )
        done = subprocess.run([sys.executable, "-c", code, tmp_path / "vault"], check=False)
        assert done.returncode == 7
        assert await vault.get(SEAL) == b"old"
        assert [p.name for p in file_of(tmp_path, SEAL).parent.iterdir()] == [SEAL]

    async def test_tidy_removes_what_a_killed_writer_left_and_nothing_fresh(
        self, vault: FolderVault, tmp_path: Path
    ) -> None:
        await vault.put(SEAL, b"x")
        folder = file_of(tmp_path, SEAL).parent
        (folder / ".incoming-old").write_bytes(b"half")
        os.utime(folder / ".incoming-old", (1, 1))
        (folder / ".incoming-new").write_bytes(b"half")
        vault.tidy()
        assert sorted(p.name for p in folder.iterdir()) == [".incoming-new", SEAL]


class TestKeyring:
    @pytest.mark.parametrize(
        "text",
        [
            KEY.hex(),
            KEY.hex().upper() + "\n",
            base64.b64encode(KEY).decode(),
            base64.urlsafe_b64encode(KEY).decode().rstrip("="),
            f"  {base64.b64encode(KEY).decode()}\n",
        ],
    )
    def test_a_key_may_be_written_as_hex_or_base64(self, text: str) -> None:
        assert Keyring.parse(text).of(b"x") == Keyring(KEY).of(b"x")

    @pytest.mark.parametrize("text", ["", "hunter2", "hunter2!", KEY.hex()[:-2], "é" * 44])
    def test_anything_else_is_refused_without_being_quoted(self, text: str) -> None:
        with pytest.raises(ConfigError) as caught:
            Keyring.parse(text)
        assert not text or text not in str(caught.value)
        assert "openssl rand" in caught.value.hint

    def test_digests_are_keyed_and_do_not_depend_on_anything_else(self) -> None:
        one, same, other = Keyring(KEY), Keyring(KEY), Keyring.throwaway()
        assert one.of(b"hunter2") == same.of(b"hunter2")
        assert one.of(b"hunter2") != other.of(b"hunter2")
        assert one.of(b"hunter2") != one.of(b"hunter3")
        assert len(one.of(b"")) == 64

    def test_neither_key_shows_in_its_repr(self) -> None:
        assert repr(Keyring(KEY)) == "Keyring(…)"

    def test_the_key_file_is_made_once_for_its_owner_alone(self, tmp_path: Path) -> None:
        first = Keyring.kept_in(tmp_path / "state")
        path = tmp_path / "state" / "vault.key"
        assert mode(path) == 0o600
        assert mode(path.parent) == 0o700
        assert [p.name for p in path.parent.iterdir()] == ["vault.key"]
        assert Keyring.kept_in(tmp_path / "state").of(b"x") == first.of(b"x")

    @pytest.mark.slow
    def test_many_first_starts_at_once_end_with_one_key(self, tmp_path: Path) -> None:
        code = (
            "import sys; from pathlib import Path; from gitops.vault import Keyring\n"
            "sys.stdin.read()\n"
            "print(Keyring.kept_in(Path(sys.argv[1])).of(b'x'))\n"
        )
        argv = [sys.executable, "-c", code, tmp_path]
        starts = [
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(4)
        ]
        for start in starts:
            assert start.stdin
            start.stdin.close()
            start.stdin = None
        assert len({start.communicate()[0] for start in starts}) == 1

    def test_a_key_everybody_can_read_is_refused(self, tmp_path: Path) -> None:
        Keyring.kept_in(tmp_path)
        (tmp_path / "vault.key").chmod(0o644)
        with pytest.raises(ConfigError, match="everybody") as caught:
            Keyring.kept_in(tmp_path)
        assert caught.value.place == str(tmp_path / "vault.key")

    def test_a_key_its_group_can_read_is_closed_again(self, tmp_path: Path) -> None:
        Keyring.kept_in(tmp_path)
        (tmp_path / "vault.key").chmod(0o660)
        Keyring.kept_in(tmp_path)
        assert mode(tmp_path / "vault.key") == 0o600

    def test_a_broken_key_file_is_refused_and_left_alone(self, tmp_path: Path) -> None:
        path = tmp_path / "vault.key"
        path.write_bytes(b"\xff\x00 nonsense")
        path.chmod(0o600)
        with pytest.raises(ConfigError):
            Keyring.kept_in(tmp_path)
        assert path.read_bytes() == b"\xff\x00 nonsense"


def sealed_set() -> SealedSet:
    first = ObjectId("", "Secret", "shop", "db")
    second = ObjectId("apps", "Deployment", "shop", "web")
    return SealedSet(
        LaneId("shop", "prod"),
        "shop/deployer",
        (
            SealedObject(
                first,
                "v1",
                Action.UPDATE,
                b'{"data":{"p":"aHVudGVyMg=="}}\xff\x00',
                OTHER,
                True,
                "u-1",
                "42",
                b'{"f:data":{}}',
                SEAL,
                OTHER,
            ),
            SealedObject(
                second, "v1", Action.DELETE, b"", Digest(""), False, "u-2", "7", b"{}", SEAL, None
            ),
        ),
        (first,),
    )


class TestSealing:
    def test_a_sealed_set_comes_back_equal(self) -> None:
        assert sealing.decode(sealing.encode(sealed_set())) == sealed_set()

    @pytest.mark.slow
    def test_equal_sets_give_equal_bytes_in_every_process(self) -> None:
        code = (
            "import sys; from test_vault import sealed_set; from gitops import sealing\n"
            "sys.stdout.buffer.write(sealing.encode(sealed_set()))\n"
        )
        env = os.environ | {"PYTHONPATH": str(Path(__file__).parent), "PYTHONHASHSEED": "77"}
        done = subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, check=True
        )
        assert done.stdout == sealing.encode(sealed_set())

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace(b'"format":4', b'"format":3'),
            lambda text: text.replace(b'"force":true', b'"force":1'),
            lambda text: text.replace(b'"run_as"', b'"runs_as"'),
            lambda text: text.replace(b'"action":"update"', b'"action":"frobnicate"'),
            lambda text: text.replace(b'"uid":"u-1"', b'"uid":"u-1","more":1'),
            lambda text: text[:-1],
            lambda text: b"[" * 100_000,
            lambda text: b"null",
            lambda text: b"\xff",
        ],
    )
    def test_anything_else_is_refused_and_not_quoted(self, change) -> None:  # type: ignore[no-untyped-def]
        content = change(sealing.encode(sealed_set()))
        with pytest.raises(Unreadable) as caught:
            sealing.decode(content)
        assert "aHVudGVyMg" not in str(caught.value)
