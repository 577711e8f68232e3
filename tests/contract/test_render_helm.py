"""Helm charts, by the real binary (hostile inputs H1–H7)."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from gitops.closures import moved
from gitops.errors import RenderError
from gitops.model.cluster import ClusterFacts
from planners.render import charts, helm
from tests.contract.render_rig import Rig, body, named

CHART = {
    "web/Chart.yaml": "apiVersion: v2\nname: web\nversion: 1.0.0\n",
    "web/values.yaml": "replicas: 1\ncolour: red\n",
    "web/templates/a.yaml": (
        "apiVersion: v1\nkind: ConfigMap\n"
        "metadata: {name: a, namespace: {{ .Release.Namespace }}}\n"
        'data:\n  replicas: "{{ .Values.replicas }}"\n  colour: "{{ .Values.colour }}"\n'
        '  release: "{{ .Release.Name }}"\n  kube: "{{ .Capabilities.KubeVersion.Version }}"\n'
        '  widget: "{{ .Capabilities.APIVersions.Has "example.com/v1/Widget" }}"\n'
    ),
    "web/templates/NOTES.txt": "notes",
    "web/crds/one.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: in-crds}\n",
}


@pytest.fixture
def rig(tmp_path: Path, tools: Any) -> Rig:
    return Rig(tmp_path, tools).write(CHART)


async def test_a_chart_is_rendered_for_its_target(rig: Rig) -> None:
    made = await rig.render(helm, "web", namespace="shop-ns")
    assert named(made) == ["ConfigMap in-crds", "ConfigMap shop-ns/a"]
    assert body(made, "a")["data"] == {
        "replicas": "1",
        "colour": "red",
        "release": "shop",
        "kube": "v1.35.4",
        "widget": "true",
    }
    assert {file.path for file in made.files} == {"web/templates/a.yaml", "web/crds/one.yaml"}
    assert all(file.rendered for file in made.files)
    assert str(made.manifests[1].origin) == "web/templates/a.yaml"
    assert made.renderer.startswith("helm 1 (v4.")


async def test_later_values_win_and_inline_values_win_over_all(rig: Rig) -> None:
    rig.write({"env/base.yaml": "replicas: 2\ncolour: blue\n", "env/prod.yaml": "replicas: 3\n"})
    options = {"files": ["../env/base.yaml", "../env/prod.yaml"], "values": {"colour": "green"}}
    made = await rig.render(helm, "web", options)
    assert body(made, "a")["data"]["replicas"] == "3"
    assert body(made, "a")["data"]["colour"] == "green"
    assert [read.path for read in made.closure.reads] == ["env/base.yaml", "env/prod.yaml", "web"]


async def test_its_closure_is_the_chart_its_values_and_the_target(rig: Rig) -> None:
    rig.write({"v.yaml": "replicas: 2\n"})
    first = await rig.render(helm, "web", {"files": ["../v.yaml"]})
    rig.write({"other": "x"})
    assert moved(first.closure, rig.snapshot) == ()
    again = await rig.render(helm, "web", {"files": ["../v.yaml"]})
    assert again.closure.digest == first.closure.digest
    assert len(rig.children.ran) == 2, "rendered twice the first time, never the second"
    newer = ClusterFacts("uid", "v1.36.0")
    other = await rig.render(helm, "web", {"files": ["../v.yaml"]}, facts=newer)
    assert other.closure.digest != first.closure.digest
    rig.write({"v.yaml": "replicas: 5\n"})
    assert moved(first.closure, rig.snapshot) == ("v.yaml",)


async def test_a_chart_may_lie_elsewhere_in_the_source(rig: Rig) -> None:
    rig.write({"apps/x/values.yaml": "replicas: 7\n"})
    options = {"chart": "../../web", "files": "values.yaml", "release": "rel"}
    made = await rig.render(helm, "apps/x", options)
    assert body(made, "a")["data"]["replicas"] == "7"
    assert body(made, "a")["data"]["release"] == "rel"


async def test_hooks_are_said_and_not_delivered(rig: Rig) -> None:
    for hook in ("pre-install", "test"):
        text = f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {hook}\n"
        rig.write(
            {f"web/templates/{hook}.yaml": f"{text}  annotations: {{helm.sh/hook: {hook}}}\n"}
        )
    made = await rig.render(helm, "web")
    assert "Pod pre-install" not in named(made)
    (warning,) = made.warnings
    assert warning == (
        "web/templates/pre-install.yaml: Pod pre-install is a pre-install hook and is not run"
    )


async def test_a_lookup_is_flagged(rig: Rig) -> None:
    template = CHART["web/templates/a.yaml"].replace("{{ .Values.colour }}", LOOKUP)
    made = await rig.write({"web/templates/a.yaml": template}).render(helm, "web")
    assert made.warnings[0].startswith("web/templates/a.yaml: uses `lookup`")


LOOKUP = '{{ (lookup "v1" "Secret" "a" "b").x | default "none" }}'


@pytest.mark.parametrize(
    "call",
    [
        "{{ randAlphaNum 8 }}",
        "{{ uuidv4 }}",
        "{{ now | unixEpoch }}",
        '{{ genPrivateKey "ed25519" | b64enc }}',
    ],
)
async def test_what_differs_between_two_renderings_is_refused_by_name(rig: Rig, call: str) -> None:
    text = f'apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData:\n  p: "{call}"\n'
    error = await rig.write({"web/templates/s.yaml": text}).refused(helm, "web")
    assert "two renderings differ in Secret s" in error.message


CIRCLE = '{{ define "x" }}{{ include "x" . }}{{ end }}{{ include "x" . }}'


@pytest.mark.parametrize(
    ("files", "place", "words"),
    [
        ({"web/templates/z.yaml": '{{ fail "stop here" }}'}, "web/templates/z.yaml:1:3", "stop"),
        ({"web/templates/z.yaml": "a\n{{ end }}"}, "web/templates/z.yaml:2", "unexpected"),
        ({"web/templates/z.yaml": "\n{{ .Values.a.b }}"}, "web/templates/z.yaml:2:10", "nil"),
        ({"web/templates/z.yaml": "a: [\n"}, "web/templates/z.yaml", "YAML parse error"),
        ({"web/templates/z.yaml": "a: b\n"}, "web/templates/z.yaml", "no apiVersion"),
        ({"web/values.yaml": "a: [\n"}, "web/values.yaml", "cannot load values.yaml"),
        ({"web/Chart.yaml": "a: [\n"}, "web/Chart.yaml:2:1", "not valid YAML"),
        ({"web/Chart.yaml": "version: 1\n"}, "web/Chart.yaml", "no usable name"),
        ({"web/templates/z.yaml": CIRCLE}, "web/templates/z.yaml:1", "include"),
        (
            {"web/values.schema.json": '{"properties": {"replicas": {"type": "string"}}}'},
            "web",
            "got number, want string",
        ),
        (
            {"web/values.schema.json": '{"properties": {"a": {"$ref": "file:///etc/passwd"}}}'},
            "web/values.schema.json",
            "outside itself",
        ),
        (
            {"web/values.schema.json": '{"$ref": "http://127.0.0.1/x"}'},
            "web/values.schema.json",
            "outside itself",
        ),
    ],
)  # fmt: skip
async def test_a_broken_chart_is_refused_at_its_file(
    rig: Rig, files: dict[str, str], place: str, words: str
) -> None:
    error = await rig.write(files).refused(helm, "web")
    assert error.place.startswith(place)
    assert words in error.message


async def test_a_template_without_end_is_stopped(rig: Rig) -> None:
    endless = "{{ range $i := until 100000000 }}aaaaaaaaaaaaaaaaaaaaaaaaaaaaa{{ end }}"
    error = await rig.write({"web/templates/z.yaml": endless}).refused(helm, "web")
    assert "MiB of memory" in error.message
    assert error.place == "web"


@pytest.mark.parametrize("name", ["values.yaml", "Chart.lock", "templates/z.yaml", "files/x"])
async def test_a_link_out_of_the_source_is_refused(rig: Rig, name: str) -> None:
    target = rig.root / "web" / name
    target.parent.mkdir(exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to("/etc/hostname")
    error = await rig.refused(helm, "web")
    assert error.place == f"web/{name}"
    assert "leaves the source" in error.message
    assert rig.children.ran == []


async def test_a_link_inside_the_source_works(rig: Rig) -> None:
    rig.write({"shared.yaml": "replicas: 9\ncolour: x\n"})
    (rig.root / "web" / "values.yaml").unlink()
    (rig.root / "web" / "values.yaml").symlink_to("../shared.yaml")
    made = await rig.render(helm, "web")
    assert body(made, "a")["data"]["replicas"] == "9"
    rig.write({"shared.yaml": "replicas: 1\n"})
    assert moved(made.closure, rig.snapshot) == ("shared.yaml",)


@pytest.mark.parametrize("path", ["../../x.yaml", "/etc/passwd", "none.yaml"])
async def test_values_files_stay_inside_the_source(rig: Rig, path: str) -> None:
    error = await rig.refused(helm, "web", files=[path])
    assert error.place.startswith("web")


async def test_local_and_vendored_dependencies_are_put_in(rig: Rig, tools: Any) -> None:
    rig.write(
        {
            "web/Chart.yaml": (
                "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies:\n"
                "- {name: lib, version: 1.0.0, repository: file://../lib}\n"
                "- {name: packed, version: 1.0.0, repository: https://example.com}\n"
            ),
            "lib/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 1.0.0\n",
            "lib/templates/l.yaml": CHART["web/crds/one.yaml"].replace("in-crds", "from-lib"),
            "packed/Chart.yaml": "apiVersion: v2\nname: packed\nversion: 1.0.0\n",
            "packed/templates/p.yaml": CHART["web/crds/one.yaml"].replace("in-crds", "from-packed"),
        }
    )
    package = [tools.path("helm"), "package", "packed", "--destination", "web/charts"]
    subprocess.run(package, cwd=rig.root, check=True, capture_output=True)
    made = await rig.render(helm, "web")
    assert {"ConfigMap from-lib", "ConfigMap from-packed"} <= set(named(made))
    rig.write({"lib/templates/l.yaml": "changed"})
    assert moved(made.closure, rig.snapshot) == ("lib",)


async def test_a_dependency_that_is_nowhere_is_named_with_what_to_do(rig: Rig) -> None:
    text = "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies:\n- name: redis\n"
    text += "  version: ^1.0.0\n  repository: https://example.com\n"
    error = await rig.write({"web/Chart.yaml": text}).refused(helm, "web")
    assert error.place == "web/Chart.yaml:5:3"
    assert "helm dependency update" in error.hint
    rig.write({"web/Chart.lock": "dependencies:\n- {name: redis, version: 1.2.3}\n"})
    error = await rig.refused(helm, "web")
    assert "not pinned" in error.message


async def test_a_circle_of_local_dependencies_is_refused(rig: Rig) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        text = f"apiVersion: v2\nname: {one}\nversion: 1.0.0\ndependencies:\n"
        text += f"- {{name: {other}, version: 1.0.0, repository: 'file://../{other}'}}\n"
        rig.write({f"{one}/Chart.yaml": text})
    assert "depend on one another" in (await rig.refused(helm, "a")).message


def packed(*members: tuple[str, bytes, bytes]) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        for name, kind, content in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            info.linkname = "/etc/passwd" if kind != tarfile.REGTYPE else ""
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return raw.getvalue()


GOOD = ("x/Chart.yaml", tarfile.REGTYPE, b"name: x\n")


@pytest.mark.parametrize(
    ("archive", "words"),
    [
        (packed(GOOD, ("x/l", tarfile.SYMTYPE, b"")), "no regular file"),
        (packed(GOOD, ("x/l", tarfile.LNKTYPE, b"")), "no regular file"),
        (packed(GOOD, ("x/l", tarfile.CHRTYPE, b"")), "no regular file"),
        (packed(GOOD, ("x/../../l", tarfile.REGTYPE, b"a")), "holds the path"),
        (packed(GOOD, ("/etc/l", tarfile.REGTYPE, b"a")), "holds the path"),
        (packed(GOOD, ("l", tarfile.REGTYPE, b"a")), "holds the path"),
        (packed(("x/a", tarfile.REGTYPE, b"a")), "no Chart.yaml"),
        (packed(GOOD, ("x/bomb", tarfile.REGTYPE, bytes(70 << 20))), "unpacks to over 64 MiB"),
        (packed(*[(f"x/{i}", tarfile.REGTYPE, b"") for i in range(10_001)]), "10,000 entries"),
        (packed(GOOD)[:-30], "damaged|no gzip"),
        (packed(GOOD) + packed(GOOD), "goes on behind its end"),
        (packed(GOOD, ("x/\udcff\udcfe", tarfile.REGTYPE, b"a")), r"\\xff"),
        (b"no gzip", "no gzip"),
        (bytes(21 << 20), "over 20 MiB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "archive",
)
async def test_a_hostile_archive_is_refused(rig: Rig, archive: bytes, words: str) -> None:
    rig.write({"web/charts/x-1.0.0.tgz": archive})
    with pytest.raises(RenderError, match=words):
        charts.unpack(archive, "p")
    error = await rig.refused(helm, "web")
    assert error.place == "web/charts/x-1.0.0.tgz"
    assert rig.children.ran == []


async def test_helm_sees_of_a_packaged_dependency_what_was_unpacked_here(rig: Rig) -> None:
    template = CHART["web/crds/one.yaml"].encode()
    inner = packed(
        ("y/Chart.yaml", tarfile.REGTYPE, b"apiVersion: v2\nname: y\nversion: 1.0.0\n"),
        ("y/templates/y.yaml", tarfile.REGTYPE, template.replace(b"in-crds", b"innermost")),
    )
    outer = packed(
        ("x/Chart.yaml", tarfile.REGTYPE, b"apiVersion: v2\nname: x\nversion: 1.0.0\n"),
        ("x/templates/x.yaml", tarfile.REGTYPE, template.replace(b"in-crds", b"first")),
        ("x/templates/x.yaml", tarfile.REGTYPE, template.replace(b"in-crds", b"second")),
        (f"x/templates/{'l' * 150}.yaml", tarfile.REGTYPE, template.replace(b"in-crds", b"long")),
        ("x/charts/y-1.0.0.tgz", tarfile.REGTYPE, inner),
    )
    rig.write({"web/charts/x-1.0.0.tgz": outer, "web/.helmignore": "y.yaml\n"})
    found = named(await rig.render(helm, "web"))
    assert {"ConfigMap second", "ConfigMap innermost", "ConfigMap long"} <= set(found)
    assert "ConfigMap first" not in found
    again = charts.repacked({"charts/x-1.0.0.tgz": outer}, "p")
    assert charts.repacked(again, "p") == again


@pytest.mark.parametrize(
    "draft",
    ["file:///etc/passwd", "http://127.0.0.1:1/x", "https://json-schema.org/../x", "x.json"],
)
async def test_a_schema_written_in_a_draft_of_its_own_is_refused(rig: Rig, draft: str) -> None:
    rig.write({"web/values.schema.json": json.dumps({"properties": {"a": {"$schema": draft}}})})
    error = await rig.refused(helm, "web")
    assert error.place == "web/values.schema.json"
    assert "would have to be fetched" in error.message
    assert rig.children.ran == []


@pytest.mark.parametrize(
    "draft",
    [
        *("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft-04/schema"),
        *("https://json-schema.org/draft/2020-12/schema", "http://json-schema.org/schema#"),
    ],
)
async def test_a_schema_written_in_a_known_draft_is_kept_to(rig: Rig, draft: str) -> None:
    schema = {"$schema": draft, "properties": {"replicas": {"type": "string"}}}
    rig.write({"web/values.schema.json": json.dumps(schema)})
    assert "replicas" in (await rig.refused(helm, "web")).message
    rig.write({"web/values.yaml": 'replicas: "1"\n'})
    assert "ConfigMap default/a" in named(await rig.render(helm, "web"))


async def test_a_chart_that_renders_nothing_is_empty_and_says_so(rig: Rig) -> None:
    rig.write({"none/Chart.yaml": "apiVersion: v2\nname: none\nversion: 1.0.0\n"})
    rig.write({"none/templates/a.yaml": "{{ if .Values.never }}\na: b\n{{ end }}\n"})
    made = await rig.render(helm, "none")
    assert made.manifests == ()
    assert made.warnings == ("none: the chart renders no manifest",)


async def test_a_file_and_a_folder_of_one_name_are_refused_with_their_place(rig: Rig) -> None:
    text = "apiVersion: v2\nname: web\nversion: 1.0.0\ndependencies:\n"
    text += "- {name: lib, version: 1.0.0, repository: 'file://../lib'}\n"
    rig.write({"web/Chart.yaml": text, "web/charts/lib": "a file"})
    rig.write({"lib/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 1.0.0\n"})
    error = await rig.refused(helm, "web")
    assert error.place == "web"
    assert "chart/charts/lib" in error.message


async def test_a_file_whose_name_is_no_utf8_is_refused_readably(rig: Rig) -> None:
    (rig.root / "web" / "templates" / os.fsdecode(b"\xff\xfe.yaml")).write_text("a: b\n")
    error = await rig.refused(helm, "web")
    assert error.place == "web/templates/\\xff\\xfe.yaml"
    str(error).encode()


async def test_what_a_chart_fails_with_never_repeats_a_value(rig: Rig) -> None:
    rig.write(
        {
            "app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n",
            "app/values.yaml": "auth: {pw: CANARY-4f9}\n",
            "app/templates/a.yaml": '{{ fail (printf "bad password %s" .Values.auth.pw) }}\n',
        }
    )
    with pytest.raises(RenderError) as caught:
        await rig.render(helm, "app")
    assert "CANARY" not in str(caught.value)
    assert "bad password" in str(caught.value)
