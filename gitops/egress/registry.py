"""Reads manifests and blobs from an OCI registry: what the distribution specification calls pull.

https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pull and, for signing in,
https://distribution.github.io/distribution/spec/auth/token/. Used by the OCI source and, for
charts, by the Helm renderer.

The client libraries there are for Python were looked at first. ``oras`` (0.2.43) sets no time-out,
follows redirects anywhere, sends the password to whatever host a challenge names, holds answers of
any size, runs the credential helpers of the machine's Docker configuration and unpacks with
``extractall``; what would be left of it after overriding all that is the text of two paths.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from gitops.egress.addresses import is_loopback, split
from gitops.egress.answers import Answer, failure
from gitops.egress.client import Client, shown
from gitops.errors import SourceProblem
from gitops.model.source import SourceState

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_ACCEPT = f"{MANIFEST}, application/vnd.docker.distribution.manifest.v2+json"
MAX_MANIFEST = 1 << 20
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_HOST = re.compile(
    r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?|\[[0-9A-Fa-f:]+\](:[0-9]{1,5})?"
)
_FIELD = re.compile(r'([A-Za-z_]+)="([^"\\]*)"')


@dataclass(frozen=True, slots=True)
class Reference:
    """Where an artifact is: ``HOST[:PORT]/REPOSITORY[:TAG][@sha256:…]``."""

    host: str
    """With its port, if it has one."""
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def root(self) -> str:
        """The registry's address; plain http to this machine only."""
        name = urlsplit(f"//{self.host}").hostname or ""
        return f"{'http' if is_loopback(name) else 'https'}://{self.host}"

    @property
    def wanted(self) -> str:
        """What to ask for: the digest where there is one."""
        return self.digest or self.tag or "latest"

    def __str__(self) -> str:
        mark = f"@{self.digest}" if self.digest else f":{self.tag or 'latest'}"
        return f"{self.host}/{self.repository}{mark}"


