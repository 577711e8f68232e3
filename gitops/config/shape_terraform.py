"""A Terraform (or OpenTofu) root as the operator writes it, and what all roots share.

Mirrors :mod:`gitops.model.terraform`, whose values :mod:`gitops.config.roots` makes of this. The
texts under the fields become the published JSON Schema.
"""

# ruff: noqa: RUF012 - pydantic copies defaults; ruff cannot see that Shape is a model
from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from gitops.config.base import Choice, Secret, Shape, by_type
from gitops.config.scalars import (
    Duration,
    Env,
    Identifier,
    Label,
    Output,
    Provider,
    ResourceType,
    Size,
    Texts,
    Version,
    Workspace,
)
from gitops.model.terraform import STATEFUL

Variable = Annotated[
    Annotated[str, Tag("<text>")] | Annotated[Secret, Tag("<reference>")],
    by_type(text=str, reference=dict),
]
"""A text, or where a secret is."""


class Environment(Shape):
    """Environment variables of the tool; secrets by reference."""

    plan: dict[Env, Variable] = {}
    """For init, plan and reading the state; credentials that can only read are enough."""
    apply: dict[Env, Variable] = {}
    """For apply, over those of the plan; secrets are read after the approval and never before."""


class Allowed(Shape):
    """What code may do before anybody approved it; built-in and local things it always may."""

    providers: list[Provider] = []
    """Providers by source address; * is a pattern: hashicorp/aws, registry.example.com/team/*."""
    modules: list[str] = []
    """Sources of modules outside the tree; * is a pattern."""
    external: bool = False
    """Data sources that run a program (`external`)."""
    http: bool = False
    """Data sources that fetch a URL (`http`)."""
    provisioners: bool = False
    """Provisioners: programs that run when a resource is made or removed."""
    files: bool = False
    """Files whose path cannot be read off the code (`file(var.path)`), wherever they are."""


class Deadlines(Shape):
    """How long the tool may take."""

    init: Duration = timedelta(minutes=5)
    """Init is ended then."""
    plan: Duration = timedelta(minutes=15)
    """Checks and plan are ended then."""
    apply: Duration = timedelta(minutes=60)
    """An apply that takes longer is reported and never ended."""


class Terraform(Shape):
    """Makes the application a Terraform root: delivered to its workspace, and to no cluster."""

    binary: Literal["terraform", "tofu"] = "terraform"
    """Which tool runs it."""
    version: Version | None = None
    """Exactly this version, such as 1.11.4; default: the one that is found."""
    workspace: Workspace = "default"
    """Workspace of the state."""
    variables: dict[Identifier, Any] = {}
    """Variables of the root, none of them secret: secrets are TF_VAR_… of `environment`."""
    variable_files: list[str] = []
    """Files of variables (.tfvars) in the source, relative to the application's path."""
    backend: Choice | None = None
    """Where the state is: KIND, or {KIND: {setting: value}}, without credentials; default: a file
    in state_dir."""
    environment: Environment = Environment()
    """Environment variables of the tool, credentials among them."""
    allow: Allowed = Allowed()
    """What code may do before anybody approved it."""
    deadlines: Deadlines = Deadlines()
    """How long the tool may take."""
    drift_every: Duration = timedelta(hours=1)
    """How often resources are compared with the state."""
    stateful: list[ResourceType] = list(STATEFUL)
    """Types of resources every loss of which needs a typed confirmation; * is a pattern."""


class TerraformHost(Shape):
    """What all Terraform roots of this controller share."""

    folders: Texts = []
    """Folders with binaries, looked at before PATH: terraform, terraform-1.11.4 or
    1.11.4/terraform in them."""
    mirror: str | None = None
    """Folder that mirrors providers; nothing is fetched from a registry then."""
    cache: str | None = None
    """Folder for providers that were fetched; default: in state_dir."""
    parallel: Annotated[int, Field(ge=1, le=64)] = 4
    """Runs of the tool at the same time; more wait in line."""
    reserve: Size = 64 << 20
    """Disk space that has to be free before an apply begins, such as 64MiB."""


class Need(Shape):
    """One output of a Terraform application."""

    application: Label
    """The application that has the output."""
    output: Identifier
    """Name of the output."""


NeedOf = Annotated[
    Annotated[Output, Tag("<short>")] | Annotated[Need, Tag("<long>")],
    by_type(short=str, long=dict),
]
