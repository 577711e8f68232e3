"""What the command line promises whatever the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from gitops.cli import commands, main
from gitops.cli.settings import Output, Settings, settings
from gitops.errors import ConfigError, RenderError

HEAVY = ("kubernetes", "git", "sqlalchemy", "aiohttp", "fastapi", "httpx", "structlog", "rich")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITOPS_CONFIG", "GITOPS_DEBUG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def probe(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A command ``probe`` of the test's own making."""

    def install(function: Any) -> None:
        module = ModuleType("gitops.cli.probe")
        module.probe = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "gitops.cli.probe", module)
        row = commands.Row("Look", "Probe.", "gitops.cli.probe")
        monkeypatch.setitem(commands.TABLE, "probe", row)

    return install


def code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return int(left.value.code or 0)


def raising(error: BaseException) -> Any:
    def function() -> None:
        raise error

    return function


def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    script = (
        "import sys\nfrom gitops.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit: pass\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(f"  {name}" in done.stdout for name in commands.TABLE)


@pytest.mark.parametrize("name", sorted(commands.TABLE))
def test_every_command_has_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert code(name, "--help") == 0
    assert f"gitops {name}" in capsys.readouterr().out


def test_no_command_at_all_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert code() == 0
    assert "Operate:" in capsys.readouterr().out


def test_the_version_is_the_packages_own(capsys: pytest.CaptureFixture[str]) -> None:
    from gitops import __version__

    assert code("--version") == 0
    assert capsys.readouterr().out == f"gitops {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "said", "hint"),
    [
        (["pln"], "no such command 'pln'", "did you mean 'plan'?"),
        (["--confg", "x"], "no such option: --confg", "did you mean --config?"),
        (["--output", "xml", "plan"], "--output", "gitops"),
        (["qqqqq"], "no such command", "gitops --help"),
    ],
)
def test_wrong_usage_ends_with_1_and_names_the_nearest(
    arguments: list[str], said: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """2 means changes, for ``plan``; no script may take a typing error for that."""
    assert code(*arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert hint in err


def test_a_package_that_is_not_installed_is_named_and_no_defect(
    probe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    probe(raising(ModuleNotFoundError("No module named 'a_library'", name="a_library.part")))
    assert code("probe") == 1
    told = capsys.readouterr().err
    assert "the Python package a_library.part is not installed" in told
    assert "make venv" in told
    probe(raising(ModuleNotFoundError("No module named 'gitops.lost'", name="gitops.lost")))
    assert code("probe") == 1
    assert "this is a defect of gitops" in capsys.readouterr().err


def test_an_error_tells_place_message_and_hint(
    probe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    probe(raising(RenderError("it is broken", place="a.yaml:3:1", hint="mend it")))
    assert code("probe") == 1
    assert capsys.readouterr().err == "a.yaml:3:1: it is broken\n  mend it\n"


def test_all_problems_of_a_fleet_file_are_told(
    probe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    problems = [ConfigError(f"problem {i}", place=f"g.yaml:{i}") for i in range(60)]
    probe(raising(ConfigError("60 problems", problems=problems)))
    assert code("probe") == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "g.yaml:0: problem 0"
    assert lines[-1] == "and 10 more"


def test_errors_of_several_tasks_are_all_told(
    probe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    probe(raising(ExceptionGroup("two", [RenderError("first"), RenderError("second")])))
    assert code("probe") == 1
    assert capsys.readouterr().err == "error: first\nerror: second\n"


def test_with_json_output_an_error_is_json_too(
    probe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    probe(raising(RenderError("it is broken", place="a.yaml:3:1", hint="mend it")))
    assert code("--output", "json", "probe") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err)["errors"] == [
        {"kind": "RenderError", "message": "it is broken", "place": "a.yaml:3:1", "hint": "mend it"}
    ]


def test_a_defect_shows_neither_traceback_nor_its_own_words(
    probe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    probe(raising(KeyError("hunter2")))
    assert code("probe") == 1
    err = capsys.readouterr().err
    assert "KeyError" in err
    assert "hunter2" not in err
    assert "Traceback" not in err


def test_with_debug_a_defect_shows_everything(probe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITOPS_DEBUG", "1")
    probe(raising(KeyError("x")))
    with pytest.raises(KeyError):
        main(["probe"])


def test_an_escape_in_a_foreign_text_never_reaches_the_terminal(
    probe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    probe(raising(RenderError("\x1b]0;x\x07\x1b[31m[bold]red[/]\u202eeman", place="\x1b[2Jx")))
    assert code("probe") == 1
    shown = "x: \\u{1b}]0;x\\u{7}[bold]red[/]\\u{202e}eman\n"
    assert capsys.readouterr().err == shown


def test_control_c_ends_with_130(probe: Any) -> None:
    probe(raising(KeyboardInterrupt()))
    assert code("probe") == 130


def test_an_unanswered_question_is_an_error_not_a_hang(
    probe: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    probe(raising(EOFError()))
    assert code("probe") == 1
    assert "no answer" in capsys.readouterr().err


def test_a_command_may_end_with_2(probe: Any) -> None:
    probe(raising(typer.Exit(2)))
    assert code("probe") == 2


def test_a_reader_that_leaves_early_is_no_error() -> None:
    script = (
        "import sys\nfrom gitops.cli import main\nfrom gitops.cli import commands\n"
        "import types\nm = types.ModuleType('gitops.cli.probe')\n"
        "def probe():\n    for i in range(100000): print('x' * 80)\n"
        "m.probe = probe\nsys.modules['gitops.cli.probe'] = m\n"
        "commands.TABLE['probe'] = commands.Row('Look', '', 'gitops.cli.probe')\nmain(['probe'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    process.wait(30)
    assert told == ""


def _seen(probe: Any, *arguments: str) -> Settings:
    seen: list[Settings] = []

    def function(ctx: typer.Context) -> None:
        seen.append(settings(ctx))

    probe(function)
    assert code(*arguments) == 0
    return seen[0]


def test_shared_options_are_taken_before_and_after_the_command(probe: Any) -> None:
    for arguments in (
        ("--output", "json", "-c", "f.yaml", "--no-color", "probe"),
        ("probe", "--output", "json", "-c", "f.yaml", "--no-color"),
    ):
        found = _seen(probe, *arguments)
        assert found == Settings(Path("f.yaml"), Output.JSON, color=False, config_given=True)


def test_the_later_of_two_options_wins(probe: Any) -> None:
    assert _seen(probe, "--config", "a", "probe", "--config", "b").config == Path("b")


def test_the_environment_names_fleet_file_and_colour(
    probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITOPS_CONFIG", "e.yaml")
    monkeypatch.setenv("NO_COLOR", "1")
    assert _seen(probe, "probe") == Settings(Path("e.yaml"), color=False, config_given=True)
    assert _seen(probe, "probe", "-c", "f.yaml").config == Path("f.yaml")


@pytest.mark.slow
def test_completion_offers_commands_and_their_options(monkeypatch: pytest.MonkeyPatch) -> None:
    def complete(words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", "from gitops.cli import main; main()"],
            env={
                "_GITOPS_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split(" ")) - 1),
                "PATH": "/usr/bin:/bin",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        return done.stdout

    assert "render" in complete("gitops re").split()
    assert "--local" in complete("gitops render --lo").split()
