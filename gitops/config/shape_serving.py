"""Where the controller listens and who may sign in, as the operator writes it.

Mirrors :mod:`gitops.model.serving`, whose values :mod:`gitops.config.serving` makes of this. The
texts under the fields become the published JSON Schema.
"""

# ruff: noqa: RUF012 - pydantic copies defaults; ruff cannot see that Shape is a model
from __future__ import annotations

from datetime import timedelta
from typing import Literal

from gitops.config.base import SecretAt, Shape
from gitops.config.scalars import Duration, Texts


class Tls(Shape):
    """What the controller proves itself with; both files are read again when they change."""

    certificate: str
    """File with the certificate and what leads to its root (PEM)."""
    key: str
    """File with its private key (PEM, no pass phrase) that not everybody may read."""


class Oidc(Shape):
    """The identity provider people sign in at (OpenID Connect)."""

    issuer: str
    """Its address, exactly as it names itself."""
    client_id: str
    """What it calls this controller; the return address to register is URL/sign-in/return."""
    client_secret: SecretAt | None = None
    """What it gave this controller; without one it has to know a public client with PKCE."""
    scopes: Texts = ["openid", "profile", "email"]
    """What is asked of it; openid is always asked. Some need one for groups."""
    groups_claim: str = "groups"
    """Claim that holds the groups a person is in."""
    name: str = "single sign-on"
    """What the button says."""
    ca_file: str | None = None
    """Certificates it is verified against, instead of the system's."""


class SignIn(Shape):
    """How people sign in to the pages. Who they are is decided by `people`."""

    oidc: Oidc | None = None
    """Identity provider; a person is known by `sso: ISSUER|SUBJECT`."""
    local: bool = False
    """Passwords of the controller's own, set with `gitops user add PERSON`."""
    anonymous: Literal["none", "read"] = "none"
    """read: whoever reaches the address may look, without signing in."""
    idle: Duration = timedelta(hours=8)
    """A session ends when it was not used for so long."""
    longest: Duration = timedelta(days=7)
    """A session ends so long after signing in, used or not."""


class RoleRule(Shape):
    """Who may do what at pages and API. Approval policies still decide who may say yes."""

    role: Literal["viewer", "approver", "operator", "admin"]
    """viewer looks; approver answers too; operator asks again, rolls back, pauses; admin ends other
    people's tokens and sessions."""
    people: list[str] = []
    """People who have it."""
    groups: list[str] = []
    """Groups of this file whose members have it."""
    sso_groups: Texts = []
    """Groups at the identity provider whose members have it, while they are signed in there."""
    applications: list[str] = []
    """Only about these, by name or pattern (shop-*)."""
    labels: dict[str, str] = {}
    """Only about applications with these labels."""


class Api(Shape):
    """Where the controller's own API listens."""

    socket: str | None = None
    """Unix socket; default: api.sock in state_dir."""
    listen: str = ""
    """127.0.0.1:PORT to listen on loopback as well; another ADDRESS:PORT needs `url`, and `tls` or
    `behind_proxy`."""
    url: str = ""
    """Public address, such as https://gitops.example.com: what people and forges call."""
    tls: Tls | None = None
    """Speak TLS with this certificate."""
    behind_proxy: bool = False
    """A proxy speaks TLS to the world and passes on; nobody else reaches the address."""
    proxies: Texts = []
    """Addresses or networks of proxies whose X-Forwarded-For is believed, besides this machine."""
    sign_in: SignIn = SignIn()
    """How people sign in to the pages."""
    roles: list[RoleRule] | None = None
    """Who may do what at pages and API; default: everybody of `people` may do what the approval
    policies let them."""
