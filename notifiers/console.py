"""Tells notices to whoever reads the controller's log or terminal.

A notifier plugin: built by the composition root for a fleet file's ``kind: console`` and used by
the outbox sender. The one notifier that needs nothing, so a first fleet file can have it.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from gitops.errors import ConfigError
from gitops.foreign import one_line
from gitops.model.events import Notice
from gitops.plugins import Services

NAME = "console"
VERSION = "1"

_LEVELS = ("debug", "info", "warning", "error")
_VALUE = 500


@dataclass(frozen=True, slots=True)
class Options:
    """How notices appear in the log."""

    level: str = "info"
    """Log level of a notice: ``debug``, ``info``, ``warning`` or ``error``."""


class Console:
    """Logs each notice once per process, by its id."""

    name = NAME

    def __init__(self, level: str) -> None:
        self._level = level
        self._told: dict[str, None] = {}

    async def send(self, notice: Notice) -> None:
        """A notice that comes again (its delivery was not recorded) is not told twice."""
        if notice.id in self._told:
            return
        log = structlog.get_logger("gitops.notice")
        said = {key: one_line(str(value), _VALUE) for key, value in notice.payload.items()}
        said.pop("event", None)
        fields = {**said, "notice": notice.id, "subject": one_line(notice.subject, _VALUE)}
        await getattr(log, f"a{self._level}")(one_line(notice.kind, _VALUE), **fields)
        self._told[notice.id] = None
        if len(self._told) > 1000:
            self._told.pop(next(iter(self._told)))


def build(options: Options, services: Services) -> Console:
    """Raises ConfigError for a level that does not exist."""
    if options.level not in _LEVELS:
        raise ConfigError(
            f"level {options.level!r} of notifier {NAME!r} is unknown",
            hint=f"write one of: {', '.join(_LEVELS)}",
        )
    return Console(options.level)
