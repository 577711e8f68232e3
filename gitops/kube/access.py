"""How a cluster is reached: base URL, TLS, credentials that refresh themselves.

Called once per cluster by :func:`gitops.kube.connect`. The `kubernetes` package reads kubeconfigs,
tokens and exec plugins; its session and its model objects are not used, and this module must never
let it skip TLS verification, write to a kubeconfig or take a proxy from the environment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, load_kube_config
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

from gitops.egress.addresses import is_loopback
from gitops.errors import ClusterUnavailable, ConfigError
from gitops.model.fleet import ClusterSpec
from gitops.ports import Clock

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token and CA (Kubernetes, "Accessing the API from within a Pod")."""
_PLUGIN_SECONDS = 60.0
_RECHECK = 60.0
"""Seconds between looks at a token file or an exec plugin's expiry."""
# It logs what a failing plugin wrote to stderr, which may quote a token; we report it ourselves.
logging.getLogger("kubernetes.aio.config.kube_config").disabled = True


@dataclass(frozen=True, slots=True)
class Access:
    """Everything a transport needs. ``authorization`` is awaited before every request."""

    url: str
    """Scheme, host, port and perhaps a path prefix; no trailing slash."""
    tls: ssl.SSLContext | None
    """None only for plain http on loopback."""
    authorization: Callable[[], Awaitable[str | None]]
    """The ``Authorization`` header's value, or None with client certificates."""
    renew: Callable[[], None]
    """After a 401: the next ``authorization`` reads the credentials again."""
    proxy: str | None = None
    server_name: str | None = None


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What a pod is given; tests run as a service account outside of one by replacing it."""

    mount: Path = SERVICE_ACCOUNT
    environ: Mapping[str, str] | None = None
    """With KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT; None: the process's own."""


IN_POD = PodSettings()


async def reach(
    spec: ClusterSpec,
    *,
    clock: Clock,
    sandbox_kubeconfig: Callable[[str], Path],
    pod: PodSettings = IN_POD,
) -> Access:
    """Raises ConfigError for what the operator must change, ClusterUnavailable when an exec
    plugin gives no credentials."""
    try:
        if spec.in_cluster:
            return _finish(spec, *_from_pod(pod), clock)
        path = sandbox_kubeconfig(spec.sandbox) if spec.sandbox else kubeconfig_path(spec)
        return _finish(spec, *await _from_kubeconfig(spec, path), clock)
    except (OSError, ssl.SSLError) as broken:
        raise ConfigError(
            f"cluster {spec.name!r}: cannot read its credentials: {broken.strerror or broken}",
            hint="check the certificate, key and token files its kubeconfig names",
        ) from broken


def kubeconfig_path(spec: ClusterSpec) -> Path:
    """The file a spec means: its own, else the first of ``KUBECONFIG``, else kubectl's default."""
    if spec.kubeconfig:
        return spec.kubeconfig.expanduser()
    listed = [part for part in os.environ.get("KUBECONFIG", "").split(os.pathsep) if part]
    return Path(listed[0]) if listed else Path.home() / ".kube" / "config"


Refresh = Callable[[bool], Awaitable[float]]
"""Reads the credentials again, even good ones if told to; seconds until the next look."""
_Loaded = tuple[Any, "Refresh | None"]


def _from_pod(pod: PodSettings) -> _Loaded:
    loader = InClusterConfigLoader(  # type: ignore[no-untyped-call]
        token_filename=str(pod.mount / "token"),
        cert_filename=str(pod.mount / "ca.crt"),
        environ=os.environ if pod.environ is None else pod.environ,
    )
    configuration = Configuration()
    try:
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call]
    except ConfigException as missing:
        raise ConfigError(
            f"this process does not look like a pod with a service account: {missing}",
            hint="set automountServiceAccountToken, or name a kubeconfig context instead",
        ) from missing
    return configuration, None


async def _from_kubeconfig(spec: ClusterSpec, path: Path) -> _Loaded:
    if not path.is_file():  # noqa: ASYNC240 - once, before anything else runs
        raise ConfigError(
            f"cluster {spec.name!r}: there is no kubeconfig at {path}",
            hint="name one with `kubeconfig:`, or start a sandbox with `gitops sandbox up`",
        )
    configuration = Configuration()
    try:
        async with asyncio.timeout(_PLUGIN_SECONDS):
            loader = await load_kube_config(  # type: ignore[no-untyped-call]
                str(path), spec.context or None, configuration, persist_config=False
            )
    except TimeoutError as slow:
        raise ClusterUnavailable(
            f"cluster {spec.name!r}: the credentials plugin of its kubeconfig does not end",
            hint="run `kubectl get --raw /version` with the same context: does it ask something?",
        ) from slow
    except (ConfigException, KeyError, TypeError, AttributeError, ValueError) as broken:
        raise ConfigError(
            f"cluster {spec.name!r}: {_first_line(broken)}",
            hint="`kubectl config get-contexts` lists what the file offers",
            place=str(path),
        ) from broken
    _expect_credentials(spec, loader)

    async def refresh(force: bool) -> float:
        if force:
            loader.__dict__.pop("exec_plugin_expiry", None)
        async with asyncio.timeout(_PLUGIN_SECONDS):
            await loader.load_and_set(configuration)
        return _next_look(loader)

    return configuration, refresh


