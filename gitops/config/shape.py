"""The fleet file as the operator writes it: every key, its type and its description.

The descriptions (the texts under the fields) become the published JSON Schema that editors show.
What needs more than one key at a time is checked in :mod:`gitops.config.build` and
:mod:`gitops.config.rules`; values end up as :mod:`gitops.model.fleet`.
"""

# ruff: noqa: RUF012 - pydantic copies defaults; ruff cannot see that Shape is a model
from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from gitops.config.base import Choice, SecretAt, Shape, by_type
from gitops.config.scalars import (
    Account,
    Duration,
    Emails,
    Host,
    Label,
    Logins,
    Needed,
    SlackIds,
    Subjects,
    Texts,
    Word,
)
from gitops.config.shape_observing import Log, Metrics, Tracing
from gitops.config.shape_routes import Route
from gitops.config.shape_serving import Api
from gitops.config.shape_terraform import NeedOf, Terraform, TerraformHost


class GitHubApp(Shape):
    """A GitHub App's installation, instead of somebody's token."""

    app_id: Annotated[int, Field(ge=1)]
    """Number of the app, from its settings page."""
    installation_id: Annotated[int, Field(ge=1)]
    """Number of the installation: the end of its page's address."""
    private_key: SecretAt
    """The app's private key, as GitHub gave it (PEM)."""
    api: str = "https://api.github.com"
    """Address of the API; a GitHub Enterprise Server has https://HOST/api/v3."""


class Verify(Shape):
    """Whose signatures on commits are believed. They raise the grade of authorship."""

    gpg_keys: Texts = []
    """Files with the public GPG keys that are believed (gpg --export)."""
    ssh_signers: str | None = None
    """Allowed signers file, as git's gpg.ssh.allowedSignersFile."""
    ssh_revoked: str | None = None
    """Keys believed no more, as git's gpg.ssh.revocationFile."""
    require: Literal["none", "head"] = "none"
    """head: the newest commit has to be signed by one of them, or it is not delivered."""


class Credentials(Shape):
    """How a source is signed in to."""

    username: str = ""
    """User name beside the token; most forges accept any."""
    token: SecretAt | None = None
    """Token or password for https."""
    ssh_key: SecretAt | None = None
    """Private key for ssh."""
    known_hosts: str | None = None
    """File with the host keys that are accepted over ssh."""
    ca_file: str | None = None
    """Certificates that https servers are verified against, instead of the system's."""
    github_app: GitHubApp | None = None
    """Sign in as a GitHub App."""


class PullRequests(Shape):
    """What is shown of a pull request before it is merged."""

    preview: bool = True
    """Render, check and plan what merging it would give; nothing is applied."""
    forks: Literal["lint", "plan"] = "lint"
    """How far that goes for a pull request from another repository. lint: rendered and linted
    without cluster, state or values of others; plan: like one of your own."""
    comment: bool = True
    """Keep one comment on it that says what would change; false: statuses and remarks alone."""


class Source(Shape):
    """Where configuration is watched. Give it `git`, `web`, `oci` or `directory` (or `kind` and
    `url` for others)."""

    git: str | None = None
    """A git repository: https://…, ssh://… or git@host:path."""
    web: str | None = None
    """On a web host: a file, an archive (.tar.gz, .zip), or a folder with a SHA256SUMS file in it
    (https://HOST/PATH/)."""
    oci: str | None = None
    """An OCI artifact as Flux writes them: HOST/REPOSITORY:TAG, or with @sha256:…"""
    directory: str | None = None
    """A folder on this machine; relative paths start at this file."""
    kind: str | None = None
    """Another kind of source, by its plugin's name."""
    url: str | None = None
    """Where a source of another kind is."""
    ref: str = "main"
    """Branch or tag of a git repository that is followed."""
    interval: Duration = timedelta(seconds=30)
    """How often the remote is asked."""
    credentials: Credentials = Credentials()
    """How to sign in; secrets by reference."""
    allow_local: bool = False
    """Permit a path or file: URL on this machine as a git repository; for web and oci a host in a
    network of one's own."""
    authors: list[str] = []
    """People who count as author where the source cannot tell: all but git."""
    verify: Verify | None = None
    """Whose signatures on a git source's commits are believed, and whether they are required."""
    forge: Choice | None = None
    """The forge a git repository is on, told of deliveries and asked who brought a change: github,
    gitlab, gitea, bitbucket-cloud or bitbucket-dc, with options such as {gitlab: {api: …}}."""
    pull_requests: PullRequests | None = None
    """Show on pull requests into `ref` what merging them would do: {} for the defaults. Needs
    `forge`."""
    options: dict[str, Any] = {}
    """Options of the source's plugin."""


