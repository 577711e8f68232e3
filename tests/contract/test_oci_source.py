"""OCI artifacts as a source, from a real registry, and from one that misbehaves."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import socket
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gitops.clock import SystemClock
from gitops.errors import SourceProblem, SourceUnavailable
from gitops.model.fleet import GitCredentials
from gitops.model.ids import PersonName
from gitops.model.secret import SecretRef
from gitops.model.source import Revision, SourceState
from gitops.plugins import Services
from gitops.sources import oci
from gitops.sources.oci import OciSource
from gitops.sources.oci.source import FLUX
from tests.contract.lying_host import Host, Request, host
from tests.unit.check_cases import Keyed, NoChildren

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
FLUX_CONFIG = "application/vnd.cncf.flux.config.v1+json"
ORAS_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
EMPTY = "application/vnd.oci.empty.v1+json"


def packed(**files: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name.replace("__", "/") + ".yaml")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(raw.getvalue(), mtime=0)


ONE, TWO = packed(apps__one="kind: One\n"), packed(apps__one="kind: Uno\n", two="kind: Two\n")


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest(*layers: tuple[str, bytes], config: tuple[str, bytes] = (FLUX_CONFIG, b"{}")) -> bytes:
    def described(kind: str, data: bytes) -> dict[str, Any]:
        return {"mediaType": kind, "digest": sha256(data), "size": len(data)}

    made = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": described(*config),
        "layers": [described(*layer) for layer in layers],
        "annotations": {"org.opencontainers.image.revision": "main@sha1:0"},
    }
    return json.dumps(made).encode()


# --- a real registry --------------------------------------------------------------------------


@dataclass
class Registry:
    port: int

    def address(self, name: str) -> str:
        return f"127.0.0.1:{self.port}/{name}"

    def push(
        self,
        name: str,
        content: bytes,
        *,
        layer: str = FLUX,
        config: tuple[str, bytes] = (FLUX_CONFIG, b"{}"),
    ) -> str:
        """As the specification's push: blobs, then the manifest. Returns its digest."""
        repository, _, tag = name.partition(":")
        for blob in (content, config[1]):
            url = f"http://127.0.0.1:{self.port}/v2/{repository}/blobs/uploads/"
            begun = urllib.request.urlopen(urllib.request.Request(url, method="POST"))
            where = begun.headers["Location"]
            where += ("&" if "?" in where else "?") + f"digest={sha256(blob)}"
            self._put(where, blob, "application/octet-stream")
        made = manifest((layer, content), config=config)
        url = f"http://127.0.0.1:{self.port}/v2/{repository}/manifests/{tag}"
        self._put(url, made, MANIFEST)
        return sha256(made)

    def _put(self, url: str, data: bytes, kind: str) -> None:
        headers = {"Content-Type": kind}
        request = urllib.request.Request(url, data=data, method="PUT", headers=headers)
        urllib.request.urlopen(request).close()


