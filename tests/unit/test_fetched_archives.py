"""Archives by strangers: what is taken equals what tar and zip say, and nothing odd is taken."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import os
import stat
import subprocess
import tarfile
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitops.errors import SourceProblem
from gitops.model.ids import SourceName
from gitops.model.source import Revision, SourceState
from gitops.sources.directory import DirectorySnapshot
from gitops.sources.fetched import Bounds
from gitops.sources.fetched.packs import Damaged, PackSnapshot, PackWriter
from gitops.sources.fetched.unpack import Format, format_of, unpack

PLACE = "https://host/config.tar.gz"
USUAL = Bounds()
REVISION = Revision(SourceName("s"), "sha256:0")


def tree(
    folder: Path, data: bytes, kind: Format, bounds: Bounds = USUAL, strip: int = 0
) -> PackSnapshot:
    with PackWriter(folder) as writer:
        unpack(data, kind, writer, bounds, PLACE, strip)
        writer.finish(folder / "a.pack", {})
    return PackSnapshot(folder / "a.pack", REVISION)


def files(snapshot: PackSnapshot) -> dict[str, bytes]:
    return {entry.path: snapshot.read(entry) for entry in snapshot.files("")}


def refused(folder: Path, data: bytes, kind: Format, bounds: Bounds = USUAL) -> str:
    with pytest.raises(SourceProblem) as caught:
        tree(folder, data, kind, bounds)
    assert caught.value.state is SourceState.INVALID
    assert list(folder.iterdir()) == [], "nothing may be left behind"
    return caught.value.message


def tar_of(*members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:", format=format) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return raw.getvalue()


def file(name: str, content: bytes = b"x", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def odd(name: str, kind: bytes, link: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info, b""


def zip_of(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return raw.getvalue()


# --- what is taken ----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "config"
    (root / "apps" / "web").mkdir(parents=True)
    (root / "apps" / "web" / "one.yaml").write_text("kind: One\n")
    (root / "apps" / "web-a").write_text("x")
    (root / "apps" / ("long" * 40)).mkdir()
    (root / "apps" / ("long" * 40) / "näme.yaml").write_text("kind: Long\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    return root


@pytest.mark.parametrize("format", ["gnu", "pax", "ustar"])
def test_what_tar_packs_has_the_ids_of_the_folder(
    folder: Path, tmp_path: Path, format: str
) -> None:
    if format == "ustar":
        (folder / "apps" / ("long" * 40) / "näme.yaml").unlink()
        (folder / "apps" / ("long" * 40)).rmdir()
    command = ["tar", f"--format={format}", "-C", folder, "-czf", "-", "."]
    data = subprocess.run(command, check=True, capture_output=True).stdout
    made = tree(tmp_path / "state", data, Format.TAR_GZ)
    assert made.entry("") == DirectorySnapshot.of(folder).entry("")
    assert [e.path for e in made.children("")] == ["apps", "run.sh"]
    assert made.files("apps") == DirectorySnapshot.of(folder).files("apps")


def test_what_git_archives_is_taken_with_its_first_folder_cut_off(
    folder: Path, tmp_path: Path
) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    for argv in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "one"]):
        subprocess.run(["git", "-C", folder, *argv], check=True)
    expected = DirectorySnapshot.of(folder).entry("")
    for kind in (Format.TAR_GZ, Format.ZIP):
        command = ["git", "-C", folder, "archive", f"--format={kind}", "--prefix=repo-1/", "HEAD"]
        data = subprocess.run(command, check=True, capture_output=True).stdout
        assert tree(tmp_path / kind, data, kind, strip=1).entry("") == expected


NAMES = st.text("abcdefgh", min_size=1, max_size=3)
TREES = st.dictionaries(
    st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=1500), min_size=1
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(contents=TREES, format=st.sampled_from([0, 1, 2]))
def test_whatever_python_packs_is_read_the_same(
    tmp_path: Path, contents: dict[str, bytes], format: int
) -> None:
    folders = {"/".join(p.split("/")[:n]) for p in contents for n in range(1, p.count("/") + 1)}
    contents = {path: data for path, data in contents.items() if path not in folders}
    packed = tar_of(*(file(path, data) for path, data in contents.items()), format=format)
    assert files(tree(tmp_path / "s", packed, Format.TAR)) == contents
    zipped = gzip.compress(packed, 1)
    assert files(tree(tmp_path / "s", zipped, Format.TAR_GZ)) == contents
    as_zip = zip_of(*contents.items())
    assert files(tree(tmp_path / "s", as_zip, Format.ZIP)) == contents


def test_a_git_folder_in_an_archive_is_no_content(tmp_path: Path) -> None:
    data = tar_of(file("a.yaml"), file(".git/config"), file("sub/.git/HEAD"))
    assert list(files(tree(tmp_path, data, Format.TAR))) == ["a.yaml"]


def test_equal_contents_are_kept_once(tmp_path: Path) -> None:
    data = tar_of(*(file(f"{number}.yaml", b"y" * 100_000) for number in range(20)))
    made = tree(tmp_path, data, Format.TAR)
    assert len(files(made)) == 20
    assert (tmp_path / "a.pack").stat().st_size < 110_000


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.tar.gz", "tar.gz"), ("A.TGZ", "tar.gz"), ("a.tar", "tar"), ("a.zip", "zip")],
)
def test_an_archive_is_known_by_its_name(name: str, kind: str) -> None:
    assert format_of(name) == kind
    assert format_of(f"{name}.yaml") is None


# --- what is refused --------------------------------------------------------------------------

BAD_NAMES = {
    "../x": "is no path inside it",
    "a/../../x": "is no path inside it",
    "a/./x": "is no path inside it",
    "a//x": "is no path inside it",
    "/etc/passwd": "is absolute",
    "a\\..\\x": "holds characters",
    "a\nb": "holds characters",
    "a\x1b[2Jb": "holds characters",
    "a\u202eb": "holds characters",
    "x" * 256: "longer than 255 bytes",
    "/".join("d" * 65): "deeper than 64",
}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_no_plain_path_is_refused(tmp_path: Path, name: str) -> None:
    assert BAD_NAMES[name] in refused(tmp_path, tar_of(file("ok"), file(name)), Format.TAR)
    if "\\" not in name:
        assert BAD_NAMES[name] in refused(tmp_path, zip_of(("ok", b""), (name, b"")), Format.ZIP)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "is a symbolic link"),
        (tarfile.LNKTYPE, "is a hard link"),
        (tarfile.CHRTYPE, "is a device"),
        (tarfile.BLKTYPE, "is a device"),
        (tarfile.FIFOTYPE, "is no regular file"),
        (tarfile.CONTTYPE, "is no regular file"),
    ],
)
def test_anything_but_files_and_folders_is_refused(tmp_path: Path, kind: bytes, words: str) -> None:
    data = tar_of(file("a.yaml"), odd("b", kind, "a.yaml"))
    assert words in refused(tmp_path, data, Format.TAR)


def test_a_sparse_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "big").open("wb") as handle:
        handle.truncate(1 << 30)
    for format, words in (("pax", "sparse"), ("gnu", "no regular file")):
        command = ["tar", f"--format={format}", "--sparse", "-C", tmp_path, "-cf", "-", "big"]
        data = subprocess.run(command, check=True, capture_output=True).stdout
        assert words in refused(tmp_path / "s", data, Format.TAR)


def zip_link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("link")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_a_link_in_a_zip_is_refused(tmp_path: Path) -> None:
    data = zip_of(("a", b"x"), (zip_link(), b"/etc/passwd"))
    assert "is a symbolic link" in refused(tmp_path, data, Format.ZIP)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a.yaml", "a.yaml"], "occurs twice"),
        (["a.yaml", "A.yaml"], "same name as “a.yaml” on many disks"),
        (["caf\u00e9", "cafe\u0301"], "same name as"),
        (["apps/a", "Apps/b"], "in a folder also written “apps”"),
        (["a", "a/b"], "which is a file"),
        (["a/b", "a"], "same name as “a”"),
    ],
)
def test_names_that_one_disk_could_not_hold_are_refused(
    tmp_path: Path, names: list[str], words: str
) -> None:
    assert words in refused(tmp_path, tar_of(*map(file, names)), Format.TAR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python itself finds it odd to write such a zip
        data = zip_of(*((name, b"x") for name in names))
    assert words in refused(tmp_path, data, Format.ZIP)


def test_too_many_entries_are_refused_before_they_are_held(tmp_path: Path) -> None:
    few = Bounds(entries=100)
    many = [file(f"f{number}", b"") for number in range(101)]
    assert "over 100 entries" in refused(tmp_path, tar_of(*many), Format.TAR, few)
    data = zip_of(*((info.name, b"") for info, _ in many))
    assert "over 100 entries" in refused(tmp_path, data, Format.ZIP, few)


@pytest.mark.slow
def test_very_many_entries_cost_no_memory(tmp_path: Path) -> None:
    header = tar_of(file("a", b""))[:512]
    data = gzip.compress(header * 300_000, 1)
    tracemalloc.start()
    assert "occurs twice" in refused(tmp_path, data, Format.TAR_GZ)
    central = zip_of(("a", b""))
    at = central.index(b"PK\1\2")
    entry = central[at : central.index(b"PK\5\6")]
    lying = entry * 300_000
    end = b"PK\5\6" + bytes(4) + b"\xff\xff\xff\xff" + len(lying).to_bytes(4, "little") + bytes(6)
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    assert "entries" in refused(tmp_path, lying + end, Format.ZIP)
    assert tracemalloc.get_traced_memory()[1] - before < 40 << 20  # two copies of what was sent
    tracemalloc.stop()


@pytest.mark.slow
def test_a_bomb_is_refused_by_its_ratio_and_by_its_size(tmp_path: Path) -> None:
    data = gzip.compress(tar_of(*(file(f"f{n}", bytes(4 << 20)) for n in range(4))))
    assert "over 200 times its size" in refused(tmp_path, data, Format.TAR_GZ)
    zipped = zip_of(*((f"f{n}", bytes(4 << 20)) for n in range(4)))
    assert "over 200 times its size" in refused(tmp_path, zipped, Format.ZIP)
    noise = [(f"f{n}", os.urandom(1 << 20)) for n in range(3)]
    two = Bounds(unpacked=2 << 20)
    assert "over 2 MiB" in refused(tmp_path, zip_of(*noise), Format.ZIP, two)
    packed = tar_of(*(file(*each) for each in noise))
    assert "over 2 MiB" in refused(tmp_path, packed, Format.TAR, two)


def test_a_file_over_the_limit_is_refused_with_both_numbers(tmp_path: Path) -> None:
    data = tar_of(file("big.yaml", bytes(2000)))
    words = "“big.yaml” has 2,000 bytes; 1,000 is the limit"
    assert words in refused(tmp_path, data, Format.TAR, Bounds(file=1000))
    zipped = zip_of(("big.yaml", bytes(2000)))
    assert words in refused(tmp_path, zipped, Format.ZIP, Bounds(file=1000))


@pytest.mark.parametrize("kind", list(Format))
def test_an_empty_archive_deletes_nothing(tmp_path: Path, kind: Format) -> None:
    assert "0 bytes" in refused(tmp_path, b"", kind)
    empty = {Format.ZIP: zip_of(), Format.TAR: tar_of(), Format.TAR_GZ: gzip.compress(tar_of())}
    assert "holds no file" in refused(tmp_path, empty[kind], kind)
    folders = tar_of(odd("apps", tarfile.DIRTYPE))
    only = {Format.ZIP: zip_of(("apps/", b"")), Format.TAR: folders}
    assert "holds no file" in refused(tmp_path, only.get(kind, gzip.compress(folders)), kind)


# --- what is damaged --------------------------------------------------------------------------

TWO = tar_of(file("a.yaml", b"kind: A\n"), file("b.yaml", b"kind: B\n"))


def test_every_cut_of_an_archive_is_noticed(tmp_path: Path) -> None:
    """At a member's border as well, where Python's own reader sees a shorter archive."""
    trimmed = TWO.rstrip(b"\0")
    for length in [*range(0, len(trimmed), 256), 1024, 2048, 2048 + 512]:
        refused(tmp_path, TWO[:length], Format.TAR)
    for kind, whole in ((Format.TAR_GZ, gzip.compress(TWO)), (Format.ZIP, zip_of(("a", b"x")))):
        for length in range(0, len(whole), 7):
            refused(tmp_path, whole[:length], kind)


def test_a_damaged_header_is_not_the_end_of_the_archive(tmp_path: Path) -> None:
    broken = TWO[:1024] + b"x" + TWO[1025:]
    with tarfile.open(fileobj=io.BytesIO(broken)) as tar:
        assert tar.getnames() == ["a.yaml"], "Python's reader has become stricter"
    assert "damaged" in refused(tmp_path, broken, Format.TAR)


def test_what_lies_behind_the_end_is_refused(tmp_path: Path) -> None:
    assert "goes on behind" in refused(tmp_path, TWO + TWO, Format.TAR)
    twice = gzip.compress(TWO) + gzip.compress(TWO)
    assert "goes on behind" in refused(tmp_path, twice, Format.TAR_GZ)
    behind = zip_of(("a", b"x")) + b"more"
    assert "not read" in refused(tmp_path, behind, Format.ZIP)


def test_a_checksum_that_does_not_fit_is_noticed(tmp_path: Path) -> None:
    zipped = zip_of(("a", b"some content here"))
    at = zipped.index(b"a") + 3
    refused(tmp_path, zipped[:at] + bytes([zipped[at] ^ 1]) + zipped[at + 1 :], Format.ZIP)
    packed = bytearray(gzip.compress(TWO))
    packed[-6] ^= 1
    assert "damaged" in refused(tmp_path, bytes(packed), Format.TAR_GZ)


def pax(records: bytes, kind: bytes = b"x") -> bytes:
    info = tarfile.TarInfo("pax")
    info.type, info.size = kind, len(records)
    return info.tobuf(tarfile.USTAR_FORMAT) + records + bytes(-len(records) % 512)


@pytest.mark.slow
@pytest.mark.parametrize(
    "evil",
    [
        pax(b"99 path=b\n"),
        pax(b"0 path=b\n"),
        pax(b"10 path=b"),
        pax(b"9999999999999999 path=b\n"),
        pax(b"16 size=-100000\n"),
        pax(b"8 path=\n"),
        pax(b"14 path=../x\n\n"),
        pax(b"11 path=../x\n"),
        pax(b"10 path=b\n", b"g"),
        pax(b"0" * 60_000),
        pax(b"9" * 70_000),
        pax(b"", b"x") * 50_000,
    ],
    ids=range(12),
)
def test_extended_headers_that_lie_are_refused_at_once(tmp_path: Path, evil: bytes) -> None:
    if evil == pax(b"", b"x") * 50_000:
        made = tree(tmp_path, evil + TWO, Format.TAR)  # odd, and harmless
        assert len(files(made)) == 2
        return
    refused(tmp_path, evil + TWO, Format.TAR)


def test_a_negative_size_is_refused(tmp_path: Path) -> None:
    header = bytearray(TWO[:512])
    header[124:136] = b"\xff" * 12
    total = sum(header) - sum(header[148:156]) + 256
    header[148:156] = b"%06o\0 " % total
    assert "damaged" in refused(tmp_path, bytes(header) + TWO[512:], Format.TAR)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    where=st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, 255)), max_size=6),
    kind=st.sampled_from(list(Format)),
)
def test_damage_anywhere_is_refused_or_harmless(
    tmp_path: Path, where: list[tuple[int, int]], kind: Format
) -> None:
    whole = {
        Format.TAR: TWO,
        Format.TAR_GZ: gzip.compress(TWO),
        Format.ZIP: zip_of(("a.yaml", b"kind: A\n"), ("b.yaml", b"kind: B\n")),
    }
    data = bytearray(whole[kind])
    for at, value in where:
        data[at % len(data)] = value
    with contextlib.suppress(SourceProblem):
        assert tree(tmp_path / "s", bytes(data), kind).files("")


# --- packs ------------------------------------------------------------------------------------


def test_a_damaged_pack_is_not_used(tmp_path: Path) -> None:
    made = tree(tmp_path, TWO, Format.TAR)
    assert made.entry("a.yaml") is not None
    pack = tmp_path / "a.pack"
    whole = pack.read_bytes()
    for damaged in (whole[:-1], whole[:-60] + b"x" + whole[-59:], b"", whole[:20]):
        pack.write_bytes(damaged)
        with pytest.raises((Damaged, OSError)):
            PackSnapshot(pack, REVISION)


def test_a_pack_is_readable_for_its_owner_alone_and_read_on_when_removed(tmp_path: Path) -> None:
    made = tree(tmp_path / "s", TWO, Format.TAR)
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "s" / "a.pack").stat().st_mode & 0o777 == 0o600
    (tmp_path / "s" / "a.pack").unlink()
    assert files(made) == {"a.yaml": b"kind: A\n", "b.yaml": b"kind: B\n"}


def test_a_packs_contents_are_found_without_looking_through_all_of_them(tmp_path: Path) -> None:
    """A folder of ten thousand files asks that for each of them."""
    with PackWriter(tmp_path) as writer:
        for path, content in (("a", b""), ("b", b"b"), ("c", b"b")):
            writer.add(path, content)
        writer.finish(tmp_path / "a.pack", {})
    made = PackSnapshot(tmp_path / "a.pack", REVISION)
    assert made.digests() is made.digests()
    for content in (b"", b"b"):
        assert made.by_sha256(hashlib.sha256(content).hexdigest()) == content
    assert made.by_sha256("0" * 64) is None
