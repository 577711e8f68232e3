"""The ``api:`` of the fleet file: where the controller listens, who may sign in, who may do what.

Called by :mod:`gitops.config.build`. Nothing is ever spoken in clear to others: an address that
other machines reach needs its public name (what browsers and forges call, and what requests are
held against) and TLS, here or in front.
"""

from __future__ import annotations

from types import MappingProxyType

from gitops.config import shape_serving as shape
from gitops.config.addresses import (
    Refused,
    check_api,
    check_listen,
    check_network,
    check_public,
    listens_locally,
)
from gitops.config.problems import Draft, Loc
from gitops.config.values import existing, judge, secret
from gitops.model.ids import GroupName, PersonName
from gitops.model.serving import ApiSpec, OidcSpec, Role, RoleRule, SignInSpec, TlsSpec

_LISTEN = ("api", "listen")
_IN_CLEAR = "write tls: {certificate: FILE, key: FILE}, or behind_proxy: true if a proxy does it"


def api(draft: Draft, given: shape.Api) -> ApiSpec:
    """Where it listens; what does not fit is added to the draft."""
    if given.listen:
        judge(draft, check_listen, given.listen, _LISTEN)
    if given.url:
        judge(draft, check_public, given.url, ("api", "url"))
    for index, proxy in enumerate(given.proxies):
        judge(draft, check_network, proxy, ("api", "proxies", index))
    _fits(draft, given)
    return ApiSpec(
        socket=None if given.socket is None else draft.path(("api", "socket"), given.socket),
        listen=given.listen,
        url=_plain(given.url),
        tls=_tls(draft, given.tls),
        behind_proxy=given.behind_proxy,
        proxies=tuple(dict.fromkeys(given.proxies)),
        sign_in=_sign_in(draft, given),
        roles=_roles(draft, given.roles),
    )


def _tls(draft: Draft, given: shape.Tls | None) -> TlsSpec | None:
    if given is None:
        return None
    loc = ("api", "tls")
    return TlsSpec(
        existing(draft, given.certificate, (*loc, "certificate")),
        existing(draft, given.key, (*loc, "key")),
    )


def _sign_in(draft: Draft, given: shape.Api) -> SignInSpec:
    found, loc = given.sign_in, ("api", "sign_in")
    if found.oidc is not None and given.listen and not given.url:
        hint = "write url: https://HOST: the identity provider sends people back there"
        draft.refuse_at(
            draft.named((*loc, "oidc")), "signing in needs the controller's own address", hint
        )
    if found.idle > found.longest:
        draft.refuse((*loc, "idle"), '"idle" is longer than "longest"', "write a shorter one")
    return SignInSpec(
        oidc=_oidc(draft, found.oidc),
        local=found.local,
        anonymous=found.anonymous == "read",
        idle=found.idle,
        longest=found.longest,
    )


def _oidc(draft: Draft, given: shape.Oidc | None) -> OidcSpec | None:
    if given is None:
        return None
    loc = ("api", "sign_in", "oidc")
    judge(draft, check_api, given.issuer, (*loc, "issuer"))
    ca_file = given.ca_file
    return OidcSpec(
        issuer=given.issuer,
        client_id=given.client_id,
        client_secret=secret(draft, given.client_secret, (*loc, "client_secret")),
        scopes=tuple(dict.fromkeys(("openid", *given.scopes))),
        groups_claim=given.groups_claim,
        name=given.name,
        ca_file=None if ca_file is None else existing(draft, ca_file, (*loc, "ca_file")),
    )


def _roles(draft: Draft, given: list[shape.RoleRule] | None) -> tuple[RoleRule, ...] | None:
    if given is None:
        return None
    return tuple(_rule(draft, rule, ("api", "roles", index)) for index, rule in enumerate(given))


def _rule(draft: Draft, given: shape.RoleRule, loc: Loc) -> RoleRule:
    for section, what in (("people", "person"), ("groups", "group")):
        for index, name in enumerate(getattr(given, section)):
            draft.expect((*loc, section, index), name, draft.names(section), what)
    scoped = bool(given.applications or given.labels)
    if not (given.people or given.groups or given.sso_groups):
        draft.refuse(loc, "nobody has this role", "name people, groups or sso_groups")
    if scoped and given.role in ("viewer", "admin"):
        # Requests, findings and needs run across applications: half a view would be a wrong one.
        message = f'role "{given.role}" is about everything'
        draft.refuse(loc, message, "remove applications and labels, or write another role")
    return RoleRule(
        role=Role(given.role),
        people=tuple(map(PersonName, given.people)),
        groups=tuple(map(GroupName, given.groups)),
        sso_groups=tuple(given.sso_groups),
        applications=tuple(given.applications),
        labels=MappingProxyType(dict(given.labels)),
    )


def _fits(draft: Draft, given: shape.Api) -> None:
    """What one key asks of the others."""
    if not given.listen:
        for key in ("url", "tls", "behind_proxy", "proxies", "sign_in"):
            if key in given.model_fields_set:
                message = f'"{key}" means nothing: the controller listens on its socket alone'
                draft.refuse_at(
                    draft.named(("api", key)), message, "write listen: 127.0.0.1:PORT too"
                )
        return
    if _local(given.listen):
        return
    message = '"listen" of section "api" is reached from other machines and'
    if not given.url:
        hint = "write url: https://HOST, or listen on 127.0.0.1:PORT"
        draft.refuse(_LISTEN, f"{message} has no public address", hint)
    elif given.url.startswith("http:"):
        hint = "write url: https://HOST, or listen on 127.0.0.1:PORT"
        draft.refuse(("api", "url"), f"{message} its public address is this machine's own", hint)
    if given.tls is None and not given.behind_proxy:
        draft.refuse(_LISTEN, f"{message} would speak in clear", _IN_CLEAR)


def _plain(url: str) -> str:
    """As browsers write an origin: lower case, without the scheme's own port and a last slash."""
    url = url.lower().rstrip("/")
    own = {"https": ":443", "http": ":80"}.get(url.partition(":")[0], "")
    return url.removesuffix(own) if own else url


def _local(listen: str) -> bool:
    """What is no address at all has been said by then."""
    try:
        return listens_locally(listen)
    except Refused:
        return True
