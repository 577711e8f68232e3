"""``gitops config``: check the fleet file, print its JSON Schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops.cli.settings import settings

if TYPE_CHECKING:
    from gitops.model.fleet import Fleet

app = typer.Typer(help="Check the fleet file, or print its JSON Schema.")


@app.command()
def check(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(help="The fleet file; default: the one of --config.")
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="Only the file itself: secrets, kubeconfigs and folders need not be there.",
        ),
    ] = False,
) -> None:
    """Say everything that is wrong with the fleet file, with the line and what to write."""
    from gitops.config import load

    chosen = settings(ctx)
    fleet = load(file or chosen.config, resolve_secrets=not offline)
    if chosen.json:
        print(json.dumps({"errors": [], "file": str(fleet.path), **_counts(fleet)}))
    else:
        print(f"{file or chosen.config}: fine – {summary(fleet)}")


@app.command()
def schema() -> None:
    """Print the JSON Schema from which editors complete and explain the fleet file."""
    from gitops.config.published import schema as published

    print(published(), end="")


def _counts(fleet: Fleet) -> dict[str, int]:
    return {
        "sources": len(fleet.sources),
        "clusters": len(fleet.clusters),
        "applications": len(fleet.applications),
        "roots": sum(spec.terraform is not None for spec in fleet.applications.values()),
        "discoveries": len(fleet.discoveries),
        "people": len(fleet.people.persons),
    }


def summary(fleet: Fleet) -> str:
    """``1 source, 2 clusters, 3 applications (1 root)``: what the fleet file describes."""
    counts = _counts(fleet)
    roots = counts.pop("roots")
    quiet = {"discoveries"} | ({"clusters"} if roots else set())
    words = {word: _counted(count, word) for word, count in counts.items()}
    if roots:
        words["applications"] += f" ({_counted(roots, 'roots')})"
    return ", ".join(said for word, said in words.items() if counts[word] or word not in quiet)


def _counted(count: int, word: str) -> str:
    singular = {"people": "person", "discoveries": "discovery"}.get(word, word[:-1])
    return f"{count} {singular if count == 1 else word}"
