"""What the YAML lint promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitops.errors import ConfigError
from gitops.model.finding import Severity
from gitops.ports import Command, Completed
from planners.checks import yaml_lint
from planners.checks.yaml_lint import Options, lint
from tests.unit.check_cases import file, job, services

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"


def test_a_tidy_file_gives_no_finding() -> None:
    assert lint(file(GOOD), Options()) == []


def test_a_remark_about_style_names_line_column_and_what_to_do_and_blocks_nothing() -> None:
    (finding,) = lint(file(GOOD + "data:\n  a:  b\n"), Options())
    assert (finding.place, finding.severity) == ("a.yaml:6:6", Severity.WARNING)
    assert finding.hint


def test_broken_syntax_blocks_with_its_line() -> None:
    (finding,) = lint(file(GOOD + "data: [\n"), Options())
    assert finding.severity is Severity.ERROR
    assert finding.line >= 5


def test_a_duplicate_key_blocks_even_when_style_only_warns() -> None:
    found = lint(file(GOOD + "kind: Secret\n"), Options())
    assert [f.severity for f in found] == [Severity.ERROR]
    assert found[0].line == 5


def test_words_read_as_truth_values_are_pointed_out() -> None:
    (finding,) = lint(file("a: yes\n"), Options())
    assert "truthy" in finding.message


def test_no_message_holds_a_value() -> None:
    text = "password: 01234567\ntoken: .5\nflag: yes\n"
    rules = {"rules": {"float-values": {"require-numeral-before-decimal": True}}}
    found = lint(file(text), Options(config=rules))
    assert len(found) == 3
    said = " ".join(f.message + f.hint for f in found)
    assert not any(value in said for value in ("01234567", ".5", "yes"))


def test_blanks_in_rendered_output_are_nobodys_fault() -> None:
    sloppy = "a:   b  \n\n\n\n\nc: d"
    assert lint(file(sloppy, "templates/x.yaml", rendered=True), Options()) == []
    assert lint(file(sloppy), Options())


def test_what_is_wrong_in_rendered_output_is_told_of_the_template() -> None:
    (finding,) = lint(file("a: yes\n", "templates/x.yaml", rendered=True), Options())
    assert finding.place == "templates/x.yaml"
    assert "line 1" in finding.message


@pytest.mark.slow
def test_a_huge_file_is_read_but_not_linted() -> None:
    big = "a:  b\n" + "".join(f"k{i}: {i}\n" for i in range(40_000))
    found = lint(file(big), Options())
    assert [f.severity for f in found] == [Severity.INFO]


def test_a_file_full_of_remarks_is_cut_and_says_so() -> None:
    found = lint(file("".join(f"k{i}:  v\n" for i in range(200))), Options())
    assert len(found) == yaml_lint.REMARKS_PER_FILE + 1
    assert "150 more" in found[-1].message


def test_files_that_are_not_yaml_are_left_alone() -> None:
    assert lint(file("{{ not yaml", "README.md"), Options()) == []


def test_bytes_that_are_no_text_are_an_error_not_a_crash() -> None:
    from gitops.model.manifest import RenderedFile

    (finding,) = lint(RenderedFile("a.yaml", b"a: \xff\xfe\n", "x"), Options())
    assert finding.severity is Severity.ERROR


def test_with_level_error_style_blocks_and_files_cannot_switch_rules_off() -> None:
    text = "# yamllint disable\na: b\n\n\n\n\n\nc: d   \n"
    assert lint(file(text), Options()) == []
    strict = Options(config={"rules": {"trailing-spaces": {"level": "error"}}}, level="error")
    assert any(f.severity is Severity.ERROR for f in lint(file(text), strict))


def test_rules_that_do_not_exist_are_refused_when_the_check_is_built(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-rule"):
        yaml_lint.build(Options(config={"rules": {"no-such-rule": "enable"}}), services(tmp_path))


def test_an_unknown_level_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fatal"):
        yaml_lint.build(Options(level="fatal"), services(tmp_path))


async def test_many_files_are_linted_in_children_with_the_same_result(tmp_path: Path) -> None:
    class InProcess:
        """Runs the child's own entry point here: what matters is what goes in and comes out."""

        calls = 0

        async def run(self, command: Command) -> Completed:
            import io
            import sys

            InProcess.calls += 1
            before = sys.stdin, sys.stdout
            sys.stdin, sys.stdout = io.StringIO(command.stdin.decode()), io.StringIO()
            try:
                yaml_lint._main()
                out = sys.stdout.getvalue()
            finally:
                sys.stdin, sys.stdout = before
            json.loads(out)
            return Completed(0, out.encode(), "", 0.0)

    files = [file(f"a{i}:  b\n", f"{i:03}.yaml") for i in range(100)]
    check = yaml_lint.build(Options(), services(tmp_path, InProcess()))
    found = await check.run(job(made=(), files=files))
    assert InProcess.calls > 0
    assert list(found) == yaml_lint.lint_all(files, Options())
