"""Charts from a real registry and a real chart repository: pinned, allowed, verified."""

from __future__ import annotations

import hashlib
import re
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gitops.errors import SourceUnavailable
from gitops.sandbox.recipes import TOOLS
from planners.render import helm
from tests.contract.render_rig import Rig, named
from tests.contract.test_render_helm import CHART

VALUES = "replicas: 4\n"


@pytest.fixture(scope="module")
def package(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``web-1.0.0.tgz``, packaged by helm."""
    folder = tmp_path_factory.mktemp("package")
    for path, text in CHART.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    command = [tools.path("helm"), "package", "web", "--destination", "out"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "out" / "web-1.0.0.tgz"


@pytest.fixture(scope="module")
def repository(package: Path, tools: Any) -> Iterator[str]:
    """A chart repository as any web server serves it."""
    subprocess.run([tools.path("helm"), "repo", "index", package.parent], check=True)

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(package.parent)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def registry(
    tools: Any, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """(``oci://…/web``, the manifest's digest) in a real registry, pushed by helm."""
    if "registry" not in TOOLS:
        pytest.skip("the toolbox knows no registry")
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
    )
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([tools.path("registry"), "serve", config], stdout=log, stderr=log)
    try:
        _await(f"http://127.0.0.1:{port}/v2/")
        push = [tools.path("helm"), "push", package, f"oci://127.0.0.1:{port}/charts"]
        done = subprocess.run([*push, "--plain-http"], check=True, capture_output=True, text=True)
        digest = re.search(r"sha256:[0-9a-f]{64}", done.stdout + done.stderr)
        assert digest
        yield f"oci://127.0.0.1:{port}/charts/web", digest[0]
    finally:
        server.terminate()
        server.wait()


def _await(url: str) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(url, timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the registry did not start")


@pytest.fixture
def rig(tmp_path: Path, tools: Any) -> Rig:
    return Rig(tmp_path, tools, ["127.0.0.1"]).write({"app/values.yaml": VALUES})


def sha256(file: Path) -> str:
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


async def test_a_chart_comes_from_a_registry_by_its_digest(
    rig: Rig, registry: tuple[str, str]
) -> None:
    chart, digest = registry
    options = {"chart": chart, "version": "1.0.0", "digest": digest, "files": ["values.yaml"]}
    made = await rig.render(helm, "app", options)
    assert named(made) == ["ConfigMap in-crds", "ConfigMap default/a"]
    assert made.files[0].path == f"{chart}:1.0.0/crds/one.yaml"
    assert [read.path for read in made.closure.reads] == ["app/values.yaml"]


async def test_a_wrong_digest_of_a_registry_is_refused(rig: Rig, registry: tuple[str, str]) -> None:
    chart, _ = registry
    error = await rig.refused(
        helm, "app", chart=chart, version="1.0.0", digest=f"sha256:{'0' * 64}"
    )
    assert "404" in error.message


async def test_a_version_that_is_not_the_pinned_content_is_refused(
    rig: Rig, registry: tuple[str, str]
) -> None:
    chart, digest = registry
    error = await rig.refused(helm, "app", chart=chart, version="1.0.1", digest=digest)
    assert "is that of web 1.0.0" in error.message


async def test_a_chart_comes_from_a_repository_and_is_fetched_once(
    rig: Rig, repository: str, package: Path
) -> None:
    options = {"repository": repository, "chart": "web", "version": "1.0.0"}
    options["digest"] = sha256(package)
    made = await rig.render(helm, "app", {**options, "files": ["values.yaml"]})
    assert "ConfigMap in-crds" in named(made)
    (held,) = (rig.services.cache_dir / "charts").iterdir()
    assert held.stat().st_mode & 0o777 == 0o600
    before = held.stat().st_mtime_ns
    await rig.render(helm, "app", {**options, "values": {"replicas": 9}})
    assert held.stat().st_mtime_ns == before
    held.write_bytes(held.read_bytes()[:-5] + b"evil!")
    again = await rig.render(helm, "app", {**options, "values": {"replicas": 10}})
    assert "ConfigMap in-crds" in named(again)


async def test_other_content_under_the_same_version_is_refused(rig: Rig, repository: str) -> None:
    pin = f"sha256:{'1' * 64}"
    error = await rig.refused(
        helm, "app", repository=repository, chart="web", version="1.0.0", digest=pin
    )
    assert "another than the pinned one" in error.message
    assert "published again" in error.hint


async def test_a_dependency_is_fetched_by_its_lock_and_its_pin(
    rig: Rig, repository: str, package: Path
) -> None:
    rig.write(
        {
            "app/Chart.yaml": (
                "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies:\n"
                f"- {{name: web, version: ^1.0.0, repository: '{repository}'}}\n"
            ),
            "app/Chart.lock": "dependencies:\n- {name: web, version: 1.0.0}\n",
        }
    )
    made = await rig.render(helm, "app", {"digests": {"web": sha256(package)}})
    assert "ConfigMap in-crds" in named(made)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"chart": "oci://evil.example/x"}, "evil.example is not allowed"),
        ({"chart": "oci://127.0.0.1@evil.example/x"}, "password"),
        ({"chart": "oci://127.0.0.1.evil.example/x"}, "not allowed"),
        ({"chart": "x", "repository": "http://evil.example"}, "not allowed"),
        ({"chart": "x", "repository": "file:///etc"}, "a chart that is fetched needs"),
        ({"chart": "x", "repository": "https://127.0.0.1:99999"}, "no valid address"),
        ({"chart": "oci://127.0.0.1/x", "digest": ""}, "not pinned by a digest"),
        ({"chart": "oci://127.0.0.1/x", "digest": "sha256:short"}, "not pinned by a digest"),
        ({"chart": "oci://127.0.0.1/x", "version": ""}, "has no version"),
    ],
)
async def test_what_is_not_allowed_is_never_asked(
    rig: Rig, options: dict[str, str], words: str
) -> None:
    pinned = {"version": "1.0.0", "digest": f"sha256:{'0' * 64}", **options}
    assert words in (await rig.refused(helm, "app", **pinned)).message


async def test_a_host_that_does_not_answer_may_pass(rig: Rig) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    options = {"repository": f"http://127.0.0.1:{port}", "chart": "x", "version": "1"}
    with pytest.raises(SourceUnavailable, match=r"127\.0\.0\.1 does not answer"):
        await rig.render(helm, "app", {**options, "digest": f"sha256:{'0' * 64}"})
