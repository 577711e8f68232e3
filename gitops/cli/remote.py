"""What the commands that talk to a running controller share: finding it, reading its answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import typer

from gitops.cli.settings import Settings, settings

if TYPE_CHECKING:
    from gitops.web.client import Api

T = TypeVar("T")


def controller(ctx: typer.Context) -> Api:
    """The API of the controller that is named, else of the fleet file's: secrets of the fleet are
    not needed to find it."""
    from gitops.config import load
    from gitops.web.client import Api, address_named

    chosen = settings(ctx)
    if chosen.server:
        return Api(address_named(chosen.server))
    return Api.of(load(chosen.config, resolve_secrets=False))


def read(kind: type[T], value: Any) -> T:
    """A model value out of an API answer."""
    from gitops.jsonable import from_json

    return from_json(kind, value)


def read_all(kind: type[T], values: Any) -> list[T]:
    return [read(kind, value) for value in values]


def say(ctx: typer.Context, text: str, value: Any) -> None:
    """``text`` for people, ``value`` for ``--output json``."""
    from gitops.cli.output import emit, make_console
    from gitops.foreign import readable

    chosen: Settings = settings(ctx)
    if chosen.json:
        emit(value)
    else:
        make_console(chosen).print(readable(text))
