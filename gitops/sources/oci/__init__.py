"""Configuration as an OCI artifact: the plugin for sources of kind ``oci``.

As Flux writes them (``flux push artifact``) and any other artifact with one layer of tar+gzip
(``oras push``). ``app.py`` builds one :class:`~gitops.sources.oci.source.OciSource` for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from gitops.egress.client import Patience
from gitops.egress.registry import parse_reference
from gitops.errors import ConfigError
from gitops.model.fleet import GitCredentials
from gitops.model.ids import PersonName, SourceName
from gitops.plugins import Services
from gitops.sources.fetched import Bounds
from gitops.sources.fetched.kept import Kept
from gitops.sources.oci.source import OciSource, Pulling

NAME = "oci"
VERSION = "1"

__all__ = ["NAME", "VERSION", "OciSource", "Options", "build"]


@dataclass(frozen=True, slots=True)
class Options:
    """The fields of a :class:`~gitops.model.fleet.SourceSpec`, and what a registry alone has."""

    name: str
    url: str
    """``HOST/REPOSITORY:TAG``, or with ``@sha256:…`` for one artifact and no other."""
    ref: str = ""
    """Unused: the tag is part of the address."""
    interval: timedelta = timedelta(seconds=30)
    """Unused here: whoever looks decides when."""
    credentials: GitCredentials = GitCredentials()
    """``username`` and ``token``, sent to the registry and ``token_host`` alone."""
    allow_local: bool = False
    """Permit a registry in a network of one's own, or on this machine."""
    authors: tuple[PersonName, ...] = ()
    """Who counts as author; none given: unknown."""
    token_host: str = ""
    """Where the registry has people sign in, if not itself: auth.docker.io."""
    blob_hosts: tuple[str, ...] = ()
    """Hosts the registry may send us to for contents, which are checked by their digest."""
    strip: int = 0
    """Folders cut off the front of every path."""
    timeout: float = 300.0
    """Seconds a look may take in all."""
    stall: float = 20.0
    """Seconds the registry may send (almost) nothing."""
    max_fetched: int = 64 << 20
    """Bytes on the wire."""
    max_unpacked: int = 256 << 20
    """Bytes of all files."""
    max_entries: int = 50_000
    """Files and folders."""


def judge(options: Options) -> None:
    """Raises ConfigError for options that make no sense, before anything is built with them."""
    if options.strip < 0 or options.stall <= 0 or options.timeout <= 0:
        raise ConfigError(
            f"source {options.name!r} has an option below what makes sense",
            hint="strip: 0 or more; timeout and stall: seconds",
        )


def build(options: Options, services: Services) -> OciSource:
    """No request is made. Raises ConfigError for an address that is none."""
    judge(options)
    try:
        reference = parse_reference(options.url)
    except ValueError as error:
        raise ConfigError(
            f"oci source: the address {error}", hint="write HOST/REPOSITORY:TAG"
        ) from error
    pulling = Pulling(
        reference,
        options.credentials,
        options.allow_local,
        options.token_host,
        options.blob_hosts,
        Patience(options.timeout, options.stall),
        Bounds(options.max_fetched, options.max_unpacked, options.max_entries),
        options.strip,
    )
    kept = Kept(
        services.state_dir / NAME / options.name,
        SourceName(options.name),
        str(reference),
        shape=f"{options.strip}",
    )
    return OciSource(pulling, kept, options.authors)
