"""Claims in Terraform roots: what is handed out counts, at its place, with the value that wins."""

from __future__ import annotations

from typing import Any

import pytest

from gitops.cidr import MAX_CLAIMS, Found, claims_in_root
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, SourceName
from gitops.model.sealed import SealedFile
from gitops.model.terraform import Environment, TerraformSpec


def claims(files: dict[str, str], **spec: Any) -> dict[str, Found]:
    """By range."""
    application = ApplicationSpec(
        ApplicationName("net"), SourceName("repo"), "net", terraform=TerraformSpec(**spec)
    )
    sealed = [SealedFile(path, text.encode()) for path, text in files.items()]
    return {str(each.range): each for each in claims_in_root(application, sealed)}


@pytest.mark.parametrize(
    "text",
    [
        'resource "aws_vpc" "main" {\n  cidr_block = "10.0.0.0/16"\n}',
        'resource "azurerm_virtual_network" "n" {\n  address_space = ["10.0.0.0/16"]\n}',
        'resource "google_compute_subnetwork" "n" {\n  ip_cidr_range = "10.0.0.0/16"\n}',
        (
            'resource "google_container_cluster" "c" {\n  ip_allocation_policy { '
            'cluster_ipv4_cidr_block = "10.0.0.0/16" }\n}'
        ),
        'module "vpc" {\n  cidr = "10.0.0.0/16"\n  source = "x"\n}',
        'locals {\n  vpc_cidr = "10.0.0.0/16"\n}',
        'locals {\n  nets = { prod = { cidr = "10.0.0.0/16" } }\n}',
        'variable "vpc_cidrs" {\n  default = { prod = "10.0.0.0/16" }\n}',
        (
            'variable "net" {\n  default = "10.0.0.0/16"\n}\n'
            'resource "aws_vpc" "main" {\n  cidr_block = var.net\n}'
        ),
        (
            'locals {\n  a = "10.0.0.0/16"\n  b = local.a\n}\n'
            'resource "aws_vpc" "main" {\n  cidr_block = local.b\n}'
        ),
        'resource "x" "y" {\n  cidrs = toset(["10.0.0.0/16"])\n}',
    ],
)
def test_what_is_handed_out_is_a_claim_at_its_line(text: str) -> None:
    (found,) = claims({"net/main.tf": text}).items()
    assert (found[0], found[1].place) == ("10.0.0.0/16", "net/main.tf:2")


CONTROL = 'resource "aws_vpc" "control" {\n  cidr_block = "10.200.0.0/16"\n}\n'


@pytest.mark.parametrize(
    "text",
    [
        'data "aws_vpc" "other" { cidr_block = "10.0.0.0/16" }',
        'resource "aws_security_group" "s" { ingress { cidr_blocks = ["10.0.0.0/16"] } }',
        (
            'resource "aws_security_group" "s" { dynamic "egress" { content { '
            'cidr_blocks = ["10.0.0.0/16"] } } }'
        ),
        'resource "aws_security_group_rule" "s" { cidr_blocks = ["10.0.0.0/16"] }',
        'resource "aws_vpc_security_group_ingress_rule" "s" { cidr_ipv4 = "10.0.0.0/16" }',
        'resource "aws_route" "r" { destination_cidr_block = "10.0.0.0/16" }',
        'resource "aws_route_table" "r" { route { cidr_block = "10.0.0.0/16" } }',
        'resource "aws_network_acl_rule" "r" { cidr_block = "10.0.0.0/16" }',
        (
            'resource "google_container_cluster" "c" { master_authorized_networks_config { '
            'cidr_blocks { cidr_block = "10.0.0.0/16" } } }'
        ),
        'resource "kubernetes_network_policy" "p" { spec { ip_block { cidr = "10.0.0.0/16" } } }',
        'resource "aws_vpc" "off" { count = 0\n cidr_block = "10.0.0.0/16" }',
        'locals { allowed_cidrs = ["10.0.0.0/16"] }',
        'variable "x" { default = { allowed_cidrs = ["10.0.0.0/16"] } }',
        'output "vpc_cidr" { value = "10.0.0.0/16" }',
        'locals { vpc_cidr = cidrsubnet("10.0.0.0/16", 4, 1) }',
        'locals { vpc_cidr = terraform.workspace == "p" ? "10.0.0.0/16" : "10.1.0.0/16" }',
        'locals { vpc_cidr = "${var.x}.0.0/16" }',
        "locals { vpc_cidr = local.vpc_cidr }",
        'locals { vpc_cidr = "0.0.0.0/0" }',
    ],
)
def test_a_mention_or_what_takes_evaluating_is_no_claim(text: str) -> None:
    assert list(claims({"net/main.tf": f"{text}\n{CONTROL}"})) == ["10.200.0.0/16"]


