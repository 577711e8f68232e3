"""Would a value written here give a secret away? Judged by its name and by what it plainly is.

The fleet file lies in a repository; what it holds is read by many. Pure; called by
:mod:`gitops.config.backends` and :mod:`gitops.config.roots`. It errs towards asking for a
reference, which always works, and never towards names that are secrets' *neighbours*: their paths,
identifiers, lengths.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_KEYS = "api|app|access|account|client|deploy|encryption|license|master|private|shared|signing|ssh"
_SECRET = re.compile(
    rf"password|passwd|passphrase|token|secret|credential|({_KEYS})_?key|authorization|"
    r"(^|[_.-])(pwd|pass|pin)$",
    re.IGNORECASE,
)
"""A bare ``key`` is not one: in every cloud it is the name of an entry."""
_PASSWORD = re.compile(r"(password|passwd|passphrase|pwd|pin)$", re.IGNORECASE)
_NEIGHBOUR = re.compile(
    r"(^|[_.-])(public|kms)([_.-]|$)|([_.-])(name|names|id|ids|arn|arns|path|paths|file|files|dir|url|"
    r"ttl|length|size|type|version|count|days|suffix|prefix|expiry|rotation|enabled)$",
    re.IGNORECASE,
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")
_USERINFO = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/@\s]*:[^/@\s]+@")
_IN_A_LINE = re.compile(
    r"(^|[\s?&;])(password|passwd|pwd|token|secret)\s*=\s*[^\s&;]", re.IGNORECASE
)


def names_secret(name: str) -> bool:
    """Is what has this name usually a secret? ``db_password`` is, ``secret_name`` is not."""
    return bool(_SECRET.search(name)) and not _NEIGHBOUR.search(name)


def tells(value: object) -> bool:
    """Does this text hold a secret whatever its name: a private key, a password in an address or
    in a connection string?"""
    if not isinstance(value, str):
        return False
    return any(rule.search(value) for rule in (_PRIVATE_KEY, _USERINFO, _IN_A_LINE))


def gives_away(name: str, value: object) -> bool:
    """Would ``name: value`` in a file that others read give a secret away?

    A switch never does, a number only as a password, an empty text never.
    """
    if isinstance(value, str):
        return tells(value) or (bool(value) and names_secret(name))
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and bool(_PASSWORD.search(name))


def secrets_in(name: str, value: object) -> Iterator[tuple[str | int, ...]]:
    """Paths beneath ``value`` (empty: it itself) at which a secret is given away.

    Entries of a list go by the name of the list, those of a mapping by their own: in
    ``{password: {value: x}}`` the inner name is taken together with the outer one.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            said = f"{name}.{key}" if _PASSWORD.search(name) else str(key)
            yield from ((key, *rest) for rest in secrets_in(said, inner))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from ((index, *rest) for rest in secrets_in(name, inner))
    elif gives_away(name, value):
        yield ()
