"""The ``routes:`` of the fleet file as the operator writes them: every key and its description.

Part of :mod:`gitops.config.shape`; becomes values in :mod:`gitops.config.routes`.
"""

# ruff: noqa: RUF012 - pydantic copies defaults; ruff cannot see that Shape is a model
from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from gitops.config.base import Shape, by_type
from gitops.config.scalars import Texts

Gravity = Literal["info", "warning", "error"]
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

Ear = Annotated[
    Annotated[str, Tag("<name>")]
    | Annotated[dict[str, str], Tag("<channel>"), Field(min_length=1, max_length=1)],
    by_type(name=str, channel=dict),
]
"""A notifier by name, or with a channel of its own: ``{slack: "#prod"}``."""


class Quiet(Shape):
    """Hours in which nobody is told but of what is grave; the rest is told at their end."""

    begins: str
    """Time of the day they begin, such as "22:00"."""
    ends: str
    """Time of the day they end; "07:00" after "22:00" is on the next day."""
    zone: str
    """Time zone of both, such as Europe/Berlin."""
    days: list[Day] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    """Days on which they begin."""
    pierce: Gravity = "error"
    """What is as grave as this is told all the same; questions are warnings."""


class Route(Shape):
    """Who is told of what. The first route that fits decides; what fits none, everybody is told."""

    applications: Texts = []
    """Names of applications; * and ? stand for others."""
    projects: Texts = []
    """Projects."""
    labels: dict[str, str] = {}
    """Labels of the application."""
    targets: Texts = []
    """Names of clusters or Terraform workspaces; * and ? stand for others."""
    environment: dict[str, str] = {}
    """Labels of the cluster (of a Terraform application its own), such as {env: prod}."""
    kinds: list[str] = []
    """Kinds of notices, such as asked, failed, degraded."""
    severity: Gravity = "info"
    """Only what is at least so grave."""
    to: list[Ear]
    """Notifiers by name, or with a channel ({slack: "#prod"}); an empty list tells nobody."""
    quiet: list[Quiet] = []
    """Hours in which these are left alone."""
    also: bool = False
    """Look at the routes below as well."""
