"""Is this process alive, and may work be sent its way? In words, part by part.

Asked by probes at ``/healthz`` and ``/readyz`` of the API and of the metrics address. It looks at
what is known already and does nothing by itself: a probe costs nothing, so it may be asked without
a credential. It never shows more than a name of our own and a number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from gitops.controller import Controller
from gitops.engine.keeper import LeaseKeeper

LOST = 4.0
"""Lifetimes of a lease without a renewal after which only a new start can help."""


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that has to be so."""

    name: str
    problem: str = ""
    """Empty while it is."""

    def __str__(self) -> str:
        return f"{self.name}: {self.problem or 'ok'}"


def alive(controller: Controller) -> Sequence[Part]:
    """What a new start would mend. A loop that stands still answers nothing at all, and that is
    the answer a probe understands."""
    keeper = controller.parts.keeper
    late = keeper.unrenewed
    if controller.ready.is_set() and late is not None and late > LOST * keeper.seconds:
        return (Part("lease", f"not renewed for {late:.0f} s, and nobody noticed"),)
    return (Part("process"),)


def ready(controller: Controller) -> Sequence[Part]:
    """What has to be so for changes to be delivered here."""
    return (
        Part("lease", _lease(controller)),
        Part("start", "" if controller.ready.is_set() else "sources and clusters are being met"),
        Part("store", _store(controller.parts.keeper)),
        Part("loop", _loop(controller)),
    )


def _lease(controller: Controller) -> str:
    return "" if controller.ledger.epoch is not None else "not held, another controller may have it"


def _store(keeper: LeaseKeeper) -> str:
    """Renewing the lease writes a row and keeps it: no other trial is as good."""
    late = keeper.unrenewed
    if late is None:
        return "nothing was written yet"
    return "" if late < keeper.seconds * 2 / 3 else f"took no write for {late:.0f} s"


def _loop(controller: Controller) -> str:
    still = controller.measures.pulse.recent
    return f"stood still for {still:.0f} s within the last minute" if still else ""


def answer(parts: Sequence[Part]) -> Response:
    """One line a part; 503 as soon as one has a problem."""
    code = 503 if any(part.problem for part in parts) else 200
    text = "".join(f"{part}\n" for part in parts)
    return PlainTextResponse(text, code, headers={"Cache-Control": "no-store"})


class Probes:
    """The two endpoints, to be put into any application."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller

    def add_to(self, app: FastAPI) -> None:
        """Without a guard: probes have no credential."""
        app.add_route("/healthz", self.healthz, include_in_schema=False)
        app.add_route("/readyz", self.readyz, include_in_schema=False)

    async def healthz(self, _request: Request) -> Response:
        return answer(alive(self._controller))

    async def readyz(self, _request: Request) -> Response:
        return answer(ready(self._controller))
