"""From the checked shape to the values of :mod:`gitops.model.fleet`.

Resolves names, selectors, paths and defaults; what does not fit together is added to the draft and
something harmless takes its place, so that one pass finds everything. Called by
:mod:`gitops.config.load`, which gives nobody a fleet with problems.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gitops.config import shape
from gitops.config.addresses import (
    check_api,
    check_folder,
    check_git,
    check_oci,
    check_ref,
    check_store,
    check_web,
    is_remote,
)
from gitops.config.forges import forge, pull_requests
from gitops.config.kubeconfig import find_context
from gitops.config.needs import needs
from gitops.config.observing import log, metrics, tracing
from gitops.config.options import fits, known, options
from gitops.config.persons import approval, directory
from gitops.config.problems import Draft, Loc, home
from gitops.config.roots import RENDERER, host, root
from gitops.config.routes import routes
from gitops.config.serving import api
from gitops.config.values import existing, judge, secret
from gitops.config.webhooks import webhooks
from gitops.config.words import owner
from gitops.errors import ConfigError
from gitops.model.fleet import (
    ApplicationSpec,
    ApprovalPolicy,
    ClusterSpec,
    ConflictPolicy,
    DeleteBudget,
    Discovery,
    DriftPolicy,
    Fleet,
    GitCredentials,
    GitHubApp,
    NotifierSpec,
    SignaturePolicy,
    SourceSpec,
    StoreSpec,
    VaultSpec,
)
from gitops.model.ids import ApplicationName, PersonName, SourceName, TargetName
from gitops.plugins import Plugin, Role


def build(draft: Draft, file: shape.FleetFile, path: Path) -> Fleet:
    """The fleet; meaningful only while the draft has no problems."""
    builder = _Builder(draft, file)
    notifiers = builder.notifiers()
    return Fleet(
        path=path,
        state_dir=builder.state_dir(path),
        sources=MappingProxyType(builder.sources),
        clusters=MappingProxyType(builder.clusters),
        applications=MappingProxyType(builder.applications()),
        discoveries=builder.discoveries(),
        people=builder.people,
        notifiers=notifiers,
        routes=routes(draft, file, notifiers),
        webhooks=webhooks(draft, file),
        store=builder.store(),
        vault=builder.vault(),
        api=api(draft, file.api),
        chart_hosts=tuple(dict.fromkeys(file.chart_hosts)),
        terraform=host(draft, file.terraform),
        metrics=metrics(draft, file.metrics),
        tracing=tracing(draft, file.tracing),
        log=log(file.log),
    )


_FETCHED = {"web": check_web, "oci": check_oci}
"""Kinds of sources that are fetched over HTTP, with the rule for their addresses."""

_ALWAYS_ON = (
    'check "terraform" cannot be switched off',
    "permit what a root needs under terraform: allow: of its application",
)


class _Builder:
    def __init__(self, draft: Draft, file: shape.FleetFile) -> None:
        self.draft, self.file = draft, file
        self.people = directory(draft, file)
        self.policies = {
            name: approval(draft, name, policy, ("approvals", name))
            for name, policy in file.approvals.items()
        }
        self.policies.setdefault("default", ApprovalPolicy())
        self.sources = {
            SourceName(name): self._source(name, source, ("sources", name))
            for name, source in file.sources.items()
        }
        self.clusters = {
            TargetName(name): self._cluster(name, cluster, ("clusters", name))
            for name, cluster in file.clusters.items()
        }

    # --- sources ------------------------------------------------------------------------------

    def _source(self, name: str, source: shape.Source, loc: Loc) -> SourceSpec:
        kind, key, url = self._kind(source, loc)
        local = kind == "directory" or source.allow_local
        if kind == "git":
            url = self._git(url, local, (*loc, key))
            judge(self.draft, check_ref, source.ref, (*loc, "ref"))
        elif kind == "directory":
            url = str(existing(self.draft, url, (*loc, key), folder=True))
        elif kind in _FETCHED:
            judge(self.draft, _FETCHED[kind], url, (*loc, key))
            self._meaningless(source, kind, loc)
        plugin = known(self.draft, Role.SOURCE, kind, (*loc, "kind")) if kind else None
        given = options(self.draft, plugin, source.options, (*loc, "options"))
        if plugin is not None and kind in _FETCHED:
            self._judged(plugin, {"name": name, "url": url, **given}, (*loc, "options"))
        for index, author in enumerate(source.authors):
            self.draft.expect(
                (*loc, "authors", index), author, self.draft.names("people"), "person"
            )
        spec = SourceSpec(
            name=SourceName(name),
            kind=kind,
            url=url,
            ref="" if kind in ("directory", *_FETCHED) else source.ref,
            interval=source.interval,
            credentials=self._credentials(source.credentials, (*loc, "credentials")),
            allow_local=local,
            authors=tuple(map(PersonName, source.authors)),
            verify=self._verify(source.verify, kind, (*loc, "verify")),
            options=given,
        )
        told = forge(self.draft, source.forge, spec, (*loc, "forge"))
        spec = dataclasses.replace(spec, forge=told)
        pulls = pull_requests(self.draft, source.pull_requests, spec, (*loc, "pull_requests"))
        return dataclasses.replace(spec, pull_requests=pulls)

    def _judged(self, plugin: Plugin, given: Mapping[str, Any], loc: Loc) -> None:
        """What only the plugin knows of its options, such as what a key looks like."""
        if None in given.values():  # one is refused already
            return
        try:
            plugin.module.judge(plugin.options(**given))
        except ConfigError as error:
            self.draft.refuse(loc, error.message, error.hint)

    def _kind(self, source: shape.Source, loc: Loc) -> tuple[str, str, str]:
        """(kind, the key that holds the address, the address)"""
        given = [
            (kind, key, value)
            for kind, key, value in (
                ("git", "git", source.git),
                ("web", "web", source.web),
                ("oci", "oci", source.oci),
                ("directory", "directory", source.directory),
                (source.kind or "", "url", source.url),
            )
            if value is not None
        ]
        if len(given) == 1 and given[0][0]:
            return given[0]
        if loc not in self.draft.damaged:
            says = "names two places at once" if len(given) > 1 else "does not say where it is"
            hint = "write git: https://HOST/PATH, web: https://HOST/FILE, oci: HOST/NAME:TAG, "
            hint += "or directory: PATH"
            self.draft.refuse_at(self.draft.named(loc), f'source "{loc[-1]}" {says}', hint)
        return "", "", ""

    def _meaningless(self, source: shape.Source, kind: str, loc: Loc) -> None:
        """Keys of git that would be passed over in silence."""
        if "ref" in source.model_fields_set:
            hint = "a tag is part of the address" if kind == "oci" else "remove it"
            self.draft.refuse((*loc, "ref"), f"a source of kind {kind} has no ref", hint)
        for key in ("ssh_key", "known_hosts", "github_app"):
            if getattr(source.credentials, key) is not None:
                message = f"{key} has no meaning for a source of kind {kind}"
                self.draft.refuse((*loc, "credentials", key), message, "write token: {env: NAME}")

    def _git(self, url: str, local: bool, loc: Loc) -> str:
        judge(self.draft, lambda text: check_git(text, allow_local=local), url, loc)
        return url if is_remote(url) else str(self.draft.path(loc, url))

    def _credentials(self, given: shape.Credentials, loc: Loc) -> GitCredentials:
        return GitCredentials(
            username=given.username,
            token=secret(self.draft, given.token, (*loc, "token")),
            ssh_key=secret(self.draft, given.ssh_key, (*loc, "ssh_key")),
            known_hosts=self._file(given.known_hosts, (*loc, "known_hosts")),
            ca_file=self._file(given.ca_file, (*loc, "ca_file")),
            github_app=self._github_app(given.github_app, (*loc, "github_app")),
        )

    def _github_app(self, given: shape.GitHubApp | None, loc: Loc) -> GitHubApp | None:
        key = secret(self.draft, given.private_key if given else None, (*loc, "private_key"))
        if given is None or key is None:
            return None
        judge(self.draft, check_api, given.api, (*loc, "api"))
        return GitHubApp(given.app_id, given.installation_id, key, given.api.rstrip("/"))

    def _verify(self, given: shape.Verify | None, kind: str, loc: Loc) -> SignaturePolicy | None:
        if given is None:
            return None
        if kind not in ("git", ""):
            self.draft.refuse(loc, f"a source of kind {kind} has no commits to verify", "remove it")
        if not given.gpg_keys and given.ssh_signers is None:
            hint = "write ssh_signers: FILE or gpg_keys: [FILE]"
            self.draft.refuse(loc, f"{_owner((*loc, ''))} believes nobody's signature", hint)
        if given.ssh_revoked is not None and given.ssh_signers is None:
            hint = "write ssh_signers: FILE"
            self.draft.refuse((*loc, "ssh_revoked"), "keys are revoked that nobody believes", hint)
        keys = enumerate(given.gpg_keys)
        return SignaturePolicy(
            gpg_keys=tuple(existing(self.draft, key, (*loc, "gpg_keys", n)) for n, key in keys),
            ssh_signers=self._file(given.ssh_signers, (*loc, "ssh_signers")),
            ssh_revoked=self._file(given.ssh_revoked, (*loc, "ssh_revoked")),
            required=given.require == "head",
        )

    def _file(self, text: str | None, loc: Loc) -> Path | None:
        return None if text is None else existing(self.draft, text, loc)

    # --- clusters -----------------------------------------------------------------------------

    def _cluster(self, name: str, cluster: shape.Cluster, loc: Loc) -> ClusterSpec:
        ways = [
            way
            for way, is_set in (
                ("context", cluster.context is not None),
                ("in_cluster", cluster.in_cluster),
                ("sandbox", cluster.sandbox is not None),
            )
            if is_set
        ]
        self._one_way(ways, cluster, loc)
        kubeconfig = None
        if ways == ["context"] and cluster.context is not None:
            kubeconfig = find_context(self.draft, cluster.context, cluster.kubeconfig, loc)
        return ClusterSpec(
            name=TargetName(name),
            context=cluster.context or "",
            kubeconfig=kubeconfig,
            in_cluster=cluster.in_cluster,
            sandbox=cluster.sandbox or "",
            labels=MappingProxyType(dict(cluster.labels)),
            namespace=cluster.namespace,
        )

    def _one_way(self, ways: list[str], cluster: shape.Cluster, loc: Loc) -> None:
        if len(ways) > 1:
            message = f'cluster "{loc[-1]}" is reached in {len(ways)} ways: {", ".join(ways)}'
            self.draft.refuse_at(self.draft.named(loc), message, "keep one of them")
        elif not ways and loc not in self.draft.damaged:
            # A kubeconfig alone would follow whatever context somebody selects in it next.
            hint = "write context: NAME, in_cluster: true or sandbox: NAME"
            message = f'cluster "{loc[-1]}" does not say how it is reached'
            self.draft.refuse_at(self.draft.named(loc), message, hint)
        elif cluster.kubeconfig is not None and ways != ["context"] and ways:
            message = f"a kubeconfig has no meaning with {ways[0]}"
            self.draft.refuse((*loc, "kubeconfig"), message, "remove it")

    # --- applications -------------------------------------------------------------------------

    def applications(self) -> dict[ApplicationName, ApplicationSpec]:
        found = {}
        for name, given in self.file.applications.items():
            loc: Loc = ("applications", name)
            path = judge(self.draft, check_folder, given.path, (*loc, "path"))
            found[ApplicationName(name)] = self._application(name, path, given, loc)
        return found

    def discoveries(self) -> tuple[Discovery, ...]:
        found = []
        for index, given in enumerate(self.file.discover):
            loc: Loc = ("discover", index)
            pattern = judge(self.draft, check_folder, given.path, (*loc, "path"))
            if "{name}" not in given.name:
                hint = 'for example name: "{name}" or name: "shop-{name}"'
                self.draft.refuse((*loc, "name"), "a name pattern has to hold {name}", hint)
            template = self._application(given.name, pattern, given, loc)
            found.append(Discovery(pattern, dataclasses.replace(template, path="")))
        return tuple(found)

    def _application(
        self, name: str, path: str, given: shape.Delivered, loc: Loc
    ) -> ApplicationSpec:
        terraform = root(self.draft, path, given, loc)
        renderer, renderer_options = self._renderer(given, (*loc, "renderer"))
        return ApplicationSpec(
            name=ApplicationName(name),
            source=self._source_of(given, loc),
            path=path,
            project=given.project,
            renderer=renderer,
            options=renderer_options,
            clusters=self._targets(given, loc),
            namespace=given.namespace,
            run_as=given.run_as or "",
            approval=self._approval(name, given.approval, (*loc, "approval")),
            prune=given.prune,
            conflicts=ConflictPolicy(given.conflicts),
            drift=DriftPolicy(given.drift),
            delete_budget=DeleteBudget(
                given.delete_budget.objects,
                given.delete_budget.fraction,
                tuple(given.delete_budget.kinds),
            ),
            checks=self._checks(given, loc),
            verify_timeout=given.verify_timeout,
            labels=MappingProxyType(dict(given.labels)),
            terraform=terraform,
            needs=needs(given),
        )

    def _source_of(self, given: shape.Delivered, loc: Loc) -> SourceName:
        known_sources = self.draft.names("sources")
        if given.source is not None:
            self.draft.expect((*loc, "source"), given.source, known_sources, "source")
            return SourceName(given.source)
        if len(known_sources) == 1:
            return SourceName(known_sources[0])
        if not self.draft.damaged.intersection({(*loc, "source"), ("sources",)}):
            hint = "write source: NAME – " + (
                f"one of {', '.join(known_sources)}" if known_sources else "and define it: sources:"
            )
            self.draft.refuse_at(
                self.draft.named(loc), f"{_owner((*loc, ''))} needs a source", hint
            )
        return SourceName("")

    def _targets(self, given: shape.Delivered, loc: Loc) -> tuple[TargetName, ...]:
        if given.terraform is not None:
            return ()
        wanted, known_clusters = given.clusters, self.draft.names("clusters")
        where: Loc = (*loc, "clusters")
        if isinstance(wanted, shape.Selector):
            return self._selected(wanted.labels, where)
        if wanted is None:
            damaged = self.draft.damaged.intersection({where, (*loc, "terraform"), ("clusters",)})
            if len(known_clusters) != 1 and not damaged:
                hint = "write clusters: [NAME] – " + (
                    f"of {', '.join(known_clusters)}"
                    if known_clusters
                    else "and define it: clusters:"
                )
                place = self.draft.named(loc)
                self.draft.refuse_at(place, f"{_owner((*loc, ''))} needs a cluster", hint)
            wanted = known_clusters[:1]
        names = [wanted] if isinstance(wanted, str) else wanted
        for index, name in enumerate(names):
            at = where if isinstance(given.clusters, str) else (*where, index)
            self.draft.expect(at, name, known_clusters, "cluster")
        return tuple(map(TargetName, dict.fromkeys(names)))

    def _selected(self, labels: Mapping[str, str], loc: Loc) -> tuple[TargetName, ...]:
        chosen = [
            cluster.name
            for cluster in self.clusters.values()
            if all(cluster.labels.get(key) == value for key, value in labels.items())
        ]
        if not chosen and not any(entry[0] == "clusters" for entry in self.draft.damaged):
            have = {f"{k}: {v}" for c in self.clusters.values() for k, v in c.labels.items()}
            hint = (
                f"labels there are: {', '.join(sorted(have))}" if have else "no cluster has labels"
            )
            self.draft.refuse(loc, f"no cluster has the labels of {_owner((*loc,))}", hint)
        return tuple(chosen)

    def _renderer(self, given: shape.Delivered, loc: Loc) -> tuple[str, Mapping[str, Any]]:
        chosen = given.renderer
        if given.terraform is not None:
            return RENDERER, MappingProxyType({})
        if chosen is None:
            return "", MappingProxyType({})
        name, raw = (chosen, {}) if isinstance(chosen, str) else next(iter(chosen.items()))
        at = loc if isinstance(chosen, str) else (*loc, name)
        if name == RENDERER:
            message = f"{_owner(loc)} is not a Terraform root"
            self.draft.refuse(at, message, "write terraform: {} instead of the renderer")
            return "", MappingProxyType({})
        plugin = known(self.draft, Role.RENDERER, name, at)
        return name, MappingProxyType(options(self.draft, plugin, raw, at))

    def _approval(self, name: str, given: str | shape.Approval, loc: Loc) -> ApprovalPolicy:
        if isinstance(given, shape.Approval):
            return approval(self.draft, name, given, loc)
        defined = [*self.draft.names("approvals"), "default"]
        self.draft.expect(loc, given, dict.fromkeys(defined), "approval policy")
        return self.policies.get(given, ApprovalPolicy())

    def _checks(self, given: shape.Delivered, loc: Loc) -> Mapping[str, Mapping[str, Any]]:
        """Those of the fleet, and over them those of the application."""
        found: dict[str, Mapping[str, Any]] = {}
        for checks, at in (
            (self.file.checks, ("checks",)),
            (given.checks, (*loc, "checks")),
        ):
            for name, value in checks.items():
                taken = self._check(name, value, (*at, name))
                found[name] = MappingProxyType({**found.get(name, {}), **taken})
        return MappingProxyType(found)

    def _check(self, name: str, given: bool | dict[str, Any], loc: Loc) -> dict[str, Any]:
        plugin = known(self.draft, Role.CHECK, name, loc)
        if name == "terraform" and given in (False, {"enabled": False}):
            # What unapproved code may do is decided by nothing else.
            self.draft.refuse(loc, *_ALWAYS_ON)
        if isinstance(given, bool):
            return {"enabled": given}
        switch = {key: value for key, value in given.items() if key == "enabled"}
        if not isinstance(switch.get("enabled", True), bool):
            self.draft.refuse((*loc, "enabled"), '"enabled" has to be true or false')
        rest = {key: value for key, value in given.items() if key != "enabled"}
        return {**switch, **options(self.draft, plugin, rest, loc)}

    # --- the controller itself ----------------------------------------------------------------

    def notifiers(self) -> tuple[NotifierSpec, ...]:
        found = []
        for name, given in self.file.notifiers.items():
            loc: Loc = ("notifiers", name)
            kind, raw = (given, {}) if isinstance(given, str) else next(iter(given.items()))
            at = loc if isinstance(given, str) else (*loc, kind)
            plugin = known(self.draft, Role.NOTIFIER, kind, at)
            taken = MappingProxyType(options(self.draft, plugin, raw, at))
            fits(self.draft, plugin, taken, at)
            found.append(NotifierSpec(name, kind, taken))
        return tuple(found)

    def store(self) -> StoreSpec:
        given = self.file.store
        if given.url:
            judge(self.draft, check_store, given.url, ("store", "url"))
        return StoreSpec(given.url, secret(self.draft, given.password, ("store", "password")))

    def vault(self) -> VaultSpec:
        folder = self.file.vault.folder
        return VaultSpec(
            folder=None if folder is None else self.draft.path(("vault", "folder"), folder),
            key=secret(self.draft, self.file.vault.key, ("vault", "key")),
        )

    def state_dir(self, path: Path) -> Path:
        if self.file.state_dir is not None:
            return self.draft.path(("state_dir",), self.file.state_dir)
        return default_state_dir(path, self.draft.env)


def default_state_dir(path: Path, env: Mapping[str, str]) -> Path:
    """A folder of its own for each fleet file, so that two never share a database."""
    base = env.get("XDG_STATE_HOME", "")
    root = Path(base) if base.startswith("/") else home(env) / ".local" / "state"
    full = str(path.resolve())
    digest = hashlib.blake2b(full.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
    return root / "gitops-controller" / f"{path.stem}-{digest}"


def _owner(loc: Loc) -> str:
    """What the key at the end of ``loc`` belongs to."""
    return owner(loc[:-1])
