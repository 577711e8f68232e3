"""Pure: which addresses a web source may have, and where it may be sent from there.

Called when a source is built, and by its client for every URL that is about to be asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote, urljoin

from gitops.egress.addresses import Reach, is_loopback, origin, reach_of, split
from gitops.errors import ConfigError, SourceProblem
from gitops.foreign import one_line
from gitops.model.source import SourceState
from gitops.sources.fetched.unpack import Format, format_of


@dataclass(frozen=True, slots=True)
class Site:
    """What is watched."""

    url: str
    """As written by the operator."""
    asked: str
    """What is asked for at every look: the file, the archive, a folder's sums."""
    kind: str
    """``file``, ``folder``, or a :class:`~gitops.sources.fetched.unpack.Format`."""
    name: str
    """Last part of what is asked for: of a single file its name in the tree."""

    @property
    def format(self) -> Format | None:
        return Format(self.kind) if self.kind not in ("file", "folder") else None

    def beside(self, path: str) -> str:
        """The address of a folder's file."""
        return self.url + quote(path, safe="/")

    def permit(self, url: str, *, allow_local: bool) -> Reach:
        """Nothing but this host is ever asked: credentials go with every request, and what another
        one answers is not what the operator named."""
        scheme, host, port = origin(url)
        if (scheme, host, port) != origin(self.url):
            where = f"{scheme}://{one_line(host, 100)}"
            raise SourceProblem(
                f"the host sends us to {where}, which is never followed",
                state=SourceState.REFUSED,
                hint="if it has moved, write its new address",
                place=self.asked,
            )
        return reach_of(host, private=allow_local, loopback=allow_local)


def parse_site(url: str, kind: str, sums: str) -> Site:
    """Raises ConfigError, which never repeats a password."""
    host, path = _checked(url)
    if kind == "auto":
        found = format_of(path)
        kind = "folder" if path.endswith("/") else found.value if found else "file"
    if kind == "folder" and not path.endswith("/"):
        url, path = f"{url}/", f"{path}/"
    if kind != "folder" and path.endswith("/"):
        raise _refused("ends in a slash, as folders do", "write the file's own address")
    asked = url
    if kind == "folder":
        if not sums or "/" in sums or sums in (".", ".."):
            raise _refused("is a folder whose sums are no file in it", "sums: SHA256SUMS")
        asked = urljoin(url, quote(sums))
    name = unquote(asked.rpartition("/")[2])
    if not name or name in (".", "..", ".git") or "/" in name or not name.isprintable():
        raise _refused("does not end in a file's name", f"for example https://{host}/config.tar.gz")
    return Site(url, asked, kind, name)


def _checked(url: str) -> tuple[str, str]:
    """(host, path)"""
    try:
        parts = split(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise _refused("cannot be read", "write https://HOST/PATH") from error
    if parts.username is not None or parts.password is not None:
        raise _refused("holds credentials", "name them by reference under `credentials:`")
    if parts.query or parts.fragment or "?" in url or "#" in url:
        raise _refused("has a query or a fragment", "give a token under `credentials:`")
    if parts.scheme not in ("https", "http") or not host:
        raise _refused("is no web address", "write https://HOST/PATH")
    if parts.scheme == "http" and not is_loopback(host):
        raise _refused("is plain http, which anybody on the way can change", "use https://")
    if not parts.path:
        raise _refused("names no file", "write https://HOST/FILE, or https://HOST/FOLDER/")
    return host, parts.path


def _refused(message: str, hint: str) -> ConfigError:
    return ConfigError(f"web source: the address {message}", hint=hint)
