"""Tokens of GitHub App installations: made when needed, kept in memory for less than an hour.

Called by git sources (from their worker threads, through ``Services.app_token``) and by GitHub's
client (:func:`app_signer`). A token is never in an argument, a file, a log or a message; the
private key is read anew for each one, so that it can be replaced while we run.

https://docs.github.com/apps/creating-github-apps/authenticating-with-a-github-app
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

from gitops.egress.addresses import Reach, is_loopback, reach_of, split
from gitops.egress.answers import Answer, retry_after
from gitops.egress.client import Patience, opened, shown
from gitops.errors import ConfigError, GitopsError, Permanent, SourceProblem, SourceUnavailable
from gitops.forges.settings import Options, Sign
from gitops.forges.shapes import Said, read
from gitops.model.fleet import GitHubApp
from gitops.model.source import SourceState
from gitops.plugins import AppToken
from gitops.ports import Clock
from gitops.secrets import read_secret

HEADERS = {"X-GitHub-Api-Version": "2022-11-28", "Accept": "application/vnd.github+json"}
"""Sent with every request to GitHub's API."""
_EARLY = 300.0
"""Seconds before its end at which a token is replaced: a long fetch may still be using it."""
_LONGEST = 3600.0
"""What GitHub documents; an answer that claims more is not believed."""
_YOUNG = 60.0
"""Seconds in which a refused token is not replaced: the next would be refused as well."""
_SKEW = 60.0
"""GitHub's own advice: dated back, in case our clock is ahead."""
_LIFE = 540.0
"""Of the JWT; GitHub takes at most ten minutes."""
_LIMIT = 64 << 10
_PATIENCE = Patience(timeout=20.0, stall=10.0)
_THREADS = ThreadPoolExecutor(4, thread_name_prefix="github-app")
"""Where a token is waited for. Whoever wants the same one waits for whoever asks for it; on the few
threads everybody shares, a GitHub that is silent would have everything else wait as well."""
_TOKEN = re.compile(r"[A-Za-z0-9_.~+/=-]{10,2000}\Z")


class _Given(Said):
    token: str
    expires_at: datetime


@dataclass(slots=True)
class _Held:
    """One installation's present token."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    token: str = ""
    minted: float = 0.0
    until: float = 0.0


class AppTokens:
    """Every installation's token, for the whole process. Thread-safe."""

    def __init__(self, clock: Clock, taint: Callable[[str], None]) -> None:
        self._clock = clock
        self._taint = taint
        self._held: dict[tuple[GitHubApp, Path | None], _Held] = {}
        self._lock = threading.Lock()

    def token(self, app: GitHubApp, ca_file: Path | None = None, refused: str = "") -> str:
        """A token that holds for five minutes at least. Blocks: call it off the loop.

        ``refused`` is one that GitHub just answered 401 to: another is made, unless it was new.
        Raises SourceProblem or SourceUnavailable, in words that say what to do.
        """
        with self._lock:
            held = self._held.setdefault((app, ca_file), _Held())
        with held.lock:
            now = self._clock.monotonic()
            outlived = refused and held.token == refused and now - held.minted >= _YOUNG
            if not held.token or now >= held.until or outlived:
                self._mint(held, app, ca_file)
            return held.token

    def _mint(self, held: _Held, app: GitHubApp, ca_file: Path | None) -> None:
        answer = asyncio.run(_ask(app, ca_file, self._signed(app)))
        if answer.status != 201:
            raise _explained(answer, app, self._clock.now())
        given = _read(answer, app)
        self._taint(given.token)
        now = self._clock.monotonic()
        held.token, held.minted = given.token, now
        held.until = now + self._lifetime(given, answer) - _EARLY

    def _signed(self, app: GitHubApp) -> str:
        """The JWT that proves we are the app (RFC 7519, RS256)."""
        import jwt  # noqa: PLC0415 - only for fleets with an app

        try:
            key = read_secret(app.private_key)
        except ConfigError as error:
            raise _refused(app, error.message, error.hint) from None
        now = int(self._clock.now())
        claims = {"iat": now - int(_SKEW), "exp": now + int(_LIFE), "iss": str(app.app_id)}
        try:
            return jwt.encode(claims, key, algorithm="RS256")
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            raise _refused(
                app,
                f"the private key of the GitHub App ({app.private_key}) cannot be used",
                "give the PEM file as GitHub made it: an RSA key without passphrase",
            ) from None

    def _lifetime(self, given: _Given, answer: Answer) -> float:
        """By the server's own clock where it tells it: ours may differ."""
        now = _date(answer)
        left = given.expires_at.timestamp() - (self._clock.now() if now is None else now)
        return min(max(left, 0.0), _LONGEST)


