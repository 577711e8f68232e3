"""A controller's Slack half as a process of its own, so that it can be killed: letters on its
standard input, a line each, are answered a line each.

``python -m tests.slack.hearing_process FOLDER API CHANNEL [kill]``: put together by ``assemble`` as
in production, on the folder's own store. ``kill`` ends it as ``kill -9`` does, right after an
answer of a person was committed and before anybody is told.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from gitops.app import assemble
from gitops.controller import Controller
from gitops.model.events import ChangeOpened, ChangePlanned, MemberAsked, Notice, RequestOpened
from gitops.model.fleet import ApprovalPolicy, NotifierSpec
from gitops.model.ids import combine
from gitops.model.plan import SealParts
from gitops.model.secret import SecretRef
from gitops.office import FrontOffice
from gitops.ports.inbound import Letter
from tests.contract.store_story import change_of, lane, plan_of
from tests.slack.incoming_rig import REQUEST, fleet_of, people_of


def kill_after_answers() -> None:
    answer = FrontOffice.answer

    async def answered(self: FrontOffice, *args: Any, **how: Any) -> Any:
        await answer(self, *args, **how)
        os.kill(os.getpid(), signal.SIGKILL)

    FrontOffice.answer = answered  # type: ignore[method-assign]


async def asked(controller: Controller, notifier: Any) -> None:
    """An open question by ada and its card, unless there is one."""
    if await controller.ledger.read(lambda r: r.request(REQUEST)):
        return
    change = change_of(lane())
    plan, seal = plan_of(change), combine("seal")
    parts = SealParts(change.after, seal, plan.digest, "tools", "uid", seal)
    await controller.ledger.append(
        ChangeOpened(change),
        ChangePlanned(change.id, plan, seal, parts),
        RequestOpened(REQUEST, change.occasion, "config@a: raise replicas"),
        MemberAsked(REQUEST, change.id, seal, plan.digest, time.time() + 3_600),
    )
    payload = {"request": REQUEST}
    await notifier.send(Notice("1", "ops", "asked", change.id, payload, time.time()))


async def serve(folder: Path, api: str, channel: str) -> None:
    fleet = fleet_of(folder, people_of(), ApprovalPolicy())
    options = {
        "bot_token": SecretRef(file=folder / "bot"),
        "signing_secret": SecretRef(file=folder / "signing"),
        "channel": channel,
        "api": api,
    }
    running = assemble(replace(fleet, notifiers=(NotifierSpec("ops", "slack", options),)))
    controller = running.controller
    await controller.parts.keeper.acquire()
    notifier: Any = controller.parts.notifiers()["ops"]
    await asked(controller, notifier)
    tell(ready=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        given = json.loads(line)
        headers = {name.lower(): (value,) for name, value in given["headers"].items()}
        reply = await notifier.receive(Letter(headers, base64.b64decode(given["body"])))
        request = await controller.ledger.read(lambda r: r.request(REQUEST))
        assert request is not None
        tell(
            status=reply.status,
            body=reply.body.decode(),
            verdicts=[verdict.person for verdict in request.verdicts],
        )
    await controller.close()
    running.close()


def tell(**said: Any) -> None:
    print(f"SAID {json.dumps(said)}", flush=True)


if __name__ == "__main__":
    if sys.argv[4:] == ["kill"]:
        kill_after_answers()
    asyncio.run(serve(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
