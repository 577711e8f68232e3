"""The ``api:`` of the fleet file: where the controller listens, and that it never does so in clear.

Called by :mod:`gitops.config.build`. An address that other machines reach needs its public name
(what browsers and forges call, and what requests are held against) and TLS, here or in front.
"""

from __future__ import annotations

from gitops.config import shape_serving as shape
from gitops.config.addresses import (
    Refused,
    check_listen,
    check_network,
    check_public,
    listens_locally,
)
from gitops.config.problems import Draft
from gitops.config.values import existing, judge
from gitops.model.serving import ApiSpec, TlsSpec

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
        url=given.url.rstrip("/"),
        tls=_tls(draft, given.tls),
        behind_proxy=given.behind_proxy,
        proxies=tuple(dict.fromkeys(given.proxies)),
    )


def _tls(draft: Draft, given: shape.Tls | None) -> TlsSpec | None:
    if given is None:
        return None
    loc = ("api", "tls")
    return TlsSpec(
        existing(draft, given.certificate, (*loc, "certificate")),
        existing(draft, given.key, (*loc, "key")),
    )


def _fits(draft: Draft, given: shape.Api) -> None:
    """What one key asks of the others."""
    if not given.listen:
        for key in ("url", "tls", "behind_proxy", "proxies"):
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


def _local(listen: str) -> bool:
    """What is no address at all has been said by then."""
    try:
        return listens_locally(listen)
    except Refused:
        return True
