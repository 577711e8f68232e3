"""Reads a verified body strictly: what is not as the provider documents it is refused by name.

Python's own JSON reader takes NaN, repeated keys, lone surrogates and numbers of any length, and
gives up on deep nesting with an error nobody expects. Everything of the kind ends in
:class:`gitops.ports.inbound.Malformed`. Used by every receiver of this package; only what is asked
for is looked at, so that a provider may add fields.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import parse_qs

from gitops.ports.inbound import Letter, Malformed

LONGEST_NUMBER = 20
"""Digits; ids of every forge fit into 64 bits."""
MOST_ENTRIES = 2_048
"""Of a list; GitHub lists as many commits of a push at most."""
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LOGIN = re.compile(r"[^\s:/@\x00-\x1f\x7f]{1,100}")
_ID = re.compile(r"[\w.:{}+=/-]{1,128}", re.ASCII)
ASKS = "/gitops preview"
"""A line of a comment that asks for a pull request's preview again."""


def document(letter: Letter) -> Fields:
    """The body, as JSON or as the form field ``payload`` that holds JSON (GitHub, Gitea)."""
    kind = letter.header("content-type").partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return Fields(_json(_form(letter.body)), "")
    return Fields(_json(letter.body), "")


def _form(body: bytes) -> bytes:
    try:
        fields = parse_qs(
            body.decode("ascii"), strict_parsing=True, max_num_fields=4, errors="strict"
        )
    except ValueError:
        raise Malformed("the form cannot be read") from None
    if list(fields) != ["payload"] or len(fields["payload"]) != 1:
        raise Malformed("the form has no single field `payload`")
    return fields["payload"][0].encode()


def _json(body: bytes) -> Any:
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_constant=_refuse,
            parse_int=_whole,
            parse_float=_fraction,
        )
        if _SURROGATE.search(body):  # a pair is one character, a lone one is none
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise Malformed("the JSON is nested too deeply") from None
    except ValueError:
        raise Malformed("the body is not JSON") from None
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("a key occurs twice")
    return found


def _refuse(_text: str) -> NoReturn:
    raise Malformed("a number that is none")


def _whole(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise Malformed("a number that is too long")
    return int(text)


def _fraction(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise Malformed("a number that is too large")
    return value


class Fields:
    """A JSON object; ``place`` is its path, for what is said of it. Every method raises Malformed
    where something else is there."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(f"{place or 'the body'} is not an object")
        self._value: dict[str, Any] = value
        self._place = place

    def __contains__(self, name: str) -> bool:
        return name in self._value

    def text(self, name: str) -> str:
        return self._get(name, str)  # type: ignore[no-any-return]

    def number(self, name: str) -> int:
        """A positive whole number."""
        value = self._get(name, int)
        if isinstance(value, bool) or value <= 0:
            raise Malformed(f"{self._path(name)} is not a number of something")
        return value  # type: ignore[no-any-return]

    def object(self, name: str) -> Fields:
        return Fields(self._value.get(name), self._path(name))

    def nullable(self, name: str) -> Fields | None:
        """None for null, where the provider documents null."""
        self._known(name)
        return None if self._value[name] is None else self.object(name)

    def objects(self, name: str) -> Iterator[Fields]:
        values = self._get(name, list)
        if len(values) > MOST_ENTRIES:
            raise Malformed(f"{self._path(name)} has too many entries")
        return (Fields(each, f"{self._path(name)}[{i}]") for i, each in enumerate(values))

    def commit(self, name: str) -> str:
        """A commit id in lower-case hex."""
        value = self.text(name).lower()
        if _COMMIT.fullmatch(value) is None:
            raise Malformed(f"{self._path(name)} is not a commit id")
        return value

    def login(self, name: str) -> str:
        value = self.text(name)
        if _LOGIN.fullmatch(value) is None:
            raise Malformed(f"{self._path(name)} is not a login")
        return value

    def _get(self, name: str, kind: type) -> Any:
        value = self._known(name)
        if not isinstance(value, kind):
            raise Malformed(f"{self._path(name)} is not {kind.__name__}")
        return value

    def _known(self, name: str) -> Any:
        if name not in self._value:
            raise Malformed(f"{self._path(name)} is missing")
        return self._value[name]

    def _path(self, name: str) -> str:
        return f"{self._place}.{name}".lstrip(".")


def identifier(letter: Letter, headers: tuple[str, ...]) -> str:
    """The provider's id of a delivery, from the first header that has one of a sane form."""
    for name in headers:
        if _ID.fullmatch(letter.header(name)):
            return letter.header(name)
    return ""


def asks(comment: str) -> bool:
    """Does a comment ask for the preview again?"""
    return any(line.strip() == ASKS for line in comment.splitlines())
