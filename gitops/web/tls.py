"""The certificate the listening server shows, kept current while we run.

Certificates are renewed every few weeks by somebody who does not tell us; a controller that had to
be restarted for it would one day be found with an expired one. Used by :mod:`gitops.web.serve`. A
new pair that does not work (half written, key of another certificate) never takes the place of one
that does.
"""

from __future__ import annotations

import asyncio
import ssl

import structlog

from gitops.errors import ConfigError
from gitops.model.serving import TlsSpec
from gitops.secrets import refuse_exposed

_log = structlog.get_logger(__name__)

EVERY = 60.0
"""Seconds between two looks at the files."""
_Stamp = tuple[tuple[int, int, int], ...]


class Certificate:
    """Raises ConfigError when made from files that cannot be used."""

    def __init__(self, spec: TlsSpec) -> None:
        self._spec = spec
        self._stamp = self._look()
        self._current = self._load()
        self.context = self._load()
        """What a server listens with: hands every connection on to the pair in force."""
        self.context.sni_callback = self._choose

    def _choose(self, wire: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        wire.context = self._current

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            self.renew()

    def renew(self) -> None:
        """Takes changed files into use, or keeps what there was and says why."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._current = self._load()
        except ConfigError as error:
            _log.error("certificate.kept", problem=error.message, hint=error.hint)
            return
        _log.info("certificate.renewed", file=str(self._spec.certificate))

    def _look(self) -> _Stamp:
        try:
            found = [path.stat() for path in (self._spec.certificate, self._spec.key)]
        except OSError as error:
            raise ConfigError(
                f"{error.filename} cannot be read: {error.strerror}", hint="see api: {tls:}"
            ) from None
        refuse_exposed(self._spec.key, found[1])
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            # Without a pass phrase to give, OpenSSL would ask the terminal for one.
            context.load_cert_chain(self._spec.certificate, self._spec.key, password=_no_phrase)
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or getattr(error, "strerror", None) or "not PEM"
            raise ConfigError(
                f"the certificate cannot be used: {why}",
                hint=f"{self._spec.certificate} and {self._spec.key} have to be a certificate and "
                "its key in PEM, the key without a pass phrase",
            ) from None
        return context


def _no_phrase() -> str:
    raise ValueError("the key has a pass phrase")
