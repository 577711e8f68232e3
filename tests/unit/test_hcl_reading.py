"""Terraform's language is read as Terraform reads it, or not at all."""

from __future__ import annotations

import pytest

from gitops.hcl import reading
from gitops.hcl.native import parse
from gitops.hcl.reading import Reading
from gitops.hcl.scan import MAX_DEPTH, MAX_TOKENS
from gitops.hcl.tree import Body, Expression, Kind, Unreadable
from tests.unit.hcl_cases import sealed


def value(text: str) -> Expression:
    """Of ``x = …``."""
    attribute = parse(f"x = {text}\n").attribute("x")
    assert attribute is not None
    return attribute.value


def json(text: str) -> Body:
    return reading.parse(text.encode(), "x.tf.json")


def problem(text: str | bytes, name: str = "main.tf") -> tuple[int, int, str]:
    found = Reading(sealed({name: text}))
    assert found.document(name) is None
    each = found.problems[name]
    return each.line, each.column, each.message


def calls(body: Body) -> list[str]:
    found = [each for _, attribute in body.walk() for each in attribute.value.walk()]
    return [str(each.value) for each in found if each.kind is Kind.CALL]


def test_blocks_and_attributes_keep_their_place() -> None:
    body = parse('a "b" c {\n  d = 1\n  e {\n    f = "g"\n  }\n}\n')
    (block,) = body.blocks
    assert (block.type, block.labels, block.line, block.column) == ("a", ("b", "c"), 1, 1)
    assert [(each.name, each.line, each.column) for each in block.body.attributes] == [("d", 2, 3)]
    inner = block.body.blocks[0].body.attributes[0]
    assert (inner.value.text, inner.value.line, inner.value.column) == ("g", 4, 9)


@pytest.mark.parametrize(
    ("text", "kind", "meaning"),
    [
        ('"a\\tb\\u0063\\"$${x}%%{y}"', Kind.LITERAL, 'a\tbc"${x}%{y}'),
        ("-1.5e2", Kind.LITERAL, -150.0),
        ("!true", Kind.LITERAL, True),
        ("null", Kind.LITERAL, None),
        ("var.a.b[0].*.c", Kind.OTHER, None),
        ("var.a.b", Kind.REFERENCE, "var.a.b"),
        ('provider::aws::arn("x")', Kind.CALL, "provider::aws::arn"),
        ("<<E\nab\n  E  \n", Kind.LITERAL, "ab\n"),
        ("<<-E\n  a\n    b\n  E\n", Kind.LITERAL, "a\nb\n"),
        ("[for k, v in x : v if k]", Kind.FOR, ("k", "v")),
        ("{\n for k in x :\n k => v...\n if true }", Kind.FOR_OBJECT, ("k",)),
        ("{ for = 1, in = 2 }", Kind.OBJECT, None),
        ("a ? b : c", Kind.CHOICE, None),
    ],
)
def test_expressions_are_told_apart(text: str, kind: Kind, meaning: object) -> None:
    found = value(text)
    assert (found.kind, found.value) == (kind, meaning)


@pytest.mark.parametrize(
    "text",
    [
        # Each is read otherwise by python-hcl2's own grammar for strings, heredocs and comments.
        'locals { a = "$${" }\ndata "external" "x" {}\nlocals { b = "}" }\n',
        'locals { a = "%%{" }\ndata "external" "x" {}\nlocals { b = "}" }\n',
        'locals {\n a = <<E\nE \n}\ndata "external" "x" {}\nlocals {\n b = <<E\nE\n}\n',
        'locals {\n a = <<E\n${"\nE\n"}\nE\n}\n'.replace('"\nE\n"', "[\nE\n]")
        + 'data "external" "x" {}\n',
        'locals {\n a = <<E\n$\nE\n}\ndata "external" "x" {}\n',
        'locals { a = 1 /* "\n*/ }\ndata "external" "x" {} # /*\n',
        'locals { a = "\\\\" }\ndata "external" "x" {}\nlocals { b = "\\"" }\n',
        "data external x {}\n",
        'data "exter\\u006eal" "x" {}\n',
    ],
)
def test_nothing_hides_a_block_that_terraform_would_see(text: str) -> None:
    assert ("external", "x") in [each.labels for each in parse(text).of("data")]


@pytest.mark.parametrize(
    "text",
    [
        'x = "a ${f("b ${g()}")} c"',
        "x = <<E\n a ${f(<<I\n${g()}\nI\n)}\nE\n",
        'x = "%{ if f() }a%{ else }${g()}%{ endif }"',
        'x = "%{ for a, b in f() ~} ${g()} %{~ endfor }"',
        "x = { (f()) = [for a in g() : a] }",
        "b {\n c {\n x = f(g()...)\n }\n}\n",
        'x = "\\\\${f()}$$${g()}"',
    ],
)
def test_calls_are_found_wherever_they_stand(text: str) -> None:
    found = calls(parse(text + "\n"))
    assert found.count("f") == 1
    assert "g" in found or "$$$" in text


