"""Plain files become manifests, or a refusal at file and line (hostile inputs Y1–Y5)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gitops.closures import moved
from planners.render import plain
from tests.contract.render_rig import Rig, body, config_map, named


@pytest.fixture
def rig(tmp_path: Path, tools: Any) -> Rig:
    return Rig(tmp_path, tools)


async def test_every_manifest_beneath_the_folder_is_taken_in_order_of_identity(rig: Rig) -> None:
    rig.write(
        {
            "app/b.yaml": config_map("b"),
            "app/sub/deep/a.yml": config_map("a") + "---\n" + config_map("c"),
            "app/d.json": '{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"d"}}',
            "app/README.md": "# no: yaml",
            "app/.hidden.yaml": "{broken",
            "app/.git2/x.yaml": "{broken",
            "other/x.yaml": "{broken",
        }
    )
    made = await rig.render(plain, "app")
    assert named(made) == ["ConfigMap a", "ConfigMap b", "ConfigMap c", "Deployment.apps d"]
    assert [str(m.origin) for m in made.manifests][:3] == [
        *("app/sub/deep/a.yml:1", "app/b.yaml:1", "app/sub/deep/a.yml:8"),
    ]
    assert [read.path for read in made.closure.reads] == ["app"]
    assert made.warnings == ()


async def test_another_commit_outside_the_folder_does_not_concern_it(rig: Rig) -> None:
    rig.write({"app/a.yaml": config_map("a"), "x.yaml": "a"})
    made = await rig.render(plain, "app")
    rig.write({"x.yaml": "b"})
    assert moved(made.closure, rig.snapshot) == ()
    rig.write({"app/README": "new"})
    assert moved(made.closure, rig.snapshot) == ("app",)


async def test_the_same_files_give_the_same_digest_and_others_another(rig: Rig) -> None:
    rig.write({"app/a.yaml": config_map("a", x="1")})
    first = await rig.render(plain, "app")
    assert (await rig.render(plain, "app")).digest == first.digest
    rig.write({"app/a.yaml": "# comment\n" + config_map("a", x="1")})
    commented = await rig.render(plain, "app")
    assert commented.digest == first.digest
    assert commented.closure.digest != first.closure.digest
    rig.write({"app/a.yaml": config_map("a", x="2")})
    assert (await rig.render(plain, "app")).digest != first.digest


async def test_globs_choose_files_and_belong_to_the_closure(rig: Rig) -> None:
    rig.write({f"app/{p}.yaml": config_map(p.replace("/", "-")) for p in ("a", "b", "s/a", "s/c")})
    everything = await rig.render(plain, "app")
    some = await rig.render(plain, "app", {"include": ["a.yaml", "s/*"], "exclude": ["s/c.yaml"]})
    assert named(some) == ["ConfigMap a", "ConfigMap s-a"]
    assert some.closure.digest != everything.closure.digest


async def test_lists_are_taken_apart_with_the_line_of_each_item(rig: Rig) -> None:
    text = (
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n"
        "  metadata: {name: s}\n- apiVersion: v1\n  kind: ConfigMapList\n"
        "  items:\n  - metadata: {name: inner}\n"
    )
    rig.write({"app/l.yaml": text})
    made = await rig.render(plain, "app")
    assert named(made) == ["ConfigMap inner", "Service s"]
    assert str(made.manifests[1].origin) == "app/l.yaml:4"


async def test_what_only_the_cluster_sets_is_left_out_and_said(rig: Rig) -> None:
    text = (
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: s\n  uid: 1-2\n  resourceVersion: '5'\n"
        "  creationTimestamp: null\n  managedFields: []\n  generation: 3\n  labels: {a: b}\n"
        "spec: {}\nstatus: {loadBalancer: {}}\n"
    )
    rig.write({"app/s.yaml": text})
    made = await rig.render(plain, "app")
    assert body(made, "s")["metadata"] == {"name": "s", "labels": {"a": "b"}}
    assert "status" not in body(made, "s")
    (warning,) = made.warnings
    assert warning.startswith("app/s.yaml:1: Service s: metadata.managedFields, ")
    assert "creationTimestamp" not in warning


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("kind: ConfigMap\nmetadata: {name: a}\n", "app/x.yaml:1", "no apiVersion"),
        ("apiVersion: v1\nmetadata: {name: a}\n", "app/x.yaml:1", "no kind"),
        ("---\n\napiVersion: v1\nkind: A\n", "app/x.yaml:3", "no metadata"),
        ("apiVersion: v1\nkind: A\nmetadata: {}\n", "app/x.yaml:1", "no metadata.name"),
        ("apiVersion: v1\nkind: A\nmetadata: {generateName: a-}\n", "app/x.yaml:1", "generateName"),
        ("apiVersion: v1\nkind: A\nmetadata: {name: 012}\n", "app/x.yaml:1", "no text"),
        ("apiVersion: v1\nkind: List\nitems:\n- a\n", "app/x.yaml:1", "item 1"),
        ("a: [\n", "app/x.yaml:2:1", "not valid YAML"),
        ("a: 1\na: 2\n", "app/x.yaml:2:1", "twice"),
    ],
)
async def test_a_broken_manifest_is_refused_at_its_line(
    rig: Rig, text: str, place: str, words: str
) -> None:
    rig.write({"app/good.yaml": config_map("a"), "app/x.yaml": text})
    error = await rig.refused(plain, "app")
    assert error.place == place
    assert words in error.message
    assert error.hint or "YAML" in error.message or "item" in error.message


async def test_charts_and_kustomizations_inside_are_said_and_not_applied(rig: Rig) -> None:
    rig.write(
        {
            "app/a.yaml": config_map("a"),
            "app/k/kustomization.yaml": "resources: [b.yaml]\n",
            "app/k/b.yaml": config_map("b"),
            "app/c/Chart.yaml": "name: c\n",
            "app/c/templates/x.yaml": "{{ broken",
        }
    )
    made = await rig.render(plain, "app")
    assert named(made) == ["ConfigMap a", "ConfigMap b"]
    assert len(made.warnings) == 2
    assert "renderer: helm" in made.warnings[0]
    assert "renderer: kustomize" in made.warnings[1]


async def test_links_within_the_source_are_followed_and_watched(rig: Rig) -> None:
    rig.write({"app/a.yaml": config_map("a"), "shared/b.yaml": config_map("b")})
    (rig.root / "app" / "b.yaml").symlink_to("../shared/b.yaml")
    (rig.root / "more" / "sub").mkdir(parents=True)
    rig.write({"more/sub/c.yaml": config_map("c")})
    (rig.root / "app" / "more").symlink_to("../more")
    made = await rig.render(plain, "app")
    assert named(made) == ["ConfigMap a", "ConfigMap b", "ConfigMap c"]
    rig.write({"shared/b.yaml": config_map("b", x="new")})
    assert moved(made.closure, rig.snapshot) == ("shared/b.yaml",)


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "x.yaml", "none", "."])
async def test_other_links_are_refused_by_name(rig: Rig, target: str) -> None:
    rig.write({"app/a.yaml": config_map("a")})
    (rig.root / "app" / "x.yaml").symlink_to(target)
    error = await rig.refused(plain, "app")
    assert "app/x.yaml" in str(error)


async def test_a_missing_folder_is_an_error_and_never_an_empty_application(rig: Rig) -> None:
    rig.write({"app/a.yaml": config_map("a")})
    assert "there is no 'gone'" in (await rig.refused(plain, "gone")).message


async def test_a_folder_without_manifests_says_so(rig: Rig) -> None:
    rig.write({"app/README": "x", "app/empty.yaml": "# nothing\n---\n"})
    made = await rig.render(plain, "app")
    assert made.manifests == ()
    assert made.warnings == ("app: no manifest found",)


@pytest.mark.parametrize("path", [b"\xff\xfe.yaml", b"sub/\xff/a.yaml", b"\xff/README"])
async def test_a_name_that_is_no_utf8_is_refused_readably(rig: Rig, path: bytes) -> None:
    rig.write({"app/a.yaml": config_map("a"), f"app/{os.fsdecode(path)}": config_map("b")})
    error = await rig.refused(plain, "app")
    assert "\\xff" in error.place
    assert "not UTF-8" in error.message
    str(error).encode()


async def test_a_picture_whose_name_is_no_utf8_stops_nothing(rig: Rig) -> None:
    rig.write({"app/a.yaml": config_map("a"), f"app/{os.fsdecode(b'caf' + bytes([233]))}.png": "x"})
    made = await rig.render(plain, "app")
    assert named(made) == ["ConfigMap a"]
    assert str([read.path for read in made.closure.reads]).encode()
