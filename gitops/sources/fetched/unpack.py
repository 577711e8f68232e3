"""Reads tar.gz, tar and zip archives by strangers into a pack, with every size bounded.

One pass; nothing of it can be seen before the last member was judged, and a member's name is
judged before its content is read. Called by the web and the OCI source, in a worker thread.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from gitops.errors import SourceProblem
from gitops.foreign import one_line
from gitops.sources.fetched import Bounds, unfit
from gitops.sources.fetched.names import Names
from gitops.sources.fetched.packs import PackWriter
from gitops.sources.fetched.tar import Stream, members

_CHUNK = 1 << 18
_RATIO = 200
"""Times as large unpacked; deflate reaches 1,032, configuration 10 to 50."""
_RATIO_FREE = 8 << 20
"""Bytes to which the ratio does not matter."""
_HEADERS = 4 << 10
"""Bytes a tar file spends on an entry beside its content, on average and at most."""
_EOCD = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LARGEST_COMMENT = 65_535
_ODD_TAR = {"1": "a hard link", "2": "a symbolic link", "3": "a device", "4": "a device"}


class Format(StrEnum):
    TAR_GZ = "tar.gz"
    TAR = "tar"
    ZIP = "zip"


def format_of(name: str) -> Format | None:
    """By a file's name; None for what is no archive."""
    lower = name.lower()
    for ending, found in (
        (".tar.gz", Format.TAR_GZ),
        (".tgz", Format.TAR_GZ),
        (".tar", Format.TAR),
        (".zip", Format.ZIP),
    ):
        if lower.endswith(ending):
            return found
    return None


def unpack(
    data: bytes, kind: Format, into: PackWriter, bounds: Bounds, place: str, strip: int = 0
) -> None:
    """Adds every file to ``into``, without the first ``strip`` folders of its path.

    Raises SourceProblem for links, devices, encrypted or doubled members, paths that leave the
    archive, anything over the bounds, and whatever is damaged, empty or goes on behind its end.
    """
    if not data:
        raise unfit("the archive has 0 bytes", place)
    job = _Unpacking(data, into, bounds, place, Names(bounds, place, strip))
    if kind is Format.ZIP:
        job.zip()
    else:
        job.tar(job.inflated() if kind is Format.TAR_GZ else iter((data,)))
    if into.empty:
        raise unfit("the archive holds no file", place, "nothing is deleted because of it")


