"""Requests in each provider's documented format (``tests/webhooks/*.json``), and how they sign."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitops.model.secret import SecretRef
from gitops.plugins import Role, Services, plugins
from gitops.ports.inbound import CheckAgain, Letter, PullAction, PullMoved, Receiver
from tests.unit.check_cases import Keyed, NoChildren

FOLDER = Path(__file__).parents[1] / "webhooks"
SECRET = "a secret of 32 characters, shared"
KEY = b"0123456789abcdef0123456789abcdef"
SIGNING_TOKEN = f"whsec_{base64.b64encode(KEY).decode()}"
A, B = "a" * 40, "b" * 40


@dataclass
class At:
    """A clock that stands still."""

    time: float = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


@dataclass(frozen=True)
class Case:
    """One of the files."""

    name: str
    headers: dict[str, str]
    body: Any
    kind: str = field(init=False)

    def __post_init__(self) -> None:
        kinds = sorted(plugins(Role.WEBHOOK), key=len, reverse=True)
        object.__setattr__(self, "kind", next(k for k in kinds if self.name.startswith(k)))

    def letter(self, body: Any = None, secret: str = SECRET) -> Letter:
        content = json.dumps(self.body if body is None else body).encode()
        return self.of(content, secret)

    def of(self, content: bytes, secret: str = SECRET) -> Letter:
        headers = {**self.headers, **signature(self.kind, content, secret)}
        return Letter({name: (value,) for name, value in headers.items()}, content)


def case(name: str) -> Case:
    found = json.loads((FOLDER / f"{name}.json").read_text())
    return Case(name, found["headers"], found["body"])


NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def signature(kind: str, content: bytes, secret: str = SECRET) -> dict[str, str]:
    """As the provider would sign: written here anew, from its documentation."""
    digest = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    return {
        "github": {"x-hub-signature-256": f"sha256={digest}"},
        "gitlab": {"x-gitlab-token": secret},
        "bitbucket-cloud": {"x-hub-signature": f"sha256={digest}"},
        "bitbucket-dc": {"x-hub-signature": f"sha256={digest}"},
        "gitea": {"x-gitea-signature": digest, "x-forgejo-signature": digest},
        "generic": {"x-hub-signature-256": f"sha256={digest}"},
    }[kind]


SIGNED_IN = {
    "github": "x-hub-signature-256",
    "gitlab": "x-gitlab-token",
    "bitbucket-cloud": "x-hub-signature",
    "bitbucket-dc": "x-hub-signature",
    "gitea": "x-forgejo-signature",
    "generic": "x-hub-signature-256",
}


def receiver(kind: str, folder: Path, clock: At | None = None, **options: Any) -> Receiver:
    """With its secret in a file."""
    file = folder / "secret"
    if not file.exists():
        file.write_text(options.pop("text", SECRET))
        file.chmod(0o600)
    services = Services(NoChildren(), Keyed(), clock or At(), folder / "state", folder / "cache")
    given = {"secret": SecretRef(file=file), **options}
    found: Receiver = plugins(Role.WEBHOOK)[kind].build(given, services)
    return found


def pulled(word: object) -> PullAction:
    assert isinstance(word, PullMoved)
    assert word.number == 7
    return word.action


def commit_of(word: object) -> str:
    assert isinstance(word, CheckAgain)
    return word.commit
