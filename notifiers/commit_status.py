"""Moves the status of a commit at its forge along with what becomes of it.

A notifier plugin, told of every change a commit caused. One line per lane, ``gitops/APP@TARGET``:
checking → awaiting approval → applying → healthy, failed, denied, expired, superseded or blocked.
Above :data:`MOST` lanes of one commit the rest is folded, a line per application, then one for all
others. What was told is remembered per commit, so that the same again after a crash changes
nothing, and an older notice never takes a newer one's place.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from gitops.errors import Apart, ConfigError, GitopsError, Transient
from gitops.foreign import one_line
from gitops.model.delivery import Cause
from gitops.model.events import Notice
from gitops.model.ids import SourceName
from gitops.plugins import Services
from gitops.ports.forges import CommitState, CommitStatus, Forge

NAME = "commit-status"
VERSION = "1"
THOROUGH = True
"""Hears of beginnings, and of changes that turned out to be none, as well."""

MOST = 20
"""Lanes of one commit that have a status of their own."""
MOST_FOLDED = 50
"""Applications beyond that with one status each; what is left shares one."""
KEPT = 90 * 86_400.0
"""Seconds for which it is remembered what a commit was told."""
_CACHED = 200
"""Commits held in memory."""
_LONGEST = 400
"""Characters of words; each forge cuts further."""
_OTHERS = "gitops/others"

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """Which commits are marked. Every source with a ``forge:`` unless some are named."""

    sources: tuple[str, ...] = ()
    """Names of sources; empty: all that have a forge."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How one lane stands, as told last."""

    word: str
    """``checking``, ``healthy`` …"""
    words: str
    place: str
    """Of its notice in the log, which only ever rises."""
    context: str


@dataclass(slots=True)
class Sheet:
    """Everything told of one commit."""

    marks: dict[str, Mark] = field(default_factory=dict)
    """By lane."""


_WORDS: Mapping[str, tuple[str, CommitState]] = {
    "opened": ("checking", CommitState.PENDING),
    "blocked": ("blocked", CommitState.FAILURE),
    "asked": ("awaiting approval", CommitState.PENDING),
    "approved": ("approved", CommitState.RUNNING),
    "applying": ("applying", CommitState.RUNNING),
    "verifying": ("applied, waiting for health", CommitState.RUNNING),
    "healthy": ("healthy", CommitState.SUCCESS),
    "unchanged": ("nothing to change", CommitState.SUCCESS),
    "failed": ("failed", CommitState.FAILURE),
    "denied": ("denied", CommitState.FAILURE),
    "expired": ("expired", CommitState.ERROR),
    "superseded": ("superseded", CommitState.ERROR),
}
"""Kind of notice → what people read, and how the forge colours it. Other kinds move nothing."""

_STATES = dict(_WORDS.values())
_WORST = (
    "failed",
    "denied",
    "blocked",
    "expired",
    "awaiting approval",
    "checking",
    "approved",
    "applying",
    "applied, waiting for health",
    "healthy",
    "nothing to change",
    "superseded",
)
"""The word of several lanes together is the first of these that one of them has: a superseded one
says nothing about the others."""


