"""``gitops sandbox``: a real Kubernetes control plane on this machine, for trying and for testing.

Also offers :func:`building`, the progress bar for whoever builds tools (``demo``, ``doctor``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops.cli.settings import settings

if TYPE_CHECKING:
    from rich.console import Console

    from gitops.sandbox.layout import SandboxInfo
    from gitops.sandbox.lifecycle import SandboxStatus
    from gitops.sandbox.tools import Progress, Report

app = typer.Typer(
    help="Start and stop a real local control plane: no Docker, no root, loopback only.",
    no_args_is_help=True,
)

_NAME = "default"
NameOption = Annotated[str, typer.Option("--name", help="Which sandbox; several can run.")]
StateOption = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="Where sandboxes keep their files."),
]


@app.command()
def up(
    ctx: typer.Context,
    name: NameOption = _NAME,
    state: StateOption = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The API server's port; 0 takes a free one.")
    ] = 0,
    audit_bodies: Annotated[
        bool, typer.Option(help="Keep requests and answers in the audit log, not only their heads.")
    ] = False,
    foreground: Annotated[
        bool, typer.Option(help="Stay, and end the sandbox with this command.")
    ] = False,
) -> None:
    """Start one, or find the one that runs already; builds missing tools first."""
    import os

    from gitops.cli.output import make_console
    from gitops.sandbox import lifecycle

    console = make_console(settings(ctx), stderr=True)
    with building(console) as report:
        info = lifecycle.start(
            name,
            state,
            port=port,
            bodies=audit_bodies,
            owner=os.getpid() if foreground else None,
            progress=report,
            say=lambda message: console.print(f"{message} …"),
        )
    if not foreground:
        _announce(ctx, info)
        return
    with _ending_with_us(info, state):
        _announce(ctx, info)


@app.command()
def status(
    ctx: typer.Context,
    name: Annotated[str, typer.Option("--name", help="Only this one.")] = "",
    state: StateOption = None,
) -> None:
    """Say what really runs. Exit code 1 unless all of it does."""
    from gitops.cli.output import emit, make_console
    from gitops.sandbox import lifecycle

    found = [lifecycle.status(n, state) for n in ([name] if name else lifecycle.names(state))]
    if settings(ctx).json:
        emit([_as_json(one) for one in found])
    else:
        _show(found, make_console(settings(ctx)))
    if not found or any(one.state != "running" for one in found):
        raise typer.Exit(1)


@app.command()
def down(ctx: typer.Context, name: NameOption = _NAME, state: StateOption = None) -> None:
    """End one and remove its files. Fine if there is none."""
    from gitops.cli.output import emit, make_console
    from gitops.sandbox import lifecycle

    was_there = lifecycle.stop(name, state)
    if settings(ctx).json:
        emit({"name": name, "removed": was_there})
        return
    text = f"sandbox {name} is gone" if was_there else f"there was no sandbox {name}"
    make_console(settings(ctx)).print(text)


@app.command()
def kubeconfig(ctx: typer.Context, name: NameOption = _NAME, state: StateOption = None) -> None:
    """Print the path of its kubeconfig: export KUBECONFIG=$(gitops sandbox kubeconfig)."""
    from gitops.cli.output import emit
    from gitops.errors import Permanent
    from gitops.sandbox import lifecycle

    info = lifecycle.read(name, state)
    if info is None:
        found = lifecycle.status(name, state).state
        raise Permanent(
            f"sandbox {name} is not running ({found})", hint=f"gitops sandbox up --name {name}"
        )
    if settings(ctx).json:
        emit({"kubeconfig": str(info.kubeconfig), "context": info.context})
    else:
        typer.echo(info.kubeconfig)


@app.command()
def tools(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(help="Which; all that are used when none is named.")
    ] = None,
    tests: Annotated[bool, typer.Option(help="Those that only the tests need as well.")] = False,
) -> None:
    """Find the tools, building those that are missing, and print where they are."""
    from gitops.cli.output import emit, make_console
    from gitops.sandbox.recipes import TESTING, TOOLS
    from gitops.sandbox.tools import Toolbox

    used = [name for name in TOOLS if tests or name not in TESTING]
    box = Toolbox()
    with building(make_console(settings(ctx), stderr=True)) as report:
        found = box.ensure(names or used, report)
    if settings(ctx).json:
        emit({n: {"path": str(p), "version": box.version(n)} for n, p in found.items()})
        return
    for tool, path in found.items():
        typer.echo(f"{tool} {box.version(tool)}  {path}")


@contextlib.contextmanager
def building(console: Console) -> Iterator[Report]:
    """What to give as ``progress``: a bar on a terminal, a line per module elsewhere."""
    if not console.is_terminal:
        yield _line_per_module(console)
        return
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("building {task.fields[module]}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    with Bars(*columns, console=console, transient=True) as bars:
        rows: dict[str, Any] = {}

        def report(progress: Progress) -> None:
            if progress.module not in rows:
                rows[progress.module] = bars.add_task("", total=None, module=progress.module)
            bars.update(
                rows[progress.module],
                total=progress.total or None,
                completed=progress.done,
                description=progress.doing[-60:],
            )

        yield report


def _line_per_module(console: Console) -> Report:
    seen: dict[str, int] = {}

    def report(progress: Progress) -> None:
        tenth = progress.done * 10 // progress.total if progress.total else -1
        if seen.get(progress.module) != tenth:
            seen[progress.module] = tenth
            share = f"{tenth * 10} %" if tenth >= 0 else progress.doing
            console.print(f"building {progress.module}: {share}")

    return report


def _announce(ctx: typer.Context, info: SandboxInfo) -> None:
    from gitops.cli.output import emit, make_console

    if settings(ctx).json:
        emit(
            {
                "name": info.name,
                "url": info.url,
                "context": info.context,
                "kubeconfig": str(info.kubeconfig),
                "ca_file": str(info.ca_file),
                "audit_log": str(info.audit_log),
                "pids": info.pids,
            }
        )
        return
    console = make_console(settings(ctx))
    console.print(f"sandbox {info.name} runs at {info.url}")
    console.print(f"  export KUBECONFIG={info.kubeconfig}")
    console.print(f"  audit log: {info.audit_log}")


@contextlib.contextmanager
def _ending_with_us(info: SandboxInfo, state: Path | None) -> Iterator[None]:
    """Until ctrl-C or SIGTERM; then the sandbox goes with us. Signals wait from the start on, so
    that none arrives between the announcement and the waiting."""
    import signal

    from gitops.errors import Permanent
    from gitops.sandbox import lifecycle

    wanted = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    try:
        yield
        while signal.sigtimedwait(wanted, 1.0) is None:
            if lifecycle.status(info.name, state).state in {"dead", "absent"}:
                raise Permanent(f"sandbox {info.name} was ended by somebody else")
    finally:
        lifecycle.stop(info.name, state)


def _show(found: list[SandboxStatus], console: Console) -> None:
    from gitops.cli.output import show_table

    rows = [(one.name, one.state, one.info.url if one.info else "-", _what(one)) for one in found]
    show_table(("sandbox", "state", "url", ""), rows, console, empty="no sandbox here")


def _what(one: SandboxStatus) -> str:
    if one.state == "dead":
        return f"it was killed; gitops sandbox up --name {one.name} starts it afresh"
    down = [name for name, child in one.children.items() if child.pid is None]
    again = [f"{n} restarted {c.exits}×" for n, c in one.children.items() if c.exits and c.pid]
    return ", ".join([*(f"{name} is down" for name in down), *again])


def _as_json(one: SandboxStatus) -> dict[str, object]:
    info = one.info
    children = {
        name: {"pid": c.pid, "exits": c.exits, "last_exit": c.last_exit}
        for name, c in one.children.items()
    }
    return {
        "name": one.name,
        "state": one.state,
        "url": info.url if info else None,
        "kubeconfig": str(info.kubeconfig) if info else None,
        "components": children,
    }
