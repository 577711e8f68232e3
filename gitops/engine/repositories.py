"""Is the repository, and the branch, a forge talks about one that we watch?

Pure. Called by the inbox of webhooks, by previews and by provenance: what a forge names is only
ever compared with what the fleet file names, as text. It becomes no URL, no path and no argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from gitops.model.fleet import SourceSpec
from gitops.model.ids import SourceName
from gitops.ports.inbound import Repository

LONGEST = 2_048
"""Characters of an address that is looked at."""
_SCP = re.compile(r"(?:[^@/:\s]+@)?(\[[0-9A-Fa-f:.]+\]|[^@/:\s\[\]]+):(?!//)([^:\s].*)")
_BARE = re.compile(r"[\w.~-]+/[\w.-]+", re.ASCII)
_PORTS = {"https": 443, "http": 80, "ssh": 22}
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def place(address: str) -> str | None:
    """``host/path`` of an address, the same for https, ssh and scp-like forms: without user,
    default port and ``.git``, the host in lower case. None for anything that is not plainly a
    repository's address: another scheme, a password, ``..``, a query, control characters."""
    if len(address) > LONGEST or not address.isprintable() or " " in address:
        return None
    if "://" not in address:
        scp = _SCP.fullmatch(address)
        return _joined(scp[1].strip("[]"), None, scp[2]) if scp else None
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return None
    named = parts.username is not None and parts.scheme != "ssh"
    if parts.scheme not in _PORTS or named or parts.password is not None:
        return None
    if parts.query or parts.fragment:
        return None
    return _joined(host, None if port == _PORTS[parts.scheme] else port, parts.path)


def _joined(host: str, port: int | None, path: str) -> str | None:
    path = path.strip("/").removesuffix(".git").rstrip("/")
    segments = path.split("/")
    if not host or not path or any(part in ("", ".", "..") for part in segments):
        return None
    return f"{host.lower()}:{port}/{path}" if port else f"{host.lower()}/{path}"


def same(repository: Repository, source: SourceSpec) -> bool:
    """Does any of the repository's names mean the source's address?"""
    here = place(source.url)
    if here is None:
        return False
    return any(_means(name, here) for name in repository.names)


def _means(name: str, here: str) -> bool:
    if place(name) == here:
        return True
    # A forge that only says OWNER/NAME (Bitbucket Data Center) does so in the case of its API.
    return bool(_BARE.fullmatch(name)) and here.lower().endswith(f"/{name.lower()}")


def matching(
    repository: Repository, sources: Mapping[SourceName, SourceSpec], only: Iterable[SourceName]
) -> tuple[SourceName, ...]:
    """The sources a repository is. ``only`` are those its webhook is for; where they lie elsewhere
    (a mirror, another name of the host), they are meant as a whole. Empty: every source. A webhook
    for sources that are no more is for none."""
    named = list(only)
    allowed = [name for name in named if name in sources]
    found = [name for name in (allowed if named else sources) if same(repository, sources[name])]
    return tuple(found or allowed)


def into_followed(base: str, ref: str) -> bool:
    """Is a pull request into branch ``base`` one into what a source follows (``SourceSpec.ref``)?
    One that follows whatever the default branch is cannot tell it from others."""
    followed = ref.removeprefix("refs/heads/")
    return followed in ("", "HEAD") or base == followed


def follows(source: SourceSpec, ref: str) -> bool:
    """Does a source follow the ref that was pushed? A pinned commit follows none."""
    if _COMMIT.fullmatch(source.ref):
        return False
    if source.ref == "HEAD" or not source.ref:
        return True
    return ref in (source.ref, f"refs/heads/{source.ref}", f"refs/tags/{source.ref}")