class Cluster(Shape):
    """A Kubernetes cluster. Give it `context`, `in_cluster` or `sandbox`."""

    context: str | None = None
    """Context of the kubeconfig."""
    kubeconfig: str | None = None
    """Kubeconfig file; default: $KUBECONFIG, else ~/.kube/config."""
    in_cluster: bool = False
    """The cluster the controller itself runs in."""
    sandbox: Label | None = None
    """Name of a sandbox started with `gitops sandbox up`."""
    labels: dict[str, str] = {}
    """Labels that applications select clusters by."""
    namespace: Label = "gitops-system"
    """Namespace of that cluster in which the inventories are kept."""


class Selector(Shape):
    """Clusters that have all of these labels."""

    labels: Annotated[dict[str, str], Field(min_length=1)]
    """Label names and values, such as {env: prod}."""


Targets = Annotated[
    Annotated[Label, Tag("<name>")]
    | Annotated[list[Label], Tag("<list>"), Field(min_length=1)]
    | Annotated[Selector, Tag("<labels>")],
    by_type(name=str, list=list, labels=dict),
]


class Auto(Shape):
    """When a plan needs nobody. All that are set must hold."""

    always: bool = False
    """Every plan (deletes over the budget still ask)."""
    no_deletes: bool = False
    """Plans that delete and replace nothing."""
    clusters: dict[str, str] = {}
    """Only on clusters with these labels, such as {env: staging}."""
    takes: bool = False
    """Also when fields are taken from another manager, or resources are imported."""


class Approval(Shape):
    """Who may answer, how many of them, until when."""

    people: list[str] = []
    """People who may approve. Neither people nor groups: everybody in `people`."""
    groups: list[str] = []
    """Groups whose members may approve."""
    quorum: Annotated[int, Field(ge=1, le=100)] = 1
    """How many different people have to approve."""
    author_may_approve: bool = False
    """Let authors approve their own changes. Gives up the four-eyes principle."""
    merger_may_approve: bool = False
    """Do not count whoever merged a change among its authors."""
    minimum_grade: Literal["claimed", "signed", "authenticated"] = "claimed"
    """How sure authorship has to be: git's word, a verified signature, or the forge's word."""
    expires_after: Duration = timedelta(hours=24)
    """How long a question stays open."""
    auto: Auto | None = None
    """When nobody needs to be asked."""
    pull_request_review: Literal["ignored", "counts"] = "ignored"
    """Whether an approving review of the merged pull request is its author's approval here, if the
    plan shown there is the plan that is asked about."""


class Budget(Shape):
    """How much may be deleted without a typed confirmation of its own."""

    objects: Annotated[int, Field(ge=0, le=1_000_000)] = 10
    """Number of objects."""
    fraction: Annotated[float, Field(ge=0, le=1)] = 1 / 3
    """Share of the application's objects."""
    kinds: list[str] = [
        "PersistentVolumeClaim",
        "PersistentVolume",
        "CustomResourceDefinition",
        "Namespace",
        "StatefulSet",
    ]
    """Kinds of which every single one has to be confirmed."""


Checks = dict[
    str,
    Annotated[
        Annotated[bool, Tag("<switch>")] | Annotated[dict[str, Any], Tag("<options>")],
        by_type(switch=bool, options=dict),
    ],
]
"""Per check ``false`` to switch it off, or its options."""

ApprovalOf = Annotated[
    Annotated[str, Tag("<name>")] | Annotated[Approval, Tag("<inline>")],
    by_type(name=str, inline=dict),
]


