"""Tells notices by e-mail, Microsoft Teams, Discord and a hundred other services.

A notifier plugin over the apprise library: one service an instance, by an address that is a secret
(it holds tokens and passwords) and so is only ever referred to. The library runs in a thread of its
own, with a deadline; what it logs is dropped, since it may name the address. It keeps nothing on
disk, follows no redirect and interprets nothing in a text.
"""

from __future__ import annotations

import asyncio
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from gitops import announcing
from gitops.announcing import Words
from gitops.errors import ConfigError, NotifierUnavailable
from gitops.foreign import one_line
from gitops.model.events import Notice
from gitops.model.secret import SecretRef
from gitops.plugins import Services
from gitops.secrets import read_secret
from notifiers.question import card_of, page_of

if TYPE_CHECKING:
    from apprise import Apprise

NAME = "apprise"
VERSION = "1"

_LOCAL = frozenset({"dbus", "qt", "kde", "glib", "gnome", "macosx", "windows", "blink1", "syslog"})
"""Speak to this machine's own screen, log or lamps."""


@dataclass(frozen=True, slots=True)
class Options:
    """One service of the apprise library (github.com/caronc/apprise/wiki)."""

    url: SecretRef
    """Where the service's address is: mailtos://…, workflows://… (Teams), discord://…"""
    timeout: timedelta = timedelta(seconds=30)
    """How long one message may take."""


class Ears:
    """Plays ``Notifier`` and ``Gathering``."""

    name = NAME

    def __init__(self, options: Options, services: Services) -> None:
        self._options = options
        self._services = services

    async def send(self, notice: Notice) -> None:
        """Raises NotifierUnavailable when the service does not take it: whatever it is, somebody
        can mend it."""
        card = await card_of(self._services, notice)
        page = page_of(self._services, notice)
        await self._say(announcing.words(notice, card, self._services.mask, page), notice)

    async def send_together(self, notices: Sequence[Notice]) -> None:
        """The same in one message."""
        await self._say(announcing.digest(notices, self._services.mask), notices[0])

    async def _say(self, words: Words, notice: Notice) -> None:
        seconds = self._options.timeout.total_seconds()
        place = f"notifier {notice.notifier}"
        try:
            async with asyncio.timeout(seconds + 5):
                problem = await asyncio.to_thread(self._deliver, words, notice, seconds)
        except TimeoutError:
            problem = f"it does not answer within {seconds:g} seconds"
        except ConfigError as error:
            raise NotifierUnavailable(error.message, hint=error.hint, place=place) from error
        except Exception as error:  # a hundred services, each with failures of its own
            problem = f"it failed with {type(error).__name__}"
        if problem:
            raise NotifierUnavailable(
                problem, hint="check the address and what the service says of it", place=place
            )

    def _deliver(self, words: Words, notice: Notice, seconds: float) -> str:
        """Blocks. What went wrong, in words that hold nothing of the address; empty: nothing."""
        ears = opened(read_secret(self._options.url), seconds)
        kinds = {"error": "failure", "warning": "warning"}
        kind = kinds.get(str(notice.payload.get("severity")), "info")
        kind = "success" if notice.kind in ("healthy", "recovered", "approved") else kind
        body = words.text or words.subject
        told = ears.notify(body=body, title=words.subject, notify_type=kind, body_format="text")
        service = one_line(str(getattr(ears[0], "service_name", "the service")), 60)
        return "" if told else f"{service} did not take the message ({told.status.name.lower()})"


def opened(address: str, seconds: float) -> Apprise:
    """One service, bounded. Raises ConfigError for what is no address of one."""
    _silence()
    import apprise  # noqa: PLC0415 - 0.2 s, and only where it is used

    asset: Any = apprise.AppriseAsset(
        async_mode=False,
        storage_mode="memory",
        service_timeout=seconds,
        allow_templates=False,
        app_id="gitops-controller",
        app_desc="gitops-controller",
    )
    asset.http_redirects = False
    ears = apprise.Apprise(asset=asset)
    understood = address.partition(":")[0].lower() not in _LOCAL and ears.add(address.strip())
    if not understood or len(ears) != 1:
        raise ConfigError(
            "the secret is not the address of one service that apprise knows",
            hint="one address, such as mailtos://USER:PASSWORD@HOST?to=TEAM@HOST",
        )
    return ears


def _silence() -> None:
    """What it logs may hold parts of an address, and what it imports is its own business."""
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"apprise\b")
    warnings.filterwarnings("ignore", "'imghdr' is deprecated", DeprecationWarning)
    log = logging.getLogger("apprise")
    log.propagate = False
    log.disabled = True


def build(options: Options, services: Services) -> Ears:
    """Reads no secret yet: a rotated one is taken without a restart."""
    return Ears(options, services)
