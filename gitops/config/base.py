"""What every shape of the fleet file is made of: strictness, references to secrets, plugins' names.

Used by :mod:`gitops.config.shape` and :mod:`gitops.config.shape_terraform`. Nothing here knows what
a key means.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag

from gitops.config.scalars import Env, no_literal


class Shape(BaseModel):
    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )


def by_type(**tags: type) -> Discriminator:
    """Chooses the variant by the YAML type alone, so that an error speaks of one variant."""

    def choose(value: object) -> str | None:
        return next((f"<{name}>" for name, kind in tags.items() if isinstance(value, kind)), None)

    return Discriminator(choose)


class Secret(Shape):
    """Where a secret is: an environment variable or a file. Never the secret itself."""

    env: Env | None = None
    """Name of an environment variable of the controller."""
    file: str | None = None
    """A file that only the controller's user may read; relative paths start at this file."""


SecretAt = Annotated[Secret, BeforeValidator(no_literal)]

Choice = Annotated[
    Annotated[str, Tag("<name>")]
    | Annotated[
        dict[str, dict[str, Any]],
        Tag("<options>"),
        Field(min_length=1, max_length=1),
    ],
    by_type(name=str, options=dict),
]
"""One of several, with its options: ``helm``, or ``{helm: {values: [prod.yaml]}}``."""