@pytest.fixture(scope="module")
def registry(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
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
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield Registry(port)
    finally:
        server.terminate()
        server.wait()


class Watched:
    def __init__(self, folder: Path, url: str, **options: Any) -> None:
        self.folder = folder
        self.options = {"name": "config", "url": url, "stall": 2.0, **options}
        self.last: Revision | None = None
        self.restart()

    def restart(self) -> None:
        services = Services(
            NoChildren(), Keyed(), SystemClock(), self.folder / "state", self.folder / "cache"
        )
        self.source: OciSource = oci.build(oci.Options(**self.options), services)

    async def look(self) -> str:
        self.last = (await self.source.look(self.last)).revision
        return self.last.id

    async def files(self) -> dict[str, str]:
        assert self.last is not None
        snapshot = await self.source.snapshot(self.last)
        return {entry.path: snapshot.read(entry).decode() for entry in snapshot.files("")}

    async def refused(self, state: SourceState = SourceState.INVALID) -> str:
        with pytest.raises(SourceProblem) as caught:
            await self.source.look(self.last)
        assert caught.value.state is state, caught.value
        assert "s3cret" not in str(caught.value)
        return str(caught.value)


@pytest.mark.parametrize(
    ("layer", "config"), [(FLUX, (FLUX_CONFIG, b'{"a":1}')), (ORAS_LAYER, (EMPTY, b"{}"))]
)
async def test_an_artifact_as_flux_or_oras_writes_it_is_a_revision_by_its_digest(
    tmp_path: Path, registry: Registry, layer: str, config: tuple[str, bytes]
) -> None:
    digest = registry.push("team/shop:v1", ONE, layer=layer, config=config)
    watched = Watched(tmp_path, registry.address("team/shop:v1"))
    assert await watched.look() == digest
    assert watched.last is not None
    assert watched.last.ref == "v1"
    assert await watched.files() == {"apps/one.yaml": "kind: One\n"}
    told = await watched.source.authorship(None, watched.last, ())
    assert not told.known
    assert "a registry does not record" in told.note


async def test_a_tag_that_moves_is_seen_and_a_digest_stays(
    tmp_path: Path, registry: Registry
) -> None:
    first = registry.push("team/moving:live", ONE)
    tag = Watched(tmp_path / "a", f"oci://{registry.address('team/moving:live')}")
    pin = Watched(tmp_path / "b", registry.address(f"team/moving@{first}"))
    assert await tag.look() == await pin.look() == first
    second = registry.push("team/moving:live", TWO)
    assert await tag.look() == second
    assert await tag.files() == {"apps/one.yaml": "kind: Uno\n", "two.yaml": "kind: Two\n"}
    pin.restart()
    assert await pin.look() == first
    assert await pin.files() == {"apps/one.yaml": "kind: One\n"}


async def test_what_is_not_there_is_gone_and_what_was_there_stays(
    tmp_path: Path, registry: Registry
) -> None:
    registry.push("team/shop:v2", ONE)
    await Watched(tmp_path, registry.address("team/shop:v2")).look()
    watched = Watched(tmp_path, registry.address("team/shop:gone"))
    assert "nothing is deleted" in await watched.refused(SourceState.GONE)
    missing = Watched(tmp_path, registry.address(f"team/shop@sha256:{'0' * 64}"))
    await missing.refused(SourceState.GONE)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "0 bytes"), (b"no archive", "no gzip file"), (packed(), "holds no file")],
)
async def test_an_artifact_without_configuration_is_refused(
    tmp_path: Path, registry: Registry, content: bytes, words: str
) -> None:
    watched = Watched(tmp_path, registry.address("team/odd:live"), authors=(PersonName("ann"),))
    registry.push("team/odd:live", ONE)
    await watched.look()
    registry.push("team/odd:live", content)
    assert words in await watched.refused()
    assert await watched.files() == {"apps/one.yaml": "kind: One\n"}
    assert watched.last is not None
    assert (await watched.source.authorship(None, watched.last, ())).people == ("ann",)


async def test_an_image_is_no_configuration(tmp_path: Path, registry: Registry) -> None:
    registry.push("team/image:v1", ONE, layer="application/wasm")
    watched = Watched(tmp_path, registry.address("team/image:v1"))
    assert "it has: application/wasm" in await watched.refused()


# --- a registry that misbehaves ---------------------------------------------------------------


@pytest.fixture
def lying() -> Iterator[Host]:
    with host() as made:
        made.content["/v2/shop/manifests/v1"] = manifest((FLUX, ONE))
        made.content[f"/v2/shop/manifests/{sha256(manifest((FLUX, ONE)))}"] = manifest((FLUX, ONE))
        made.content[f"/v2/shop/blobs/{sha256(ONE)}"] = ONE
        yield made


def plain(served: Host, request: Request) -> None:
    body = served.content.get(request.path.partition("?")[0])
    if body is None:
        request.reply(404)
    elif request.command == "HEAD":
        request.reply(200, Docker_Content_Digest=sha256(body))
    else:
        request.reply(200, body)


