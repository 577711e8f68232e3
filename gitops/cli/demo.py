"""``gitops demo``: everything once, on a real control plane, with a person in the middle.

Tells :mod:`gitops.demo.story` on the terminal. Ends what it started in every case, ctrl-C and
SIGTERM included, unless ``--keep`` says otherwise.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gitops.cli.asking import confirmed
from gitops.cli.settings import Settings, settings

if TYPE_CHECKING:
    from rich.console import Console

    from gitops.demo.stage import Stage
    from gitops.demo.story import Story


def demo(
    ctx: typer.Context,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Answer yes as the second person; ask nothing.")
    ] = False,
    keep: Annotated[
        bool, typer.Option(help="Leave the control plane and the controller running.")
    ] = False,
    dir: Annotated[
        Path | None,
        typer.Option("--dir", metavar="DIR", help="Where everything is kept; else a new folder."),
    ] = None,
) -> None:
    """Show everything once: push, checks, plan, approval, rollout, a Terraform root, drift.

    On a real control plane on this machine, without Docker or root, with the terraform on PATH or
    else OpenTofu. Exit code 0 only if every step was confirmed by the API server, and of the root
    by its state. Without a terminal it answers yes as the second person.
    """
    from gitops.cli.output import make_console
    from gitops.cli.sandbox import building
    from gitops.demo.stage import Stage, bring_tools, folder_for

    chosen = settings(ctx)
    console = make_console(chosen, stderr=chosen.json)
    voice = _Teller(console, asks=not yes and sys.stdin.isatty() and sys.stdout.isatty())
    with _interruptible(), _folder(folder_for(dir), temporary=dir is None and not keep) as folder:
        with building(console) as progress:
            root_tool = bring_tools(progress)
        with Stage(folder, root_tool, stays=keep) as stage:
            story = _play(stage, voice)
        _summary(story, chosen, console)
    _go_on(folder if keep else None, stage.page, console)


def _play(stage: Stage, voice: _Teller) -> Story:
    """The whole story. Raises Permanent naming the act that was not proven, and the logs."""
    from gitops.demo.story import Declined, Story
    from gitops.errors import GitopsError, Permanent

    story = Story(stage, voice)
    try:
        story.play()
    except Declined:
        raise
    except GitopsError as error:
        raise Permanent(
            f"“{story.act}” was not proven: {error}", hint=f"the logs are in {stage.logs}"
        ) from error
    return story


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and a closed terminal end the demo as ctrl-C does: in order."""

    def leave(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {n: signal.signal(n, leave) for n in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _folder(folder: Path, *, temporary: bool) -> Iterator[Path]:
    """A folder of ours goes when the demo is over, but for the logs of a step not proven."""
    from gitops.errors import GitopsError

    try:
        yield folder
    except GitopsError:
        raise
    except BaseException:
        print("\nended before its end; nothing of it is left running", file=sys.stderr)
        if temporary:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if temporary:
        shutil.rmtree(folder, ignore_errors=True)


def _summary(story: Story, chosen: Settings, console: Console) -> None:
    from rich.text import Text

    from gitops.cli.output import emit, show_table

    if chosen.json:
        times = [{"what": one.what, "seconds": round(one.seconds, 3)} for one in story.times]
        emit({"proofs": story.proofs, "proofs_of_state": story.of_state, "times": times})
        return
    console.print(Text("\n━━ Summary", style="bold cyan"))
    rows = [(f"   {one.what}", f"{one.seconds:6.2f} s") for one in story.times]
    show_table(("   what", "took"), rows, console)
    console.print(
        Text.assemble(
            *(
                ("\n   ✓ ", "bold green"),
                f"{story.proofs} facts confirmed by the API server itself",
            ),
            f", {story.of_state} by {story.stage.root_tool.name} on the state",
        )
    )


def _go_on(folder: Path | None, page: str, console: Console) -> None:
    """What to type next."""
    from gitops.demo.stage import NAME, ending

    program = _program()
    console.print("\nGo on:")
    if folder is None:
        console.print(f"  {program} demo --keep   the same, and everything stays to be played with")
        console.print(f"  {program} init          a fleet file for your own repository and cluster")
        return
    here = f"{program} -c {folder}/gitops.yaml"
    lines = (
        f"cd {folder}/work            edit apps/ or infra/, git commit, git push (as ada)",
        f"{here} user add grace   (a password for her), then open http://{page}",
        f"{here} nudge shop-config",
        f"{here} status",
        f"GITOPS_TOKEN_FILE={folder}/grace.token {here} approve REQUEST",
        f"kubectl --kubeconfig {folder}/sandbox/{NAME}/kubeconfig -n shop get deployments",
    )
    for line in lines:
        console.print(f"  {line}")
    console.print("\nEnd it:")
    for line in ending(folder, program):
        console.print(f"  {line}")


def _program() -> str:
    """How this very command line is called from a shell."""
    called = Path(sys.argv[0]).absolute()
    found = shutil.which("gitops")
    return "gitops" if found and Path(found).samefile(called) else str(called)


class _Teller:
    """The story on a terminal: headlines, the plan as `gitops show` shows it, short facts."""

    def __init__(self, console: Console, *, asks: bool) -> None:
        self._console = console
        self._asks = asks
        self._begun = time.monotonic()
        self._acts = 0

    def headline(self, text: str) -> None:
        from rich.text import Text

        self._acts += 1
        at = time.monotonic() - self._begun
        self._console.print(
            Text.assemble((f"\n━━ {self._acts}  {text}", "bold cyan"), (f"  {at:.1f} s", "dim"))
        )

    def say(self, text: str) -> None:
        from gitops.foreign import one_line

        self._console.print(f"   {one_line(text)}")

    def proof(self, text: str) -> None:
        from rich.text import Text

        self._console.print(Text.assemble(("   ✓ ", "bold green"), text))

    def question(self, found: Any) -> None:
        from gitops.cli.show import show_request_answer

        self._console.print()
        show_request_answer(found, self._console)
        self._console.print(f"\nchecks: {_checked(found)}\n")

    def approves(self, person: str) -> bool:
        if not self._asks:
            self.say(f"nobody is asked here: yes, as {person}")
            return True
        try:
            return confirmed(f"   You are {person}. Apply exactly this?")
        except typer.Abort:
            raise KeyboardInterrupt from None


def _checked(found: Any) -> str:
    """Which checks ran on what is asked about, and how much they found."""
    from gitops.demo.story import ROOT
    from gitops.plugins import Role, plugins

    asked = {row["change"]["change"]["lane"]["application"] for row in found["members"]}
    ran = [n for n in sorted(plugins(Role.CHECK)) if ROOT in asked or not n.startswith("terraform")]
    names = ", ".join(ran)
    count = sum(len(row["plan"]["findings"]) for row in found["members"] if row["plan"])
    return f"{names}: {'nothing found' if not count else f'{count} found, see above'}"
