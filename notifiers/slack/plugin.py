"""The Slack notifier as the controller holds it: the two halves behind the ports they play."""

from __future__ import annotations

from collections.abc import Sequence

from gitops.model.events import Notice
from gitops.model.fleet import People
from gitops.plugins import Services
from gitops.ports.inbound import Letter, Reply
from notifiers.slack import NAME, Options
from notifiers.slack.account import Account
from notifiers.slack.check import Found, check
from notifiers.slack.hearing import Hearing
from notifiers.slack.inbound import receive
from notifiers.slack.post import Post
from notifiers.slack.socket_mode import listen


class Slack:
    """Plays ``Notifier``, ``Inbound`` and ``Listener``."""

    name = NAME

    def __init__(self, options: Options, services: Services) -> None:
        self.account = Account.of(options, services)
        self.post = Post(self.account)
        self.hearing = Hearing(self.account, self.post.place_of)

    async def send(self, notice: Notice) -> None:
        """Brings the message about what the notice speaks of up to date. Raises Transient while
        Slack is away or the operator has something to mend."""
        await self.post.tell(notice)

    def expect(self, notices: Sequence[Notice]) -> None:
        """Those of one request are told as one."""
        self.post.expect(notices)

    async def receive(self, letter: Letter) -> Reply:
        """Presses, forms, commands and events over HTTP. What it answers for is committed when it
        returns. Raises ConfigError when the signing secret cannot be read."""
        return await receive(letter, self.account, self.hearing)

    async def listen(self) -> None:
        """The same over Socket Mode, for ever."""
        await listen(self.account, self.hearing)

    async def check(self, people: People) -> list[Found]:
        """What of the set-up is missing, for ``gitops slack check``."""
        return await check(self.account, people)
