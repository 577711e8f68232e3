"""``webhooks:`` in the fleet file: both ways to write it, and what is wrong with it in words."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from gitops.config import load
from gitops.errors import ConfigError
from gitops.model.fleet import Fleet
from gitops.model.secret import SecretRef
from gitops.plugins import Role, plugins
from gitops.ports.inbound import Letter, LookAgain
from tests.web.hook_cases import SECRET, At, receiver

ENV = {"HOOK": "a secret", "HOME": "/nowhere"}
BASE = """\
api: {listen: 127.0.0.1:8080}
sources:
  shop: {git: https://git.example.com/acme/shop}
webhooks:
"""


def fleet(folder: Path, webhooks: str, base: str = BASE) -> Fleet:
    path = folder / "gitops.yaml"
    path.write_text(base + textwrap.indent(textwrap.dedent(webhooks), "  "))
    return load(path, ENV)


def problems(folder: Path, webhooks: str, base: str = BASE) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        fleet(folder, webhooks, base)
    return [str(each).replace(f"{folder}/", "") for each in refused.value.problems]


def test_the_name_is_the_kind_or_stands_before_it(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("whsec_abc")
    (tmp_path / "token").chmod(0o600)
    found = fleet(
        tmp_path,
        """\
        github: {secret: {env: HOOK}}
        ops: {gitlab: {secret: {file: token}, previous_secret: {env: HOOK}, sources: [shop]}}
        gitea: {github: {secret: {env: HOOK}}}
        images: {generic: {secret: {env: HOOK}, sources: [shop], timestamp_header: X-Time}}
        """,
    )
    assert [(each.name, each.kind, each.sources) for each in found.webhooks] == [
        ("github", "github", ()),
        ("ops", "gitlab", ("shop",)),
        ("gitea", "github", ()),
        ("images", "generic", ("shop",)),
    ]
    assert found.webhooks[1].options == {
        "secret": SecretRef(file=tmp_path / "token"),
        "previous_secret": SecretRef(env="HOOK"),
    }


@pytest.mark.parametrize(
    ("webhooks", "said"),
    [
        ("github: {secret: {env: NOPE}}", "5:12: environment variable NOPE is not set"),
        ("github: {secret: {file: gone}}", "5:12: file gone cannot be read"),
        ("ops: {gitea: {secret: {env: NOPE}}}", "5:17: environment variable NOPE is not set"),
        ("github: {secret: abc}", '5:20: option "secret" of webhook github is a secret in clear'),
        ("github: {sources: [shop]}", '5:3: webhook github needs an option "secret"'),
        ("github: {secret: {env: HOOK}, sources: [shp]}", '5:43: there is no source "shp"'),
        ("github: {secret: {env: HOOK}, sources: shop}", '5:42: "sources" has to be a list'),
        ("github: {secret: {env: HOOK}, sources: []}", '5:33: "sources" has to be a list'),
        ("github: {secret: {env: HOOK}, colour: red}", 'has no option "colour"'),
        ("ops: {secret: {env: HOOK}}", '5:3: webhook "ops" does not say what it listens to'),
        ("ops: {gitlob: {secret: {env: HOOK}}}", '5:9: there is no webhook "gitlob"'),
        ("generic: {secret: {env: HOOK}}", "5:3: a generic webhook does not say what changed"),
        (
            "generic: {secret: {env: HOOK}, sources: [shop], header: X Y}",
            "webhook generic: 'X Y' is not the name of a header",
        ),
        ("github:", 'nothing is written after "github"'),
        ("github: yes", 'webhook "github" has to be a mapping'),
        ("GitHub: {github: {secret: {env: HOOK}}}", '5:3: the name "GitHub" is not a name'),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, webhooks: str, said: str) -> None:
    [problem] = problems(tmp_path, webhooks)
    assert said in problem
    assert "\n" in problem, "and what to do about it"


def test_webhooks_need_an_address_to_come_in_at(tmp_path: Path) -> None:
    base = BASE.replace("api: {listen: 127.0.0.1:8080}\n", "")
    [problem] = problems(tmp_path, "github: {secret: {env: HOOK}}", base)
    assert "3:1: webhooks need an address to come in at" in problem


def test_a_webhook_and_a_notifier_cannot_have_one_name(tmp_path: Path) -> None:
    base = f"notifiers: {{github: console}}\n{BASE}"
    [problem] = problems(tmp_path, "github: {secret: {env: HOOK}}", base)
    assert 'a webhook and a notifier are called "github"' in problem
    assert "gitops.yaml:1:13" in problem


def test_without_resolving_secrets_none_has_to_be_there(tmp_path: Path) -> None:
    path = tmp_path / "gitops.yaml"
    path.write_text(BASE + "  github: {secret: {env: NOPE}}\n")
    assert load(path, {}, resolve_secrets=False).webhooks


def test_the_webhooks_of_the_readme_load_beside_any_source(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (block,) = (b for b in re.findall(r"```yaml\n(.*?)```", text, re.S) if "webhooks:" in b)
    path = tmp_path / "gitops.yaml"
    path.write_text(f"{block}\nsources: {{shop: {{git: https://git.example.com/acme/shop}}}}\n")
    found = load(path, {"HOME": str(tmp_path)}, resolve_secrets=False).webhooks
    assert [(each.name, each.kind) for each in found] == [
        ("github", "github"),
        ("ops-gitlab", "gitlab"),
        ("images", "generic"),
    ]
    for kind in plugins(Role.WEBHOOK):
        assert f"(`{kind}`)" in text


def test_the_line_of_the_readme_signs_what_the_generic_webhook_takes(tmp_path: Path) -> None:
    """The shell of the README, with what it would send printed."""
    text = (Path(__file__).parents[2] / "README.md").read_text()
    (lines,) = re.findall(r"  body='\{\}'.*?(?=\n  ```)", text, re.S)
    script = re.sub(r"curl .*", 'echo "$now $mac $body"', lines)
    done = subprocess.run(
        ["bash", "-euc", script],
        env={**os.environ, "IMAGES_SECRET": SECRET},
        capture_output=True,
        text=True,
        check=True,
    )
    time, mac, body = done.stdout.split()
    found = receiver("generic", tmp_path, At(float(time)), timestamp_header="X-Timestamp")
    headers = {"x-timestamp": (time,), "x-hub-signature-256": (mac,)}
    assert found.hear(Letter(headers, body.encode())).words == (LookAgain(),)
