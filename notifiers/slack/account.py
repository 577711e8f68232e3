"""One Slack app in one workspace, as the fleet file sets it up: what both halves work with."""

from __future__ import annotations

from dataclasses import dataclass

from gitops.model.secret import SecretRef
from gitops.plugins import Services, no_memory
from gitops.ports.office import Memory, Office
from gitops.secrets import read_secret
from notifiers.slack import Options
from notifiers.slack.client import Web
from notifiers.slack.tickets import Tickets


@dataclass(frozen=True, slots=True)
class Account:
    options: Options
    services: Services
    web: Web
    tickets: Tickets

    @classmethod
    def of(cls, options: Options, services: Services) -> Account:
        """Raises ConfigError for an address that is not Slack's. Reads no secret yet."""

        def token() -> str:
            return read_secret(options.bot_token)

        owner = owner_of(services)
        return cls(options, services, Web(options.api, token), Tickets(services.digester, owner))

    @property
    def owner(self) -> str:
        """Whose memory it is: ``slack/NAME``."""
        return owner_of(self.services)

    @property
    def office(self) -> Office:
        return self.services.office()

    @property
    def memory(self) -> Memory:
        return self.services.memory or no_memory()

    def secret(self, ref: SecretRef) -> str:
        """Read anew every time, so that a rotated one counts at once. Raises ConfigError."""
        return read_secret(ref)


def owner_of(services: Services) -> str:
    return f"slack/{services.name or 'slack'}"
