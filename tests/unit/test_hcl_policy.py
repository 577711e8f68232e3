"""What unapproved Terraform code may not do is found before any of it runs."""

from __future__ import annotations

import pytest

from gitops.model.finding import blocking
from gitops.model.terraform import Backend
from tests.unit.hcl_cases import CLEAN, judged, of_code, remarks

S3 = Backend("s3", {"bucket": "b", "key": "k", "use_lockfile": True})
LOCK = 'provider "registry.terraform.io/hashicorp/aws" {\n  version = "5.0.0"\n}\n'
AWS = 'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws" }\n  }\n}\n'

HOSTILE: dict[str, tuple[str, str, str]] = {}
"""Code, where it is refused, a word of why."""


def hostile(name: str, place: str, words: str, *lines: str) -> None:
    HOSTILE[name] = ("\n".join([*lines, ""]), f"root/main.tf:{place}", words)


hostile(
    "a program as data",
    "1:1",
    "program",
    'data "external" "x" {',
    '  program = ["id"]',
    "}",
)
hostile(
    "an address as data",
    "1:1",
    "fetches an address",
    'data "http" "x" {}',
)
hostile(
    "data within a check",
    "2:3",
    "fetches",
    'check "c" {',
    '  data "http" "x" {}',
    "}",
)
hostile(
    "a program by provider",
    "3:5",
    "hashicorp/external",
    "terraform {",
    "  required_providers {",
    '    e = { source = "hashicorp/external" }',
    "  }",
    "}",
)
hostile(
    "another root's state",
    "1:1",
    "state",
    'data "terraform_remote_state" "x" {',
    '  backend = "http"',
    "}",
)
hostile(
    "a provisioner",
    "2:3",
    "provisioner",
    'resource "terraform_data" "x" {',
    '  provisioner "local-exec" {',
    '    command = "id"',
    "  }",
    "}",
)
hostile(
    "a provisioner on the way out",
    "3:3",
    "provisioner",
    "removed {",
    "  from = a.b",
    '  provisioner "local-exec" {}',
    "}",
)
hostile(
    "a connection",
    "2:3",
    "connection",
    'resource "terraform_data" "x" {',
    "  connection {}",
    "}",
)
hostile(
    "a provider by type",
    "1:1",
    "hashicorp/aws",
    'resource "aws_vpc" "x" {}',
)
hostile(
    "a provider by requirement",
    "3:5",
    "hashicorp/aws",
    "terraform {",
    "  required_providers {",
    '    aws = { source = "hashicorp/aws" }',
    "  }",
    "}",
)
hostile(
    "a provider elsewhere",
    "3:5",
    "evil.example/a/b",
    "terraform {",
    "  required_providers {",
    '    a = { source = "evil.example/a/b" }',
    "  }",
    "}",
)
hostile(
    "a provider that cannot be told",
    "3:5",
    "no provider address",
    "terraform {",
    "  required_providers {",
    '    a = { source = "${b}" }',
    "  }",
    "}",
)
hostile(
    "a program as credentials",
    "2:3",
    "'exec'",
    'provider "kubernetes" {',
    "  exec {",
    '    command = "id"',
    "  }",
    "}",
)
hostile(
    "a module from anywhere",
    "2:3",
    "git::https://evil.example/m",
    'module "m" {',
    '  source = "git::https://evil.example/m"',
    "}",
)
hostile(
    "a module by an absolute path",
    "2:3",
    "/etc/m",
    'module "m" {',
    '  source = "/etc/m"',
    "}",
)
hostile(
    "a module outside",
    "2:3",
    "outside",
    'module "m" {',
    '  source = "../../m"',
    "}",
)
hostile(
    "a module that cannot be told",
    "2:3",
    "cannot be told",
    'module "m" {',
    "  source = var.s",
    "}",
)
hostile(
    "a module that is not there",
    "2:3",
    "no folder root/m",
    'module "m" {',
    '  source = "./m"',
    "}",
)
hostile(
    "a backend",
    "2:3",
    "backend 's3'",
    "terraform {",
    '  backend "s3" {',
    '    bucket = "mine"',
    "  }",
    "}",
)
hostile(
    "runs elsewhere",
    "2:3",
    "'cloud'",
    "terraform {",
    "  cloud {}",
    "}",
)
hostile(
    "its own encryption",
    "2:3",
    "encryption",
    "terraform {",
    "  encryption {",
    '    key_provider "external" "x" {}',
    "  }",
    "}",
)
hostile(
    "a file of the machine",
    "2:11",
    "/etc",
    'output "x" {',
    '  value = file("/etc/passwd")',
    "}",
)
hostile(
    "a file of the controller",
    "2:7",
    "~/key",
    "locals {",
    '  x = filebase64("~/key")',
    "}",
)
hostile(
    "a file above",
    "2:7",
    "leaves the source",
    "locals {",
    '  x = file("${path.module}/../../x")',
    "}",
)
hostile(
    "a file in a heredoc",
    "3:3",
    "'/x'",
    "locals {",
    "  x = <<E",
    '${filesha256("/x")}',
    "E",
    "}",
)
hostile(
    "a file by its other name",
    "2:7",
    "'/x'",
    "locals {",
    '  x = core::file("/x")',
    "}",
)
hostile(
    "a file nobody can tell",
    "2:7",
    "told",
    "locals {",
    '  x = file(substr("_/x", 1, -1))',
    "}",
)
hostile(
    "a template in disguise",
    "2:7",
    "templatestring",
    "locals {",
    "  x = templatestring(local.y, {})",
    "}",
)
hostile(
    "a folder of the machine",
    "2:7",
    "'/etc'",
    "locals {",
    '  x = fileset("/etc", "*")',
    "}",
)
hostile(
    "a pattern that climbs",
    "2:7",
    "climbs",
    "locals {",
    '  x = fileset(path.module, "../../*")',
    "}",
)
hostile(
    "invalid text",
    "2:7",
    "cannot be read",
    "locals {",
    "  x = ",
    "}",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_code_is_an_error_at_file_and_line(name: str) -> None:
    text, place, words = HOSTILE[name]
    errors = blocking(of_code(text))
    assert [e for e in errors if e.place == place and words in e.message], remarks(errors)
    assert all(each.check == "terraform" and each.hint for each in errors)


FILES = {
    "a CLI configuration": (".terraformrc", "", "fetches providers"),
    "another CLI configuration": ("terraform.rc", "", "fetches providers"),
    "modules that were fetched": (".terraform/modules/modules.json", "{}", "is committed"),
    "a state": ("terraform.tfstate", "{}", "is committed"),
    "a state's copy": ("terraform.tfstate.1.backup", "{}", "is committed"),
    "our own override": ("zz_gitops_override.tf.json", "{}", "are ours"),
    "a later override": ("zz_gitops_override_.tf", "", "are ours"),
    "a secret": ("terraform.tfvars", 'db_password = "hunter22"\n', "looks like a secret"),
    "a secret deep down": ("a.auto.tfvars", 'x = [{ apiToken = "t0k" }]\n', "looks like a secret"),
    "a secret in JSON": ("a.auto.tfvars.json", '{"client_secret": "s"}', "looks like a secret"),
    "data in JSON": ("a.tf.json", '{"data": {"external": {"x": {}}}}', "runs a program"),
    "data in an override": ("override.tf", 'data "http" "x" {}\n', "fetches an address"),
    "data in OpenTofu's files": ("a.tofu", 'data "http" "x" {}\n', "fetches an address"),
    "a test's module": (
        "a.tftest.hcl",
        'run "x" {\n  module {\n    source = "evil/m/aws"\n  }\n}\n',
        "evil/m/aws",
    ),
    "a test's file": ("tests/a.tftest.hcl", 'variables {\n  x = file("/x")\n}\n', "'/x'"),
    "a lock file's provider": (".terraform.lock.hcl", 'provider "evil.example/a/b" {}\n', "evil"),
    "a lock file that is none": (".terraform.lock.hcl", "provider {", "cannot be read"),
    "bytes": ("b.tf", b"\xff\xfe", "UTF-8"),
}


@pytest.mark.parametrize("name", FILES)
def test_hostile_files_are_errors(name: str) -> None:
    path, text, words = FILES[name]
    errors = blocking(judged({"root/main.tf": CLEAN, f"root/{path}": text}))
    assert [e for e in errors if e.path == f"root/{path}" and words in e.message], remarks(errors)


def test_code_that_keeps_to_the_rules_is_let_through() -> None:
    files = {
        "root/main.tf": AWS
        + 'terraform {\n  backend "s3" {\n    key = "k"\n    use_lockfile = true\n  }\n}\n'
        + 'resource "aws_vpc" "x" {\n  tags = { a = file("${path.module}/a.txt") }\n}\n'
        + 'module "m" {\n  source = "../modules/m"\n}\n',
        "root/.terraform.lock.hcl": LOCK,
        "root/a.txt": "a",
        "root/terraform.tfvars": 'region = "eu"\npassword_length = 16\ntoken_ttl = "1h"\n',
        "modules/m/main.tf": 'resource "aws_subnet" "x" {\n  x = file("../root/a.txt")\n}\n',
    }
    assert judged(files, backend=S3, allow={"providers": ("hashicorp/*",)}) == ()


@pytest.mark.parametrize(
    ("text", "allow"),
    [
        ('data "external" "x" {}\n', {"external": True}),
        ('data "http" "x" {}\n', {"http": True}),
        (HOSTILE["a provisioner"][0], {"provisioners": True}),
        (HOSTILE["a file nobody can tell"][0], {"files": True}),
        (HOSTILE["a module from anywhere"][0], {"modules": ("git::https://evil.example/*",)}),
        (HOSTILE["another root's state"][0], {"providers": ("terraform.io/builtin/terraform",)}),
        (HOSTILE["a provider elsewhere"][0], {"providers": ("evil.example/a/*",)}),
        (AWS, {"providers": ("registry.terraform.io/hashicorp/aws",)}),
        ('resource "aws_vpc" "x" {}\n', {"providers": ("aws",)}),
    ],
)
def test_what_the_operator_allows_is_allowed(text: str, allow: dict[str, object]) -> None:
    errors = [
        each for each in blocking(of_code(text, allow=allow)) if "required" not in each.message
    ]
    assert errors == []


@pytest.mark.parametrize(
    ("pattern", "source"),
    [("hashicorp/*", "evil.example/hashicorp/aws"), ("*/*", "a.example/b/c"), ("*", "b/c"),
     ("hashicorp/*", "evil/aws"), ("hashicorp/*", "hashicorp/external"),
     ("a.example/*", "a.example/b/c")],
)  # fmt: skip
def test_a_pattern_allows_no_provider_it_does_not_spell(pattern: str, source: str) -> None:
    text = f'terraform {{\n  required_providers {{\n    a = {{ source = "{source}" }}\n  }}\n}}\n'
    assert any("not allowed" in e.message for e in of_code(text, allow={"providers": (pattern,)}))


@pytest.mark.parametrize(
    "source", ["git::https://a.example/x/../../evil", "git::https://a.example/%2e%2e/e"]
)
def test_a_pattern_allows_no_module_that_climbs_out_of_it(source: str) -> None:
    found = of_code(
        f'module "m" {{\n  source = "{source}"\n}}\n',
        allow={"modules": ("git::https://a.example/*",)},
    )
    assert any("not allowed" in each.message for each in found)


@pytest.mark.parametrize(
    "settings",
    ['bucket = "other"', "bucket = var.b", 'profile = "x"', "use_lockfile = 1", "assume_role {}"],
)
def test_a_backend_that_differs_in_anything_is_refused(settings: str) -> None:
    text = f'terraform {{\n  backend "s3" {{\n    {settings}\n  }}\n}}\n'
    (found,) = of_code(text, backend=S3)
    assert "not the one of the fleet file" in found.message


def test_the_hint_on_a_backend_holds_the_lines_to_write_and_no_secret() -> None:
    text = 'terraform {\n  backend "s3" {\n    bucket = "b"\n    secret_key = "hunter22"\n  }\n}\n'
    (found,) = of_code(text)
    assert 'terraform: {backend: {s3: {bucket: "b"}}}' in found.hint
    assert "hunter22" not in repr(found)


def test_no_finding_shows_the_value_of_a_secret() -> None:
    found = judged({"root/main.tf": CLEAN, "root/terraform.tfvars": 'api_key = "hunter22"\n'})
    assert len(found) == 1
    assert "hunter22" not in repr(found)


def test_a_required_provider_needs_a_lock_file_and_the_hint_is_the_command() -> None:
    allow = {"providers": ("hashicorp/*",)}
    (found,) = of_code(AWS, allow=allow, binary="tofu")
    assert (found.place, "there is no .terraform.lock.hcl" in found.message) == (
        "root/main.tf:3:5",
        True,
    )
    assert "`tofu -chdir=root providers lock" in found.hint
    other = judged(
        {"root/main.tf": AWS.replace("aws", "google"), "root/.terraform.lock.hcl": LOCK},
        allow=allow,
    )
    assert "does not hold hashicorp/google" in other[0].message


def test_code_without_providers_needs_no_lock_file() -> None:
    assert of_code(CLEAN) == ()


def test_modules_that_call_each_other_in_a_circle_are_named_where_it_closes() -> None:
    files = {
        "root/main.tf": 'module "a" {\n  source = "./a"\n}\n',
        "root/a/main.tf": 'module "b" {\n  source = "../b"\n}\n',
        "root/b/main.tf": '\nmodule "c" {\n  source = "../a"\n}\n',
    }
    (found,) = judged(files)
    assert (found.place, "a circle" in found.message) == ("root/b/main.tf:3:3", True)


def test_a_module_called_twice_is_no_circle() -> None:
    call = 'module "{0}" {{\n  source = "./m"\n}}\n'
    files = {"root/main.tf": call.format("a") + call.format("b"), "root/m/main.tf": CLEAN}
    assert judged(files) == ()


def test_the_rules_hold_in_modules_and_not_in_folders_nobody_calls() -> None:
    hostile = HOSTILE["a program as data"][0]
    files = {"root/main.tf": 'module "m" {\n  source = "./m"\n}\n', "root/m/x.tf": hostile}
    assert [each.place for each in judged(files)] == ["root/m/x.tf:1:1"] * 2
    assert judged({"root/main.tf": CLEAN, "root/m/x.tf": hostile}) == ()


def test_a_backend_of_a_module_is_not_asked_about() -> None:
    files = {
        "root/main.tf": 'module "m" {\n  source = "./m"\n}\n',
        "root/m/x.tf": 'terraform {\n  backend "s3" {}\n}\n',
    }
    assert judged(files) == ()


def test_a_folder_without_code_is_no_root() -> None:
    assert "no Terraform code" in judged({"root/README": ""})[0].message


def test_a_root_at_the_top_of_a_source_is_one() -> None:
    assert judged({"main.tf": CLEAN}, path="") == ()
    assert judged({"main.tf": CLEAN, ".terraform/x": ""}, path="") != ()


@pytest.mark.slow
def test_code_nested_beyond_reading_is_an_error_and_no_crash() -> None:
    nested = "a ? b : " * 3_000 + "c"
    assert blocking(of_code(f"locals {{\n  x = {nested}\n}}\n"))
