"""Slack: cards go out, answers come in. ``slack_sdk`` is imported in this package and nowhere else.

A notifier plugin: built by the composition root for a fleet file's ``slack``. ``send`` keeps one
message a request up to date (:mod:`.post`), ``receive`` and ``listen`` take what people press and
write (:mod:`.hearing`). Nothing here decides: answers go through the office to the one gate, and
that Slack is away never approves, denies or delays anything but the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitops.model.secret import SecretRef
from gitops.plugins import Services

if TYPE_CHECKING:
    from notifiers.slack.plugin import Slack

NAME = "slack"
VERSION = "1"
EDITS = True
"""A card is changed in place: that may be done in quiet hours."""


@dataclass(frozen=True, slots=True)
class Options:
    """One Slack app in one workspace."""

    bot_token: SecretRef
    """The app's bot token, ``xoxb-…``."""
    channel: str
    """Where cards go: a channel's id (``C0123456789``) or ``#name``."""
    signing_secret: SecretRef | None = None
    """For buttons and commands over HTTP at ``/hooks/NAME``."""
    app_token: SecretRef | None = None
    """For Socket Mode, which needs no inbound port: an app-level token, ``xapp-…``."""
    api: str = "https://slack.com/api/"
    """Base URL of the Web API: slack.com, slack-gov.com, or this machine."""


def build(options: Options, services: Services) -> Slack:
    """Raises ConfigError for an address that is not Slack's. Reads no secret yet."""
    from notifiers.slack.plugin import Slack  # noqa: PLC0415 - slack_sdk is loaded when it is used

    return Slack(options, services)
