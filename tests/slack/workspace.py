"""What a recording Slack knows: channels, people, messages, and what it is told to do wrong.

Values only; :mod:`tests.slack.methods` acts on them and :mod:`tests.slack.server` serves them.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

SCOPES = (
    "app_mentions:read",
    "channels:history",
    "channels:join",
    "channels:read",
    "chat:write",
    "commands",
    "files:write",
    "groups:history",
    "groups:read",
    "metadata.message:read",
    "users:read",
    "users:read.email",
)


@dataclass
class Channel:
    id: str
    name: str
    member: bool = True
    archived: bool = False
    private: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list)
    """Newest last, threads among them; as conversations.history would show each."""


@dataclass(frozen=True)
class Call:
    """One request as it came in and what it was answered."""

    method: str
    arguments: dict[str, Any]
    answer: dict[str, Any]
    status: int
    at: float
    """Monotonic."""

    @property
    def ok(self) -> bool:
        return self.status == 200 and bool(self.answer.get("ok"))


@dataclass
class Fault:
    """What goes wrong next. The method ``*`` is every method."""

    method: str
    error: str = ""
    """``ok: false`` with this error."""
    status: int = 200
    retry_after: int | None = None
    lost: bool = False
    """It is done, and the connection ends before the answer."""
    body: str = ""
    """Answered instead of JSON."""
    seconds: float = 0.0
    """It takes this long."""
    times: int = 1
    """How often; -1 for ever."""


@dataclass
class Workspace:
    team: str = "T0GITOPS"
    app: str = "A0GITOPS"
    bot_user: str = "U0GITOPS"
    bot: str = "B0GITOPS"
    bot_token: str = "xoxb-1-recorded"
    app_token: str = "xapp-1-recorded"
    signing_secret: str = "8f742231b10e8888abcd99yyyzzz85a5"
    scopes: set[str] = field(default_factory=lambda: set(SCOPES))
    channels: dict[str, Channel] = field(default_factory=dict)
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    ephemerals: list[dict[str, Any]] = field(default_factory=list)
    """What chat.postEphemeral showed: its arguments."""
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Modals by id, as last opened or updated."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id: filename, title, content, channel, thread_ts once shared."""
    responses: list[dict[str, Any]] = field(default_factory=list)
    """What was sent to response URLs."""
    response_urls: dict[str, int] = field(default_factory=dict)
    """Id → how often it may still be used."""
    triggers: dict[str, float] = field(default_factory=dict)
    """Unused trigger ids → when they were handed out."""
    trigger_seconds: float = 3.0
    spacing: float = 0.0
    """Seconds a channel wants between two messages; 1.0 is what Slack documents."""
    down: bool = False
    """Every request is answered with 503."""
    last_post: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _serial: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def serial(self, prefix: str) -> str:
        return f"{prefix}{next(self._serial):08d}"

    def next_ts(self) -> str:
        return f"{int(time.time())}.{next(self._serial):06d}"

    # --- set-up -------------------------------------------------------------------------------

    def add_channel(
        self, name: str, *, member: bool = True, archived: bool = False, private: bool = False
    ) -> str:
        """Returns its id."""
        channel = Channel(self.serial("C"), name, member, archived, private)
        self.channels[channel.id] = channel
        return channel.id

    def add_user(self, name: str, email: str = "", **flags: Any) -> str:
        """Returns the id. Flags as users.info has them: ``deleted``, ``is_bot``,
        ``is_restricted``, ``is_ultra_restricted``, ``is_stranger``, ``is_email_confirmed``,
        ``team_id``."""
        id = self.serial("U")
        profile = {"display_name": name, "real_name": name.title()}
        if email:
            profile["email"] = email
        defaults = {
            "team_id": self.team,
            "name": name,
            "deleted": False,
            "is_bot": False,
            "is_app_user": False,
            "is_restricted": False,
            "is_ultra_restricted": False,
            "is_email_confirmed": bool(email),
        }
        self.users[id] = {"id": id, **defaults, "profile": profile, **flags}
        return id

    def fail(self, method: str, **how: Any) -> Fault:
        """The next request to a method goes wrong; see :class:`Fault`."""
        fault = Fault(method, **how)
        self.faults.append(fault)
        return fault

    def trigger(self) -> str:
        id = self.serial("trigger.")
        self.triggers[id] = time.monotonic()
        return id

    # --- what was recorded --------------------------------------------------------------------

    def calls_of(self, *methods: str) -> list[Call]:
        return [call for call in self.calls if call.method in methods]

    def posted(self, channel: str | None = None) -> list[dict[str, Any]]:
        """Messages outside threads, oldest first."""
        return [
            message
            for each in self.channels.values()
            if channel is None or each.id == channel
            for message in each.messages
            if "thread_ts" not in message or message["thread_ts"] == message["ts"]
        ]

    def thread(self, ts: str) -> list[dict[str, Any]]:
        """Replies in a message's thread, oldest first."""
        return [
            message
            for each in self.channels.values()
            for message in each.messages
            if message.get("thread_ts") == ts and message["ts"] != ts
        ]

    def message(self, ts: str) -> dict[str, Any]:
        return next(m for c in self.channels.values() for m in c.messages if m["ts"] == ts)
