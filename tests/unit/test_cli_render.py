"""``gitops render``: from a bare folder to YAML that means the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops import yamlio
from gitops.cli import main
from gitops.cli.yaml_text import to_yaml

CONFIG = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: 'no', y: '012'}\n"
SECRET = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {p: hunter2hunter2}\n"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as left:
        main(["render", *arguments])
    return int(left.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    app = tmp_path / "app"
    app.mkdir()
    (app / "a.yaml").write_text(CONFIG)
    return app


def test_a_folder_is_rendered_without_any_fleet_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--local", str(folder)) == 0
    out = capsys.readouterr().out
    assert out.startswith("---\n# a.yaml:1\napiVersion: v1\nkind: ConfigMap\n")
    (document,) = yamlio.documents(out.encode(), "out")
    assert document.value["data"] == {"x": "no", "true": "012"}


def test_json_is_one_list_kubectl_takes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--local", str(folder), "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], len(told["items"])) == ("List", 1)


def test_values_of_secrets_are_hidden_unless_asked_for(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "s.yaml").write_text(SECRET + "---\n" + CONFIG.replace("'no'", "x-hunter2hunter2"))
    assert run("--local", str(folder)) == 0
    assert "hunter2" not in capsys.readouterr().out
    assert run("--local", str(folder), "--show-secrets") == 0
    assert "hunter2hunter2" in capsys.readouterr().out


def test_what_does_not_render_is_told_with_its_place(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "b.yaml").write_text("a: [\n")
    assert run("--local", str(folder)) == 1
    assert "b.yaml:2:1" in capsys.readouterr().err


def test_an_unknown_renderer_is_refused_with_the_known_ones(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--local", str(folder), "--renderer", "plian") == 1
    assert "kustomize" in capsys.readouterr().err


def test_without_fleet_file_and_folder_it_says_what_to_do(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run() == 1
    assert "gitops.yaml" in capsys.readouterr().err


FLEET = """\
sources: {config: {directory: config, authors: [ada]}}
clusters: {here: {in_cluster: true}}
applications:
  site: {path: site, terraform: {}}
  front: {path: front, namespace: shop, needs: {host: site.host}}
people: {ada: {emails: [ada@example.com]}, lin: {emails: [lin@example.com]}}
"""


@pytest.mark.slow
def test_where_an_output_is_taken_in_its_token_stands_and_of_a_root_it_is_said(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gitops.yaml").write_text(FLEET)
    for name in ("site", "front"):
        (tmp_path / "config" / name).mkdir(parents=True)
    (tmp_path / "config/site/main.tf").write_text('output "host" {\n  value = "a"\n}\n')
    (tmp_path / "config/front/a.yaml").write_text(CONFIG.replace("no", "${needs.host}"))
    assert run() == 0
    said = capsys.readouterr()
    (document,) = yamlio.documents(said.out.encode(), "out")
    assert document.value["data"]["x"] == "${needs.host}"
    assert "site: a Terraform root of 1 file: nothing to render" in said.err
    assert "it takes in outputs (host from site)" in said.err


def test_a_root_alone_is_refused_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "main.tf").touch()
    assert run("--local", str(tmp_path)) == 1
    said = capsys.readouterr().err
    assert "this is a Terraform root" in said
    assert "`gitops plan` then shows" in said


def test_nothing_is_left_behind(folder: Path, tmp_path: Path) -> None:
    before = {p for p in tmp_path.rglob("*") if ".hypothesis" not in p.parts}
    assert run("--local", str(folder)) == 0
    assert {p for p in tmp_path.rglob("*") if ".hypothesis" not in p.parts} == before


WORDS = [
    "y",
    "n",
    "no",
    "08",
    "012",
    "0o7",
    "1e3",
    "=",
    "<<",
    "~",
    "null",
    "12:30:45",
    "1_000",
    "2020-01-01",
    "#",
    "0x1f",
    ".5",
    "+1",
    "0b1",
    ".inf",
    "!x",
    "&x",
    "*x",
    "%",
    "@",
    "`",
    "[",
    "{",
    "?",
]
SHAPES = ["", " a", "a ", "a\nb", "a\n", "\n", "- a", "a: b", "? a", " a\nb", "a \nb"]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
    | st.sampled_from(WORDS + SHAPES),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abyn01", max_size=3), inner)
    ),
    max_leaves=8,
)


@pytest.mark.slow
@given(VALUES)
def test_what_is_printed_reads_back_as_the_same(value: Any) -> None:
    (document,) = yamlio.documents(to_yaml({"root": value}).encode(), "x")
    assert document.value == {"root": value}
