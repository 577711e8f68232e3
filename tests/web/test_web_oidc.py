"""An identity provider that lies, or somebody who speaks in its name: nobody gets in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from gitops.errors import GitopsError, NotAllowed, Transient
from gitops.model.serving import OidcSpec
from gitops.web.auth.oidc import LARGEST, Attempt, Provider
from tests.contract.store_story import Clock

OURS = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
THEIRS = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
CURVE = ECKey.generate_key("P-256", {"kid": "two", "use": "sig"})
NONCE, CLIENT = "the nonce", "gitops"
CALLBACK = "http://127.0.0.1:8080/sign-in/return"


class Handler(BaseHTTPRequestHandler):
    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}
    asked: ClassVar[list[tuple[str, str, str]]] = []

    def log_message(self, format: str, *args: Any) -> None: ...

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0)).decode()
        Handler.asked.append((self.path, self.headers.get("authorization", ""), body))
        code, content = Handler.answers.get(self.path, (404, b"{}"))
        self.send_response(code)
        self.send_header("content-length", str(len(content)))
        if code == 302:
            self.send_header("location", "/elsewhere")
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815 - the server's names


@dataclass
class Liar:
    issuer: str
    clock: Clock = field(default_factory=Clock)

    def says(self, path: str, value: Any, code: int = 200) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        Handler.answers[path] = (code, content)

    def describes(self, **more: Any) -> None:
        known = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/me",
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
            **more,
        }
        self.says("/.well-known/openid-configuration", known)

    def keys(self, *keys: Any) -> None:
        self.says("/keys", {"keys": [key.as_dict(private=False) for key in keys]})

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(self.clock.time)
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "ada", "iat": now, "exp": now + 300}
        return {k: v for k, v in {**claims, "nonce": NONCE, **more}.items() if v is not None}

    def token(self, **more: Any) -> str:
        return jwt.encode({"alg": "RS256", "kid": "one"}, self.claims(**more), OURS)

    def provider(self) -> Provider:
        return Provider(OidcSpec(self.issuer, CLIENT), CALLBACK, self.clock)

    async def finish(self, provider: Provider | None = None, **answer: str) -> Any:
        attempt = Attempt("state", NONCE, "verifier", "/", self.clock.time + 600)
        given = {"state": "state", "code": "code", **answer}
        return await (provider or self.provider()).finish(attempt, given)

    async def hands_out(self, token: Any, provider: Provider | None = None) -> Any:
        self.says("/token", {"id_token": token, "access_token": "access", "token_type": "Bearer"})
        return await self.finish(provider)


@pytest.fixture
def liar() -> Iterator[Liar]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    Handler.answers, Handler.asked = {}, []
    found = Liar(f"http://127.0.0.1:{server.server_port}")
    found.describes()
    found.keys(OURS, CURVE)
    found.says("/me", {"sub": "ada"})
    yield found
    server.shutdown()
    server.server_close()


def part(value: Any) -> str:
    content = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def by_secret(liar: Liar, secret: bytes) -> str:
    """Signed with what everybody knows, as if it were a shared secret (CVE-2015-9235)."""
    text = f"{part({'alg': 'HS256', 'kid': 'one'})}.{part(liar.claims())}"
    return f"{text}.{part(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def hand_made(header: Any, claims: Any, signature: bytes = b"") -> str:
    return f"{part(header)}.{part(claims)}.{part(signature)}"


def signed(header: Any, claims: Any) -> str:
    """By the right key, whatever the header says."""
    text = f"{part(header)}.{part(claims)}"
    key = OURS.get_op_key("sign")
    signature = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    return f"{text}.{part(signature)}"


def flipped(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def other_claims(liar: Liar) -> str:
    head, _, signature = liar.token().split(".")
    return f"{head}.{part(liar.claims(sub='root'))}.{signature}"


FORGED: dict[str, Callable[[Liar], Any]] = {
    "none": lambda liar: hand_made({"alg": "none"}, liar.claims()),
    "none, in capitals": lambda liar: hand_made({"alg": "NONE"}, liar.claims()),
    "no algorithm": lambda liar: hand_made({}, liar.claims()),
    "the public key as secret": lambda liar: by_secret(liar, OURS.as_pem(private=False)),
    "the client id as secret": lambda liar: by_secret(liar, CLIENT.encode()),
    "no secret at all": lambda liar: by_secret(liar, b""),
    "another key": lambda liar: jwt.encode({"alg": "RS256", "kid": "one"}, liar.claims(), THEIRS),
    "a key that comes along": lambda liar: jwt.encode(
        {"alg": "RS256", "kid": "one", "jwk": THEIRS.as_dict(private=False)}, liar.claims(), THEIRS
    ),
    "an unknown key": lambda liar: jwt.encode(
        {"alg": "RS256", "kid": "three"}, liar.claims(), THEIRS
    ),
    "one bit of the signature": lambda liar: flipped(liar.token()),
    "other claims": other_claims,
    "another issuer": lambda liar: liar.token(iss="https://evil.example"),
    "the issuer with a slash": lambda liar: liar.token(iss=f"{liar.issuer}/"),
    "no issuer": lambda liar: liar.token(iss=None),
    "another audience": lambda liar: liar.token(aud="other"),
    "no audience": lambda liar: liar.token(aud=None),
    "two audiences, for the other": lambda liar: liar.token(aud=[CLIENT, "other"], azp="other"),
    "two audiences, for nobody": lambda liar: liar.token(aud=[CLIENT, "other"]),
    "handed to somebody else": lambda liar: liar.token(azp="other"),
    "expired": lambda liar: liar.token(exp=int(liar.clock.time) - 61),
    "without an end": lambda liar: liar.token(exp=None),
    "an end in words": lambda liar: liar.token(exp="tomorrow"),
    "not yet": lambda liar: liar.token(nbf=int(liar.clock.time) + 61),
    "made in the future": lambda liar: liar.token(iat=int(liar.clock.time) + 61),
    "of no time": lambda liar: liar.token(iat=None),
    "another nonce": lambda liar: liar.token(nonce="replayed"),
    "no nonce": lambda liar: liar.token(nonce=None),
    "no subject": lambda liar: liar.token(sub=None),
    "an empty subject": lambda liar: liar.token(sub=""),
    "a subject that is a list": lambda liar: liar.token(sub=["ada"]),
    "a subject too long": lambda liar: liar.token(sub="a" * 256),
    "another access token": lambda liar: liar.token(at_hash=part(b"x" * 16)),
    "no text": lambda _: {"a": 1},
    "no token": lambda _: "",
    "two dots": lambda _: "..",
    "claims that are a list": lambda _: hand_made({"alg": "RS256", "kid": "one"}, []),
    "claims that are no JSON": lambda _: hand_made({"alg": "RS256"}, b"\xff\xfe"),
    "critical to understand": lambda liar: signed(
        {"alg": "RS256", "kid": "one", "crit": ["exp"], "exp": 1}, liar.claims()
    ),
    "unencoded": lambda liar: signed(
        {"alg": "RS256", "kid": "one", "b64": False, "crit": ["b64"]}, liar.claims()
    ),
    "encrypted": lambda _: "a.b.c.d.e",
}


async def test_an_honest_token_signs_in(liar: Liar) -> None:
    found = await liar.hands_out(liar.token(name="Ada", groups=["sre", 7, "ops"]))
    assert (found.subject, found.name) == (f"{liar.issuer}|ada", "Ada")
    assert found.groups == ("sre", "ops")
    curve = jwt.encode({"alg": "ES256", "kid": "two"}, liar.claims(), CURVE)
    assert (await liar.hands_out(curve)).subject == f"{liar.issuer}|ada"
    sent = [parse_qs(body) for path, _, body in Handler.asked if path == "/token"]
    assert sent[0]["code_verifier"] == ["verifier"]
    assert sent[0]["redirect_uri"] == [CALLBACK]


@pytest.mark.parametrize("name", FORGED)
async def test_a_forged_token_signs_nobody_in(liar: Liar, name: str) -> None:
    assert len(FORGED) == 40
    with pytest.raises(NotAllowed):
        await liar.hands_out(FORGED[name](liar))


async def test_a_rotated_key_is_found_and_a_liar_makes_us_ask_only_so_often(liar: Liar) -> None:
    provider = liar.provider()
    liar.keys(CURVE)
    for _ in range(5):
        with pytest.raises(NotAllowed):
            await liar.hands_out(liar.token(), provider)
    assert len([1 for path, *_ in Handler.asked if path == "/keys"]) <= 2
    liar.keys(OURS)
    liar.clock.time += 31
    assert (await liar.hands_out(liar.token(), provider)).subject.endswith("|ada")


async def test_groups_come_from_userinfo_of_the_same_person_alone(liar: Liar) -> None:
    liar.says("/me", {"sub": "ada", "groups": ["sre"]})
    assert (await liar.hands_out(liar.token())).groups == ("sre",)
    liar.says("/me", {"sub": "root", "groups": ["admins"]})
    with pytest.raises(NotAllowed, match="two people"):
        await liar.hands_out(liar.token())
    assert (await liar.hands_out(liar.token(groups=[]))).groups == ()


@pytest.mark.parametrize(
    "answer",
    [
        {"state": "another"},
        {"state": ""},
        {"state": "\u00e9"},
        {"iss": "https://evil.example"},
        {"error": "access_denied", "error_description": "<script>\n no"},
    ],
)
async def test_an_answer_to_another_question_is_refused(liar: Liar, answer: dict[str, str]) -> None:
    with pytest.raises(NotAllowed) as refused:
        await liar.finish(**answer)
    assert "\n" not in refused.value.message
    assert not any(path == "/token" for path, *_ in Handler.asked)


async def test_who_promises_to_name_itself_has_to(liar: Liar) -> None:
    liar.describes(authorization_response_iss_parameter_supported=True)
    liar.says("/token", {"id_token": liar.token()})
    with pytest.raises(NotAllowed, match="another identity provider"):
        await liar.finish()
    assert (await liar.finish(iss=liar.issuer)).subject.endswith("|ada")


@pytest.mark.parametrize(
    "lie",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"token_endpoint": "http://evil.example/token"},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": "https://user@evil.example/keys"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"jwks_uri": None},
        {"jwks_uri": "http://[::1"},
    ],
)
async def test_a_description_that_leads_astray_is_not_followed(
    liar: Liar, lie: dict[str, Any]
) -> None:
    liar.describes(**lie)
    with pytest.raises(Transient):
        await liar.provider().begin("/", 600)


@pytest.mark.parametrize(
    ("path", "content", "code"),
    [
        ("/token", b"<html>", 200),
        ("/token", b"[]", 200),
        ("/token", b"{}", 500),
        ("/token", b"", 302),
        ("/token", b"{}", 400),
        ("/token", b'{"error": ["x"]}', 401),
        ("/keys", b'{"keys": 7}', 200),
        ("/keys", b'{"keys": [{"kty": "RSA", "n": "!", "e": "AQAB"}, 7, {}]}', 200),
        ("/keys", b'{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}', 200),
        ("/keys", b"x" * (LARGEST + 1), 200),
        ("/me", b"\xff", 200),
    ],
)
async def test_an_answer_nobody_can_use_is_an_error_in_words(
    liar: Liar, path: str, content: bytes, code: int
) -> None:
    liar.says("/token", {"id_token": liar.token(), "access_token": "a"})
    liar.says(path, content, code)
    with pytest.raises(GitopsError) as told:
        await liar.finish()
    assert "\n" not in str(told.value.message)
    assert not any(asked == "/elsewhere" for asked, *_ in Handler.asked)


async def test_a_shared_secret_among_the_keys_signs_nothing(liar: Liar) -> None:
    key = OctKey.import_key("a shared secret of thirty-two b.", {"kid": "one"})
    liar.says("/keys", {"keys": [key.as_dict(), CURVE.as_dict(private=False)]})
    with pytest.raises(NotAllowed):
        await liar.hands_out(by_secret(liar, b"a shared secret of thirty-two b."))
