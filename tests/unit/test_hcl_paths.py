"""A path given to a file function is seen to stay inside, or refused."""

from __future__ import annotations

import pytest

from gitops.hcl import policy
from gitops.model.finding import Finding, blocking
from gitops.model.terraform import TerraformSpec
from tests.unit.hcl_cases import judged, of_code, remarks, sealed

INSIDE = [
    'file("a.txt")',
    'file("./a/../b.txt")',
    'file("${path.module}/a.txt")',
    'file("${path.module}/../shared/a.txt")',
    'file("${path.root}/../a.txt")',
    'file(format("%s/x/%s.json", path.module, "a"))',
    'file(join("/", [path.module, "x", "a.json"]))',
    "file(local.inside)",
    'file("${path.module}/${local.name}.json")',
    'file("${path.module}/${terraform.workspace}.json")',
    'file("${path.module}/${var.name}.json")',
    'file(true ? "a" : "${path.module}/b")',
    '[for f in fileset(path.module, "*.json") : file("${path.module}/${f}")]',
    '{ for f in fileset("x", "**/*.json") : f => file("x/${f}") }',
    '[for f in ["a", "b"] : file("${path.module}/${f}")]',
    '{ for k, v in { a = "x", b = "y" } : k => file("${k}/${v}") }',
    '[for f in toset(local.names) : file("${path.module}/${f}")]',
    'file("${path.module}/${basename("/etc/passwd")}")',
    'fileexists("a") ? file("a") : ""',
]
OUTSIDE = [
    'file("/etc/passwd")',
    'file("../../etc/passwd")',
    'file("${path.module}/../../x")',
    'file("${path.module}./../x")',
    'file("x${path.module}")',
    'file("~root/x")',
    'file("..\\\\x")',
    "file(local.outside)",
    "file(local.ring)",
    "file(var.unset)",
    'file("${path.module}/${var.unset}")',
    'file("${path.module}/${var.climbs}")',
    'file("${path.module}/${data.x.y.z}")',
    'file("%{ if "true" }/etc/passwd%{ endif }")',
    'file("a/. ${~ "./../../../x"}")',
    'file("${path.module}/${basename("../")}/${basename("../")}/x")',
    'file(true ? "a" : "/x")',
    '[for path in [{ module = "/etc/passwd" }] : file(path.module)]',
    '[for local in [{ inside = "/etc/passwd" }] : file(local.inside)]',
    '[for f in var.unset : file("${path.module}/${f}")]',
    '[for f in ["a", "../../b"] : file("${path.module}/${f}")]',
    '[for f in fileset(path.module, "*") : file("${path.module}/../../${f}")]',
    '[for f in fileset(var.unset, "*") : f]',
    'fileset(path.module, "{..,x}/../*")',
    'templatefile("/etc/passwd", {})',
    'filesha512(file("a"))',
    'file("a\\n")',
    'file("${path.module}")[0] == file("/x")',
    'try(file("/x"), "")',
]
AROUND = """
locals {
  inside  = "${path.module}/x"
  outside = "/x"
  name    = "a"
  names   = ["a", "b"]
  ring    = "${local.ring}x"
}
variable "unset" {}
variable "climbs" {
  default = "../../x"
}
variable "name" {
  default = "a"
}
"""


def said(expression: str, **spec: object) -> tuple[Finding, ...]:
    return blocking(of_code(f'{AROUND}output "x" {{\n  value = {expression}\n}}\n', **spec))


@pytest.mark.parametrize("expression", INSIDE)
def test_a_path_that_stays_inside_is_let_through(expression: str) -> None:
    assert remarks(said(expression)) == []


@pytest.mark.parametrize("expression", OUTSIDE)
def test_a_path_that_leaves_or_cannot_be_told_is_an_error(expression: str) -> None:
    (first, *_) = said(expression)
    assert first.path == "root/main.tf"
    assert first.line == AROUND.count("\n") + 2


def test_the_operator_lifts_what_cannot_be_told_and_nothing_else() -> None:
    assert said("file(var.unset)", allow={"files": True}) == ()
    assert said('file("/x")', allow={"files": True}) != ()


@pytest.mark.parametrize(
    ("value", "allowed"), [('"b"', True), ('"../../b"', False), ("null", False), ("1", True)]
)
def test_what_a_file_of_variables_sets_counts(value: str, allowed: bool) -> None:
    code = 'variable "n" {\n  default = "a"\n}\n'
    code += 'output "x" {\n  value = file("${path.module}/${var.n}")\n}\n'
    files = {"root/main.tf": code, "root/x.auto.tfvars": f"n = {value}\n"}
    assert (judged(files) == ()) is allowed
    apart = {"root/main.tf": code, "vars/x.tfvars": f"n = {value}\n"}
    assert (judged(apart, variable_files=("../vars/x.tfvars",)) == ()) is allowed


def test_what_the_operator_sets_counts() -> None:
    code = 'variable "n" {}\noutput "x" {\n  value = file("${path.module}/${var.n}")\n}\n'
    assert of_code(code, variables={"n": "prod"}) == ()
    assert of_code(code) != ()