def test_a_file_that_cannot_be_read_hides_no_other() -> None:
    files = {"net/main.tf": "locals { vpc_cidr = ", "net/net.tf": CONTROL}
    assert list(claims(files)) == ["10.200.0.0/16"]


VARIABLE = 'variable "vpc_cidr" { default = "10.0.0.0/16" }'


def test_of_a_variable_s_values_the_one_that_wins_is_claimed() -> None:
    files = {"net/v.tf": VARIABLE}
    spec: dict[str, Any] = {}
    steps: list[tuple[dict[str, str], dict[str, Any]]] = [
        ({}, {"environment": Environment(plan={"TF_VAR_vpc_cidr": "10.1.0.0/16"})}),
        ({"net/terraform.tfvars": 'vpc_cidr = "10.2.0.0/16"'}, {}),
        ({"net/terraform.tfvars.json": '{"vpc_cidr": "10.3.0.0/16"}'}, {}),
        ({"net/a.auto.tfvars": 'vpc_cidr = "10.4.0.0/16"'}, {}),
        ({"net/b.auto.tfvars": 'vpc_cidr = "10.5.0.0/16"'}, {}),
        ({"env/x.tfvars": 'vpc_cidr = "10.6.0.0/16"'}, {"variable_files": ("../env/x.tfvars",)}),
        ({}, {"variables": {"vpc_cidr": "10.7.0.0/16"}}),
    ]
    assert list(claims(files)) == ["10.0.0.0/16"]
    for number, (more, settings) in enumerate(steps, 1):
        files |= more
        spec |= settings
        assert list(claims(files, **spec)) == [f"10.{number}.0.0/16"]
    (found,) = claims(files, **spec).values()
    assert found.place == "the fleet file's var.vpc_cidr"


def test_a_value_for_no_variable_is_no_claim() -> None:
    assert claims({"net/terraform.tfvars": 'vpc_cidr = "10.2.0.0/16"'}) == {}


def test_a_module_s_default_is_claimed_only_where_a_call_leaves_it() -> None:
    module = {"modules/net/v.tf": VARIABLE}
    call = 'module "n" {\n source = "../modules/net"\n %s \n}\n'
    assert claims(module) == {}
    left = {"net/main.tf": call % ""}
    assert claims(module | left)["10.0.0.0/16"].place == "modules/net/v.tf:1"
    given = {"net/main.tf": call % 'vpc_cidr = "10.1.0.0/16"'}
    assert list(claims(module | given)) == ["10.1.0.0/16"]


def test_modules_of_tests_claim_nothing() -> None:
    files = {
        "net/main.tf": "locals {}",
        "net/tests/a.tftest.hcl": 'run "x" {\n module { source = "./setup" }\n}',
        "net/setup/main.tf": 'resource "aws_vpc" "m" { cidr_block = "10.0.0.0/16" }',
    }
    assert claims(files) == {}


def test_either_syntax_says_the_same() -> None:
    text = '{"resource": {"aws_vpc": {"main": {"cidr_block": "10.0.0.0/16"}}}}'
    assert list(claims({"net/main.tf.json": text})) == ["10.0.0.0/16"]


def test_a_subnet_is_known_as_one() -> None:
    found = claims({"net/m.tf": 'resource "aws_subnet" "s" { cidr_block = "10.0.1.0/24" }'})
    assert found["10.0.1.0/24"].part


@pytest.mark.slow
def test_references_that_multiply_are_not_followed_for_ever() -> None:
    lines = ['x0 = ["10.0.0.0/16", "10.0.0.0/16"]']
    lines += [f"x{n} = [{', '.join([f'local.x{n - 1}'] * 9)}]" for n in range(1, 9)]
    text = "locals {\n" + "\n".join(lines) + "\n cidrs = local.x8\n}"
    assert len(claims({"net/main.tf": text})) <= 1


@pytest.mark.slow
def test_more_claims_than_anybody_has_are_cut_off() -> None:
    ranges = [f'"10.{n >> 8}.{n & 255}.0/30", "11.{n >> 8}.{n & 255}.0/30"' for n in range(5_100)]
    text = '{"locals": {"cidrs": [' + ",".join(ranges) + "]}}"
    assert len(claims({"net/main.tf.json": text})) == MAX_CLAIMS