async def test_what_is_not_what_its_digest_says_is_refused(tmp_path: Path, lying: Host) -> None:
    lying.answer = lambda request: plain(lying, request)
    watched = Watched(tmp_path, f"127.0.0.1:{lying.port}/shop:v1")
    lying.content[f"/v2/shop/blobs/{sha256(ONE)}"] = TWO
    assert "not the one in the manifest" in await watched.refused()
    lying.content[f"/v2/shop/blobs/{sha256(ONE)}"] = ONE
    lying.content[f"/v2/shop/manifests/{sha256(manifest((FLUX, ONE)))}"] = manifest((FLUX, TWO))
    assert "not the one asked for" in await watched.refused()


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>log in</html>", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "no JSON object"),
        (b'{"mediaType": "application/vnd.oci.image.index.v1+json"}', "an index of several"),
        (b'{"layers": 7}', "0 layers"),
        (b'{"layers": [1, null, {"mediaType": []}]}', "0 layers"),
        (manifest((FLUX, ONE), (FLUX, TWO)), "2 layers"),
        (manifest((FLUX, ONE)).replace(b"sha256:", b"sha257:"), "damaged"),
    ],
)
async def test_a_manifest_that_is_none_is_refused(
    tmp_path: Path, lying: Host, body: bytes, words: str
) -> None:
    lying.content["/v2/shop/manifests/v1"] = body
    lying.content[f"/v2/shop/manifests/{sha256(body)}"] = body
    lying.answer = lambda request: plain(lying, request)
    watched = Watched(tmp_path, f"127.0.0.1:{lying.port}/shop:v1")
    assert words in await watched.refused()


async def test_a_registry_that_sends_us_elsewhere_is_not_followed_without_leave(
    tmp_path: Path, lying: Host
) -> None:
    def answer(request: Request) -> None:
        if "/blobs/" in request.path:
            request.reply(307, Location="https://blobs.example/x?signature=s3cret")
        else:
            plain(lying, request)

    lying.answer = answer
    url = f"127.0.0.1:{lying.port}/shop:v1"
    said = await Watched(tmp_path / "a", url).refused(SourceState.REFUSED)
    assert "blobs.example, another host" in said
    assert "blob_hosts" in said
    allowed = Watched(tmp_path / "b", url, blob_hosts=("blobs.example",))
    with pytest.raises(SourceUnavailable, match=r"blobs\.example cannot be looked up"):
        await allowed.look()


def signing_in(served: Host, realm: str) -> None:
    def answer(request: Request) -> None:
        sent = request.headers.get("Authorization", "")
        if request.path.startswith("/token"):
            good = sent == "Basic YW5uOnMzY3JldA=="
            request.reply(200 if good else 401, b'{"token": "t0ken"}' if good else b"")
        elif sent == "Bearer t0ken":
            plain(served, request)
        else:
            challenge = f'Bearer realm="{realm}",service="reg",scope="repository:shop:pull"'
            request.reply(401, WWW_Authenticate=challenge)

    served.answer = answer


async def test_a_registry_is_signed_in_to_as_it_asks_and_once(
    tmp_path: Path, lying: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    credentials = GitCredentials(username="ann", token=SecretRef(env="TOKEN"))
    signing_in(lying, lying.url("/token"))
    watched = Watched(tmp_path, f"127.0.0.1:{lying.port}/shop:v1", credentials=credentials)
    await watched.look()
    await watched.look()
    tokens = [path for path in lying.paths if path.startswith("/token")]
    assert tokens == ["/token?service=reg&scope=repository%3Ashop%3Apull"]
    monkeypatch.setenv("TOKEN", "wrong")
    watched.restart()
    assert "other credentials" in await watched.refused(SourceState.REFUSED)


async def test_a_password_goes_to_no_host_the_registry_alone_names(
    tmp_path: Path, lying: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "s3cret")
    credentials = GitCredentials(username="ann", token=SecretRef(env="TOKEN"))
    with host() as other:
        signing_in(lying, other.url("/token", host="localhost"))
        watched = Watched(tmp_path, f"127.0.0.1:{lying.port}/shop:v1", credentials=credentials)
        said = await watched.refused(SourceState.REFUSED)
        assert "sign in at localhost, another host" in said
        assert "token_host: localhost" in said
        assert other.connections == 0


async def test_a_password_is_sent_as_basic_where_the_registry_asks_for_it(
    tmp_path: Path, lying: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: Request) -> None:
        if request.headers.get("Authorization") == "Basic YW5uOnMzY3JldA==":
            plain(lying, request)
        else:
            request.reply(401, WWW_Authenticate='Basic realm="reg"')

    lying.answer = answer
    url = f"127.0.0.1:{lying.port}/shop:v1"
    assert "credentials" in await Watched(tmp_path / "a", url).refused(SourceState.REFUSED)
    monkeypatch.setenv("TOKEN", "s3cret")
    credentials = GitCredentials(username="ann", token=SecretRef(env="TOKEN"))
    watched = Watched(tmp_path / "b", url, credentials=credentials)
    assert await watched.look() == sha256(manifest((FLUX, ONE)))
