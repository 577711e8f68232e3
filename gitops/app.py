"""The composition root: the only place that knows every adapter.

``assemble`` puts a controller together from a fleet file; ``offline`` puts the half together that
changes nothing, for ``gitops plan`` and ``gitops render``. Nothing is decided here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitops.cidr import claims_in_plan
from gitops.clock import SystemClock
from gitops.config.discover import discover
from gitops.controller import Controller, Parts
from gitops.engine.announcements import Announcer
from gitops.engine.desk import Desk, RefusingDesk
from gitops.engine.keeper import LeaseKeeper
from gitops.engine.ledger import Ledger, LedgerMemory
from gitops.engine.looking import Unlocked
from gitops.engine.renders import Renders
from gitops.engine.roster import Roster
from gitops.jsonable import to_json
from gitops.masking import Masker
from gitops.model.finding import Finding
from gitops.model.fleet import (
    ApplicationSpec,
    ClusterSpec,
    Fleet,
    NotifierSpec,
    SourceSpec,
    WebhookSpec,
)
from gitops.model.ids import Digest, SourceName, TargetName
from gitops.office import FrontOffice
from gitops.plugins import Role, Services, plugins
from gitops.ports import Clock, Cluster, Notifier, Renderer, Snapshot, Source
from gitops.ports.forges import Forge
from gitops.ports.inbound import Receiver
from gitops.ports.terraform import Root, Workspace
from gitops.previewing import Bench
from gitops.sealing import decode, encode
from gitops.secrets import read_secret
from gitops.vault import FolderVault, Keyring

if TYPE_CHECKING:
    from gitops.tracing import Traces
    from planners.checks.fleet import FleetChecker

RENDERERS = ("helm", "kustomize", "plain")
"""Asked in this order whether a folder is theirs: the more particular first."""


def services_of(fleet: Fleet, keyring: Keyring, clock: Clock) -> Services:
    """What every plugin may use."""
    from gitops.children import UNISOLATED, Runner
    from gitops.sandbox.tools import Toolbox

    return Services(
        children=Runner(allow_unisolated=os.environ.get(UNISOLATED) == "1"),
        digester=keyring,
        clock=clock,
        state_dir=fleet.state_dir,
        cache_dir=fleet.state_dir / "cache",
        tool=Toolbox().path,
        cipher=keyring,
        chart_hosts=fleet.chart_hosts,
    )


class RendererChoice:
    """Picks and keeps the renderer of an application: named, or found by looking."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._built: dict[str, Renderer] = {}

    def __call__(self, spec: ApplicationSpec, snapshot: Snapshot) -> Renderer:
        if spec.renderer:
            return self._renderer(spec.renderer, spec.options)
        found = plugins(Role.RENDERER)
        for name in [known for known in RENDERERS if known in found]:
            renderer = self._renderer(name, {})
            if renderer.detects(snapshot, spec.path):
                return self._renderer(name, spec.options)
        return self._renderer("plain", spec.options)

    def _renderer(self, name: str, options: Mapping[str, Any]) -> Renderer:
        key = f"{name} {json.dumps(to_json(options), sort_keys=True)}"
        if key not in self._built:
            plugin = plugins(Role.RENDERER)[name]
            self._built[key] = plugin.build(options, self._services)
        return self._built[key]


def checker_of(services: Services) -> FleetChecker:
    from planners.checks.fleet import FleetChecker
    from planners.checks.run import Checkup

    return FleetChecker(Checkup(plugins(Role.CHECK), services))


def source_builder(services: Services) -> Callable[[SourceSpec], Source]:
    def build(spec: SourceSpec) -> Source:
        plugin = plugins(Role.SOURCE)[spec.kind]
        given = {
            "name": spec.name,
            "url": spec.url,
            "ref": spec.ref,
            "interval": spec.interval,
            "credentials": spec.credentials,
            "allow_local": spec.allow_local,
            "authors": spec.authors,
            **({"verify": spec.verify} if spec.verify else {}),
            **spec.options,
        }
        source: Source = plugin.build(given, services)
        return source

    return build


def thorough(kind: str) -> bool:
    """Does a kind of notifier say of itself that it wants every notice there is?"""
    return bool(getattr(plugins(Role.NOTIFIER)[kind].module, "THOROUGH", False))


def edits(kind: str) -> bool:
    """Does a kind of notifier change what it has said instead of saying more?"""
    return bool(getattr(plugins(Role.NOTIFIER)[kind].module, "EDITS", False))


