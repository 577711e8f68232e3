"""Sets up the log: JSON for machines, lines for a terminal; never a secret in either.

Called once by the commands that run for long (``run``, ``demo``) and by tests. Everything is
written to stderr, for stdout belongs to results. The mask is a hook, so that this module knows no
secret and the masking module needs no log. Field values are made readable for terminals, since
half of them are foreign text.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from gitops.errors import GitopsError
from gitops.foreign import one_line

Mask = Callable[[str], str]
"""Takes a text, gives it back without the secrets it knows."""

LEVELS = ("debug", "info", "warning", "error")
_LIMIT = 4000
_QUIET = ("asyncio", "uvicorn", "uvicorn.error", "httpx", "git", "alembic", "sqlalchemy")
"""Libraries whose own remarks appear from level warning on; uvicorn.access never does."""


def configure(
    *,
    level: str = "info",
    json: bool | None = None,
    mask: Mask = str,
    stream: TextIO | None = None,
    color: bool = True,
) -> None:
    """Every later log line goes to ``stream`` (default: stderr) through ``mask``.

    ``json`` None: lines if ``stream`` is a terminal, else JSON. ``level``: one of :data:`LEVELS`.
    """
    out = stream or sys.stderr
    as_json = not out.isatty() if json is None else json
    last: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if as_json
        else structlog.dev.ConsoleRenderer(colors=color and out.isatty(), pad_event_to=28)
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Errors(),
        _Masking(mask),
    ]
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=False,
    )
    _adopt(shared, last, level, out)


def quiet(*, mask: Mask = str, color: bool = True) -> None:
    """For commands that print a result and end: warnings alone, as lines on stderr."""
    configure(level="warning", json=False, mask=mask, color=color)


def _adopt(shared: list[Any], last: Any, level: str, out: TextIO) -> None:
    """What libraries log through the standard library takes the same way."""
    handler = logging.StreamHandler(out)
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=[remove, last])
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.getLogger("uvicorn.access").setLevel(logging.CRITICAL)


class _Errors:
    """An exception becomes its type and, if it is one of ours, its words. The texts of others may
    hold anything; their tracebacks belong to GITOPS_DEBUG."""

    def __call__(
        self, logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        told = event.pop("exc_info", None)
        if told is True:
            told = sys.exc_info()
        error = told[1] if isinstance(told, tuple) else told
        if isinstance(error, BaseException):
            event["error"] = _words(error)
        return event


def _words(error: BaseException) -> str:
    name = type(error).__name__
    return f"{name}: {error}" if isinstance(error, GitopsError) else name


class _Masking:
    """Strings anywhere in an event: masked, readable, bounded."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask

    def __call__(
        self, logger: Any, method: str, event: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        for key, value in event.items():
            if not key.startswith("_"):
                event[key] = self._clean(value, 0)
        return event

    def _clean(self, value: Any, depth: int) -> Any:
        if isinstance(value, bool | int | float) or value is None:
            return value
        if isinstance(value, Mapping) and depth < 4:
            return {self._text(str(k)): self._clean(v, depth + 1) for k, v in value.items()}
        if isinstance(value, list | tuple | set | frozenset) and depth < 4:
            return [self._clean(item, depth + 1) for item in value]
        if isinstance(value, bytes):
            return f"{len(value)} bytes"
        return self._text(str(value))

    def _text(self, text: str) -> str:
        return one_line(self._mask(text), _LIMIT)