def test_what_another_application_sets_cannot_be_told() -> None:
    code = 'variable "n" {\n  default = "a"\n}\noutput "x" {\n  value = file(var.n)\n}\n'
    files = sealed({"root/main.tf": code})
    assert policy(files, "root", TerraformSpec()) == ()
    (found,) = policy(files, "root", TerraformSpec(), needs=["n"])
    assert "cannot be told" in found.message


@pytest.mark.parametrize(
    ("given", "allowed"), [('"a"', True), ('"../../../x"', False), ("var.u", False)]
)
def test_what_a_caller_gives_a_module_counts(given: str, allowed: bool) -> None:
    files = {
        "root/main.tf": f'variable "u" {{}}\nmodule "m" {{\n  source = "./m"\n  n = {given}\n}}\n',
        "root/m/main.tf": 'variable "n" {\n  default = "d"\n}\n'
        'locals {\n  x = file("${path.module}/${var.n}")\n}\n',
    }
    assert (judged(files) == ()) is allowed


@pytest.mark.parametrize(
    ("over", "allowed"),
    [
        ('toset(["a", "b"])', True),
        ('fileset(path.module, "*")', True),
        ('toset(["../../a"])', False),
        ("var.u", False),
        ('{ a = "x" }', True),
    ],
)
def test_each_is_what_a_resource_is_repeated_over(over: str, allowed: bool) -> None:
    code = (
        f'variable "u" {{}}\nresource "terraform_data" "x" {{\n  for_each = {over}\n'
        '  input = file("${path.module}/${each.value}")\n}\n'
    )
    assert (of_code(code) == ()) is allowed


def test_a_repeated_block_within_does_not_change_what_each_is() -> None:
    code = (
        'resource "terraform_data" "x" {\n  for_each = toset(["/etc/passwd"])\n'
        '  dynamic "a" {\n    for_each = ["b"]\n'
        "    content {\n      x = file(each.value)\n    }\n  }\n}\n"
    )
    assert [each.line for each in of_code(code)] == [6]


def test_a_dynamic_block_binds_its_own_names() -> None:
    code = (
        'resource "terraform_data" "x" {\n'
        '  dynamic "a" {\n    for_each = ["b"]\n'
        "    content {\n      x = file(a.value)\n    }\n  }\n}\n"
    )
    assert of_code(code) == ()
    assert of_code(code.replace('["b"]', '["/b"]')) != ()
    assert of_code(code.replace('"a" {', '"path" {').replace("a.value", "path.module")) != ()


@pytest.mark.parametrize(
    "call",
    ['templatefile("t.tpl", {})', '[for f in fileset(".", "*.tpl") : templatefile("${f}", {})]'],
)
def test_functions_in_templates_are_held_to_the_same(call: str) -> None:
    code = f"locals {{\n  x = {call}\n}}\n"
    harmless = {"root/main.tf": code, "root/t.tpl": "Hello ${name} $${file(1)} 100%\n"}
    assert judged(harmless) == ()
    hostile = judged({"root/main.tf": code, "root/t.tpl": 'a\n${file("/etc/passwd")}\n'})
    assert [each.path for each in hostile] == ["root/t.tpl"]


HIDDEN = [
    '${file/**/("/etc/passwd")}',
    '${file # a remark\n("/etc/passwd")}',
    '${core :: file ("/etc/passwd")}',
    '%{ for f in fileset("/etc", "*") }${f}%{ endfor }',
]


@pytest.mark.parametrize("template", HIDDEN)
def test_no_way_to_write_a_call_in_a_template_hides_it(template: str) -> None:
    code = 'locals {\n  x = templatefile("t.tpl", {})\n}\n'
    (found,) = judged({"root/main.tf": code, "root/t.tpl": template})
    assert found.path == "root/t.tpl"


def test_templates_that_templates_render_are_read_too() -> None:
    files = {
        "root/main.tf": 'locals {\n  x = templatefile("a.tpl", {})\n}\n',
        "root/a.tpl": '${templatefile("b.tpl", {})}',
        "root/b.tpl": '${templatefile("a.tpl", {})}${file("/etc/passwd")}',
    }
    assert [each.path for each in judged(files)] == ["root/b.tpl"]


@pytest.mark.parametrize("form", ["me\u0301", '${"m"}e\u0301', 'me${"\u0301"}'])
def test_a_path_is_the_one_the_tool_makes_of_it(form: str) -> None:
    """The tool composes every string, so a decomposed name means another file."""
    files = {
        "root/main.tf": f'locals {{\n  x = templatefile("{form}", {{}})\n}}\n',
        "root/me\u0301": "harmless",
        "root/m\u00e9": '${file("/etc/passwd")}',
    }
    assert [each.path for each in judged(files)] == ["root/m\u00e9"]


def test_a_character_of_a_newer_unicode_is_not_guessed_at() -> None:
    assert "leaves" in said('file("\U0003fffd")')[0].message


@pytest.mark.slow
def test_rings_and_fans_of_references_come_to_an_end() -> None:
    fans = "".join(f'  a{n} = "${{local.a{n + 1}}}${{local.a{n + 1}}}"\n' for n in range(60))
    chain = "".join(f"  b{n} = local.b{n + 1}\n" for n in range(3_000))
    code = f"locals {{\n{fans}{chain}  x = [file(local.a0), file(local.b0)]\n}}\n"
    assert len(of_code(code)) == 2
