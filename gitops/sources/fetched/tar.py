"""Reads tar files as a stream: only files and folders, and only what can be read in one way.

Python's reader is not used on what a stranger sent. It takes a damaged header for the end of the
archive, which here would mean files that were deleted; it follows sizes backwards, and its parsing
of extended headers can take time out of all proportion (CVE-2025-8194, CVE-2024-6232). What is left
to write is short, since links, devices and sparse files are refused anyhow.

Format: POSIX.1-2017 ``pax``, "ustar Interchange Format", and GNU tar's long names. Called by
:mod:`.unpack`. Raises SourceProblem alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from gitops.sources.fetched import unfit

BLOCK = 512
MAX_HEADER = 64 << 10
"""Bytes of one extended header: names, times, checksums."""
_ZEROS = bytes(BLOCK)
_LENGTH = re.compile(rb"([1-9][0-9]{0,5}) ")
_CUT = "the archive is cut short"
_DAMAGED = "the archive is no tar file, or damaged"


@dataclass(frozen=True, slots=True)
class Member:
    """One entry as its headers describe it."""

    name: str
    kind: str
    """The type flag: ``0`` a file, ``5`` a folder, anything else neither."""
    size: int
    executable: bool


class Stream:
    """Bytes in pieces of whatever size, taken in pieces of the right size."""

    def __init__(self, chunks: Iterable[bytes], place: str) -> None:
        self._chunks = iter(chunks)
        self._held = bytearray()
        self._place = place

    def take(self, size: int) -> bytes:
        """Exactly so many bytes; raises SourceProblem when there are fewer."""
        while len(self._held) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                raise unfit(_CUT, self._place)
            self._held += chunk
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def content(self, size: int) -> bytes:
        """A member's content and the padding behind it."""
        return self.take(size + -size % BLOCK)[:size]

    def drain(self) -> None:
        """Behind the end there is nothing but zeros."""
        rest: Iterable[bytes] = (bytes(self._held),)
        while True:
            for chunk in rest:
                if chunk.strip(b"\0"):
                    raise unfit("the archive goes on behind its end", self._place)
            if rest is self._chunks:
                return
            rest = self._chunks


def members(stream: Stream, place: str) -> Iterator[Member]:
    """Each member; whoever iterates takes ``stream.content(member.size)`` of it before the next.

    Raises SourceProblem for anything damaged, cut short, or without the two blocks of zeros that
    end an archive.
    """
    extended: dict[str, bytes] = {}
    while (header := stream.take(BLOCK)) != _ZEROS:
        member = _member(header, extended, place)
        if member.kind in "xgLK":
            content = stream.content(_small(member.size, place))
            _extend(extended, member.kind, content, place)
            continue
        extended = {}
        yield member
    if stream.take(BLOCK) != _ZEROS:
        raise unfit(_DAMAGED, place)
    stream.drain()


def _member(header: bytes, extended: Mapping[str, bytes], place: str) -> Member:
    if sum(header) - sum(header[148:156]) + 8 * 32 != _number(header[148:156], place):
        raise unfit(_DAMAGED, place)
    kind = chr(header[156]) if header[156] else "0"
    name = extended.get("path", b"") or _name(header)
    size = _number(header[124:136], place)
    if kind not in "xgLK":
        size = _decimal(extended["size"], place) if "size" in extended else size
        if kind == "0" and name.endswith(b"/"):
            kind = "5"  # as archives from before POSIX have it
        if kind == "5" and size:
            raise unfit(_DAMAGED, place)
    executable = bool(_number(header[100:108], place) & 0o100)
    return Member(_text(name, place), kind, size, executable)


def _name(header: bytes) -> bytes:
    name, prefix = (_ended(header[start:end]) for start, end in ((0, 100), (345, 500)))
    # GNU's own format keeps times where POSIX has the prefix.
    return prefix + b"/" + name if prefix and header[257:263] == b"ustar\0" else name


def _extend(extended: dict[str, bytes], kind: str, content: bytes, place: str) -> None:
    if kind == "L":
        extended.setdefault("path", _ended(content))
    if kind in "LK":
        return
    found = dict(_records(content, place))
    if any(key.startswith("GNU.sparse") for key in found):
        raise unfit("the archive holds a sparse file", place, "pack it without --sparse")
    if kind == "x":
        extended |= found
    elif {"path", "size"} & found.keys():
        raise unfit(_DAMAGED, place)  # one name for all members


def _records(content: bytes, place: str) -> Iterator[tuple[str, bytes]]:
    """``LENGTH KEY=VALUE\\n``, the length including itself."""
    at = 0
    while at < len(content):
        found = _LENGTH.match(content, at)
        end = at + int(found[1]) if found else 0
        if found is None or end > len(content) or content[end - 1 : end] != b"\n":
            raise unfit(_DAMAGED, place)
        key, equals, value = content[found.end() : end - 1].partition(b"=")
        if not key or not equals or (key in (b"path", b"size") and not value):
            raise unfit(_DAMAGED, place)
        yield key.decode("utf-8", "replace"), value
        at = end


def _number(field: bytes, place: str) -> int:
    """Octal digits, or GNU's base 256 where those do not suffice."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise unfit(_DAMAGED, place)
    return int(digits or b"0", 8)


def _decimal(value: bytes, place: str) -> int:
    if not re.fullmatch(rb"[0-9]{1,15}", value):
        raise unfit(_DAMAGED, place)
    return int(value)


def _small(size: int, place: str) -> int:
    if size > MAX_HEADER:
        raise unfit(f"the archive has a header over {MAX_HEADER >> 10} KiB", place)
    return size


def _ended(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _text(name: bytes, place: str) -> str:
    if b"\0" in name:
        raise unfit("a name in the archive holds a NUL byte", place)
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise unfit("a name in the archive is not UTF-8", place) from None
