"""Names of files that nobody could read, show or store.

Git and tar keep a file's name as bytes; what is no UTF-8 comes to us with lone surrogates, which no
page, log or database takes. Called by whatever lists files of a source or an archive. Pure.
"""

from __future__ import annotations

import re

from gitops.errors import RenderError

_LONE = re.compile("[\ud800-\udfff]")


def legible(path: str) -> str:
    """``path`` itself. Raises RenderError, naming it readably, if it is no UTF-8."""
    if not path.isascii() and _LONE.search(path):
        raise RenderError(
            "the name is not UTF-8", hint="rename it: git mv OLD NEW", place=shown(path)
        )
    return path


def shown(path: str) -> str:
    r"""With ``\xff`` for each byte that is no UTF-8."""
    return _LONE.sub(_escaped, path)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"