class CommitStatuses:
    """Plays ``Notifier``."""

    name = NAME

    def __init__(self, options: Options, services: Services) -> None:
        self._sources = frozenset(options.sources)
        self._services = services
        self._sheets: dict[tuple[str, str], Sheet] = {}
        self._swept: set[str] = set()

    async def send(self, notice: Notice) -> None:
        """Raises Apart while the forge is away: other sources' statuses need not wait."""
        source, commit = str(notice.payload.get("source", "")), str(notice.payload.get("revision"))
        forge = self._concerned(notice, source)
        if forge is None:
            return
        lane, sheet = str(notice.payload["lane"]), await self._sheet(source, commit)
        before = sheet.marks.get(lane)
        place = notice.id.partition("-")[0]
        if before is not None and before.place > place:
            return
        word, words = described(notice)
        context = before.context if before is not None else context_of(sheet, lane)
        status = await self._status(sheet, lane, Mark(word, words, place, context), notice)
        await self._tell(forge, commit, status)
        await self._keep(source, commit, sheet)

    def _concerned(self, notice: Notice, source: str) -> Forge | None:
        """The forge to tell; None when no status moves."""
        caused = notice.payload.get("cause") == Cause.COMMIT.value
        if notice.kind not in _WORDS or not caused or not source:
            return None
        if self._sources and source not in self._sources:
            return None
        return self._services.forge(SourceName(source))

    async def _status(self, sheet: Sheet, lane: str, mark: Mark, notice: Notice) -> CommitStatus:
        commit = str(notice.payload["revision"])
        sheet.marks[lane] = mark
        together = [each for each in sheet.marks.values() if each.context == mark.context]
        if len(together) > 1 or not mark.context.endswith(f"/{lane}"):
            word, words = folded(together)
            return CommitStatus(commit, mark.context, _STATES[word], words)
        link = await self._link(notice)
        return CommitStatus(commit, mark.context, _STATES[mark.word], mark.words, link)

    async def _link(self, notice: Notice) -> str:
        """To the request's page, or the change's where nobody was asked; empty where there is
        none."""
        try:
            office = self._services.office()
        except ConfigError:
            return ""
        card = await office.card_of(notice.subject)
        return card.url if card is not None else office.page(notice.subject)

    async def _tell(self, forge: Forge, commit: str, status: CommitStatus) -> None:
        try:
            await forge.tell(status)
        except Transient as error:
            raise Apart(error.message, place=error.place, retry_after=error.retry_after) from error
        except GitopsError as error:
            # A token that may not will not be able to a second later: what is shown next says it.
            _log.warning("commit-status.refused", commit=commit[:12], problem=str(error))

    # --- what was told ------------------------------------------------------------------------

    async def _sheet(self, source: str, commit: str) -> Sheet:
        key = (source, commit)
        if key not in self._sheets:
            await self._sweep(source)
            memory = self._services.memory
            kept = await memory.recall(_owner(source), commit) if memory else None
            self._sheets[key] = read(kept)
            while len(self._sheets) > _CACHED:
                self._sheets.pop(next(iter(self._sheets)))
        return self._sheets[key]

    async def _keep(self, source: str, commit: str, sheet: Sheet) -> None:
        if self._services.memory is not None:
            await self._services.memory.keep(_owner(source), commit, write(sheet))

    async def _sweep(self, source: str) -> None:
        """Once a start and source: commits of long ago are forgotten."""
        if source not in self._swept and self._services.memory is not None:
            self._swept.add(source)
            before = self._services.clock.now() - KEPT
            await self._services.memory.forget(_owner(source), before)


def described(notice: Notice) -> tuple[str, str]:
    """Pure: (word, what people read) of a notice. Reasons may hold foreign text."""
    word, _ = _WORDS[notice.kind]
    told = notice.payload
    more = str(told.get("reason") or "")
    if notice.kind == "applying":
        more = f"approved by {told['approved_by']}" if told.get("approved_by") else ""
    elif notice.kind == "approved":
        more = f"by {told['by']}" if told.get("by") else ""
    elif notice.kind == "healthy" and isinstance(seconds := told.get("seconds"), int | float):
        more = f"after {lasting(seconds)}"
    elif notice.kind == "asked":
        more = str(told.get("moved") or "")
    return word, one_line(f"{word}: {more}" if more else word, _LONGEST)


def lasting(seconds: float) -> str:
    """Pure: ``42 s``, ``3 min 5 s``."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def context_of(sheet: Sheet, lane: str) -> str:
    """Pure: which line a lane that is new to a commit belongs to."""
    own = sum(mark.context == f"gitops/{name}" for name, mark in sheet.marks.items())
    if own < MOST:
        return f"gitops/{lane}"
    folds = {mark.context for name, mark in sheet.marks.items() if mark.context != f"gitops/{name}"}
    fold = f"gitops/{lane.rpartition('@')[0]}"
    return fold if fold in folds or len(folds - {_OTHERS}) < MOST_FOLDED else _OTHERS


def folded(marks: list[Mark]) -> tuple[str, str]:
    """Pure: (word, words) of several lanes in one line, the word that needs somebody first."""
    counted = Counter(mark.word for mark in marks)
    present = [word for word in _WORST if counted[word]]
    return present[0], ", ".join(f"{counted[word]} {word}" for word in present)


def write(sheet: Sheet) -> str:
    """Pure: as it is remembered."""
    marks = {lane: [m.word, m.words, m.place, m.context] for lane, m in sheet.marks.items()}
    return json.dumps(marks)


def read(text: str | None) -> Sheet:
    """Pure: what :func:`write` wrote; an empty sheet for anything else."""
    try:
        marks = {lane: Mark(*map(str, parts)) for lane, parts in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return Sheet()
    return Sheet({lane: mark for lane, mark in marks.items() if mark.word in _STATES})


def _owner(source: str) -> str:
    return f"status/{source}"


def build(options: Options, services: Services) -> CommitStatuses:
    """Raises nothing: which sources have a forge is only known when there is something to tell."""
    return CommitStatuses(options, services)
