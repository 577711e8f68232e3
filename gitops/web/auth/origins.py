"""Under which names browsers reach us, and what origin a request must then come from. Pure.

A page of somebody else's can make a browser send us requests (CSRF) or call us by a name of its own
(DNS rebinding); neither can choose the ``Host`` and ``Origin`` we expect. Called by the shield and
the guard for every request.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from gitops.egress.addresses import is_loopback
from gitops.model.serving import ApiSpec

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253})(?::([0-9]{1,5}))?")
_PORTS = {"http": "80", "https": "443", "": ""}


@dataclass(frozen=True, slots=True)
class Origin:
    """``https://gitops.example.com``, as a browser writes it (RFC 6454)."""

    text: str

    @property
    def secure(self) -> bool:
        return self.text.startswith("https:")


def origin_of(host: str, api: ApiSpec) -> Origin | None:
    """The origin a browser has that called us by this ``Host``; None for a name that is not ours.

    The public address, and loopback names for who sits at this machine (also through a port that
    was forwarded): what is called by such a name is never a stranger's name for us.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        return None
    name, port = found[1].lower(), found[2] or ""
    public = urlsplit(api.url)
    if api.url and _written(name, port, public.scheme) == public.netloc.lower():
        return Origin(f"{public.scheme}://{public.netloc.lower()}")
    if not is_loopback(name.strip("[]")):
        return None
    scheme = "https" if api.tls else "http"
    return Origin(f"{scheme}://{_written(name, port, scheme)}")


def _written(name: str, port: str, scheme: str) -> str:
    """As browsers write it: without the scheme's own port."""
    return name if port in ("", _PORTS[scheme]) else f"{name}:{port}"
