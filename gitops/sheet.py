"""Pure: lines of a table for spreadsheets (CSV, RFC 4180), safe to open.

A cell that begins with ``=``, ``+``, ``-`` or ``@`` is run as a formula by spreadsheets, and names
and reasons in an audit come from strangers: such a cell begins with an apostrophe here (OWASP, "CSV
Injection"). Called by the audit page and the command line.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitops.foreign import readable

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""Also in full width, which some spreadsheets take for the same."""


def line(cells: Iterable[object]) -> str:
    """One row, every cell quoted, ended by CRLF."""
    return ",".join(f'"{_cell(cell)}"' for cell in cells) + "\r\n"


def _cell(value: object) -> str:
    if value is None or value == "":
        return ""
    text = readable(str(value)).replace('"', '""')
    number = isinstance(value, int | float)
    # Leading blanks are skipped before a formula is looked for.
    return f"'{text}" if not number and text.lstrip(" \u00a0").startswith(_FORMULA) else text
