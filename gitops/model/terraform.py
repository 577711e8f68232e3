"""A Terraform (or OpenTofu) root as the operator describes it: values of the fleet file.

What a root may do before anybody approved it is decided here and nowhere in its own repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gitops.model.secret import SecretRef

_NOTHING: Mapping[Any, Any] = MappingProxyType({})


def _nothing() -> Mapping[Any, Any]:
    return _NOTHING


@dataclass(frozen=True, slots=True)
class Backend:
    """Where the state is. Settings are not secret: credentials come through the environment
    (``PG_CONN_STR``, ``AWS_…``), which every backend reads."""

    kind: str = "local"
    settings: Mapping[str, Any] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables of the tool's environment, each a literal or a reference to a secret. ``apply`` is
    read after an approval and never before."""

    plan: Mapping[str, str | SecretRef] = field(default_factory=_nothing)
    apply: Mapping[str, str | SecretRef] = field(default_factory=_nothing)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What unapproved code may do. Nothing but built-in and local by default."""

    providers: tuple[str, ...] = ()
    """Source addresses, ``*`` as pattern: ``hashicorp/*``, ``registry.example.com/team/dns``."""
    modules: tuple[str, ...] = ()
    """Module sources beside local paths, ``*`` as pattern."""
    external: bool = False
    """Data sources that run a program (``external``)."""
    http: bool = False
    """Data sources that fetch a URL (``http``)."""
    provisioners: bool = False
    files: bool = False
    """File functions whose path cannot be read off the code, and ``templatestring``: they may
    read any file the controller may."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Init, check and plan are ended at theirs; an apply past its own is reported, never killed."""

    init: timedelta = timedelta(minutes=5)
    plan: timedelta = timedelta(minutes=15)
    apply: timedelta = timedelta(minutes=60)


STATEFUL = (
    "*_db_*",
    "*_database*",
    "*_rds_*",
    "*_dynamodb_table",
    "*_bucket",
    "*_disk",
    "*_volume",
    "*_ebs_volume",
    "*_efs_file_system",
    "*_sql_*",
    "*_storage_account",
    "*_kms_*",
    "*_vpc",
    "*_virtual_network",
    "*_kubernetes_cluster",
    "*_eks_cluster",
    "*_container_cluster",
)
"""Resource types whose loss loses data, or everything that stands on them."""


@dataclass(frozen=True, slots=True)
class TerraformSpec:
    """One root of one workspace."""

    binary: str = "terraform"
    """``terraform`` or ``tofu``."""
    version: str = ""
    """Exactly this one (``1.11.4``); empty: the one that is found."""
    workspace: str = "default"
    variables: Mapping[str, Any] = field(default_factory=_nothing)
    """Not secret: secrets go through the environment as ``TF_VAR_…``."""
    variable_files: tuple[str, ...] = ()
    """Relative to the application's path, inside the source."""
    backend: Backend | None = None
    """None: a local state in the controller's state folder."""
    environment: Environment = Environment()
    allow: Allowed = Allowed()
    deadlines: Deadlines = Deadlines()
    drift_every: timedelta = timedelta(hours=1)
    stateful: tuple[str, ...] = STATEFUL
    """Patterns of resource types every loss of which needs a typed confirmation."""


@dataclass(frozen=True, slots=True)
class TerraformHost:
    """What all roots of this controller share."""

    folders: tuple[Path, ...] = ()
    """Where binaries are looked for before PATH: ``FOLDER/terraform``,
    ``FOLDER/terraform-1.11.4``, ``FOLDER/1.11.4/terraform``."""
    mirror: Path | None = None
    """A provider mirror (``filesystem_mirror``): nothing is fetched from a registry then."""
    cache: Path | None = None
    """Plugin cache shared by all roots; None: in the state folder."""
    parallel: int = 4
    """Runs at the same time; more wait in line."""
    reserve: int = 64 << 20
    """Bytes that have to be free where the state is written before an apply begins."""


@dataclass(frozen=True, slots=True)
class Need:
    """One output of another application that this one takes in."""

    application: str
    output: str
