"""A good fleet file becomes exactly the values the operator meant."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from gitops.config import load
from gitops.errors import ConfigError
from gitops.model.fleet import AutoApprove, ConflictPolicy, DriftPolicy, Fleet
from gitops.model.ids import ApplicationName, GroupName, PersonName, SourceName, TargetName
from gitops.model.secret import SecretRef
from gitops.model.source import Grade

TEN_LINES = """\
sources:
  shop-config: {git: https://git.example.com/shop.git}
clusters:
  dev: {sandbox: default}
applications:
  shop: {path: apps/shop}
people:
  ada: {emails: ada@example.com}
  bob: {emails: bob@example.com}
"""
SHOP, DEV, ADA = ApplicationName("shop"), TargetName("dev"), PersonName("ada")
CONFIG = SourceName("shop-config")


def fleet(folder: Path, text: str, **env: str) -> Fleet:
    path = folder / "gitops.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, {"HOME": str(folder), **env})


def test_ten_lines_are_enough(tmp_path: Path) -> None:
    assert len(TEN_LINES.splitlines()) < 10
    found = fleet(tmp_path, TEN_LINES)
    assert found.applications[SHOP].source == CONFIG
    assert found.applications[SHOP].clusters == (DEV,)
    assert found.sources[CONFIG].interval == timedelta(seconds=30)
    assert found.people.persons[ADA].emails == ("ada@example.com",)


def test_everything_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("k\n")
    (tmp_path / "key").chmod(0o600)
    (tmp_path / "hosts").write_text("")
    text = """\
sources:
  shop-config:
    git: git@git.example.com:shop.git
    ref: release/1
    interval: 2m
    credentials: {ssh_key: {file: key}, known_hosts: hosts}
  other: {directory: ., authors: [ada]}
clusters:
  dev: {sandbox: default, labels: {env: staging}}
  here: {in_cluster: true, labels: {env: prod}, namespace: cd}
applications:
  shop:
    source: shop-config
    path: ./apps/shop/
    clusters: {labels: {env: prod}}
    namespace: shop
    renderer: {plain: {exclude: [draft.yaml]}}
    run_as: shop/deployer
    approval: prod
    prune: false
    conflicts: leave
    drift: heal
    project: retail
    checks: {yaml-lint: false, kube-schema: {skip_kinds: [Odd]}}
    delete_budget: {objects: 3, fraction: 0.5, kinds: [Namespace]}
    verify_timeout: 90s
    labels: {team: retail}
  web:
    source: other
    clusters: dev
    approval: {quorum: 1, people: [bob], auto: {no_deletes: true, clusters: {env: staging}}}
approvals:
  prod:
    groups: [sre]
    quorum: 2
    merger_may_approve: true
    minimum_grade: signed
    expires_after: 1d
people:
  ada: {emails: [ada@example.com], github: ada, slack: T1:U1, sso: "https://id|1"}
  bob: {emails: [bob@example.com], gitlab: [bob, robert]}
groups: {sre: [ada, bob]}
bots: ["github:renovate[bot]"]
checks: {yaml-lint: {level: error}}
store: {url: postgresql+psycopg://gitops@db/gitops, password: {env: DB_PASSWORD}}
vault: {folder: /srv/vault, key: {env: VAULT_KEY}}
api: {socket: api.sock, listen: "127.0.0.1:8080"}
chart_hosts: [charts.example.com]
state_dir: ~/state
"""
    found = fleet(tmp_path, text, DB_PASSWORD="x", VAULT_KEY="x")
    shop = found.applications[SHOP]
    assert (shop.path, shop.clusters, shop.namespace) == ("apps/shop", ("here",), "shop")
    assert (shop.renderer, dict(shop.options)) == ("plain", {"exclude": ["draft.yaml"]})
    assert (shop.run_as, shop.project, shop.prune) == ("shop/deployer", "retail", False)
    assert (shop.conflicts, shop.drift) == (ConflictPolicy.LEAVE, DriftPolicy.HEAL)
    assert shop.approval.groups == (GroupName("sre"),)
    assert shop.approval.minimum_grade is Grade.SIGNED
    assert shop.approval.expires_after == timedelta(days=1)
    assert shop.verify_timeout == timedelta(seconds=90)
    assert {name: dict(options) for name, options in shop.checks.items()} == {
        "yaml-lint": {"level": "error", "enabled": False},
        "kube-schema": {"skip_kinds": ("Odd",)},
    }
    web = found.applications[ApplicationName("web")].approval
    assert (web.name, web.people) == ("web", ("bob",))
    assert web.auto == AutoApprove(no_deletes=True, clusters={"env": "staging"})
    source = found.sources[CONFIG]
    assert source.credentials.ssh_key == SecretRef(file=tmp_path / "key")
    assert source.credentials.known_hosts == tmp_path / "hosts"
    assert found.sources[SourceName("other")].url == str(tmp_path)
    assert found.people.persons[PersonName("bob")].logins == ("gitlab:bob", "gitlab:robert")
    assert found.store.password == SecretRef(env="DB_PASSWORD")
    assert found.state_dir == tmp_path / "state"
    assert found.api.socket == tmp_path / "api.sock"


def test_included_files_are_merged_by_section(tmp_path: Path) -> None:
    (tmp_path / "teams").mkdir()
    for team in ("retail", "search"):
        (tmp_path / "teams" / f"{team}.yaml").write_text(
            f"applications: {{{team}: {{path: {team}}}}}\nbots: [{team}@bots.example]\n"
        )
    found = fleet(tmp_path, f"include: teams/*.yaml\n{TEN_LINES}")
    assert set(found.applications) == {"shop", "retail", "search"}
    assert found.people.bots == ("retail@bots.example", "search@bots.example")


def test_a_path_starts_at_the_file_it_is_written_in(tmp_path: Path) -> None:
    (tmp_path / "team" / "config").mkdir(parents=True)
    (tmp_path / "team" / "part.yaml").write_text("sources: {local: {directory: config}}\n")
    text = TEN_LINES.replace("path: apps/shop", "path: apps/shop, source: shop-config")
    found = fleet(tmp_path, f"include: team/part.yaml\n{text}")
    assert found.sources[SourceName("local")].url == str(tmp_path / "team" / "config")


def test_anchors_and_merge_keys_save_typing(tmp_path: Path) -> None:
    text = TEN_LINES.replace(
        "applications:\n  shop: {path: apps/shop}\n",
        "x-common: &common {namespace: retail, prune: false}\n"
        "applications:\n"
        "  shop: {<<: *common, path: apps/shop}\n"
        "  web: {<<: [*common], path: apps/web, prune: true}\n",
    )
    found = fleet(tmp_path, text)
    assert [(a.namespace, a.prune) for a in found.applications.values()] == [
        ("retail", False),
        ("retail", True),
    ]


def test_plain_words_stay_words(tmp_path: Path) -> None:
    text = TEN_LINES.replace("{sandbox: default}", "{sandbox: default, labels: {a: no, b: 1:30}}")
    assert dict(fleet(tmp_path, text).clusters[DEV].labels) == {"a": "no", "b": "1:30"}


def test_two_fleet_files_never_share_their_state(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "gitops.yaml", tmp_path / "b" / "gitops.yaml"
    for path in (first, second):
        path.parent.mkdir()
        path.write_text(TEN_LINES)
    env = {"XDG_STATE_HOME": str(tmp_path / "state")}
    folders = {load(path, env).state_dir for path in (first, second)}
    assert len(folders) == 2
    assert {folder.parent for folder in folders} == {tmp_path / "state" / "gitops-controller"}


def test_a_git_repository_on_this_machine_needs_permission(tmp_path: Path) -> None:
    text = TEN_LINES.replace(
        "git: https://git.example.com/shop.git", "git: ./shop.git, allow_local: true"
    )
    assert fleet(tmp_path, text).sources[CONFIG].url == str(tmp_path / "shop.git")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080/r.git", "http://localhost/r.git", "ssh://git@h.example:22/r.git"]
)
def test_these_addresses_are_fine(tmp_path: Path, url: str) -> None:
    text = TEN_LINES.replace("https://git.example.com/shop.git", f"'{url}'")
    assert fleet(tmp_path, text).sources[CONFIG].url == url


def test_one_chart_can_go_into_two_namespaces(tmp_path: Path) -> None:
    text = TEN_LINES.replace(
        "shop: {path: apps/shop}",
        "shop: {path: apps/shop}\n  shop-b: {path: apps/shop, namespace: b}",
    )
    assert len(fleet(tmp_path, text).applications) == 2


def test_without_resolving_nothing_outside_has_to_exist(tmp_path: Path) -> None:
    text = TEN_LINES.replace("shop.git}", "shop.git, credentials: {token: {env: NOT_SET}}}")
    text = text.replace("{sandbox: default}", "{context: prod, kubeconfig: nowhere}")
    path = tmp_path / "gitops.yaml"
    path.write_text(text)
    found = load(path, {}, resolve_secrets=False)
    assert found.clusters[DEV].kubeconfig == tmp_path / "nowhere"
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    assert len(caught.value.problems) == 2


KUBECONFIG = """\
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: canary}}]
contexts: [{name: prod, context: {cluster: c, user: u}}]
"""


def test_the_kubeconfig_that_has_the_context_is_found(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("{}\n")
    (tmp_path / "real").write_text(KUBECONFIG)
    (tmp_path / "real").chmod(0o600)
    text = TEN_LINES.replace("{sandbox: default}", "{context: prod}")
    search = f"{tmp_path / 'absent'}:{tmp_path / 'empty'}:{tmp_path / 'real'}"
    found = fleet(tmp_path, text, KUBECONFIG=search)
    assert found.clusters[DEV].kubeconfig == tmp_path / "real"


def test_a_kubeconfig_with_secrets_open_to_everybody_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(KUBECONFIG)
    (tmp_path / "config").chmod(0o644)
    text = TEN_LINES.replace("{sandbox: default}", "{context: prod, kubeconfig: config}")
    with pytest.raises(ConfigError, match="by everybody") as caught:
        fleet(tmp_path, text)
    assert "canary" not in str(caught.value)


def test_a_file_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist") as caught:
        load(tmp_path / "gitops.yaml", {})
    assert "gitops init" in str(caught.value)


def test_a_folder_that_is_no_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "gitops.yaml").write_bytes(b"sources: {}\n# \xff\n")
    with pytest.raises(ConfigError, match=r"gitops\.yaml:2:1: not UTF-8"):
        load(tmp_path / "gitops.yaml", {})


def test_an_alias_bomb_is_refused_before_it_grows(tmp_path: Path) -> None:
    lines = ["x-a0: &a0 [b, b, b, b, b, b, b, b, b, b]"]
    lines += [f"x-a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match=r"gitops\.yaml:\d+:\d+: more than 200000 values"):
        fleet(tmp_path, "\n".join(lines))


def test_merge_keys_cannot_be_used_as_a_bomb(tmp_path: Path) -> None:
    wide = "x-wide: &w {" + ", ".join(f"k{n}: 1" for n in range(5000)) + "}\n"
    merged = "x-merged: {<<: [" + ", ".join(["*w"] * 5000) + "]}\n"
    with pytest.raises(ConfigError, match="more than 200000 values"):
        fleet(tmp_path, wide + merged)


def test_depth_is_bounded(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nested deeper than 64"):
        fleet(tmp_path, "x-a: " + "[" * 3000 + "]" * 3000)