def app_signer(options: Options, app_token: AppToken) -> Sign | None:
    """Signs API requests as the App of a source's credentials; None where they name none, or the
    forge was given a token of its own."""
    app, ca_file = options.credentials.github_app, options.credentials.ca_file
    if app is None or options.token is not None:
        return None

    async def sign() -> Mapping[str, str]:
        loop = asyncio.get_running_loop()
        token = await loop.run_in_executor(_THREADS, app_token, app, ca_file, "")
        return {"Authorization": f"Bearer {token}"}

    return sign


async def _ask(app: GitHubApp, ca_file: Path | None, signed: str) -> Answer:
    """REST API, "Create an installation access token for an app"."""
    headers = {**HEADERS, "Authorization": f"Bearer {signed}"}
    url = f"{app.api}/app/installations/{app.installation_id}/access_tokens"

    def permit(_url: str) -> Reach:
        host = split(app.api).hostname or ""
        return reach_of(host, private=host != "api.github.com", loopback=is_loopback(host))

    async with opened(permit, ca_file=ca_file, patience=_PATIENCE) as client:
        return await client.ask(url, limit=_LIMIT, method="POST", headers=headers, body=b"")


def _read(answer: Answer, app: GitHubApp) -> _Given:
    try:
        given = read(_Given, answer.body)
    except Permanent:
        given = None
    if given is None or not _TOKEN.match(given.token) or given.expires_at.tzinfo is None:
        raise _problem(
            app,
            "the answer to the request for a token is not what GitHub documents",
            SourceState.INVALID,
            "check `api:` of the GitHub App: it is the address of GitHub's REST API",
        )
    return given


def _explained(answer: Answer, app: GitHubApp, now: float) -> GitopsError:
    """Why there is no token. GitHub's own words choose between causes and are never repeated."""
    status, told, said = answer.status, answer.headers, answer.body[:4_000].lower()
    limited = status == 429 or told.get("x-ratelimit-remaining") == "0" or "retry-after" in told
    if status >= 500 or (status in (403, 429) and (limited or b"rate limit" in said)):
        return SourceUnavailable(
            f"GitHub gives no token now ({status})",
            place=shown(app.api),
            retry_after=retry_after(told.get("retry-after", ""), now),
        )
    if status == 401:
        return _unauthorised(answer, app, now)
    if status == 404:
        return _refused(
            app,
            f"the GitHub App {app.app_id} has no installation {app.installation_id} (404)",
            "compare both numbers with the app's pages; it may have been uninstalled",
        )
    if status == 403 and b"suspended" in said:
        return _refused(
            app,
            f"installation {app.installation_id} of the GitHub App is suspended (403)",
            "its owner can lift that in the settings of the organisation",
        )
    if status == 403:
        return _refused(app, "GitHub refuses a token to the app (403)", "look at the app's page")
    words = f"GitHub answered {status} to the request for a token"
    return _problem(app, words, SourceState.INVALID, "check `api:` of the GitHub App")


def _unauthorised(answer: Answer, app: GitHubApp, now: float) -> GitopsError:
    theirs = _date(answer)
    ahead = 0.0 if theirs is None else now - theirs
    if abs(ahead) > _SKEW:
        way = "ahead of" if ahead > 0 else "behind"
        return _refused(
            app,
            f"GitHub refuses the app's signature (401): this machine's clock is {abs(ahead):.0f} s "
            f"{way} GitHub's",
            "set the clock; a time service keeps it right",
        )
    return _refused(
        app,
        f"GitHub refuses the app's signature (401): the private key is not one of app {app.app_id}",
        "compare `app_id`, or make a new private key on the app's page",
    )


def _date(answer: Answer) -> float | None:
    """The server's clock, seconds since the epoch (RFC 9110 section 6.6.1)."""
    try:
        return parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _refused(app: GitHubApp, message: str, hint: str) -> SourceProblem:
    return _problem(app, message, SourceState.REFUSED, hint)


def _problem(app: GitHubApp, message: str, state: SourceState, hint: str) -> SourceProblem:
    return SourceProblem(message, state=state, hint=hint, place=shown(app.api))