@dataclass(frozen=True, slots=True)
class _Unpacking:
    data: bytes
    into: PackWriter
    bounds: Bounds
    place: str
    names: Names

    # --- tar ------------------------------------------------------------------------------------

    def tar(self, plain: Iterator[bytes]) -> None:
        stream = Stream(plain, self.place)
        for member in members(stream, self.place):
            if member.kind == "5":
                self.names.folder(member.name)
                continue
            path = self.names.file(member.name)
            if member.kind != "0":
                raise self._irregular(member.name, _ODD_TAR.get(member.kind, "no regular file"))
            self._sized(member.size, member.name)
            self._add(path, stream.content(member.size), member.executable)

    def inflated(self) -> Iterator[bytes]:
        """The content of one gzip member, its checksum verified (RFC 1952)."""
        inflater = zlib.decompressobj(wbits=31)
        limit = self.bounds.unpacked + self.bounds.entries * _HEADERS
        pending, total = self.data, 0
        try:
            while not inflater.eof:
                chunk = inflater.decompress(pending, _CHUNK)
                pending = inflater.unconsumed_tail
                if not chunk and not pending and not inflater.eof:
                    raise unfit("the archive is cut short", self.place)
                total += len(chunk)
                self._proportionate(total, len(self.data))
                if total > limit:
                    raise self._too_much()
                yield chunk
        except zlib.error as error:
            raise unfit("the archive is no gzip file, or damaged", self.place) from error
        if inflater.unused_data.strip(b"\0"):
            raise unfit("the archive goes on behind its end", self.place)

    # --- zip ------------------------------------------------------------------------------------

    def zip(self) -> None:
        self._walk()
        try:
            with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
                for item in archive.infolist():
                    self._item(archive, item)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            NotImplementedError,
            ValueError,
            RuntimeError,
        ) as error:
            raise unfit("the archive is no zip file, or damaged", self.place) from error

    def _walk(self) -> None:
        """Counts the entries before zipfile makes an object of each.

        Its end record is found as zipfile finds it (APPNOTE.TXT 4.3.16). Zip64 is for archives
        beyond our bounds, and a second place to hide another directory in.
        """
        data, size = self.data, len(self.data)
        where = data.rfind(b"PK\5\6", max(0, size - _EOCD.size - _LARGEST_COMMENT))
        if where < 0 or where + _EOCD.size > size:
            raise unfit("the archive is no zip file, or cut short", self.place)
        _, disk, first, here, count, length, _, comment = _EOCD.unpack_from(data, where)
        zip64 = data[max(0, where - 20) : where].startswith(b"PK\6\7")
        if zip64 or disk or first or here != count or where + _EOCD.size + comment != size:
            raise unfit("the archive is of a kind of zip that is not read", self.place)
        if count > self.bounds.entries:
            raise self._too_many()
        at = where - length
        for _ in range(count):
            if not 0 <= at <= where - _CENTRAL.size:
                raise unfit("the archive is damaged", self.place)
            fields = _CENTRAL.unpack_from(data, at)
            at += _CENTRAL.size + fields[10] + fields[11] + fields[12]
        if at != where:
            raise unfit("the archive is damaged", self.place)

    def _item(self, archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> None:
        mode = item.external_attr >> 16
        if "\0" in item.orig_filename:
            raise unfit("a name in the archive holds a NUL byte", self.place)
        if item.is_dir():
            self.names.folder(item.filename)
            return
        path = self.names.file(item.filename)
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            kind = "a symbolic link" if stat.S_ISLNK(mode) else "no regular file"
            raise self._irregular(item.filename, kind)
        if item.flag_bits & 0x1:
            raise self._irregular(item.filename, "encrypted")
        if item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise self._irregular(item.filename, "compressed in a way that is not read")
        self._sized(item.file_size, item.filename)
        # Of what the directory claims of a member's packed size nothing is believed: members that
        # share their bytes would each have a fair ratio.
        self._proportionate(self.into.size + item.file_size, len(self.data))
        with archive.open(item) as file:
            content = file.read(self.bounds.file + 1)
        if len(content) != item.file_size:
            raise unfit("the archive is damaged", self.place)
        self._add(path, content, bool(mode & 0o100))

    # --- both -----------------------------------------------------------------------------------

    def _add(self, path: str, content: bytes, executable: bool) -> None:
        if self.into.size + len(content) > self.bounds.unpacked:
            raise self._too_much()
        if path:
            self.into.add(path, content, executable=executable)

    def _sized(self, size: int, name: str) -> None:
        limit = self.bounds.file
        if not 0 <= size <= limit:
            message = f"“{one_line(name, 120)}” has {size:,} bytes; {limit:,} is the limit"
            raise unfit(message, self.place)

    def _proportionate(self, unpacked: int, packed: int) -> None:
        if unpacked > _RATIO_FREE + _RATIO * packed:
            raise unfit(f"the archive unpacks to over {_RATIO} times its size", self.place)

    def _too_much(self) -> SourceProblem:
        return unfit(f"the archive unpacks to over {self.bounds.unpacked >> 20} MiB", self.place)

    def _too_many(self) -> SourceProblem:
        return unfit(f"it holds over {self.bounds.entries:,} entries", self.place)

    def _irregular(self, name: str, kind: str) -> SourceProblem:
        message = f"“{one_line(name, 120)}” in the archive is {kind}"
        return unfit(message, self.place, "put files and folders into it alone: tar --dereference")
