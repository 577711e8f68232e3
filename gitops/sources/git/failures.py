"""Pure: what git printed when it failed → what happened, for people, and what to do next.

Called where a git process ended badly. The text comes partly from the remote: it is stripped of
terminal escapes and cut, and what the remote says for itself (``remote:``) chooses no rule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gitops.errors import GitopsError, SourceProblem, SourceUnavailable
from gitops.foreign import readable
from gitops.model.source import SourceState
from gitops.sources.git.address import Address

_SAID = 300
_MISSING_REF = re.compile(
    r"couldn't find remote ref|not our ref|no such remote ref|unadvertised object"
    r"|want [0-9a-f]{40} not valid",  # JGit
    re.I,
)
_UNAUTHORISED = (
    r"(?:error|http):? 401|authentication failed|could not read (?:user|pass)"
    r"|terminal prompts disabled|invalid credentials"
)
_DAMAGE = re.compile(
    r"loose object \S+ .*is corrupt|object file \S+ is empty|bad object refs/"
    r"|packfile \S+ (?:cannot be accessed|is far too short|index unavailable)"
    r"|unable to (?:find|read) [0-9a-f]{40}|bad ref for|broken ref"
    r"|did not send all necessary objects|invalid sha1 pointer|not a git repository",
    re.I,
)


@dataclass(frozen=True, slots=True)
class _Rule:
    pattern: re.Pattern[str]
    make: Callable[[str, str], GitopsError]


def _problem(message: str, state: SourceState, hint: str) -> Callable[[str, str], GitopsError]:
    return lambda place, said: SourceProblem(
        f"{message} ({said})" if said else message, state=state, hint=hint, place=place
    )


def _away(
    message: str, hint: str = "", after: float | None = None
) -> Callable[[str, str], GitopsError]:
    return lambda place, said: SourceUnavailable(
        f"{message} ({said})" if said else message, hint=hint, place=place, retry_after=after
    )


_REFUSED, _INVALID = SourceState.REFUSED, SourceState.INVALID
_ACCESS = "check the token under `credentials:`: its expiry, and that it may read this repository"

# First match wins: what is said most precisely comes first, since one failure makes git, its
# transport and its pack reader each print a line of their own.
_RULES = tuple(
    _Rule(re.compile(pattern, re.I), make)
    for pattern, make in (
        (
            r"no space left on device|disk quota exceeded",
            _away("no space left on this machine's disk", "free space for the state folder"),
        ),
        (_UNAUTHORISED, _problem("the credentials were refused", _REFUSED, _ACCESS)),
        (r"(?:error|http):? 403", _problem("access was refused", _REFUSED, _ACCESS)),
        (
            (
                r"(?:error|http):? 404|repository .*not found|does not appear to be a git repo"
                r"|not a valid repository"
            ),
            _problem(
                "there is no repository at this address, or not for these credentials",
                _REFUSED,
                "check the address; a private repository answers like this without credentials",
            ),
        ),
        (
            r"(?:error|http):? 30\d|redirect",
            _problem(
                "the server sent us to another address, which is never followed",
                _REFUSED,
                "write the address the repository has now",
            ),
        ),
        (r"(?:error|http):? 429", _away("the server asks us to slow down", after=60.0)),
        (r"(?:error|http):? 5\d\d", _away("the server failed")),
        (
            (
                r"remote host identification has changed|host key verification failed"
                r"|no \S+ host key is known|host key .* not known"
            ),
            _problem(
                "the ssh server's host key is not the known one",
                _REFUSED,
                "compare the key with the one its operator publishes, then put it into the "
                "`known_hosts` file of this source",
            ),
        ),
        (
            r"unprotected private key|error in libcrypto|load key .*: |invalid format",
            _problem(
                "the ssh key cannot be used",
                _REFUSED,
                "give an OpenSSH private key without passphrase",
            ),
        ),
        (
            r"permission denied",
            _problem("the ssh key was refused", _REFUSED, "let this key read the repository"),
        ),
        (
            r"certificate|ssl|tls|gnutls",
            _problem(
                "the server's certificate cannot be trusted",
                _REFUSED,
                "check its name and expiry, or name its CA as `ca_file` under `credentials:`",
            ),
        ),
        (
            r"dubious ownership",
            _problem(
                "the folder belongs to another user",
                _REFUSED,
                "run the controller as the folder's owner, or serve the repository over ssh",
            ),
        ),
        (
            r"transport '.*' not allowed|protocol .* not allowed",
            _problem("the repository wants a transport that is not allowed", _REFUSED, ""),
        ),
        (
            (
                r"early eof|rpc failed|hung up|disconnect|connection (?:reset|refused|closed)"
                r"|could not resolve|couldn't resolve|failed to connect|couldn't connect|timed out"
                r"|protocol error|too slow|unreachable|no route to host|partial file|broken pipe"
            ),
            _away("the remote does not answer, or stopped in the middle"),
        ),
        (
            (
                r"fsck|unresolved delta|corrupt|malformed|bad object|hash mismatch|sha1 collision"
                r"|object format|mismatched algorithms|zlib|inflate"
            ),
            _problem(
                "the repository holds objects git refuses",
                _INVALID,
                "run `git fsck --strict` in a clone of it",
            ),
        ),
        (r"index-pack|unpack-objects", _away("git's pack reader was ended, by memory or disk")),
    )
)


def explain(stderr: str, address: Address, secrets: Iterable[str] = ()) -> GitopsError:
    """The error to raise; transient when no rule says otherwise, since the last good revision
    stays either way."""
    lines = [line.strip() for line in clean(stderr, secrets).splitlines() if line.strip()]
    theirs = [line for line in lines if line.startswith("remote:")]
    ours = [line for line in lines if line not in theirs]
    for rule in _RULES:
        matching = [line for line in ours if rule.pattern.search(line)]
        if matching:
            return rule.make(address.url, _said(matching[0], theirs))
    return _away("git failed")(address.url, _said(ours[-1] if ours else "", theirs))


def over_limit(size: int, address: Address) -> GitopsError:
    """One fetch wanted to write more than ``size`` bytes; git itself dies of it without a word."""
    return SourceProblem(
        f"the repository sent more than {size} bytes, the limit for one fetch",
        state=SourceState.INVALID,
        hint="raise `max_fetch` (bytes) at this source if the repository is really that big",
        place=address.url,
    )


def is_missing_ref(stderr: str) -> bool:
    """Did the remote answer that a ref we asked for does not exist?"""
    return _MISSING_REF.search(stderr) is not None


def is_unauthorised(stderr: str) -> bool:
    """Did the remote refuse the credentials, rather than what they may do?"""
    ours = [line for line in stderr.splitlines() if not line.startswith("remote:")]
    return any(re.search(_UNAUTHORISED, line, re.I) for line in ours)


def is_filter_refused(stderr: str) -> bool:
    """Does the server not leave out what we asked it to? It warns, or refuses the fetch."""
    return re.search(r"filter\S* .*not (?:supported|recognized)", stderr, re.I) is not None


def is_damage(stderr: str) -> bool:
    """May our own copy be broken (a crash of the machine, a full disk)? A remote that sends only
    half of what it should can look the same: to be confirmed before anything is thrown away."""
    ours = [line for line in stderr.splitlines() if not line.startswith("remote:")]
    return any(_DAMAGE.search(line) for line in ours)


def clean(text: str, secrets: Iterable[str] = ()) -> str:
    """Without terminal escapes, control characters and every given secret (CVE-2024-52005)."""
    text = readable(text.replace("\0", ""))
    for secret in secrets:
        if secret:
            text = text.replace(secret, "…")
    return text


def _said(ours: str, theirs: list[str]) -> str:
    """The one line of git's that explains it, and the server's own first words."""
    parts = [ours[:_SAID], *(line[: _SAID // 2] for line in theirs[:2])]
    return "; ".join(part for part in parts if part)
