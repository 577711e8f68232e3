"""JSON bytes that are kept for long, in no more memory than they need.

orjson 3.13 hands out bytes on top of the buffer it wrote them into, 4 KiB for 300 bytes; thousands
of objects are kept in several such forms. Used by whatever keeps what it wrote; what is sent or
hashed at once needs no copy.
"""

from __future__ import annotations

from typing import Any

import orjson


def dumps(value: Any, *, sort: bool = False) -> bytes:
    """As ``orjson.dumps``; ``sort``: keys sorted at every level. Raises orjson.JSONEncodeError."""
    return bytes(memoryview(orjson.dumps(value, option=orjson.OPT_SORT_KEYS if sort else None)))