def notifiers_of(roster: Roster, services: Services) -> Callable[[], Mapping[str, Notifier]]:
    """Built anew when the fleet file changes."""
    specs: tuple[NotifierSpec, ...] = ()
    built: Mapping[str, Notifier] = {}

    def current() -> Mapping[str, Notifier]:
        nonlocal specs, built
        if roster.fleet.notifiers != specs:  # they cannot be hashed: their options are mappings
            known, specs = plugins(Role.NOTIFIER), roster.fleet.notifiers
            built = {
                spec.name: known[spec.kind].build(spec.options, replace(services, name=spec.name))
                for spec in specs
            }
        return built

    return current


def receivers_of(roster: Roster, services: Services) -> Callable[[], Mapping[str, Receiver]]:
    """Built anew when the fleet file changes."""
    specs: tuple[WebhookSpec, ...] = ()
    built: Mapping[str, Receiver] = {}

    def current() -> Mapping[str, Receiver]:
        nonlocal specs, built
        if roster.fleet.webhooks != specs:
            known, specs = plugins(Role.WEBHOOK), roster.fleet.webhooks
            built = {spec.name: known[spec.kind].build(spec.options, services) for spec in specs}
        return built

    return current


def forges_of(roster: Roster, services: Services) -> Callable[[SourceName], Forge | None]:
    """A source's client is kept while its section of the fleet file stays as it is: it knows how
    long its forge has to rest."""
    built: dict[SourceName, tuple[SourceSpec, Forge]] = {}

    def forge(name: SourceName) -> Forge | None:
        spec = roster.fleet.sources.get(name)
        if spec is None or spec.forge is None:
            return None
        if name not in built or built[name][0] != spec:
            given = {"url": spec.url, "credentials": spec.credentials, **spec.forge.options}
            built[name] = spec, plugins(Role.FORGE)[spec.forge.kind].build(given, services)
        return built[name][1]

    return forge


def connector(clock: Clock) -> Callable[[ClusterSpec], Awaitable[Cluster]]:
    async def connect(spec: ClusterSpec) -> Cluster:
        from gitops.kube.cluster import connect as reach

        return await reach(spec, clock=clock, sandbox_kubeconfig=sandbox_kubeconfig)

    return connect


def sandbox_kubeconfig(name: str) -> Path:
    """Raises ConfigError when the sandbox of that name is not up."""
    from gitops.errors import ConfigError
    from gitops.sandbox.lifecycle import read

    info = read(name)
    if info is None:
        raise ConfigError(f"sandbox {name!r} is not up", hint=f"gitops sandbox up --name {name}")
    return info.kubeconfig


def keyring_of(fleet: Fleet) -> Keyring:
    if fleet.vault.key is not None:
        return Keyring.parse(read_secret(fleet.vault.key))
    return Keyring.kept_in(fleet.state_dir)


@dataclass(frozen=True, slots=True)
class Running:
    """A controller with what must be closed after it."""

    controller: Controller
    close: Callable[[], None]


def assemble(fleet: Fleet, clock: Clock | None = None) -> Running:
    """A controller on the fleet's own store and vault. Raises ConfigError, StoreUnavailable."""
    from gitops.store import open_store
    from gitops.store.holders import this_process

    clock = clock or SystemClock()
    fleet.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    keyring = keyring_of(fleet)
    password = read_secret(fleet.store.password) if fleet.store.password else None
    store = open_store(fleet.store, fleet.state_dir, clock, password)
    roster = Roster(fleet, discover)
    ledger = Ledger(
        store,
        listening=Announcer(lambda: roster.fleet, clock, thorough, roster.spec, edits).listening,
    )
    trail = _trail(fleet)
    if trail is not None:
        ledger.measures.trail = trail
    seat: list[Controller] = []
    services = replace(
        services_of(fleet, keyring, clock),
        office=lambda: FrontOffice(seat[0]),
        memory=LedgerMemory(ledger),
    )
    vault = FolderVault(fleet.vault.folder or fleet.state_dir / "vault", keyring)
    keeper = LeaseKeeper(store.leases, ledger, this_process(), clock)
    desk = Desk(lambda: roster.fleet, roster.spec, clock)
    parts = _parts(roster, ledger, keeper, vault, keyring, services, clock, asks_forges=True)
    seat.append(Controller(roster, desk, parts))

    def close() -> None:
        parts.workspace.close()
        store.close()
        if trail is not None:
            trail.close()

    return Running(seat[0], close)


def _trail(fleet: Fleet) -> Traces | None:
    """Raises ConfigError for a header whose secret cannot be read."""
    if not fleet.tracing.endpoint:
        return None
    from gitops.tracing import Traces

    return Traces(fleet.tracing)


