"""The operator's fleet file as values: what to watch, where to deliver, who may say yes.

:mod:`gitops.config` builds these from YAML and has refused everything inconsistent by then; the
engine never sees a half-valid fleet. People, groups and policies come from here alone, never from
a watched source.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gitops.model.ids import (
    ApplicationName,
    Digest,
    GroupName,
    PersonName,
    SourceName,
    TargetName,
    combine,
)
from gitops.model.observing import LogSpec, MetricsSpec, TracingSpec
from gitops.model.routes import Route
from gitops.model.secret import SecretRef
from gitops.model.serving import ApiSpec
from gitops.model.source import Grade
from gitops.model.terraform import Need, TerraformHost, TerraformSpec

NOTHING: Mapping[Any, Any] = MappingProxyType({})


def _nothing() -> Mapping[Any, Any]:
    # Python 3.11 refuses a mappingproxy as a dataclass default (it is not hashable there).
    return NOTHING


@dataclass(frozen=True, slots=True)
class GitHubApp:
    """An installation of a GitHub App: it gives out tokens that last an hour."""

    app_id: int
    installation_id: int
    private_key: SecretRef
    api: str = "https://api.github.com"
    """``https://HOST/api/v3`` at a GitHub Enterprise Server."""


@dataclass(frozen=True, slots=True)
class SignaturePolicy:
    """Whose signatures on commits are believed, and whether there has to be one."""

    gpg_keys: tuple[Path, ...] = ()
    """Public keys, armored or not."""
    ssh_signers: Path | None = None
    """ssh-keygen(1), ALLOWED SIGNERS."""
    ssh_revoked: Path | None = None
    """ssh-keygen(1), KEY REVOCATION LISTS; or public keys, one a line."""
    required: bool = False
    """A head without a believed signature is no revision."""


@dataclass(frozen=True, slots=True)
class GitCredentials:
    username: str = ""
    token: SecretRef | None = None
    ssh_key: SecretRef | None = None
    known_hosts: Path | None = None
    ca_file: Path | None = None
    github_app: GitHubApp | None = None


@dataclass(frozen=True, slots=True)
class ForgeSpec:
    """The forge a repository is on: told of deliveries, asked who brought a change."""

    kind: str
    """A forge plugin's NAME: ``github``, ``gitlab``, ``gitea``, ``bitbucket-cloud`` …"""
    options: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class PullRequestsSpec:
    """What is done about pull requests into a source's branch before they are merged."""

    preview: bool = True
    forks: str = "lint"
    """How far a preview goes for commits from another repository: ``lint`` or ``plan``."""
    comment: bool = True
    """False: the preview is told as statuses and remarks alone."""


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """One watched repository."""

    name: SourceName
    kind: str
    """A source plugin's NAME: ``git``, ``web``, ``oci``, ``directory``."""
    url: str
    ref: str = "main"
    interval: timedelta = timedelta(seconds=30)
    credentials: GitCredentials = GitCredentials()
    allow_local: bool = False
    """Permit a ``file:`` URL or a path on this machine."""
    authors: tuple[PersonName, ...] = ()
    """Who counts as author where the source itself cannot tell."""
    verify: SignaturePolicy | None = None
    """Of git sources only."""
    options: Mapping[str, Any] = field(default_factory=_nothing)
    forge: ForgeSpec | None = None
    pull_requests: PullRequestsSpec | None = None
    """None: nothing."""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """One target cluster and how to reach it; exactly one of the three ways is set."""

    name: TargetName
    context: str = ""
    kubeconfig: Path | None = None
    in_cluster: bool = False
    sandbox: str = ""
    labels: Mapping[str, str] = field(default_factory=_nothing)
    namespace: str = "gitops-system"
    """Where the inventories are kept in that cluster."""


class ConflictPolicy(StrEnum):
    ASK = "ask"
    FAIL = "fail"
    LEAVE = "leave"