def _expect_credentials(spec: ClusterSpec, loader: Any) -> None:
    """The library logs a failing exec plugin and goes on without credentials; we stop."""
    user = loader._user
    if user is None or "exec" not in user:
        return
    if not getattr(loader, "token", None) and not getattr(loader, "cert_file", None):
        raise ClusterUnavailable(
            f"cluster {spec.name!r}: the credentials plugin of its kubeconfig gave no credentials",
            hint="run `kubectl get --raw /version` with the same context to see what it says",
        )


def _next_look(loader: Any) -> float:
    """A plugin that names no expiry is asked again only after a 401, as kubectl does it."""
    user = loader._user
    if user is not None and "exec" in user and not hasattr(loader, "exec_plugin_expiry"):
        return float("inf")
    return _RECHECK


def _finish(spec: ClusterSpec, configuration: Any, refresh: Refresh | None, clock: Clock) -> Access:
    _refuse_unsafe(spec, configuration)
    secure = urlsplit(configuration.host).scheme == "https"
    tls = RESTClientObject(configuration).ssl_context if secure else None
    credentials = _Credentials(spec, configuration, refresh, tls, clock)
    return Access(
        url=configuration.host.rstrip("/"),
        tls=tls,
        authorization=credentials.header,
        renew=credentials.renew,
        proxy=configuration.proxy or None,
        server_name=configuration.tls_server_name or None,
    )


def _refuse_unsafe(spec: ClusterSpec, configuration: Any) -> None:
    if not configuration.verify_ssl:
        raise ConfigError(
            f"cluster {spec.name!r}: its kubeconfig says insecure-skip-tls-verify",
            hint="put the API server's CA in certificate-authority-data instead",
        )
    url = urlsplit(configuration.host)
    if url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname or "")):
        return
    raise ConfigError(
        f"cluster {spec.name!r}: {url.scheme or 'no scheme'}:// would send credentials in clear",
        hint="its server must be an https:// address",
    )


class _Credentials:
    """Asks the library for the header, and lets it look at files and plugins once a minute."""

    def __init__(
        self,
        spec: ClusterSpec,
        configuration: Any,
        refresh: Refresh | None,
        tls: ssl.SSLContext | None,
        clock: Clock,
    ) -> None:
        self._spec = spec
        self._configuration = configuration
        self._refresh = refresh
        self._tls = tls
        self._clock = clock
        self._next = clock.monotonic() + _RECHECK
        self._chain = (configuration.cert_file, configuration.key_file)
        self._lock = asyncio.Lock()

    async def header(self) -> str | None:
        if self._refresh is not None and self._clock.monotonic() >= self._next:
            async with self._lock:
                await self._look_again(self._refresh)
        try:
            settings = await self._configuration.auth_settings()
        except Exception as broken:
            raise self._unreadable(broken) from broken
        value = settings.get("BearerToken", {}).get("value")
        return value.strip() if value else None

    def renew(self) -> None:
        self._next = float("-inf")

    async def _look_again(self, refresh: Refresh) -> None:
        if self._clock.monotonic() < self._next:
            return  # somebody else did while we waited for the lock
        try:
            pause = await refresh(self._next == float("-inf"))
        except Exception as broken:
            raise self._unreadable(broken) from broken
        self._next = self._clock.monotonic() + pause
        chain = (self._configuration.cert_file, self._configuration.key_file)
        if chain != self._chain and chain[0] and self._tls:
            self._tls.load_cert_chain(*chain)  # new connections present the new certificate
            self._chain = chain

    def _unreadable(self, broken: Exception) -> ClusterUnavailable:
        # Only the class: the text of a plugin's or a parser's complaint may quote a token.
        return ClusterUnavailable(
            f"cluster {self._spec.name!r}: its credentials cannot be read"
            f" ({type(broken).__name__})",
            hint="check the token file or the credentials plugin its kubeconfig names",
        )


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()
    return text[0] if text else type(error).__name__
