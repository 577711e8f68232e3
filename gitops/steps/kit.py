"""What the steps work with, for one lane: the ports, the rules in force, the memory.

Made by the controller for every round, so a reloaded fleet file takes effect at the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gitops.engine.desk import Desk
from gitops.engine.ledger import Ledger
from gitops.engine.renders import Rendered, Renders
from gitops.engine.supplies import Supplies
from gitops.engine.targets import Target
from gitops.engine.targets.unlock import Unlock
from gitops.model.delivery import ChangeRecord, LaneId
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ChangeId, Digest, combine
from gitops.model.sealed import Sealed
from gitops.model.source import Authorship
from gitops.ports import Clock, Digester, Drawn, Snapshot, Source, Vault
from gitops.steps.values import Checker

Reached = Callable[[str, ChangeRecord], None]
"""Told when a step begins: where the kill tests end the process."""


@dataclass(slots=True)
class Memory:
    """What is remembered of a lane between rounds; losing it costs time, never safety."""

    drawn: tuple[ChangeId, Digest, Drawn, ApplicationSpec] | None = None
    """(change, desired digest, plan, rules it was drawn under) of the last drawing."""
    demanded: str = ""
    """The person who asked for another try (``gitops retry``, ``gitops ask``)."""
    insisted: ChangeId | None = None
    """The change opened for that try: it stands although the lane needs nothing by itself."""
    unlock: Unlock | None = None
    """The lock a person wants forced, until there is a change for it."""
    newer: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the source moved on while a rollout is being waited for."""


@dataclass(frozen=True, slots=True)
class Kit:
    lane: LaneId
    application: ApplicationSpec
    departed: bool
    """Its folder left the source and nothing else lists it."""
    snapshot: Snapshot
    """The source's newest good revision when the round began."""
    newest: Callable[[], Snapshot]
    """The same at any later moment."""
    source: Source
    target: Target
    supplies: Supplies
    """What the application takes from others."""
    present_supplies: Callable[[], Awaitable[Supplies]]
    """The same at any later moment. Raises Awaiting, ConfigError."""
    policy: Digest
    """Digest of policy and people in force."""
    tools: str
    """Versions of what renders and plans, part of the seal."""
    renders: Renders
    checker: Checker
    desk: Desk
    ledger: Ledger
    vault: Vault
    digester: Digester
    encode: Callable[[Sealed], bytes]
    decode: Callable[[bytes], Sealed]
    clock: Clock
    memory: Memory
    provenance: Callable[[Authorship], Awaitable[Authorship]]
    """What git tells of a commit's authors, with what the forge knows (bounded in time)."""
    present_policy: Callable[[], Digest]
    """Digest of policy and people as they are at any later moment."""
    reached: Reached


async def wanted(kit: Kit, rendered: Rendered) -> Digest:
    """``Change.after`` of a rendering: what was read, on which terms it is delivered, and where.

    Terms are the fleet file's and in no closure; changing them changes what is sent. A cluster
    built anew under the same name has had nothing delivered.
    """
    identity = await kit.target.identity()
    return combine("wanted", rendered.closure.digest, kit.target.terms(), identity)
