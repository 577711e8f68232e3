"""Only tests that apply nothing may run before an approval."""

from __future__ import annotations

import pytest

from gitops import hcl
from tests.unit.hcl_cases import CLEAN, sealed

AWS = 'resource "aws_vpc" "x" {}\n'
MOCK = 'mock_provider "aws" {}\n'


def said(test: str, code: str = AWS, name: str = "a.tftest.hcl", **more: str) -> str:
    """Empty when the file may run, else why not."""
    files = {"root/main.tf": code, f"root/{name}": test, **more}
    harmless, others = hcl.test_files(sealed(files), "root")
    assert len(harmless) + len(others) == 1
    return "".join(f"{each.place} {each.message}" for each in others)


@pytest.mark.parametrize(
    "test",
    [
        'run "a" {\n  command = plan\n}\n',
        'run "a" {\n  command = plan\n}\nrun "b" {\n  command = plan\n}\n',
        MOCK + 'run "a" {}\n',
        MOCK + 'run "a" {\n  command = apply\n}\n',
        "variables {\n  a = 1\n}\n",
    ],
)
def test_runs_that_plan_or_work_on_mocks_may_run(test: str) -> None:
    assert said(test) == ""


@pytest.mark.parametrize(
    "test",
    [
        'run "a" {}\n',
        'run "a" {\n  command = apply\n}\n',
        'run "a" {\n  command = "plan"\n}\n',
        'run "a" {\n  command = var.plan\n}\n',
        'run "p" {\n  command = plan\n}\nrun "a" {}\n',
        'mock_provider "google" {}\nrun "a" {}\n',
        'mock_provider "aws" {\n  alias = "b"\n}\nrun "a" {}\n',
        MOCK + 'provider "aws" {\n  alias = "real"\n}\nrun "a" {}\n',
        MOCK + 'run "a" {\n  module {\n    source = "x/y/z"\n  }\n}\n',
    ],
)
def test_runs_that_would_apply_are_named_and_not_run(test: str) -> None:
    assert "root/a.tftest.hcl:" in said(test)


def test_the_place_is_that_of_the_run_that_applies() -> None:
    text = said('run "p" {\n  command = plan\n}\nrun "a" {}\n')
    assert text.startswith('root/a.tftest.hcl:4:1 not run: run "a"')


def test_providers_of_modules_and_aliases_have_to_be_mocked_too() -> None:
    aliased = AWS + 'provider "aws" {\n  alias = "b"\n}\n'
    assert "'aws.b' is not mocked" in said(MOCK + 'run "a" {}\n', aliased)
    calls = AWS + 'module "m" {\n  source = "./m"\n}\n'
    inner = {"root/m/x.tf": 'resource "google_x" "x" {}\n'}
    assert "'google' is not mocked" in said(MOCK + 'run "a" {}\n', calls, **inner)


def test_provisioners_run_under_mocks() -> None:
    code = 'resource "aws_vpc" "x" {\n  provisioner "local-exec" {}\n}\n'
    assert "provisioners" in said(MOCK + 'run "a" {}\n', code)


def test_the_built_in_provider_is_harmless() -> None:
    assert said('run "a" {}\n', CLEAN) == ""


def test_both_syntaxes_count() -> None:
    assert said('{"run": {"a": {"command": "plan"}}}', name="a.tftest.json") == ""
    assert said('{"run": {"a": {}}}', name="a.tftest.json") != ""
    assert said('run "a" {}\n', name="tests/a.tofutest.hcl") != ""


def test_modules_are_followed_inside_the_source_alone() -> None:
    call = 'module "m" {{\n  source = "{}"\n}}\n'.format
    files = {
        "root/main.tf": call("../a") + call("../../b") + call("x/y/z"),
        "a/main.tf": call("./c"),
        "root/t.tftest.hcl": 'run "a" {\n  module {\n    source = "./setup"\n  }\n}\n',
    }
    assert hcl.local_modules(sealed(files), "root") == ("a", "a/c", "root/setup")
