"""Keeps secret values out of everything people or disks see.

Masked *by kind* (a Secret's data, a pod's environment variables named like a secret) and *by
value*: every secret value met is remembered and filtered from any text, whatever it travels in.
Called by planning, by applying and by the log set-up. It must never keep a value longer than the
process lives, and never show one, not even a prefix: equality shows through a keyed digest.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gitops.diff import LAST_APPLIED, RawFieldChange
from gitops.model.ids import short
from gitops.model.manifest import ObjectId
from gitops.model.plan import ABSENT, FieldChange
from gitops.ports import Digester

HIDDEN = "<hidden>"
SHORTEST = 6
"""Characters from which a value is worth remembering: shorter ones (``true``, ``3306``) are found
in every other text, and hiding them there would tell more than it hides."""
_LONG_LINE = 12
_SECRET_NAME = re.compile(
    r"password|passwd|passphrase|token|secret|credential|(^|[_.-])(api)?(key|pwd|pass)s?($|[_.-])",
    re.IGNORECASE,
)
_SECRET_FIELDS = ("data", "stringData")


class Masker:
    """Remembers secret values and hides them. One lives as long as the process."""

    def __init__(self, digester: Digester, *, env_by_name: bool = True) -> None:
        """``env_by_name`` also hides literal environment variables named like a secret."""
        self._digester = digester
        self._env_by_name = env_by_name
        # By their first characters, so that a text costs one look-up a character however many
        # values are known, and a new value costs no recompiling of anything.
        self._known: dict[str, list[str]] = {}

    def learn(self, body: Mapping[str, Any]) -> None:
        """Remember the values of a Secret; other kinds are ignored."""
        if body.get("kind") != "Secret" or body.get("apiVersion") != "v1":
            return
        for value in _strings(body.get("data")):
            self.taint(value)
            self.taint(_decoded(value))
        for value in _strings(body.get("stringData")):
            self.taint(value)

    def taint(self, value: str) -> None:
        """Remember one secret value: itself, its base64 and its JSON form (from 6 characters).

        Lines of a longer value count on their own: keys and certificates get printed line by line.
        """
        self._remember(value)
        if "\n" in value:
            for line in value.splitlines():
                if len(line) >= _LONG_LINE and not line.startswith("-----"):
                    self._remember(line)

    def _remember(self, value: str) -> None:
        for form in _forms(value):
            if len(form) < SHORTEST:
                continue
            known = self._known.setdefault(form[:SHORTEST], [])
            if form not in known:
                known.append(form)
                known.sort(key=len, reverse=True)

    def text(self, text: str) -> str:
        """``text`` without any remembered value."""
        known = self._known
        if not known:
            return text
        pieces: list[str] = []
        start = index = 0
        last = len(text) - SHORTEST
        while index <= last:
            values = known.get(text[index : index + SHORTEST])
            found = next((v for v in values if text.startswith(v, index)), "") if values else ""
            if found:
                pieces += (text[start:index], HIDDEN)
                index += len(found)
                start = index
            else:
                index += 1
        return "".join(pieces) + text[start:] if pieces else text

    def value(self, value: Any) -> Any:
        """A copy of a JSON-like value without any remembered value, keys included."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(name)): self._named(name, value) for name in value}
        if isinstance(value, list | tuple):
            return [self.value(item) for item in value]
        return value

    def _named(self, name: str, holder: Mapping[str, Any]) -> Any:
        value = holder[name]
        if name == LAST_APPLIED:
            return HIDDEN
        if name == "value" and self._hides_env(str(holder.get("name", ""))):
            return self.marker(value)
        return self.value(value)

    def _hides_env(self, name: str) -> bool:
        return self._env_by_name and bool(_SECRET_NAME.search(name))

    def marker(self, value: Any) -> str:
        """``<hidden: 12 bytes, #3fa9c1>``: the tag is the same for the same value only."""
        raw = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        data = raw.encode("utf-8", "surrogateescape")
        return f"<hidden: {len(data)} bytes, #{short(self._digester.of(data), 6)}>"

    def changes(self, id: ObjectId, raw: Iterable[RawFieldChange]) -> tuple[FieldChange, ...]:
        """Field changes of one object, safe to show, store and send."""
        secret = id.kind == "Secret" and not id.group
        return tuple(self._change(change, secret=secret) for change in raw)

    def _change(self, change: RawFieldChange, *, secret: bool) -> FieldChange:
        if secret and change.keys[0] in _SECRET_FIELDS:
            before, after = self._data(change.before), self._data(change.after)
        elif LAST_APPLIED in change.keys:
            before, after = _hide(change.before), _hide(change.after)
        elif self._is_env(change.keys):
            before, after = self._marked(change.before), self._marked(change.after)
        else:
            before, after = self.value(change.before), self.value(change.after)
        return FieldChange(self.text(change.path), before, after)

    def _is_env(self, keys: tuple[str, ...]) -> bool:
        if len(keys) < 2 or keys[-1] != "value" or not keys[-2].startswith("[name="):
            return False
        return self._hides_env(keys[-2][len("[name=") : -1])

    def _data(self, value: Any) -> Any:
        """A Secret's data, or a part of it: names stay, values go."""
        if isinstance(value, Mapping):
            return {name: self._plain(item) for name, item in value.items()}
        return self._plain(value)

    def _plain(self, value: Any) -> Any:
        """Marks the decoded value, so that the size shown is the secret's own."""
        if value is ABSENT or value is None:
            return value
        return self.marker((isinstance(value, str) and _decoded(value)) or value)

    def _marked(self, value: Any) -> Any:
        return value if value is ABSENT or value is None else self.marker(value)


def _hide(value: Any) -> Any:
    return value if value is ABSENT else HIDDEN


def _strings(holder: Any) -> Iterator[str]:
    if isinstance(holder, Mapping):
        yield from (value for value in holder.values() if isinstance(value, str))


def _decoded(value: str) -> str:
    """The text behind base64; empty where it is none (bytes that are no text cannot be printed)."""
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _forms(value: str) -> tuple[str, ...]:
    stripped = value.strip()
    encoded = tuple(
        base64.b64encode(form.encode("utf-8", "surrogateescape")).decode().rstrip("=")
        for form in {value, stripped}
    )
    escaped = (json.dumps(stripped)[1:-1], json.dumps(stripped, ensure_ascii=False)[1:-1])
    return (stripped, *escaped, *encoded) if len(stripped) >= SHORTEST else ()
