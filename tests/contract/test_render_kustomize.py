"""Kustomizations: exactly the files they name, by the real binary (hostile inputs K1–K4)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitops.children import Runner
from gitops.closures import moved
from planners.render import kustomize
from tests.contract.render_rig import Rig, body, config_map, named

SHOP = {
    "base/kustomization.yaml": (
        "resources: [web.yaml]\n"
        "configMapGenerator:\n- name: conf\n  files: [key=app.properties]\n  envs: [env.txt]\n"
    ),
    "base/web.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {}\n",
    "base/app.properties": "a=b\n",
    "base/env.txt": "X=1\n",
    "base/unused.yaml": "not: read",
    "prod/kustomization.yml": "namePrefix: prod-\nresources: [../base]\npatches:\n- path: p.yaml\n",
    "prod/p.yaml": (
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: NodePort}\n"
    ),
}


@pytest.fixture
def rig(tmp_path: Path, tools: Any) -> Rig:
    return Rig(tmp_path, tools)


async def test_an_overlay_is_built_with_the_places_of_its_objects(rig: Rig) -> None:
    made = await rig.write(SHOP).render(kustomize, "prod")
    assert [each.partition("-conf-")[0] for each in named(made)] == [
        *("ConfigMap prod", "Service prod-web"),
    ]
    assert body(made, "prod-web")["spec"] == {"type": "NodePort"}
    assert [str(m.origin) for m in made.manifests] == [
        *("base/kustomization.yaml:3:3", "base/web.yaml:1"),
    ]
    assert made.renderer.startswith("kustomize 1 (v5.")


async def test_its_closure_is_what_it_names_and_nothing_else(rig: Rig) -> None:
    made = await rig.write(SHOP).render(kustomize, "prod")
    rig.write({"base/unused.yaml": "changed", "base/new.yaml": "x", "README.md": "x"})
    assert moved(made.closure, rig.snapshot) == ()
    rig.write({"base/env.txt": "X=2\n"})
    assert moved(made.closure, rig.snapshot) == ("base/env.txt",)
    rig.write({"base/Kustomization": "x"})
    assert moved(made.closure, rig.snapshot) == ("base/Kustomization", "base/env.txt")


async def test_the_same_closure_is_built_once(rig: Rig) -> None:
    rig.write(SHOP)
    first = await rig.render(kustomize, "prod")
    rig.write({"base/unused.yaml": "changed"})
    again = await rig.render(kustomize, "prod")
    assert again.digest == first.digest
    assert len(rig.children.ran) == 1


async def test_a_tampered_cache_entry_is_ignored(rig: Rig) -> None:
    first = await rig.write(SHOP).render(kustomize, "prod")
    folder = rig.services.cache_dir / "render"
    (held,) = folder.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert held.stat().st_mode & 0o777 == 0o600
    kept = held.read_bytes()
    assert b"Service" not in kept, "what was rendered may hold secrets"
    held.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
    assert (await rig.render(kustomize, "prod")).digest == first.digest
    assert len(rig.children.ran) == 2


async def test_every_way_to_name_a_file_is_followed(rig: Rig) -> None:
    rig.write(
        {
            "app/kustomization.yaml": (
                "resources: [a.yaml]\ncomponents: [comp]\n"
                "configurations: [conf.yaml]\ntransformers: [t.yaml]\n"
                "patches:\n- {path: six.yaml, target: {kind: ConfigMap, name: a}}\n"
                "replacements:\n- path: r.yaml\n"
                "secretGenerator:\n- {name: s, envs: [s.env]}\n"
                "crds: [crd.json]\nopenapi: {path: schema.json}\n"
            ),
            "app/a.yaml": config_map("a", x="1", y="z"),
            "app/comp/kustomization.yaml": (
                "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
                "resources: [c.yaml]\n"
            ),
            "app/comp/c.yaml": config_map("c"),
            "app/conf.yaml": "nameReference: []\n",
            "app/t.yaml": (
                "apiVersion: builtin\nkind: PatchTransformer\nmetadata: {name: t}\npath: tp.yaml\n"
            ),
            "app/tp.yaml": config_map("a", t="why"),
            "app/six.yaml": '- {op: replace, path: /data/x, value: "2"}\n',
            "app/r.yaml": (
                "source: {kind: ConfigMap, name: a, fieldPath: data.x}\n"
                "targets: [{select: {kind: ConfigMap, name: a}, fieldPaths: [data.y]}]\n"
            ),
            "app/s.env": "p=w\n",
            "app/crd.json": "{}",
            "app/schema.json": '{"definitions": {}}',
        }
    )
    made = await rig.render(kustomize, "app")
    files = {p.relative_to(rig.root).as_posix() for p in rig.root.rglob("*") if p.is_file()}
    assert {read.path for read in made.closure.reads if read.oid} == files
    assert body(made, "a")["data"] == {"x": "2", "y": "2", "t": "why"}


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("resources: [https://github.com/a/b]\n", "1:13", "is remote"),
        ("resources:\n- git@github.com:a/b\n", "2:3", "is remote"),
        ("resources: [github.com/a/b?ref=v1]\n", "1:13", "is remote"),
        ("resources: ['https://u:hunter2@x/y']\n", "1:13", "is remote"),
        ("resources: [../../..]\n", "1:13", "leaves the source"),
        ("resources: [/etc/passwd]\n", "1:13", "is absolute"),
        ("resources: [.]\n", "1:13", "in a circle"),
        ("resources: [none.yaml]\n", "1:13", "there is no app/none.yaml"),
        ("resources: [folder]\n", "1:13", "no kustomization.yaml in app/folder"),
        ("resources: [link.yaml]\n", "1:13", "leaves the source"),
        ("resources: 1\n", "1:12", "is no list"),
        ("helmCharts: [{name: a}]\n", "1:13", "not rendered"),
        ("patches:\n- path: ../../../etc/passwd\n", "2:9", "leaves the source"),
        ("configMapGenerator:\n- {name: a, files: [k=/etc/passwd]}\n", "2:21", "absolute"),
        ("openapi: {path: https://x/y}\n", "1:17", "is remote"),
        ("crds: [https://x/y]\n", "1:8", "is remote"),
        (
            (
                "transformers:\n- |-\n  kind: X\n  metadata:\n    annotations:\n"
                "      config.kubernetes.io/function: 'exec: {path: ./x}'\n"
            ),
            "1",
            "functions",
        ),
        ("generators:\n- |-\n  kind: HelmChartInflationGenerator\n  a: b\n", "1", "charts"),
        ("a: [\n", "2:1", "not valid YAML"),
    ],
)
async def test_what_is_not_followed_is_refused_at_its_line_without_running_anything(
    rig: Rig, text: str, line: str, words: str
) -> None:
    rig.write({"app/kustomization.yaml": text, "app/folder/x": "", "app/ok.yaml": config_map("a")})
    (rig.root / "app" / "link.yaml").symlink_to("/etc/passwd")
    error = await rig.refused(kustomize, "app")
    assert error.place == f"app/kustomization.yaml:{line}"
    assert words in error.message
    assert "hunter2" not in str(error)
    assert rig.children.ran == []


async def test_a_long_chain_and_a_circle_are_named(rig: Rig) -> None:
    chain = {f"c{i}/kustomization.yaml": f"resources: [../c{i + 1}]\n" for i in range(200)}
    assert "in a chain" in (await rig.write(chain).refused(kustomize, "c0")).message
    rig.write({"a/kustomization.yaml": "resources: [../b]\n"})
    rig.write({"b/kustomization.yaml": "resources: [../a]\n"})
    assert "a → b → a" in (await rig.refused(kustomize, "a")).message


async def test_two_kustomizations_in_one_folder_are_refused(rig: Rig) -> None:
    rig.write({"a/kustomization.yaml": "{}", "a/Kustomization": "{}"})
    error = await rig.refused(kustomize, "a")
    assert error.message == "a holds both kustomization.yaml and Kustomization"


async def test_what_the_binary_refuses_is_placed_at_the_file_it_names(rig: Rig) -> None:
    rig.write(
        {
            "app/kustomization.yaml": "resources: [sub]\n",
            "app/sub/kustomization.yaml": "resources: [x.yaml]\n",
            "app/sub/x.yaml": "apiVersion: v1\nkind: A\nmetadata:\n  name: [\n",
        }
    )
    error = await rig.refused(kustomize, "app")
    assert error.place == "app/sub/x.yaml:4"
    rig.write({"app/kustomization.yaml": "resources: [sub]\nfooo: 1\n"})
    error = await rig.refused(kustomize, "app")
    assert "fooo" in error.message
    assert error.place.startswith("app/kustomization.yaml")


async def test_a_patch_that_does_not_fit_never_shows_its_content(rig: Rig) -> None:
    rig.write(
        {
            "app/kustomization.yaml": "resources: [a.yaml]\npatches:\n- patch: 'p: hunter2'\n",
            "app/a.yaml": config_map("a"),
        }
    )
    assert "hunter2" not in str(await rig.refused(kustomize, "app"))


async def test_links_inside_the_source_are_built_as_files(rig: Rig) -> None:
    rig.write(SHOP)
    (rig.root / "linked").symlink_to("base")
    rig.write({"app/kustomization.yaml": "resources: [../linked]\n"})
    made = await rig.render(kustomize, "app")
    assert "Service web" in named(made)
    rig.write({"base/web.yaml": config_map("other")})
    assert moved(made.closure, rig.snapshot) == ("base/web.yaml",)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('Resources: ["../../../../tmp/host"]\n', "1:1", "spelt 'resources'"),
        ('a: &a [x]\nRESOURCES: ["https://x/y"]\n', "1:1", "no field 'a'"),
        ("resources: [ok.yaml]\nre\u017fources: [ok.yaml]\n", "2:1", "spelt 'resources'"),
        ("<<: {Resources: [../x]}\n", "1", "spelt 'resources'"),
        ("configMapGenerator:\n- {name: a, Files: [/etc/passwd]}\n", "2:13", "spelt 'files'"),
        ("secretGenerator:\n- {name: a, ENV: /etc/passwd}\n", "2:13", "spelt 'env'"),
        ("patches:\n- Path: ../../x\n", "2:3", "spelt 'path'"),
        ("patchesJson6902:\n- patH: ../../x\n", "2:3", "spelt 'path'"),
        ("replacements:\n- PATH: ../../x\n", "2:3", "spelt 'path'"),
        ("images:\n- {name: a, newtag: b}\n", "2:13", "spelt 'newTag'"),
        ("images:\n- {name: a, tag: b}\n", "2:13", "no field 'tag'"),
        ("openapi: {Path: x}\n", "1:11", "spelt 'path'"),
        ("HelmCharts: [{name: a}]\n", "1:1", "spelt 'helmCharts'"),
        ("transformers:\n- |-\n  kind: P\n  Path: https://x/y\n", "2:1", "spelt 'path'"),
        ("transformers:\n- |-\n  kind: P\n  paths: [https://x/y]\n", "2:9", "is remote"),
        ("generators:\n- |-\n  kind: P\n  l: [{enVs: [x]}]\n", "2:6", "spelt 'envs'"),
        ("transformers: [plugin.yaml]\n", "", "spelt 'path'"),
        ("transformers: [folder]\n", "1:16", "is not followed"),
        (
            (
                "transformers:\n- |-\n  kind: X\n  metadata:\n    annotations:\n"
                "      config.k8s.io/function: 'exec: {path: ./x}'\n"
            ),
            "1",
            "functions",
        ),
    ],
)
async def test_a_field_that_kustomize_reads_and_we_would_not_is_refused_at_its_line(
    rig: Rig, text: str, line: str, words: str
) -> None:
    rig.write(
        {
            "app/kustomization.yaml": text,
            "app/ok.yaml": config_map("a"),
            "app/plugin.yaml": "apiVersion: builtin\nkind: PatchTransformer\nPath: https://x/y\n",
            "app/folder/kustomization.yaml": "resources: [x.yaml]\n",
        }
    )
    error = await rig.refused(kustomize, "app")
    assert words in error.message
    assert error.place.startswith(
        f"app/kustomization.yaml:{line}" if line else "app/plugin.yaml:3:1"
    )
    assert rig.children.ran == []


@pytest.mark.parametrize(
    "entry",
    [
        *("github.com/a/b", "GitHub.com/a/b", "github.com:a/b", "foo@127.0.0.1/a/b", "git::a/b/c"),
        *("f-o@h/a//b", "foo.git/a", "a/_git/b/c", "host.example/a//b", "host.example/a?ref=v1"),
        *("foo@127.0.0.1:a/b", "File:///etc", "a/b?version=2"),
    ],
)
async def test_what_kustomize_would_fetch_is_remote_even_if_there_is_a_folder_of_that_name(
    rig: Rig, entry: str
) -> None:
    folder = "/".join(part for part in f"app/{entry}".split("/") if part)
    rig.write(
        {
            "app/kustomization.yaml": f"resources: ['{entry}']\n",
            f"{folder}/kustomization.yaml": "resources: [a.yaml]\n",
            f"{folder}/a.yaml": config_map("a"),
        }
    )
    error = await rig.refused(kustomize, "app")
    assert "is remote" in error.message
    assert rig.children.ran == []


@pytest.mark.parametrize("entry", ["./github.com/a/b", "./foo@h/a/b", "./b.git", "gitlab.d/a"])
async def test_a_folder_with_a_name_like_an_address_is_built_when_it_is_named_as_a_path(
    rig: Rig, entry: str
) -> None:
    rig.write(
        {
            "app/kustomization.yaml": f"resources: ['{entry}']\n",
            f"app/{entry}/kustomization.yaml": "resources: [a.yaml]\n",
            f"app/{entry}/a.yaml": config_map("a"),
        }
    )
    assert named(await rig.render(kustomize, "app")) == ["ConfigMap a"]


async def test_nothing_is_built_where_the_network_cannot_be_cut(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("gitops.children._CANDIDATES", ())
    rig.write(SHOP).other_services(children=Runner(tmp_path))
    error = await rig.refused(kustomize, "prod")
    assert error.message == "kustomize is not run: its network cannot be cut on this machine"
    assert error.place == "prod/kustomization.yml"


@pytest.mark.parametrize(
    "generator",
    [
        "secretGenerator: [{name: s, literals: [CANARY-4f9]}]\n",
        'secretGenerator: [{name: s, literals: ["password: CANARY-4f9"]}]\n',
    ],
)
async def test_a_complaint_never_repeats_what_a_secret_is_made_of(rig: Rig, generator: str) -> None:
    rig.write({"prod/kustomization.yaml": generator})
    error = await rig.refused(kustomize, "prod")
    assert "CANARY" not in str(error)
    assert "prod/" in str(error)
