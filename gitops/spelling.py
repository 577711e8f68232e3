"""JSON-like values as text: one spelling for digests, and every text in them, for hiding. Pure.

Called by the engine, the workspace and the planners on variables and outputs, which are numbers of
any size and any text: the faster encoders refuse both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any


def spelled(value: Any) -> bytes:
    """Sorted keys, no blanks, pure ASCII (texts may hold lone surrogates). Raises TypeError for
    what JSON cannot say."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain).encode("ascii")


def _plain(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} has no spelling")


def texts(value: Any) -> Iterator[str]:
    """Every text and number in a value, at any depth; of a mapping what it holds, not its keys.
    Truth and null are in every other text."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)
    elif value is not None and not isinstance(value, bool):
        yield str(value)
