"""``gitops init``: asks a few questions and writes a working, commented fleet file.

Every question has an option, so that ``--yes`` can do without a terminal. Never overwrites.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gitops.errors import ConfigError

if TYPE_CHECKING:
    from gitops.config.first import Answers


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where gitops.yaml goes.")] = Path(),
    git: Annotated[str, typer.Option(help="Git repository to watch.")] = "",
    directory: Annotated[str, typer.Option(help="Folder to watch instead of a repository.")] = "",
    ref: Annotated[str, typer.Option(help="Branch or tag to follow.")] = "main",
    path: Annotated[str, typer.Option(help="Folder in it, or a pattern such as apps/*.")] = "",
    context: Annotated[str, typer.Option(help="Context of your kubeconfig.")] = "",
    sandbox: Annotated[str, typer.Option(help="Name of a local sandbox.")] = "",
    in_cluster: Annotated[
        bool, typer.Option("--in-cluster", help="The cluster the controller runs in.")
    ] = False,
    namespace: Annotated[str, typer.Option(help="For objects that name none.")] = "default",
    person: Annotated[
        list[str] | None, typer.Option(metavar="NAME=EMAIL", help="Somebody who may approve.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; options decide.")] = False,
) -> None:
    """Ask a few questions and write a working fleet file."""
    target = folder / "gitops.yaml"
    _refuse_existing(target)
    ask = _Ask(quiet=yes)
    where = _address(ask, git, directory)
    reached = _reached(ask, context, sandbox, in_cluster)
    wanted = path or ask("Folder in it, or a pattern such as apps/*", "apps/*")
    people = _people(ask, person or [])
    answers = _answers(folder, where, ref, wanted, reached, people, namespace)
    _write(folder, target, answers)
    _check(target)


class _Ask:
    """Asks, or takes the proposal where nobody is to be asked."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet

    def __call__(self, question: str, proposal: str = "", *, option: str = "") -> str:
        if not self.quiet:
            return str(typer.prompt(question, default=proposal or None)).strip()
        if not proposal:
            raise ConfigError(
                f"--yes needs {option}", hint="`gitops init --help` shows all options"
            )
        return proposal


def _refuse_existing(target: Path) -> None:
    if target.exists() or target.is_symlink():
        raise ConfigError(
            f"{target} is already there",
            hint=f"nothing is overwritten; `gitops config check {target}` checks it",
        )


def _address(ask: _Ask, git: str, directory: str) -> tuple[str, bool]:
    """(address, is it a directory)"""
    if git and directory:
        raise ConfigError("--git and --directory exclude each other", hint="give one of them")
    if directory:
        return directory, True
    return git or ask("Git repository to watch (URL or path)", option="--git or --directory"), False


def _reached(ask: _Ask, context: str, sandbox: str, in_cluster: bool) -> tuple[str, str]:
    ways = [("context", context)] * bool(context) + [("sandbox", sandbox)] * bool(sandbox)
    ways += [("in_cluster", "true")] * in_cluster
    if len(ways) > 1:
        raise ConfigError(
            "--context, --sandbox and --in-cluster exclude each other", hint="give one of them"
        )
    if ways:
        return ways[0]
    answer = ask("Context of your kubeconfig, or sandbox", "sandbox")
    return ("sandbox", "default") if answer == "sandbox" else ("context", answer)


def _people(ask: _Ask, given: list[str]) -> tuple[tuple[str, str], ...]:
    people = []
    for entry in given:
        name, _, email = entry.partition("=")
        if not name or not email:
            raise ConfigError(
                f"--person {entry!r} is not NAME=EMAIL", hint="--person ada=ada@x.org"
            )
        people.append((name, email))
    if people:
        return tuple(people)
    name = ask("Somebody who may approve: a short name", option="--person NAME=EMAIL")
    people.append((name, ask("The e-mail in that person's commits")))
    while not ask.quiet and typer.confirm("Somebody else?", default=len(people) < 2):
        people.append((ask("A short name"), ask("The e-mail in that person's commits")))
    return tuple(people)


def _answers(
    folder: Path,
    where: tuple[str, bool],
    ref: str,
    path: str,
    reached: tuple[str, str],
    people: tuple[tuple[str, str], ...],
    namespace: str,
) -> Answers:
    import re

    from gitops.config.addresses import is_remote
    from gitops.config.first import Answers

    address, is_directory = where
    local = not is_directory and (not is_remote(address) or address.startswith("file:"))
    if is_directory or (local and not address.startswith("file:")):
        address = os.path.relpath(address, folder)
    stem = address.rstrip("/").replace(":", "/").rpartition("/")[2].removesuffix(".git").lower()
    name = re.sub(r"[^a-z0-9]+", "-", stem).strip("-")[:63].strip("-")
    cluster = re.sub(r"[^a-z0-9]+", "-", reached[1].lower()).strip("-")[:63].strip("-")
    return Answers(
        source=name or "config",
        address=address,
        path=path,
        cluster={"in_cluster": "here", "sandbox": "sandbox"}.get(reached[0], cluster or "cluster"),
        reached=reached,
        people=people,
        directory=is_directory,
        ref=ref,
        local=local,
        namespace=namespace,
    )


def _write(folder: Path, target: Path, answers: Answers) -> None:
    from gitops.config.first import fleet_file
    from gitops.config.published import schema

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(fleet_file(answers))
        (folder / "gitops.schema.json").write_text(schema(), encoding="utf-8")
    except FileExistsError:
        _refuse_existing(target)
    except OSError as error:
        raise ConfigError(
            f"{target} cannot be written: {error.strerror}", hint="choose another folder"
        ) from None
    print(f"wrote {target}, and gitops.schema.json from which editors complete it")


def _check(target: Path) -> None:
    from gitops.cli.config import summary
    from gitops.config import load

    fleet = load(target)
    print(f"{target}: fine – {summary(fleet)}")
    if len(fleet.people.persons) == 1:
        print("note: one person alone cannot approve their own commits; add a second one")
    print(f"next: gitops plan --config {target}")
