"""What every face shows of the fleet and does for a person: pages, API, chat.

Played by :mod:`gitops.office` over the controller; chats and pages are built against this port, so
that a card says the same wherever it is read and an answer goes through the one gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gitops.model.approval import Decision, Electorate, Member, MemberState, Request, Verdict
from gitops.model.delivery import (
    Begun,
    ChangeRecord,
    DeliveryRecord,
    LaneId,
    Pause,
)
from gitops.model.fleet import ApplicationSpec, People
from gitops.model.ids import ApplicationName, Digest, PersonName, RequestId
from gitops.model.plan import Plan


@dataclass(frozen=True, slots=True)
class Row:
    """One member of a request: one change, on one target."""

    member: Member
    record: ChangeRecord
    plan: Plan | None
    """None when the change was never planned or its plan is gone."""
    application: ApplicationSpec | None
    """None when it left the fleet file."""
    electorate: Electorate | None
    authors: tuple[str, ...] = ()
    """Persons, and e-mails or logins that belong to nobody: for people, foreign text."""
    delivery: DeliveryRecord | None = None
    commits_at: str = ""
    """Address of a commit's page on the source's forge, without the id; empty where unknown."""

    @property
    def lane(self) -> LaneId:
        return self.record.change.lane


@dataclass(frozen=True, slots=True)
class Card:
    """One request with everything that is shown of it, read in one transaction."""

    request: Request
    rows: tuple[Row, ...]
    confirmation: str = ""
    """What has to be typed to approve what is being asked now; empty when nothing."""
    url: str = ""
    """Of its page; empty where no public address is configured."""

    @property
    def asking(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.member.state is MemberState.ASKING)

    @property
    def lead(self) -> Row | None:
        """The first row that is asked about, else the first."""
        return next(iter(self.asking or self.rows), None)


@dataclass(frozen=True, slots=True)
class Standing:
    """How one lane stands, in one line."""

    lane: LaneId
    state: str
    """One of :data:`gitops.standing.WORST_FIRST`."""
    revision: str
    since: float | None
    note: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    change: str = ""
    """Id of its open change."""
    request: str = ""
    """Id of the request it is asked about in."""
    trouble: str = ""
    """Why its last round ended early; it tries again by itself."""


class Memory(Protocol):
    """What an adapter remembers between runs, each under a name of its own (``slack/ops``).
    Decides nothing by itself; losing it may repeat a message, never an effect."""

    async def recall(self, owner: str, key: str) -> str | None: ...

    async def keep(self, owner: str, key: str, value: str | None) -> None:
        """Durable when it returns; None forgets."""

    async def keep_first(self, owner: str, key: str, value: str) -> bool:
        """False when there is one already, which stays: for what must act once."""

    async def forget(self, owner: str, before: float) -> None:
        """Everything the owner kept before that time."""


class Office(Protocol):
    def people(self) -> People: ...

    async def card(self, id_or_prefix: str) -> Card | None:
        """By request id or unambiguous prefix (at least 4 characters), open or ended."""

    async def card_of(self, change: str) -> Card | None:
        """The card of the request a change was last asked in."""

    async def unasked(self, change: str) -> Card | None:
        """A change nobody was asked about (blocked before any question, approved by policy,
        reported) with the others of its occasion that are open, in the shape of a card; its
        request has no id and is in no store. None once it is in a request."""

    def page(self, change: str) -> str:
        """Address of a change's page; empty where no public address is configured."""

    async def pending(self) -> Sequence[Card]:
        """Everything that waits for somebody, newest first."""

    async def standings(self, application: str = "") -> Sequence[Standing]:
        """Every lane, sorted by application and target; or those of one application, none of one
        nobody knows."""

    async def why(self, application: ApplicationName) -> Mapping[str, Sequence[str]]:
        """Per lane the sentences. Raises Unknown."""

    async def history(
        self, application: ApplicationName, limit: int = 10
    ) -> Sequence[DeliveryRecord]:
        """Newest first. Raises Unknown."""

    async def answer(
        self,
        request: RequestId,
        root: Digest,
        person: PersonName,
        decision: Decision,
        *,
        reason: str = "",
        via: str,
        confirmation: str = "",
    ) -> Verdict:
        """Through the gate; committed when it returns. Raises NotAllowed, Outdated, Unknown in
        words for the person."""

    async def rollback(
        self,
        application: ApplicationName,
        person: PersonName,
        delivery: str = "",
        reason: str = "",
        target: str = "",
    ) -> Begun:
        """Asks to go back to what a delivery (id or prefix) brought, or to what was healthy
        before. Raises Unknown, NotAllowed when nothing can be done about any lane."""

    async def pause(
        self, application: ApplicationName, person: PersonName, seconds: float, reason: str
    ) -> Pause:
        """Nothing of it is asked or claimed for that long. Raises Unknown, NotAllowed."""

    async def resume(self, application: ApplicationName, person: PersonName) -> None: ...

    async def again(self, application: ApplicationName, person: PersonName) -> Sequence[LaneId]: ...