def test_both_syntaxes_say_the_same() -> None:
    native = parse('resource "a" "b" {\n  provisioner "c" {\n    d = "${e()}f"\n  }\n}\n')
    other = json('{"resource": {"a": [{"b": {"provisioner": [{"c": {"d": "${e()}f"}}]}}]}}')
    for body in (native, other):
        (resource,) = body.blocks
        (provisioner,) = resource.body.blocks
        assert (*resource.labels, *provisioner.labels) == ("a", "b", "c")
        assert calls(body) == ["e"]


def test_a_key_written_twice_in_json_is_two_blocks() -> None:
    body = json('{"data": {"external": {"x": {}}}, "data": {"http": {"y": {}}}}')
    assert [each.labels for each in body.of("data")] == [("external", "x"), ("http", "y")]


def test_strings_of_json_are_templates_after_their_escapes() -> None:
    assert calls(json('{"locals": {"a": "\\u0024{f()}"}}')) == ["f"]


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("a = 1\nb = 2 3\n", 2, 8),
        ('a = "b\n"\n', 1, 5),
        ("a {\n", 1, 3),
        ("a = <<E\nb\n", 1, 5),
        ('a = "${b\n', 1, 6),
        ("a = 1\n}\n", 2, 1),
        ("a = 1\n/* b\n", 2, 1),
        ("a = \x0c1\n", 1, 5),
        ("a = 1\rb = 2\n", 1, 6),
        ("a = 'b'\n", 1, 5),
        ('"a" = 1\n', 1, 1),
        ('a "${b}" {}\n', 1, 3),
        (b'a = "\xff"\n', 1, 6),
    ],
)
def test_what_cannot_be_read_is_named_by_line_and_column(
    text: str | bytes, line: int, column: int
) -> None:
    assert problem(text)[:2] == (line, column)


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [('{"a": 1,}', 1, 9), ('{\n "a" 1}', 2, 6), ("[1] 2", 1, 5), ('{"a": "\\ud800"}', 1, 15),
     ('{"locals": {"a": "${"}}', 1, 18), ('{"data": 1}', 1, 10), ("", 1, 1)],
)  # fmt: skip
def test_what_cannot_be_read_in_json_neither(text: str, line: int, column: int) -> None:
    assert problem(text, "main.tf.json")[:2] == (line, column)


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 100_000,
        "x = " + "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
        'x = "' + '${"' * 5_000,
        "x = <<A\n${" * 5_000,
        "x = [" + "1," * MAX_TOKENS + "]",
        "b {" * 5_000,
        "/*" * 100_000,
        '"' * 100_001,
        "x = " + "<<E\n" * 50_000,
    ],
)
def test_hostile_text_is_refused_before_it_costs_much(text: str) -> None:
    with pytest.raises(Unreadable):
        parse(text)


@pytest.mark.parametrize("text", ["[" * 10_000, '{"a":' * 10_000, '["' + "\\\\" * 1000])
def test_hostile_json_too(text: str) -> None:
    with pytest.raises(Unreadable):
        json(text)


@pytest.mark.slow
def test_long_sums_chains_and_texts_are_no_trouble() -> None:
    long = "1" + " + 1" * 5_000
    assert value(long).kind is Kind.OTHER
    assert value("a" + "[0]" * 2_000).kind is Kind.OTHER
    assert len(value('"' + "\\n$ " * 100_000 + '"').text or "") == 300_000


@pytest.mark.slow
def test_a_file_or_a_root_that_is_too_large_is_not_read() -> None:
    assert "MiB" in problem(b"#" * (reading.MAX_FILE + 1))[2]
    half = "#" * (reading.MAX_FILE // 2)
    many = Reading(sealed({f"{number}.tf": half for number in range(10)}))
    many.configuration("")
    assert len(many.problems) == 10 - 2 * (reading.MAX_TOTAL // reading.MAX_FILE)


def test_a_root_of_very_many_words_is_not_read_to_its_end() -> None:
    line = "/* " + "b " * (reading.MAX_WORDS // 10) + "*/\n"
    many = Reading(sealed({f"{number:02}.tf": line for number in range(12)}))
    many.configuration("")
    assert sorted(many.problems) == ["10.tf", "11.tf"]


@pytest.mark.parametrize("name", [".hidden.tf", "#main.tf#", "main.tf~", "main.hcl", "tf"])
def test_files_that_terraform_passes_over_are_passed_over(name: str) -> None:
    assert Reading(sealed({f"a/{name}": "broken {"})).configuration("a") == []
