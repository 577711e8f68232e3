"""Configuration on a plain web host as a source: the plugin for sources of kind ``web``.

A file, an archive, or a folder with a ``SHA256SUMS`` file in it, asked for again by its ETag.
``app.py`` builds one :class:`~gitops.sources.web.source.WebSource` for each.

A folder is read by its ``SHA256SUMS`` and not by the page a web server makes of it. Such a page
says nothing of what the files hold, so that a folder half uploaded looks like any other; and it is
written for people, in a form each server changes as it likes: a page read wrongly would look like
files that were deleted. With sums, one small request tells whether anything moved, only files that
did are fetched, and what is delivered is one state of the folder or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from gitops.egress.client import Patience
from gitops.errors import ConfigError
from gitops.model.fleet import GitCredentials
from gitops.model.ids import PersonName, SourceName
from gitops.plugins import Services
from gitops.sources.fetched import Bounds
from gitops.sources.fetched.kept import Kept
from gitops.sources.web.address import Site, parse_site
from gitops.sources.web.signatures import Minisign, Signers, Verifier
from gitops.sources.web.source import Asking, WebSource

NAME = "web"
VERSION = "1"

__all__ = ["NAME", "VERSION", "Options", "WebSource", "build"]


@dataclass(frozen=True, slots=True)
class Options:
    """The fields of a :class:`~gitops.model.fleet.SourceSpec`, and what a web host alone has."""

    name: str
    url: str
    """``https://HOST/PATH``; plain http only to this machine. What it ends in says what it is: a
    slash a folder; .tar.gz, .tgz, .tar or .zip an archive; anything else one file."""
    ref: str = ""
    """Unused: an address has one state."""
    interval: timedelta = timedelta(seconds=30)
    """Unused here: whoever looks decides when."""
    credentials: GitCredentials = GitCredentials()
    """``token`` is sent as bearer, with ``username`` as Basic; to this host alone."""
    allow_local: bool = False
    """Permit a host in a network of one's own, or on this machine."""
    authors: tuple[PersonName, ...] = ()
    """Who counts as author; none given: unknown."""
    format: Literal["auto", "file", "folder", "tar.gz", "tar", "zip"] = "auto"
    """What is there, if the address does not end in what it is."""
    sums: str = "SHA256SUMS"
    """Of a folder: the file in it that lists all others, as ``sha256sum`` writes it."""
    strip: int = 0
    """Of an archive: folders cut off the front of every path."""
    sha256: str = ""
    """The only content that is taken, by its SHA-256 in hex; of a folder that of its sums."""
    minisign: str = ""
    """Public key; the signature is beside the file (or the sums), with ``.minisig`` appended."""
    allowed_signers: Path | None = None
    """As ``ssh-keygen`` reads it; the signature is beside the file, with ``.sig`` appended."""
    signer: str = ""
    """The one principal of ``allowed_signers`` who may sign; default: any of them."""
    namespace: str = "file"
    """What ssh signatures are made for (``ssh-keygen -Y sign -n``)."""
    full_every: int = 20
    """After so many answers that nothing changed the whole is asked for: hosts are wrong at times.
    1: always the whole."""
    timeout: float = 300.0
    """Seconds a look may take in all."""
    stall: float = 20.0
    """Seconds the host may send (almost) nothing."""
    max_fetched: int = 64 << 20
    """Bytes on the wire."""
    max_unpacked: int = 256 << 20
    """Bytes of all files."""
    max_entries: int = 50_000
    """Files and folders."""


def judge(options: Options) -> None:
    """Raises ConfigError for options that make no sense, before anything is built with them."""
    if options.strip < 0 or options.full_every < 1 or options.stall <= 0 or options.timeout <= 0:
        raise ConfigError(
            f"source {options.name!r} has an option below what makes sense",
            hint="strip: 0 or more; full_every: 1 or more; timeout and stall: seconds",
        )
    if options.minisign and options.allowed_signers:
        raise ConfigError(
            f"source {options.name!r} names two kinds of signatures",
            hint="keep minisign or allowed_signers",
        )
    if options.minisign:
        Minisign.parse(options.minisign)
    _pin(options)


def build(options: Options, services: Services) -> WebSource:
    """No request is made. Raises ConfigError for an address, a key or a digest that is none."""
    judge(options)
    site = parse_site(options.url, options.format, options.sums)
    asking = Asking(
        site,
        options.credentials,
        options.allow_local,
        Patience(options.timeout, options.stall),
        Bounds(options.max_fetched, options.max_unpacked, options.max_entries),
        options.strip,
        _pin(options),
        options.full_every,
    )
    kept = Kept(
        services.state_dir / NAME / options.name,
        SourceName(options.name),
        options.url,
        shape=f"{site.kind} {options.strip} {site.name}",
        terms=f"{asking.pin} {options.minisign} {options.allowed_signers} {options.signer} "
        f"{options.namespace}",
    )
    return WebSource(asking, kept, _verifier(options, services, site), options.authors)


def _pin(options: Options) -> str:
    digest = options.sha256.removeprefix("sha256:").lower()
    if digest and (len(digest) != 64 or set(digest) - set("0123456789abcdef")):
        raise ConfigError(
            f"source {options.name!r} is pinned to something that is no SHA-256",
            hint="64 hex digits, as `sha256sum FILE` prints them",
        )
    return f"sha256:{digest}" if digest else ""


def _verifier(options: Options, services: Services, site: Site) -> Verifier | None:
    if options.minisign:
        return Minisign.parse(options.minisign)
    if options.allowed_signers:
        return Signers(
            options.allowed_signers,
            options.signer,
            options.namespace,
            services.children,
            services.state_dir / NAME / options.name,
        )
    return None