@dataclass(frozen=True, slots=True)
class Login:
    """A name and what goes with it; never shown."""

    username: str
    secret: str

    @property
    def basic(self) -> str:
        """RFC 7617."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.secret}".encode()).decode()


def parse_reference(text: str) -> Reference:
    """Raises ValueError, in words that continue "the reference …" and repeat nothing of it."""
    rest = text.removeprefix("oci://")
    name, _, digest = rest.partition("@")
    host, _, path = name.partition("/")
    repository, colon, tag = path.partition(":")
    if not _HOST.fullmatch(host):
        raise ValueError("does not begin with a registry's host")
    try:
        split(f"//{host}")
    except ValueError:
        raise ValueError("names an impossible port") from None
    if not _REPOSITORY.fullmatch(repository) or len(repository) > 255:
        raise ValueError("names no repository of a registry")
    if colon and not _TAG.fullmatch(tag):
        raise ValueError("has a tag that is none")
    if "@" in rest and not DIGEST.fullmatch(digest):
        raise ValueError("has a digest that is none")
    return Reference(host, repository, tag, digest)


class Registry:
    """One repository of a registry, during one errand.

    ``login`` is called when the registry asks who we are, and its secret sent to the registry
    itself or to ``token_host``, to nobody else; ``token_host`` None leaves that to the client's
    ``permit``, for errands without a login. ``tokens`` outlives the errand where given: what was
    signed in once is tried again.
    """

    def __init__(
        self,
        client: Client,
        reference: Reference,
        *,
        login: Callable[[], Login | None] = lambda: None,
        token_host: str | None = "",
        tokens: dict[str, str] | None = None,
    ) -> None:
        self._client = client
        self._at = reference
        self._login = login
        self._token_host = token_host
        self._tokens = {} if tokens is None else tokens

    async def digest(self) -> str:
        """Of the manifest the reference names at present. Raises as :meth:`Client.ask` does, and
        SourceProblem when it is not there or not ours to read."""
        url = self._url("manifests", self._at.wanted)
        answer = await self._ask(url, MAX_MANIFEST, "HEAD")
        found = answer.headers.get("docker-content-digest", "")
        if DIGEST.fullmatch(found):
            return found
        return (await self.manifest())[0]

    async def manifest(self, digest: str = "") -> tuple[str, Mapping[str, Any]]:
        """(digest, manifest); its content is the digest's. Raises SourceProblem for anything but
        one artifact's manifest."""
        wanted = digest or self._at.wanted
        answer = await self._ask(self._url("manifests", wanted), MAX_MANIFEST)
        found = _sha256(answer.body)
        if DIGEST.fullmatch(wanted) and found != wanted:
            raise self._problem(f"the manifest has the digest {found}, not the one asked for")
        return found, self._parsed(answer)

    async def blob(self, digest: str, limit: int) -> bytes:
        """Content by its digest, which is checked."""
        body = (await self._ask(self._url("blobs", digest), limit)).body
        if (found := _sha256(body)) != digest:
            raise self._problem(f"the content has the digest {found}, not the one in the manifest")
        return body

    def _parsed(self, answer: Answer) -> Mapping[str, Any]:
        try:
            made = json.loads(answer.body)
        except (ValueError, RecursionError) as error:
            raise self._problem("the manifest is no JSON") from error
        if not isinstance(made, dict):
            raise self._problem("the manifest is no JSON object")
        if made.get("mediaType") == _INDEX or "manifests" in made:
            raise self._problem("the tag names an index of several artifacts, not one")
        return made

    def _url(self, kind: str, name: str) -> str:
        return f"{self._at.root}/v2/{self._at.repository}/{kind}/{name}"

    async def _ask(self, url: str, limit: int, method: str = "GET") -> Answer:
        headers = {"Accept": _ACCEPT if "/manifests/" in url else "*/*", **self._tokens}
        answer = await self._client.ask(url, limit=limit, method=method, headers=headers)
        if answer.status == 401:
            headers["Authorization"] = await self._sign_in(answer)
            self._tokens["Authorization"] = headers["Authorization"]
            answer = await self._client.ask(url, limit=limit, method=method, headers=headers)
        if answer.status != 200:
            self._tokens.clear()
            raise failure(answer, str(self._at), shown(url))
        return answer

    async def _sign_in(self, answer: Answer) -> str:
        """What to send as ``Authorization`` after this challenge."""
        challenge = answer.headers.get("www-authenticate", "")
        scheme = challenge.partition(" ")[0].lower()
        login = self._login()
        if scheme == "basic" and login is not None:
            return login.basic
        fields = dict(_FIELD.findall(challenge))
        if scheme != "bearer" or "realm" not in fields:
            raise failure(answer, str(self._at), shown(answer.url))
        return await self._token(fields, login)

    async def _token(self, fields: Mapping[str, str], login: Login | None) -> str:
        query = {key: fields[key] for key in ("service", "scope") if key in fields}
        realm = fields["realm"]
        self._check_realm(realm)
        url = f"{realm}{'&' if '?' in realm else '?'}{urlencode(query)}"
        headers = {"Authorization": login.basic} if login is not None else {}
        answer = await self._client.ask(url, limit=MAX_MANIFEST, headers=headers)
        if answer.status != 200:
            raise failure(answer, str(self._at), shown(realm))
        try:
            told = json.loads(answer.body)
        except (ValueError, RecursionError):
            told = None
        told = told if isinstance(told, dict) else {}
        token = told.get("token") or told.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise self._problem("the registry's sign-in gave no token", SourceState.REFUSED)
        return f"Bearer {token}"

    def _check_realm(self, realm: str) -> None:
        """Where a password may go is not the registry's say alone."""
        try:
            parts = split(realm)
        except ValueError as error:
            raise self._problem("the registry's sign-in has no address") from error
        host = (parts.hostname or "").lower()
        own = (urlsplit(f"//{self._at.host}").hostname or "").lower()
        if self._token_host is not None and host not in {own, self._token_host.lower()}:
            raise SourceProblem(
                f"the registry wants us to sign in at {host}, another host",
                state=SourceState.REFUSED,
                hint=f"if that is right, permit it: options: {{token_host: {host}}}",
                place=str(self._at),
            )

    def _problem(self, message: str, state: SourceState = SourceState.INVALID) -> SourceProblem:
        return SourceProblem(message, state=state, place=str(self._at))


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
