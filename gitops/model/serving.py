"""Where the controller listens, who may sign in there, and what they may do.

Part of the operator's fleet file, like everything in :mod:`gitops.model.fleet`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType

from gitops.model.ids import GroupName, PersonName
from gitops.model.secret import SecretRef


class Role(StrEnum):
    """What somebody may do at page and API. Each may do what those before it may.

    A role only ever narrows: who may say yes to a change is the approval policy's to decide.
    """

    VIEWER = "viewer"
    """Look at everything."""
    APPROVER = "approver"
    """Answer requests."""
    OPERATOR = "operator"
    """Ask again, retry, roll back, pause, resume, unlock, nudge, replay."""
    ADMIN = "admin"
    """See and end other people's tokens and sessions."""

    def covers(self, other: Role) -> bool:
        order = list(Role)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True)
class RoleRule:
    """Who has a role, and about what."""

    role: Role
    people: tuple[PersonName, ...] = ()
    groups: tuple[GroupName, ...] = ()
    """Groups of the fleet file."""
    sso_groups: tuple[str, ...] = ()
    """Values of the groups claim of whoever signed in at the identity provider."""
    applications: tuple[str, ...] = ()
    """Names or patterns (``shop-*``). Neither these nor labels: everything."""
    labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Of the application; all of them."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A person's API token, as far as it is known to us."""

    id: str
    person: PersonName
    expires_at: float
    role: Role = Role.ADMIN
    """The most it may do; the default is no cut below what its person may."""
    applications: tuple[str, ...] = ()
    """Names or patterns it may act on; empty: every one its person may."""


@dataclass(frozen=True, slots=True)
class OidcSpec:
    """The identity provider people sign in at (OpenID Connect Core 1.0, code flow)."""

    issuer: str
    client_id: str
    client_secret: SecretRef | None = None
    """None: a public client; the code is protected by PKCE alone."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    groups_claim: str = "groups"
    name: str = "single sign-on"
    """What the button says."""
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class SignInSpec:
    oidc: OidcSpec | None = None
    local: bool = False
    """People with a password of their own (``gitops user add``)."""
    anonymous: bool = False
    """Whoever reaches the address may look without signing in."""
    idle: timedelta = timedelta(hours=8)
    """A session ends when it was not used for so long."""
    longest: timedelta = timedelta(days=7)
    """A session ends so long after signing in, used or not."""


@dataclass(frozen=True, slots=True)
class TlsSpec:
    """Files, read again whenever they change: certificates are renewed while we run."""

    certificate: Path
    """PEM: our certificate and what leads to its root."""
    key: Path
    """PEM, without a pass phrase."""


@dataclass(frozen=True, slots=True)
class ApiSpec:
    """Where the controller's own API listens."""

    socket: Path | None = None
    """Unix socket, 0600; default ``api.sock`` in the state folder."""
    listen: str = ""
    """``ADDRESS:PORT`` to listen there as well. Beyond loopback only with ``url`` and either
    ``tls`` or ``behind_proxy``."""
    url: str = ""
    """The public address, ``https://HOST`` without a path; empty where there is none."""
    tls: TlsSpec | None = None
    behind_proxy: bool = False
    """A proxy in front speaks TLS to the world, and nobody else reaches the address."""
    proxies: tuple[str, ...] = ()
    """Addresses or networks whose ``X-Forwarded-For`` is believed, besides this machine."""
    sign_in: SignInSpec = SignInSpec()
    roles: tuple[RoleRule, ...] | None = None
    """None: everybody of ``people`` may do what the approval policies let them."""
