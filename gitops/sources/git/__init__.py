"""Git repositories as sources: the plugin for sources of kind ``git``.

``app.py`` builds one :class:`GitSource` for each source of the fleet file; everything of git that
touches a network, a process or GitPython is in this package and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gitops.model.fleet import GitCredentials, SignaturePolicy
from gitops.model.ids import PersonName, SourceName
from gitops.plugins import Services
from gitops.sources.git.address import candidates, parse_address
from gitops.sources.git.process import Access
from gitops.sources.git.remote import Remote
from gitops.sources.git.signatures import Signatures
from gitops.sources.git.source import GitSource

NAME = "git"
VERSION = "1"

__all__ = ["NAME", "VERSION", "GitSource", "Options", "build"]


@dataclass(frozen=True, slots=True)
class Options:
    """The fields of a :class:`~gitops.model.fleet.SourceSpec`, and what git alone has."""

    name: str
    url: str
    """``https://``, ``ssh://`` or ``user@host:path``; ``http://`` only to this machine, a path or
    ``file://`` only with ``allow_local``. Never with a password in it."""
    ref: str = "main"
    """A branch, else a tag of that name; ``refs/…``, ``HEAD`` or a full commit id as they are."""
    interval: timedelta = timedelta(seconds=30)
    """Unused here: whoever looks decides when."""
    credentials: GitCredentials = GitCredentials()
    allow_local: bool = False
    authors: tuple[PersonName, ...] = ()
    """Unused: git records its authors."""
    verify: SignaturePolicy | None = None
    timeout: float = 600.0
    """Seconds one fetch may take in all; the first one brings the whole history."""
    stall: int = 20
    """Seconds a remote may send (almost) nothing."""
    max_fetch: int = 4 << 30
    """Bytes of the largest file (pack) one fetch may write."""


def build(options: Options, services: Services) -> GitSource:
    """No request is made. Raises ConfigError for an address or ref that must not reach git."""
    address = parse_address(options.url, allow_local=options.allow_local)
    candidates(options.ref)
    access = Access(
        address,
        options.credentials,
        options.timeout,
        options.stall,
        options.max_fetch,
        services.app_token,
    )
    remote = Remote.shared(services.state_dir / "git", access)
    signatures = None
    if options.verify is not None:
        keys = services.state_dir / "git-keys" / options.name
        signatures = Signatures(options.verify, remote.mirror, keys)
    return GitSource(SourceName(options.name), options.ref, remote, signatures)