def offline(fleet: Fleet, clock: Clock | None = None, *, asks_forges: bool = False) -> Running:
    """The same controller with nothing that lasts: a store in memory, a vault that keeps nothing,
    a desk that asks nobody. Its caller tends lanes itself and never calls ``run``."""
    from gitops.store import open_memory_store
    from gitops.store.holders import this_process

    clock = clock or SystemClock()
    store = open_memory_store(clock)
    ledger = Ledger(store)
    keyring = Keyring.throwaway()
    services = services_of(fleet, keyring, clock)
    keeper = LeaseKeeper(store.leases, ledger, this_process(), clock, seconds=86_400)
    roster = Roster(fleet, discover)
    desk = RefusingDesk(lambda: roster.fleet, roster.spec, clock)
    parts = _parts(
        roster, ledger, keeper, _Forgetful(), keyring, services, clock, asks_forges=asks_forges
    )

    def close() -> None:
        parts.workspace.close()
        store.close()

    return Running(Controller(roster, desk, parts), close)


def _parts(
    roster: Roster,
    ledger: Ledger,
    keeper: LeaseKeeper,
    vault: FolderVault | _Forgetful,
    keyring: Keyring,
    services: Services,
    clock: Clock,
    *,
    asks_forges: bool,
) -> Parts:
    from gitops.forges.github_app import AppTokens
    from planners.plan.planner import ManifestPlanner
    from planners.plan.terraform.planner import TerraformPlanner

    def fence(target: TargetName) -> str:
        spec = roster.fleet.clusters.get(target)
        return spec.namespace if spec else ""

    masker = Masker(keyring)
    planner = ManifestPlanner(keyring, masker, clock, fence)
    workspace = _workspace(roster.fleet, services, masker)
    tokens = AppTokens(clock, masker.taint)
    services = replace(services, terraform=workspace, mask=masker.text, app_token=tokens.token)
    if asks_forges:  # what only looks at sources asks and tells no forge
        services = replace(services, forge=forges_of(roster, services))
    checker = checker_of(services)

    def root_planner(checker: FleetChecker, workspace: Workspace) -> TerraformPlanner:
        def planned(root: Root, shown: Mapping[str, Any]) -> tuple[Finding, ...]:
            return checker.planned(root.lane, root.application, claims_in_plan(shown))

        return TerraformPlanner(workspace, keyring, masker, also=planned)

    choice = RendererChoice(services)  # what renderers remember of folders is apart from deliveries

    def bench() -> Bench:
        aside = checker.aside()
        return Bench(
            Renders(choice, keyring.of),
            aside,
            ManifestPlanner(keyring, masker, clock, fence),
            root_planner(aside, Unlocked(workspace)),
        )

    return Parts(
        ledger=ledger,
        keeper=keeper,
        vault=vault,
        digester=keyring,
        encode=encode,
        decode=decode,
        renders=Renders(RendererChoice(services), keyring.of),
        checker=checker,
        planner=planner,
        watchman=planner,
        tools=f"planner {ManifestPlanner.version}/{TerraformPlanner.version}",
        build_source=source_builder(services),
        forge=services.forge,
        notifiers=notifiers_of(roster, services),
        connect=connector(clock),
        clock=clock,
        mask=masker.text,
        taint=masker.taint,
        root_planner=root_planner(checker, workspace),
        bench=bench,
        workspace=workspace,
        reached=kill_switch(os.environ.get("GITOPS_KILL_AT", "")),
        receivers=receivers_of(roster, services),
    )


def _workspace(fleet: Fleet, services: Services, masker: Masker) -> Workspace:
    from gitops.terraform.workspace import Workspaces

    return Workspaces(fleet.terraform, fleet.state_dir, tofu=services.tool, mask=masker.text)


class _Forgetful:
    """A vault for plans nobody will be asked about."""

    async def put(self, seal: Digest, content: bytes) -> None: ...

    async def get(self, seal: Digest) -> bytes | None:
        return None

    async def discard(self, seal: Digest) -> None: ...

    async def held(self) -> tuple[Digest, ...]:
        return ()


def kill_switch(at: str) -> Callable[[str, object], None]:
    """Ends this process as ``kill -9`` would when the named step begins, once: set by the crash
    tests through ``GITOPS_KILL_AT`` and by nobody else."""

    def reached(step: str, _record: object) -> None:
        if at and step == at:
            os.kill(os.getpid(), 9)

    return reached