class DriftPolicy(StrEnum):
    ASK = "ask"
    HEAL = "heal"
    """Put back what was approved before, without asking again."""
    REPORT = "report"
    IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class DeleteBudget:
    """How much may be deleted without a typed confirmation of its own (promise 6)."""

    objects: int = 10
    fraction: float = 1 / 3
    kinds: tuple[str, ...] = (
        "PersistentVolumeClaim",
        "PersistentVolume",
        "CustomResourceDefinition",
        "Namespace",
        "StatefulSet",
    )


@dataclass(frozen=True, slots=True)
class AutoApprove:
    """When a plan needs nobody. All that are set must hold; none set approves nothing.

    Never covers a field taken from another manager unless ``takes`` is true.
    """

    always: bool = False
    no_deletes: bool = False
    clusters: Mapping[str, str] = field(default_factory=_nothing)
    """Only on clusters with these labels (``env: staging``)."""
    takes: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalPolicy:
    """Who may answer for an application, how many of them, until when."""

    name: str = "default"
    people: tuple[PersonName, ...] = ()
    groups: tuple[GroupName, ...] = ()
    """Neither people nor groups: every person of the fleet file is entitled."""
    quorum: int = 1
    author_may_approve: bool = False
    merger_may_approve: bool = False
    minimum_grade: Grade = Grade.CLAIMED
    expires_after: timedelta = timedelta(hours=24)
    auto: AutoApprove | None = None
    review_counts: bool = False
    """An approving review of the merged pull request is its author's verdict, if the plan shown
    there is the plan that is asked about."""


@dataclass(frozen=True, slots=True)
class ApplicationSpec:
    """The smallest thing that is rendered and delivered."""

    name: ApplicationName
    source: SourceName
    path: str
    """Relative to the source's root; ``""`` is the root."""
    project: str = "default"
    renderer: str = ""
    """A renderer plugin's NAME; empty: found by looking."""
    options: Mapping[str, Any] = field(default_factory=_nothing)
    """The renderer's own options, validated by its ``Options``."""
    clusters: tuple[TargetName, ...] = ()
    """Resolved: names of every cluster it goes to, selector included."""
    namespace: str = "default"
    """For namespaced objects that name none."""
    run_as: str = ""
    """``NAMESPACE/NAME`` of the service account impersonated; empty: the controller's own."""
    approval: ApprovalPolicy = ApprovalPolicy()
    prune: bool = True
    conflicts: ConflictPolicy = ConflictPolicy.ASK
    drift: DriftPolicy = DriftPolicy.ASK
    delete_budget: DeleteBudget = DeleteBudget()
    checks: Mapping[str, Mapping[str, Any]] = field(default_factory=_nothing)
    """Per check its options; ``{"enabled": False}`` switches one off."""
    verify_timeout: timedelta = timedelta(minutes=5)
    labels: Mapping[str, str] = field(default_factory=_nothing)
    terraform: TerraformSpec | None = None
    """Set: a Terraform root, delivered to its workspace and to no cluster."""
    needs: Mapping[str, Need] = field(default_factory=_nothing)
    """Outputs of other applications by the name they have here: a Helm value (dotted path),
    ``${needs.NAME}`` in plain and Kustomize manifests, a Terraform variable."""

    @property
    def targets(self) -> tuple[TargetName, ...]:
        """Where it is delivered to: its clusters, or its workspace."""
        if self.terraform is not None:
            return (TargetName(self.terraform.workspace),)
        return self.clusters


@dataclass(frozen=True, slots=True)
class Person:
    """One human being under every name they are known by."""

    name: PersonName
    emails: tuple[str, ...] = ()
    """Git e-mails; compared without regard to case."""
    logins: tuple[str, ...] = ()
    """``github:octocat``, ``gitlab:…``, ``bitbucket:…``, ``gitea:…``."""
    slack: tuple[str, ...] = ()
    """``TEAM:USER`` ids."""
    subjects: tuple[str, ...] = ()
    """SSO subjects (``issuer|sub``)."""


_HIDDEN = re.compile(
    r"(?:[0-9]+\+)?(?P<github>[^@+\s]+)@users\.noreply\.github\.com"
    r"|[0-9]+-(?P<gitlab>[^@\s]+)@users\.noreply\.gitlab\.com"
)


