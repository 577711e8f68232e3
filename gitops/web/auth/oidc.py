"""Signs people in at the operator's identity provider: OpenID Connect, code flow with PKCE.

What may vary is pinned: the issuer by the fleet file, algorithms to asymmetric ones, the audience
to us, the answer to the question asked (state, nonce, verifier) and to the browser that asked it.
The protocol's pieces are Authlib's, the transport is ours, bounded and without redirects. Used by
:mod:`gitops.web.auth.oidc_routes`; who the person is, the fleet file says.
"""

from __future__ import annotations

import json
import secrets
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from gitops.egress.addresses import is_loopback
from gitops.errors import ConfigError, GitopsError, NotAllowed, Transient
from gitops.foreign import one_line
from gitops.model.serving import OidcSpec
from gitops.ports import Clock
from gitops.secrets import read_secret

ALGORITHMS = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519")
)
"""Signatures whose keys the provider alone has: neither ``none`` nor one made with a shared secret
(RFC 8725 3.1, 3.2)."""
LEEWAY = 60
"""Seconds that clocks may differ."""
FRESH = 3_600.0
"""Seconds a provider's description and keys are believed without asking again."""
AGAIN = 30.0
"""Seconds between two looks at its keys, however many signatures do not hold meanwhile."""
LARGEST = 1 << 20
SECONDS = 10.0
MOST_GROUPS = 1_000
_DESCRIPTION = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One browser's way to the provider and back."""

    state: str
    nonce: str
    verifier: str
    next: str
    until: float


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody as the provider knows them: foreign text."""

    subject: str
    """``ISSUER|SUBJECT``, as ``people: sso:`` has it."""
    name: str
    groups: tuple[str, ...]


class Provider:
    """Every method raises Transient when the provider cannot be reached or used now, NotAllowed for
    an answer that does not hold, ConfigError for a secret or certificate that cannot be read."""

    def __init__(self, spec: OidcSpec, callback: str, clock: Clock) -> None:
        self.spec, self.callback = spec, callback
        self._clock = clock
        self._trusted: ssl.SSLContext | None = None
        self._known: Mapping[str, Any] = {}
        self._keys: Mapping[str, Any] = {}
        self._known_at = self._keys_at = float("-inf")

    async def begin(self, next_: str, seconds: float) -> tuple[str, Attempt]:
        """Where to send the browser, and what to remember of it."""
        known = await self._description()
        attempt = Attempt(
            secrets.token_urlsafe(32),
            secrets.token_urlsafe(32),
            secrets.token_urlsafe(48),
            next_,
            self._clock.now() + seconds,
        )
        url = prepare_grant_uri(
            known["authorization_endpoint"],
            self.spec.client_id,
            "code",
            self.callback,
            list(self.spec.scopes),
            attempt.state,
            nonce=attempt.nonce,
            code_challenge=create_s256_code_challenge(attempt.verifier),
            code_challenge_method="S256",
        )
        return url, attempt

    async def finish(self, attempt: Attempt, answer: Mapping[str, str]) -> Identity:
        """Who came back. ``answer`` is the query of the return address."""
        known = await self._description()
        if not secrets.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise NotAllowed("the answer of the identity provider belongs to another question")
        # RFC 9207: where several providers are in play, an answer says whose it is.
        must = known.get("authorization_response_iss_parameter_supported") is True
        if answer.get("iss", self.spec.issuer if not must else "") != self.spec.issuer:
            raise NotAllowed("the answer comes from another identity provider")
        if "error" in answer:
            told = answer.get("error_description") or answer["error"]
            raise NotAllowed(f"the identity provider says: {one_line(told, 200)}")
        tokens = await self._redeem(known, answer.get("code", ""), attempt.verifier)
        claims = await self._claims(known, tokens, attempt.nonce)
        return await self._identity(known, tokens, claims)

    # --- the provider's description and keys ----------------------------------------------------

    async def _description(self) -> Mapping[str, Any]:
        now = self._clock.now()
        if now - self._known_at > FRESH:
            found = await self._get(self.spec.issuer.rstrip("/") + _DESCRIPTION)
            if found.get("issuer") != self.spec.issuer:
                raise Transient(
                    f"the identity provider calls itself {one_line(str(found.get('issuer')), 200)}",
                    hint="write that as issuer: of api: sign_in: oidc: if it is the right one",
                )
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                self._check(found.get(name))
            self._known, self._known_at = found, now
        return self._known

    def _check(self, url: object) -> str:
        """An address of the provider's: never less protected than the provider itself."""
        try:
            parts = urlsplit(url if isinstance(url, str) else "")
            here = is_loopback(urlsplit(self.spec.issuer).hostname or "")
            plain = parts.scheme == "http" and here and is_loopback(parts.hostname or "")
        except ValueError:
            parts, plain = urlsplit(""), False
        if not parts.hostname or not (plain or parts.scheme == "https") or parts.username:
            raise Transient("the identity provider describes itself in a way we cannot use")
        return parts.geturl()

    async def _key_set(self, *, anew: bool) -> KeySet:
        now = self._clock.now()
        if now - self._keys_at > (AGAIN if anew else FRESH):
            self._keys = await self._get(self._known["jwks_uri"])
            self._keys_at = now
        keys = self._keys.get("keys")
        usable = [
            key
            for key in (keys if isinstance(keys, list) else [])
            if isinstance(key, dict)
            and key.get("kty") in ("RSA", "EC", "OKP")
            and key.get("use", "sig") == "sig"
        ]
        try:
            return KeySet.import_key_set({"keys": usable})
        except (JoseError, ValueError, KeyError, TypeError):
            raise Transient("the identity provider's keys cannot be read") from None

    # --- the answer -----------------------------------------------------------------------------

    async def _redeem(
        self, known: Mapping[str, Any], code: str, verifier: str
    ) -> Mapping[str, Any]:
        body = prepare_token_request(
            "authorization_code", redirect_uri=self.callback, code=code, code_verifier=verifier
        )
        auth = _client(known, self.spec)
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "accept": "application/json",
        }
        url, headers, body = auth.prepare("POST", known["token_endpoint"], headers, body)
        return await self._ask("POST", url, headers=headers, content=body)

    async def _claims(
        self, known: Mapping[str, Any], tokens: Mapping[str, Any], nonce: str
    ) -> CodeIDToken:
        text = tokens.get("id_token")
        if not isinstance(text, str) or len(text) > LARGEST:
            raise NotAllowed("the identity provider sent no ID token")
        said = known.get("id_token_signing_alg_values_supported", ["RS256"])
        allowed = sorted(ALGORITHMS.intersection(said if isinstance(said, list) else ()))
        try:
            return self._verified(text, await self._key_set(anew=False), allowed, tokens, nonce)
        except (JoseError, ValueError):  # its keys may have been rotated since we looked
            keys = await self._key_set(anew=True)
        try:
            return self._verified(text, keys, allowed, tokens, nonce)
        except (JoseError, ValueError, TypeError, KeyError):
            raise NotAllowed("the identity provider's ID token does not hold") from None

    def _verified(
        self,
        text: str,
        keys: KeySet,
        algorithms: list[str],
        tokens: Mapping[str, Any],
        nonce: str,
    ) -> CodeIDToken:
        """OpenID Connect Core 1.0 3.1.3.7."""
        token = jwt.decode(text, keys, algorithms=algorithms)
        claims = CodeIDToken(
            token.claims,
            token.header,
            {
                "iss": {"essential": True, "value": self.spec.issuer},
                "aud": {"essential": True, "value": self.spec.client_id},
                "sub": {"essential": True},
                "exp": {"essential": True},
                "iat": {"essential": True},
                "nonce": {"essential": True, "value": nonce},
            },
            {
                "nonce": nonce,
                "client_id": self.spec.client_id,
                "access_token": tokens.get("access_token"),
            },
        )
        claims.validate(now=int(self._clock.now()), leeway=LEEWAY)
        return claims

    async def _identity(
        self, known: Mapping[str, Any], tokens: Mapping[str, Any], claims: Mapping[str, Any]
    ) -> Identity:
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= 255:
            raise NotAllowed("the identity provider does not say who signed in")
        more: Mapping[str, Any] = {}
        access = tokens.get("access_token")
        if self.spec.groups_claim not in claims and "userinfo_endpoint" in known and access:
            url = self._check(known["userinfo_endpoint"])
            more = await self._get(url, authorization=f"Bearer {access}")
            if more.get("sub") != subject:  # OpenID Connect Core 1.0 5.3.2
                raise NotAllowed("the identity provider speaks of two people at once")
        said = {**more, **claims}
        name = next(
            (said[key] for key in ("name", "preferred_username", "email") if said.get(key)), subject
        )
        groups = said.get(self.spec.groups_claim, [])
        listed = groups if isinstance(groups, list) else [groups]
        return Identity(
            f"{self.spec.issuer}|{subject}",
            one_line(str(name), 200),
            tuple(each for each in listed[:MOST_GROUPS] if isinstance(each, str)),
        )

    # --- transport ------------------------------------------------------------------------------

    async def _get(self, url: str, **headers: str) -> Mapping[str, Any]:
        return await self._ask("GET", url, headers={"accept": "application/json", **headers})

    async def _ask(self, method: str, url: str, **more: Any) -> Mapping[str, Any]:
        """A JSON object, bounded in size and time."""
        try:
            async with (
                httpx.AsyncClient(verify=self._trust(), timeout=SECONDS, trust_env=False) as client,
                client.stream(method, url, **more) as response,
            ):
                content = await _bounded(response)
        except httpx.HTTPError as error:
            raise Transient(
                f"the identity provider does not answer ({type(error).__name__})"
            ) from error
        found = _json(content)
        if response.status_code == 200 and isinstance(found, dict):
            return found
        told = found.get("error", "") if isinstance(found, dict) else ""
        message = f"the identity provider refused with {response.status_code} {told}".strip()
        kind: type[GitopsError] = NotAllowed if response.status_code in (400, 401) else Transient
        raise kind(one_line(message, 200))

    def _trust(self) -> ssl.SSLContext:
        """Read once: the system's certificates take longer to read than an answer takes to come."""
        if self._trusted is None:
            plain = self.spec.issuer.startswith("http:")
            try:
                self._trusted = (
                    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody, and is not used
                    if plain
                    else ssl.create_default_context(cafile=self.spec.ca_file)
                )
            except OSError as error:
                raise ConfigError(f"{self.spec.ca_file} cannot be used as certificates") from error
        return self._trusted


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for part in response.aiter_bytes():
        content += part
        if len(content) > LARGEST:
            raise Transient("the identity provider's answer is too large")
    return bytes(content)


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _client(known: Mapping[str, Any], spec: OidcSpec) -> ClientAuth:
    """How we prove ourselves; ``client_secret_basic`` is what every provider has to know."""
    if spec.client_secret is None:
        return ClientAuth(spec.client_id, None, "none")
    secret = read_secret(spec.client_secret)
    said = known.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    if isinstance(said, list) and "client_secret_basic" not in said:
        return ClientAuth(spec.client_id, secret, "client_secret_post")
    # RFC 6749 2.3.1 wants both encoded before they are joined.
    return ClientAuth(quote_plus(spec.client_id), quote_plus(secret), "client_secret_basic")
