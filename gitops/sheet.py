"""Pure: lines of a table for spreadsheets (CSV, RFC 4180), safe to open.

A cell that begins with ``=``, ``+``, ``-`` or ``@`` is run as a formula by spreadsheets, and names
and reasons in an audit come from strangers: such a cell begins with an apostrophe here (OWASP, "CSV
Injection"). Called by the audit page and the command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from gitops.foreign import readable

TRAIL = (
    *("sequence", "time", "kind", "application", "target", "what", "people", "versions"),
    *("change", "request", "subject", "hash"),
)
"""Columns of the audit trail."""

_FORMULA = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
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


def trail_line(event: Mapping[str, Any]) -> str:
    """One event of the audit trail, as the API tells it, under :data:`TRAIL`."""
    when = datetime.fromtimestamp(event["at"], UTC).isoformat(timespec="milliseconds")
    told = {
        **event,
        "time": when.replace("+00:00", "Z"),
        "what": event["said"],
        "people": ", ".join(event["people"]),
        "versions": ", ".join(" ".join(pair) for pair in event["versions"]),
    }
    return line(told.get(column) for column in TRAIL)
