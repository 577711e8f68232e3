"""Whoever looks at a change sees whose pull request brought it, whatever its title tries."""

from __future__ import annotations

import io

from rich.console import Console

from gitops.cli.show import _show_pulls
from gitops.model.source import Authorship, PullFacts
from gitops.summary import brought

PULL = PullFacts(
    7,
    "https://forge.example/7",
    "Raise it",
    "github:ada",
    merger="github:bob",
    approvers=("github:cyd", "github:dan"),
)


def test_it_names_author_merger_and_approvers() -> None:
    assert brought(PULL) == (
        "pull request 7 (by github:ada, merged by github:bob, "
        "approved by github:cyd, github:dan): Raise it"
    )
    assert brought(PullFacts(8, "", "x", "")) == "pull request 8 (by nobody any more): x"


def test_a_title_is_text_on_a_terminal() -> None:
    pull = PullFacts(7, "", "[red]\x1b[2Jgood\u202eday\n[/red]", "github:ada")
    out = io.StringIO()
    _show_pulls(Authorship(pull_requests=(PULL, pull)), Console(file=out, width=200))
    first, second = out.getvalue().splitlines()
    assert first.endswith("Raise it https://forge.example/7")
    assert "[red]good\\u{202e}day" in second
    assert "\x1b" not in second
