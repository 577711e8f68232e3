"""A yes or a no, asked for at a terminal.

Exists because ``input()`` can lose ctrl-C: a signal that arrives after Python's last look and
before the kernel's ``read()`` only leaves a mark, and nobody looks at it until a line has come:
the question seems to hang. Called by the commands that ask; never decides anything itself.
"""

from __future__ import annotations

import select
import sys

import typer

LOOKS_EVERY = 0.2
"""Seconds after which a ctrl-C is noticed at the latest."""


def confirmed(question: str) -> bool:
    """What a person answers; no answer means no.

    Raises:
        typer.Abort: standard input ended, or ctrl-C where it is no terminal.
        KeyboardInterrupt: ctrl-C at a terminal.
    """
    if not sys.stdin.isatty():
        return typer.confirm(question, err=True)
    while True:
        typer.echo(f"{question} [y/N]: ", nl=False, err=True)
        while not select.select([sys.stdin], [], [], LOOKS_EVERY)[0]:
            pass
        line = sys.stdin.readline()
        if not line:
            raise typer.Abort
        match line.strip().lower():
            case "y" | "yes":
                return True
            case "" | "n" | "no":
                return False
        typer.echo("Answer y or n.", err=True)