def _without_case(name: str) -> str:
    """For comparing: forges know logins in any case, but have an account of its own for each other
    letter, also for those that case folding makes the same (``ſ`` and ``s``, ``ß`` and ``ss``)."""
    return name.lower() if unicodedata.normalize("NFKC", name) == name else name


@dataclass(frozen=True, slots=True)
class People:
    """The directory the gate consults."""

    persons: Mapping[PersonName, Person] = field(default_factory=_nothing)
    groups: Mapping[GroupName, tuple[PersonName, ...]] = field(default_factory=_nothing)
    bots: tuple[str, ...] = ()
    """E-mails and logins that are machines: they author nothing and approve nothing."""

    def by_email(self, email: str) -> Person | None:
        """A forge's own address for somebody who hides theirs names their login."""
        wanted = _without_case(email)
        for person in self.persons.values():
            if any(wanted == _without_case(known) for known in person.emails):
                return person
        hidden = _HIDDEN.fullmatch(wanted)
        if hidden is None:
            return None
        at_github = hidden["github"]
        return self.by_login(f"github:{at_github}" if at_github else f"gitlab:{hidden['gitlab']}")

    def by_login(self, login: str) -> Person | None:
        wanted = _without_case(login)
        for person in self.persons.values():
            if any(wanted == _without_case(known) for known in person.logins):
                return person
        return None

    def members(self, group: GroupName) -> tuple[PersonName, ...]:
        return self.groups.get(group, ())

    @property
    def digest(self) -> Digest:
        """Changes whenever identity or membership does; part of every seal."""
        persons = (
            combine(
                name,
                combine(*person.emails),
                combine(*person.logins),
                combine(*person.slack),
                combine(*person.subjects),
            )
            for name, person in sorted(self.persons.items())
        )
        groups = (
            combine(group, *sorted(members)) for group, members in sorted(self.groups.items())
        )
        return combine(combine(*persons), combine(*groups), combine(*sorted(self.bots)))


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """Where history is kept: a SQLAlchemy URL without a password, or SQLite in the state folder."""

    url: str = ""
    password: SecretRef | None = None


@dataclass(frozen=True, slots=True)
class VaultSpec:
    folder: Path | None = None
    """Default: ``vault/`` in the state folder."""
    key: SecretRef | None = None
    """32 bytes, base64 or hex. None: a key file of the state folder, made at first start, 0600."""


@dataclass(frozen=True, slots=True)
class NotifierSpec:
    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class WebhookSpec:
    """An endpoint ``/hooks/NAME`` of the address the API listens on."""

    name: str
    kind: str
    """A webhook plugin's NAME: ``github``, ``gitlab``, ``generic`` …"""
    options: Mapping[str, Any] = field(default_factory=_nothing)
    sources: tuple[SourceName, ...] = ()
    """Those it may concern. Empty: every source whose repository a request is about."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything the operator decided."""

    path: Path
    state_dir: Path
    sources: Mapping[SourceName, SourceSpec] = field(default_factory=_nothing)
    clusters: Mapping[TargetName, ClusterSpec] = field(default_factory=_nothing)
    applications: Mapping[ApplicationName, ApplicationSpec] = field(default_factory=_nothing)
    discoveries: tuple[Discovery, ...] = ()
    people: People = field(default_factory=People)
    notifiers: tuple[NotifierSpec, ...] = ()
    routes: tuple[Route, ...] = ()
    """Gone through from the top. None: everybody is told everything."""
    webhooks: tuple[WebhookSpec, ...] = ()
    store: StoreSpec = StoreSpec()
    vault: VaultSpec = VaultSpec()
    api: ApiSpec = ApiSpec()
    chart_hosts: tuple[str, ...] = ()
    """Hosts a chart may be fetched from."""
    terraform: TerraformHost = TerraformHost()
    metrics: MetricsSpec = MetricsSpec()
    tracing: TracingSpec = TracingSpec()
    log: LogSpec = LogSpec()


@dataclass(frozen=True, slots=True)
class Discovery:
    """``apps/*`` of a source: every folder that matches becomes an application.

    The template's ``name`` holds ``{name}`` (the folder's own name) and its ``path`` is filled in.
    """

    glob: str
    template: ApplicationSpec
