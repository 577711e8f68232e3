"""What every answer carries and every request has to fulfil, whichever route it is for.

Wraps the whole application that listens on an address: names of ours alone (DNS rebinding), and
headers that keep a page from running foreign script or being framed. Routes cannot forget it.
"""

from __future__ import annotations

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gitops.model.serving import ApiSpec
from gitops.web.auth.origins import Origin, origin_of

OPEN = frozenset({"/healthz", "/readyz"})
"""Asked by probes under any name; they tell nothing."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
"""Content-Security-Policy Level 3: nothing inline, nothing from elsewhere."""
_ALWAYS = {
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # Not no-referrer: with it browsers send `Origin: null` with our own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_A_YEAR = "max-age=31536000"


class Shield:
    """An ASGI application in front of another."""

    def __init__(self, app: ASGIApp, door: ApiSpec) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        origin = origin_of(hosts[0], self._door) if len(hosts) == 1 else None

        async def clad(message: Message) -> None:
            if message["type"] == "http.response.start":
                _clothe(MutableHeaders(scope=message), origin)
            await send(message)

        # A token is sent by who means to, whatever they call us: no browser adds it by itself.
        named = origin is not None or "authorization" in headers or scope["path"] in OPEN
        app = self._app if named and len(hosts) == 1 else PlainTextResponse(_NOT_OURS, 421)
        await app(scope, receive, clad)


_NOT_OURS = "this controller goes by another name (api: url: in the fleet file)\n"


def _clothe(headers: MutableHeaders, origin: Origin | None) -> None:
    headers.append("content-security-policy", POLICY)  # over a route's own: both hold
    for name, value in _ALWAYS.items():
        headers[name] = value
    headers.setdefault("cache-control", "no-store")
    if origin is not None and origin.secure:
        headers["strict-transport-security"] = _A_YEAR
