"""The Slack notifier as the controller holds it: the two halves behind the ports they play."""

from __future__ import annotations

from gitops.model.events import Notice
from gitops.plugins import Services
from notifiers.slack import NAME, Options
from notifiers.slack.account import Account
from notifiers.slack.post import Post


class Slack:
    """Plays ``Notifier``; its other half plays ``Inbound`` and ``Listener``."""

    name = NAME

    def __init__(self, options: Options, services: Services) -> None:
        self.account = Account.of(options, services)
        self.post = Post(self.account)

    async def send(self, notice: Notice) -> None:
        """Brings the message about what the notice speaks of up to date. Raises Transient while
        Slack is away or the operator has something to mend."""
        await self.post.tell(notice)
