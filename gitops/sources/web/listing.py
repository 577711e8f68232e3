"""Pure: what a folder on a web host says it holds, and whether a file is one at all.

Called by the web source with bytes just fetched. What it raises ends the look: the last good state
stays, and nothing is taken for deleted.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gitops.sources.fetched import Bounds, unfit
from gitops.sources.fetched.names import Names

_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")
"""As GNU coreutils writes it: text or binary, then the name."""
_PAGE = re.compile(rb"\s*(<!doctype|<html|<head|<body|<\?xml|<!--|<script)", re.I)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BESIDE = ("", ".minisig", ".sig")
"""Of the sums themselves: their own line was written before they were."""
_LOOKED_AT = 1024


def refuse_page(data: bytes, content_type: str, place: str) -> None:
    """Raises SourceProblem for nothing at all, and for a page where configuration is expected: an
    expired login and a host's own error look like this, with status 200."""
    if not data:
        raise unfit("the host sent 0 bytes", place, "nothing is deleted because of it")
    html = content_type.partition(";")[0].strip().lower() in ("text/html", "application/xhtml+xml")
    page = _PAGE.match(data.removeprefix(_BYTE_ORDER_MARK)[:_LOOKED_AT])
    if page or (html and data.lstrip().startswith(b"<")):
        raise unfit(
            "the host sent an HTML page, not configuration",
            place,
            "is it a login page? Give a token under `credentials:`. Nothing is deleted",
        )


def refuse_binary(data: bytes, place: str) -> None:
    """Raises SourceProblem for a single file that is no text."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise unfit("the host sent something that is no text", place, "write its format: options")


def sums(data: bytes, own: str, bounds: Bounds, place: str) -> Mapping[str, str]:
    """SHA-256 in hex by path, sorted. ``own`` is the name of the list itself.

    Raises SourceProblem for anything but lines of ``sha256sum``, and for no file at all.
    """
    if data.count(b"\n") > bounds.entries + len(_BESIDE):  # before each becomes an object
        raise unfit(f"the list of sums has over {bounds.entries:,} lines", place)
    try:
        lines = data.decode("utf-8").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        raise unfit("the list of sums is not UTF-8", place) from None
    names, found = Names(bounds, place), {}
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        matched = _LINE.fullmatch(line)
        if matched is None:
            where = f"{place}:{number}"
            raise unfit("not a line as `sha256sum` writes them", where, _HOW)
        name = matched[2].removeprefix("./")
        if name in {own + ending for ending in _BESIDE}:
            continue
        path = names.file(name)
        if path:
            found[path] = matched[1]
    if not found:
        raise unfit("the list of sums names no file", place, "nothing is deleted because of it")
    return dict(sorted(found.items()))


_HOW = "in the folder: find . -type f -exec sha256sum {} + > ../sums && mv ../sums SHA256SUMS"