class Delivered(Shape):
    """What applications and discoveries have in common."""

    source: str | None = None
    """Source it is read from, by name; may be left out when there is only one."""
    clusters: Targets | None = None
    """Clusters by name, or {labels: {…}}; may be left out when there is only one."""
    project: Label = "default"
    """Project it belongs to."""
    namespace: Label = "default"
    """Namespace for objects that name none."""
    renderer: Choice | None = None
    """plain, kustomize or helm, with options; default: found by looking at the folder."""
    run_as: Account | None = None
    """Service account that is impersonated: NAMESPACE/NAME; default: the controller's own."""
    approval: ApprovalOf = "default"
    """Name of an approval policy, or the policy itself."""
    prune: bool = True
    """Delete what leaves the source (always asked)."""
    conflicts: Literal["ask", "fail", "leave"] = "ask"
    """When another manager owns a field: ask to take it, fail, or leave it alone."""
    drift: Literal["ask", "heal", "report", "ignore"] = "ask"
    """When live objects are changed by hand: ask, heal without asking, report, or ignore."""
    delete_budget: Budget = Budget()
    """How much may be deleted without a typed confirmation."""
    checks: Checks = {}
    """Options of checks for this application; over those of the fleet."""
    verify_timeout: Duration = timedelta(minutes=5)
    """How long a delivery may take to become healthy."""
    labels: dict[str, str] = {}
    """Labels of the application, to filter and group by."""
    terraform: Terraform | None = None
    """Makes it a Terraform root, delivered to its workspace instead of clusters."""
    needs: dict[Needed, NeedOf] = {}
    """Outputs of Terraform applications by the name they have here (a Helm value, ${needs.NAME} in
    manifests, a Terraform variable): {db_host: database.host}."""


class Application(Delivered):
    """One folder of a source, delivered to one or more clusters."""

    path: str = ""
    """Folder in the source; default: its root."""


class Discover(Delivered):
    """Every folder that matches becomes an application."""

    path: str
    """Folders as a pattern, such as apps/*."""
    name: str = "{name}"
    """Name of each application; {name} is the folder's own name, {parent} that of the one above."""


class Person(Shape):
    """One human being under every name they are known by."""

    emails: Emails = []
    """E-mail addresses in git commits."""
    github: Logins = []
    """Logins at GitHub."""
    gitlab: Logins = []
    """Logins at GitLab."""
    bitbucket: Logins = []
    """Account names at Bitbucket."""
    gitea: Logins = []
    """Logins at Gitea or Forgejo."""
    slack: SlackIds = []
    """Slack ids as TEAM:USER."""
    sso: Subjects = []
    """Single sign-on identities as issuer|subject."""


class Store(Shape):
    """Where history is kept."""

    url: str = ""
    """sqlite:///… or postgresql+psycopg://user@host/database; default: SQLite in state_dir."""
    password: SecretAt | None = None
    """Password of the database."""


class Vault(Shape):
    """Where approved bytes are kept, encrypted."""

    folder: str | None = None
    """Default: vault/ in state_dir; with replicas a shared folder."""
    key: SecretAt | None = None
    """32 bytes as base64 or hex; default: a key file made in state_dir."""


class FleetFile(Shape):
    """The fleet: what is watched, where it goes, and who may say yes."""

    include: Texts = []
    """More files (paths or patterns, relative to this one); their sections are merged."""
    state_dir: str | None = None
    """Folder of the controller's state; default: under $XDG_STATE_HOME/gitops-controller."""
    sources: dict[Label, Source] = {}
    """Repositories that are watched, by name."""
    clusters: dict[Label, Cluster] = {}
    """Kubernetes clusters, by name."""
    applications: dict[Label, Application] = {}
    """What is delivered where, by name."""
    discover: list[Discover] = []
    """Folders of sources that become applications by themselves."""
    approvals: dict[Word, Approval] = {}
    """Approval policies, by name; `default` holds where none is named."""
    people: dict[Word, Person] = {}
    """Human beings, by name."""
    groups: dict[Word, list[str]] = {}
    """Groups of people, by name."""
    bots: list[str] = []
    """E-mails and logins (github:name) of machines: they author nothing and approve nothing."""
    notifiers: dict[Word, Choice] = {}
    """Who is told of what happens, by name."""
    routes: list[Route] = []
    """Who of them is told of what, where, and when not; default: everybody of everything."""
    webhooks: dict[Label, dict[str, Any]] = {}
    """Endpoints /hooks/NAME that forges tell of pushes and pull requests. The name is the kind
    (github: {secret: …}), or stands before it (ops: {gitlab: {secret: …}})."""
    checks: Checks = {}
    """Options of checks for every application."""
    store: Store = Store()
    """Where history is kept."""
    vault: Vault = Vault()
    """Where approved bytes are kept."""
    api: Api = Api()
    """Where the controller's own API listens."""
    chart_hosts: list[Host] = []
    """Hosts that Helm charts may be fetched from."""
    terraform: TerraformHost = TerraformHost()
    """What all Terraform roots share."""
    metrics: Metrics = Metrics()
    """Where metrics are read."""
    tracing: Tracing = Tracing()
    """Where traces are sent."""
    log: Log = Log()
    """How the log is written."""
