"""``/audit``: who changed what, when, who said yes, what went out together; for the auditor.

Every event in a sentence, newest first, with how the chain behind it stands. The whole record is
checked when somebody asks for that; what is shown is checked every time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, FastAPI
from starlette.responses import HTMLResponse, RedirectResponse, StreamingResponse

from gitops.errors import NotAllowed, Permanent
from gitops.model.trail import Soundness, Trail
from gitops.summary import counted
from gitops.web.audit_routes import Before, Kind, Moment, Name
from gitops.web.checking import TOPIC, Checking
from gitops.web.pages.desk import Desk, Viewing
from gitops.web.pages.frame import query
from gitops.web.trail import (
    GROUPS,
    KNOWN,
    Filter,
    TrailRow,
    checked_page,
    may_see_accounts,
    sheet,
)

ROWS = 50
MOST_NAMED = 200
"""People that are offered while a name is typed."""
PERIODS = (("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days"), ("", "everything"))
_LIVE = "application:* request:* source:*"


def chosen(
    viewer: Viewing,
    since: Moment = "",
    until: Moment = "",
    person: Name = "",
    application: Name = "",
    target: Name = "",
    kind: Kind = "",
) -> Filter:
    """A filter out of an address."""
    names = (person.strip(), application.strip(), target.strip())
    return Filter(since, until, *names, kind, may_see_accounts(viewer))


Chosen = Annotated[Filter, Depends(chosen)]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    event: TrailRow
    day: str
    """Set where another day begins, in UTC."""
    clock: str
    broken: str
    """Why it cannot be relied on; empty where it can."""
    chain: str
    """How its chain stands, in words."""


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything below the filter."""

    rows: tuple[Row, ...]
    standing: str
    """Of all chains on the page; empty where nothing is shown."""
    broken: tuple[str, ...]
    back_to: float | None
    """How far it was looked, where that is not the end and little was found."""


@dataclass(frozen=True, slots=True)
class Links:
    """From here on, with the same filter."""

    older: str
    newest: str
    sheet: str
    periods: tuple[tuple[str, str, str], ...]
    """(address, in words, as it is written)"""
    filtered: bool


def add(app: FastAPI, desk: Desk) -> None:
    controller = desk.controller
    checking = Checking(controller)

    @app.get("/audit", include_in_schema=False)
    async def audit(viewer: Viewing, wanted: Chosen, before: Before = "") -> HTMLResponse:
        wrong, hint, status = "", "", 200
        trail: Trail[TrailRow] = Trail(())
        chains: dict[str, Soundness] = {}
        try:
            trail, chains = await checked_page(controller, wanted, int(before or 0), ROWS)
        except (Permanent, NotAllowed) as error:
            status = 403 if isinstance(error, NotAllowed) else 400
            wrong, hint = error.message, error.hint
        return desk.frame.page(
            "audit.html",
            viewer,
            at="/audit",
            topics=TOPIC if before or wrong else f"{TOPIC} {_LIVE}",
            status=status,
            wanted=wanted,
            wrong=wrong,
            hint=hint,
            shown=_shown(trail, chains),
            links=_links(wanted, before, trail.before),
            groups=tuple(GROUPS),
            kinds=tuple(kind for kind in KNOWN if kind not in GROUPS),
            people=sorted(controller.fleet.people.persons)[:MOST_NAMED],
            checking=checking.state,
        )

    @app.post("/audit/check", include_in_schema=False)
    async def begin(viewer: Viewing) -> RedirectResponse:
        del viewer  # whoever may look may have it checked; one check goes on at a time
        checking.begin()
        return RedirectResponse("/audit#check", 303)

    @app.get("/audit.csv", include_in_schema=False)
    async def download(viewer: Viewing, wanted: Chosen) -> StreamingResponse:
        del viewer
        now = controller.parts.clock.now()
        wanted.asked(now, controller.fleet.people)  # refused before anything is sent
        name = f"audit-{datetime.fromtimestamp(now, UTC):%Y-%m-%d}.csv"
        return StreamingResponse(
            sheet(controller, wanted),
            media_type="text/csv",
            headers={
                "content-disposition": f'attachment; filename="{name}"',
                "cache-control": "no-store",
            },
        )


def _links(wanted: Filter, before: str, after: int) -> Links:
    given = query(**{**asdict(wanted), "accounts": ""})
    return Links(
        older=_to(given, before=after) if after else "",
        newest=_to(given) if before else "",
        sheet=f"/audit.csv?{urlencode(given)}",
        periods=tuple((_to(given, since=since), word, since) for since, word in PERIODS),
        filtered=bool(given),
    )


def _to(given: Mapping[str, str], **more: object) -> str:
    """The page with this filter, and what differs."""
    kept = query(**{**given, **more})
    return f"/audit?{urlencode(kept)}" if kept else "/audit"


def _shown(trail: Trail[TrailRow], chains: dict[str, Soundness]) -> Shown:
    rows, day = [], ""
    for event in trail.events:
        at = datetime.fromtimestamp(event.at, UTC)
        today = f"{at:%A, %Y-%m-%d}"
        chain = chains[event.subject]
        broken = ""
        if chain.broken is not None and event.sequence >= chain.broken:
            broken = "does not fit" if event.sequence == chain.broken else "follows it"
        rows.append(
            Row(event, today if today != day else "", f"{at:%H:%M:%S}", broken, _stands(chain))
        )
        day = today
    bad = tuple(_broken(each) for each in chains.values() if each.broken is not None)
    few = len(trail.events) < ROWS
    back_to = trail.back_to if few and trail.before else None
    return Shown(tuple(rows), _all(tuple(chains.values())), bad, back_to)


def _stands(chain: Soundness) -> str:
    if chain.broken is not None:
        return f"broken from event {chain.broken} on"
    since = f"{datetime.fromtimestamp(chain.since or 0, UTC):%Y-%m-%d %H:%MZ}"
    if not chain.whole:
        return f"unchanged since {since}; of {chain.events} events the newest were checked here"
    return f"all {chain.events} events since {since} are there and unchanged"


def _broken(chain: Soundness) -> str:
    return (
        f"Event {chain.broken} of {chain.subject} does not follow from those before it: the record "
        "was changed, or something was taken out of it, past the controller"
    )


def _all(chains: tuple[Soundness, ...]) -> str:
    if not chains or any(chain.broken is not None for chain in chains):
        return ""
    events = sum(chain.events for chain in chains)
    long = sum(not chain.whole for chain in chains)
    rest = f" Of {long} long ones only the newest events were checked here." if long else ""
    stand = "stands" if len(chains) == 1 else "stand"
    all_ = f"{counted(len(chains), 'chain')} with {counted(events, 'event')} {stand}"
    return f"{all_} behind this page: complete and unchanged.{rest}"
