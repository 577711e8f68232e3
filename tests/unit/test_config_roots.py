"""Terraform roots of the fleet file: what the operator writes becomes exactly what they meant."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from gitops.config import changes, load
from gitops.config.backends import identity
from gitops.config.discover import instance
from gitops.config.environment import refusal
from gitops.config.needs import circles
from gitops.config.published import schema
from gitops.config.secrecy import gives_away, secrets_in
from gitops.errors import ConfigError
from gitops.model.fleet import ApplicationSpec, DriftPolicy, Fleet
from gitops.model.ids import ApplicationName
from gitops.model.secret import SecretRef
from gitops.model.terraform import STATEFUL, Allowed, Backend, Deadlines, Need, TerraformHost

HEAD = """\
sources: {infra: {git: https://git.example.com/infra.git}}
people: {ada: {emails: ada@example.com}}
"""
EVERYTHING = """\
clusters: {dev: {sandbox: default}}
applications:
  network:
    path: roots/network
    drift: report
    delete_budget: {objects: 0}
    needs: {zone: dns.zone}
    terraform:
      binary: tofu
      version: 1.12.6
      workspace: prod
      variables: {region: eu-1, sizes: [1, 2.5, {on: true}], nothing: null, hash_key: LockID}
      variable_files: [./prod.tfvars, ../common.tfvars.json]
      backend: {s3: {bucket: states, key: network, kms_key_id: alias/x, encrypt: true}}
      environment:
        plan: {AWS_REGION: eu-1, AWS_SESSION_TOKEN: {env: TOKEN}}
        apply: {AWS_SECRET_ACCESS_KEY: {file: key}}
      allow:
        providers: [hashicorp/*, registry.example.com/team/dns]
        modules: ["git::https://git.example.com/*"]
        external: true
        http: true
        provisioners: true
      deadlines: {init: 1m, plan: 2m, apply: 3h}
      drift_every: 30m
      stateful: [acme_ledger]
  dns: {path: roots/dns, terraform: {}}
  shop: {path: apps/shop, needs: {global.zone: {application: dns, output: zone}}}
terraform: {folders: bin, mirror: bin, cache: cache, parallel: 2, reserve: 1GiB}
"""
NETWORK, DNS, SHOP = map(ApplicationName, ("network", "dns", "shop"))


def fleet(folder: Path, text: str, **env: str) -> Fleet:
    (folder / "bin").mkdir(exist_ok=True)
    (folder / "key").write_text("k\n")
    (folder / "key").chmod(0o600)
    path = folder / "gitops.yaml"
    path.write_text(HEAD + text, encoding="utf-8")
    return load(path, {"HOME": str(folder), **env})


def root(folder: Path, terraform: str, rest: str = "") -> ApplicationSpec:
    text = f"applications: {{network: {{path: roots/network, terraform: {terraform}}}}}\n{rest}"
    return fleet(folder, text).applications[NETWORK]


def test_everything_can_be_said(tmp_path: Path) -> None:
    found = fleet(tmp_path, EVERYTHING, TOKEN="x")
    network = found.applications[NETWORK]
    spec = network.terraform
    assert spec is not None
    assert (spec.binary, spec.version, spec.workspace) == ("tofu", "1.12.6", "prod")
    assert spec.variables == {
        "region": "eu-1",
        "sizes": [1, 2.5, {"on": True}],
        "nothing": None,
        "hash_key": "LockID",
    }
    assert spec.variable_files == ("prod.tfvars", "../common.tfvars.json")
    settings = {"bucket": "states", "key": "network", "kms_key_id": "alias/x", "encrypt": True}
    assert spec.backend == Backend("s3", settings)
    assert spec.environment.plan == {
        "AWS_REGION": "eu-1",
        "AWS_SESSION_TOKEN": SecretRef(env="TOKEN"),
    }
    assert spec.environment.apply == {"AWS_SECRET_ACCESS_KEY": SecretRef(file=tmp_path / "key")}
    providers = ("hashicorp/*", "registry.example.com/team/dns")
    assert spec.allow == Allowed(providers, ("git::https://git.example.com/*",), True, True, True)
    assert spec.deadlines == Deadlines(
        timedelta(minutes=1), timedelta(minutes=2), timedelta(hours=3)
    )
    assert (spec.drift_every, spec.stateful) == (timedelta(minutes=30), ("acme_ledger",))
    assert (network.targets, network.clusters) == (("prod",), ())
    assert (network.renderer, network.drift) == ("terraform", DriftPolicy.REPORT)
    assert found.terraform == TerraformHost(
        (tmp_path / "bin",), tmp_path / "bin", tmp_path / "cache", 2, 1 << 30
    )


def test_nothing_has_to_be_said(tmp_path: Path) -> None:
    spec = root(tmp_path, "{}").terraform
    assert spec is not None
    assert (spec.binary, spec.version, spec.workspace, spec.backend) == (
        "terraform",
        "",
        "default",
        None,
    )
    assert spec.allow == Allowed()
    assert spec.stateful == STATEFUL


def test_needs_are_written_short_or_long(tmp_path: Path) -> None:
    found = fleet(tmp_path, EVERYTHING, TOKEN="x")
    assert found.applications[NETWORK].needs == {"zone": Need("dns", "zone")}
    assert found.applications[SHOP].needs == {"global.zone": Need("dns", "zone")}


@pytest.mark.slow
def test_editors_accept_every_key() -> None:
    Draft202012Validator(yaml.safe_load(schema())).validate(yaml.safe_load(HEAD + EVERYTHING))


def test_credentials_of_the_apply_are_looked_for_and_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[SecretRef] = []

    def spy(ref: SecretRef, _env: Any = None) -> str:
        read.append(ref)
        return "x"

    monkeypatch.setattr("gitops.config.rules.read_secret", spy)
    fleet(tmp_path, EVERYTHING, TOKEN="x")
    assert SecretRef(env="TOKEN") in read
    assert SecretRef(file=tmp_path / "key") not in read


def test_credentials_of_the_apply_that_everybody_may_read_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "open"
    path.write_text("canary\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="by everybody") as caught:
        root(tmp_path, "{environment: {apply: {AWS_SECRET_ACCESS_KEY: {file: open}}}}")
    assert "canary" not in str(caught.value)


def test_a_need_can_be_met_by_what_a_discovery_will_find(tmp_path: Path) -> None:
    found = fleet(
        tmp_path,
        "clusters: {dev: {sandbox: default}}\n"
        "applications: {shop: {path: s, needs: {vpc: root-network.vpc_id}}}\n"
        "discover: [{path: roots/*, name: 'root-{name}', terraform: {}}]\n",
    )
    assert found.applications[SHOP].needs["vpc"].application == "root-network"


def test_every_discovered_root_has_a_state_of_its_own(tmp_path: Path) -> None:
    found = fleet(
        tmp_path,
        "discover:\n"
        "  - path: roots/*\n"
        "    approval: {people: [ada]}\n"
        "    terraform:\n"
        '      workspace: "{application}-eu"\n'
        '      backend: {s3: {bucket: b, key: "{application}/state", tags: ["{application}"]}}\n',
    )
    spec = instance(found.discoveries[0], "network", "roots/network")
    assert (spec.name, spec.path, spec.approval.name) == ("network", "roots/network", "network")
    assert spec.terraform is not None
    assert spec.targets == ("network-eu",)
    assert spec.terraform.backend == Backend(
        "s3", {"bucket": "b", "key": "network/state", "tags": ["network"]}
    )


def test_a_discovery_may_leave_the_state_to_the_controller(tmp_path: Path) -> None:
    found = fleet(tmp_path, "discover: [{path: roots/*, terraform: {}}]\n")
    spec = instance(found.discoveries[0], "network", "roots/network")
    assert spec.terraform == found.discoveries[0].template.terraform


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (("s3", {"bucket": "b", "key": "k"}), ("s3", {"key": "k", "bucket": "b"}), True),
        (("s3", {"key": "k", "region": "x"}), ("s3", {"key": "k"}), True),
        (("s3", {"bucket": "b", "key": "k"}), ("s3", {"bucket": "b", "key": "l"}), False),
        (("local", {"path": "/s//a"}), ("local", {"path": "/s/./a"}), True),
        (("local", {"path": "/s/a"}), ("local", {"path": "/s/b"}), False),
        (("gcs", {"bucket": "b"}), ("s3", {"bucket": "b"}), False),
        (("pg", {"schema_name": "a"}), ("pg", {"schema_name": "b"}), False),
        (("pg", {}), ("pg", {"skip_schema_creation": True}), True),
    ],
)  # fmt: skip
def test_two_backends_are_one_state_when_their_places_are(
    one: tuple[str, dict[str, Any]], other: tuple[str, dict[str, Any]], same: bool
) -> None:
    first, second = (identity(Backend(*each), "default", {}) for each in (one, other))
    assert (first == second) is same


def test_the_environment_and_the_workspace_tell_states_apart() -> None:
    pg = Backend("pg")
    here, there = ({"PG_CONN_STR": SecretRef(env=name)} for name in ("HERE", "THERE"))
    assert identity(pg, "default", here) != identity(pg, "default", there)
    assert identity(pg, "default", here) != identity(pg, "prod", here)
    assert identity(pg, "default", here) == identity(pg, "default", {**here, "TF_VAR_x": "1"})


@pytest.mark.parametrize(
    "name",
    ["TF_CLI_ARGS", "TF_CLI_ARGS_apply", "TF_CLI_CONFIG_FILE", "TF_DATA_DIR", "TF_LOG_PATH",
     "TF_PLUGIN_CACHE_MAY_BREAK_DEPENDENCY_LOCK_FILE", "TF_WORKSPACE", "TF_REATTACH_PROVIDERS",
     "PATH", "LD_LIBRARY_PATH", "DYLD_INSERT_LIBRARIES", "HOME", "TMPDIR", "BASH_ENV", "LC_ALL"],
)  # fmt: skip
def test_no_variable_may_change_what_is_run(name: str) -> None:
    assert refusal(name) is not None


@pytest.mark.parametrize(
    "name",
    ["AWS_PROFILE", "TF_VAR_path", "TF_HTTP_ADDRESS", "TF_TOKEN_example_com", "HTTPS_PROXY",
     "PGHOST", "KUBE_CONFIG_PATH", "SSL_CERT_FILE", "TF_ENCRYPTION", "HOMEPAGE", "PATHS"],
)  # fmt: skip
def test_variables_of_providers_and_backends_are_fine(name: str) -> None:
    assert refusal(name) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("db_password", "x"), ("PGPASSWORD", "x"), ("API_KEY", "x"), ("apikey", "x"),
        ("token", "x"), ("client_secret", "x"), ("ssh_private_key", "x"), ("admin_pwd", "x"),
        ("password", 1234), ("anything", "-----BEGIN EC PRIVATE KEY-----\nx"),
        ("url", "https://u:p@h/"), ("dsn", "host=h password=p"), ("Authorization", "Basic x"),
    ],
)  # fmt: skip
def test_secrets_are_seen(name: str, value: object) -> None:
    assert gives_away(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("key", "states/network"), ("hash_key", "LockID"), ("key_name", "deployer"),
        ("ssh_public_key", "ssh-ed25519 AAAA"), ("secret_name", "db"), ("password_length", 20),
        ("token_ttl", "1h"), ("kms_key_id", "alias/x"), ("enable_secrets", True),
        ("secrets_manager_arn", "arn:aws:x"), ("password", ""), ("url", "https://h/p?x=1"),
        ("dsn", "postgres://user@h/db"), ("region", "eu-1"), ("tokens", 5), ("bypass", "x"),
        ("AWS_ACCESS_KEY_ID", "AKIA"), ("private_key_path", "/k"),
    ],
)  # fmt: skip
def test_neighbours_of_secrets_are_let_be(name: str, value: object) -> None:
    assert not gives_away(name, value)


def test_secrets_are_seen_wherever_they_are() -> None:
    value = {"a": [{"password": "x"}, {"name": "y"}], "b": {"c": "https://u:p@h/"}}
    assert set(secrets_in("settings", value)) == {("a", 0, "password"), ("b", "c")}
    assert list(secrets_in("passwords", ["x"])) == [(0,)]
    assert list(secrets_in("master_password", {"value": "x"})) == [("value",)]


def test_each_circle_is_told_once_and_long_chains_are_no_matter() -> None:
    needs = {"a": ["b"], "b": ["a", "c"], "c": ["c"], "d": ["a"]}
    told = list(circles("dabc", lambda name: needs[name]))
    assert sorted(told) == [["a", "b", "a"], ["c", "c"]]
    chain = {str(n): [str(n + 1)] for n in range(20_000)}
    assert not list(circles(["0"], lambda name: chain.get(name, [])))


BEFORE = "applications: {network: {path: a, terraform: {backend: {gcs: {bucket: b}}}}}\n"


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("", 'application "network" was removed: its resources and its state stay'),
        (BEFORE.replace("bucket: b", "bucket: c"), 'application "network" has another state'),
        (BEFORE.replace("backend", "workspace: x, backend"), "has another state"),
        (BEFORE + "terraform: {parallel: 1}\n", "terraform was changed: this takes effect at the"),
    ],
)
def test_a_reload_says_what_becomes_of_resources(tmp_path: Path, after: str, said: str) -> None:
    old, new = fleet(tmp_path, BEFORE), fleet(tmp_path, after)
    assert said in "\n".join(changes(old, new))


def test_a_reload_that_leaves_the_state_where_it_is_does_not_speak_of_it(tmp_path: Path) -> None:
    old = fleet(tmp_path, BEFORE)
    new = fleet(tmp_path, BEFORE.replace("bucket: b", "bucket: b, impersonate_service_account: x"))
    assert changes(old, new) == ('application "network" was changed',)
