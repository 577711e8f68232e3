"""Keeps secret values out of everything people or disks see.

Masked *by kind* (a Secret's data, a pod's environment variables named like a secret) and *by
value*: every secret value met is remembered and filtered from any text, whatever it travels in.
Called by planning, by applying and by the log set-up. It must never keep a value longer than the
process lives, and never show one, not even a prefix: equality shows through a keyed digest.

Masking by value is a lever for whoever may push a Secret: a value such as ``cluster-admin`` would
hide what approvers have to see. So plans go through a masker of their application
(:meth:`Masker.scope`), which hides only what looks like a secret or is one in a cluster already,
never hides what an object is and may do, and says which fields it hid. Logs lose every value.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from gitops.diff import LAST_APPLIED, RawFieldChange
from gitops.model.ids import short
from gitops.model.manifest import ObjectId
from gitops.model.plan import ABSENT, FieldChange
from gitops.ports import Digester

HIDDEN = "<hidden>"
SHORTEST = 6
"""Characters from which a value is worth remembering: shorter ones (``true``, ``3306``) are found
in every other text, and hiding them there would tell more than it hides."""
SHORTEST_DELIVERED = 8
"""Characters from which a value that is in a cluster already is hidden in its application's plans
though it does not look like a secret."""
MOST_LINES = 1_000
"""Lines of one value that count on their own, the longest first: the rest is still hidden as part
of the whole. A key or a chain of certificates has a few hundred."""
_LOOKS_SECRET = 16
_LONG_LINE = 12
_LONGEST_WITHIN = 4_096
"""Bytes of a value that is looked for in the base64 of longer texts: what is longer is no word that
is joined to another."""
_STEP = 24
"""Characters of a value looked up at once: bounds how many look-ups one place in a text costs."""
_SURE = 96
"""Characters a text may share with a longer value before they are hidden as a part of it."""
_LOOKUPS, _FOR_EACH = 20_000, 0.5
"""Pieces that are looked up of a text, and of each of its characters: many times what texts take.
Who knows a secret can write a text that nearly holds it at every place, which would take minutes:
the rest of such a text is hidden."""
_SECRET_NAME = re.compile(
    r"password|passwd|passphrase|token|secret|credential|(^|[_.-])(api)?(key|pwd|pass)s?($|[_.-])",
    re.IGNORECASE,
)
_SECRET_FIELDS = ("data", "stringData")
_SHOWN = frozenset(
    {
        "apiGroups",
        "apiVersion",
        "capabilities",
        "hostPath",
        "image",
        "kind",
        "name",
        "namespace",
        "nonResourceURLs",
        "replicas",
        "resourceNames",
        "resources",
        "roleRef",
        "securityContext",
        "serviceAccount",
        "subjects",
        "verbs",
    }
)
"""Fields no value is hidden in: what runs, as whom, and what it may do. Names too, hence also
every field that ends in ``Name``."""
_FREE = frozenset({"data", "binaryData", "annotations"})
"""Beneath these the author names the fields, so a name says nothing of what it holds."""
_WORD = re.compile(r"[A-Za-z][a-z]*(?:[A-Z][a-z]{2,})*|[A-Z]+|[0-9]{1,5}|v[0-9]+[a-z]{0,5}[0-9]?")
_HOST = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*\.[a-z]{2,}(:[0-9]+)?")
_IMAGE = re.compile(r"[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+(:[\w.-]{1,40})?(@sha256:[0-9a-f]{64})?")


def looks_secret(value: str) -> bool:
    """Would somebody who sees only this value take it for a secret?

    From 16 characters, of two classes at least (small, capital, digit, other), and neither an
    address (host, image, URL without a password in it) nor made of plain words.
    """
    text = value.strip()
    if len(text) < _LOOKS_SECRET or _classes(text) < 2:
        return False
    if "://" in text:
        before, at, _ = text.partition("://")[2].partition("@")
        return bool(at) and ":" in before
    if _HOST.fullmatch(text) or _IMAGE.fullmatch(text):
        return False
    return not all(map(_WORD.fullmatch, filter(None, _PIECES.split(text))))


_PIECES = re.compile(r"[\W_]+")
_CLASSES = tuple(map(re.compile, (r"[a-z]", r"[A-Z]", r"[0-9]", r"[^a-zA-Z0-9]")))


def _classes(text: str) -> int:
    return sum(1 for each in _CLASSES if each.search(text))


class _Part:
    """A place within known values: what may come next, and whether a value ends here."""

    __slots__ = ("ends", "further", "sizes")

    def __init__(self) -> None:
        self.ends: set[str] = set()
        """Last pieces, at most ``_STEP`` characters."""
        self.sizes: tuple[int, ...] = ()
        """How long those are, the longest first."""
        self.further: dict[str, _Part] = {}
        """Pieces of ``_STEP`` characters after which something follows."""


class _Known:
    """Known values in pieces, so that adding one costs its length, and looking one up at a place
    in a text a bounded number of steps, however many there are and however they begin."""

    def __init__(self) -> None:
        self._root = _Part()
        self.lengths: dict[str, tuple[int, ...]] = {}
        """By their first characters: how long first pieces are, the longest first."""

    def __bool__(self) -> bool:
        return bool(self.lengths)

    def add(self, form: str) -> None:
        """Remember ``form``, at least ``SHORTEST`` characters."""
        first, size = form[:SHORTEST], min(len(form), _STEP)
        lengths = self.lengths.get(first, ())
        if size not in lengths:
            self.lengths[first] = tuple(sorted((*lengths, size), reverse=True))
        part, index = self._root, 0
        while len(form) - index > _STEP:
            part = part.further.setdefault(form[index : index + _STEP], _Part())
            index += _STEP
        part.ends.add(form[index:])
        if (left := len(form) - index) not in part.sizes:
            part.sizes = tuple(sorted((*part.sizes, left), reverse=True))

    def end(self, text: str, start: int) -> tuple[int, int]:
        """Where the longest known value that begins at ``start`` ends, ``start`` if there is none,
        and how many pieces were looked up. A text that shares ``_SURE`` characters with one counts
        as part of it."""
        lengths, steps = self.lengths.get(text[start : start + SHORTEST]), 0
        if not lengths:
            return start, steps
        part, index, best, sizes = self._root, start, start, lengths
        while True:
            steps += 1 + len(sizes)
            for size in sizes:
                if text[index : index + size] in part.ends:
                    best = index + size
                    break
            following = part.further.get(text[index : index + _STEP])
            if following is None:
                return best, steps
            part, index, sizes = following, index + _STEP, following.sizes
            if index - start >= _SURE:
                best = index


class Masker:
    """Remembers secret values and hides them. One lives as long as the process, with one for each
    application beneath it."""

    def __init__(self, digester: Digester, *, env_by_name: bool = True) -> None:
        """``env_by_name`` also hides literal environment variables named like a secret."""
        self._digester = digester
        self._env_by_name = env_by_name
        self._own = _Known()
        self._delivered = _Known()
        """What looks like a secret and is one in a cluster: hidden in every application's plans."""
        self._seen: set[tuple[str, bool]] = set()
        self._above: Masker | None = None
        self._hits = 0
        self._scopes: dict[str, Masker] = {}

    def scope(self, application: str) -> Masker:
        """The masker of one application's plans. What it learns is hidden in that application's
        plans, in every log, and in other plans only once it is in a cluster."""
        found = self._scopes.get(application)
        if found is None:
            found = self._scopes[application] = Masker(
                self._digester, env_by_name=self._env_by_name
            )
            found._above = self
        return found

    def learn(self, body: Mapping[str, Any], *, live: bool = False) -> None:
        """Remember the values of a Secret; other kinds are ignored. ``live``: it is in a cluster,
        not only in a source."""
        for value in secret_values(body):
            self.taint(value, live=live)

    def taint(self, value: str, *, live: bool = False) -> None:
        """Remember one secret value (from 6 characters): itself, its base64, also within a longer
        text's, its JSON and its percent-encoded form.

        Lines of a longer value count on their own: keys and certificates get printed line by line.
        """
        if len(value) < SHORTEST or (value, live) in self._seen:
            return
        self._seen.add((value, live))
        for part in (value, *_lines(value)):
            self._remember(part, live=live)
        if self._above is not None:
            self._above.taint(value, live=live)

    def _remember(self, value: str, *, live: bool) -> None:
        """An application hides what looks like a secret, or is one; the root, everything."""
        looks = looks_secret(value)
        known = live and len(value) >= SHORTEST_DELIVERED
        into = [self._own] if self._above is None or looks or known else []
        if self._above is None and live and looks:
            into.append(self._delivered)
        for form in _forms(value) if into else ():
            for each in into:
                each.add(form)

    def text(self, text: str) -> str:
        """``text`` without any remembered value; of one that nearly holds values all the time, its
        beginning."""
        sets = [self._own, self._above._delivered] if self._above else [self._own]
        sets = [known for known in sets if known]
        if not sets:
            return text
        pieces: list[str] = []
        start = index = 0
        last = len(text) - SHORTEST
        begins = [known.lengths for known in sets]
        one, other = begins[0], begins[-1]
        room = _LOOKUPS + _FOR_EACH * len(text)
        while index <= last:
            first = text[index : index + SHORTEST]
            if first not in one and first not in other:
                index += 1
                continue
            end = index
            for known in sets:
                found, steps = known.end(text, index)
                end, room = max(end, found), room - steps
            if room < 0:
                self._hits += 1
                return "".join((*pieces, text[start:index], HIDDEN))
            if end > index:
                self._hits += 1
                pieces += (text[start:index], HIDDEN)
                start = index = end
            else:
                index += 1
        return "".join(pieces) + text[start:] if pieces else text

    def value(self, value: Any, *, free: bool = False) -> Any:
        """A copy of a JSON-like value without any remembered value. Keys stay, and so do fields
        that say what an object is and may do, unless it is ``free`` what they are called."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {str(name): self._named(str(name), value, free) for name in value}
        if isinstance(value, list | tuple):
            return [self.value(item, free=free) for item in value]
        return value

    def _named(self, name: str, holder: Mapping[str, Any], free: bool) -> Any:
        value = holder[name]
        if name == LAST_APPLIED:
            return HIDDEN
        if not free and _always_shown(name):
            return value
        if name == "value" and self._hides_env(str(holder.get("name", ""))):
            return self.marker(value)
        return self.value(value, free=free or name in _FREE)

    def _hides_env(self, name: str) -> bool:
        return self._env_by_name and bool(_SECRET_NAME.search(name))

    def marker(self, value: Any) -> str:
        """``<hidden: 12 bytes, #3fa9c1>``: the tag is the same for the same value only."""
        raw = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        data = raw.encode("utf-8", "surrogateescape")
        return f"<hidden: {len(data)} bytes, #{short(self._digester.of(data), 6)}>"

    def changes(self, id: ObjectId, raw: Iterable[RawFieldChange]) -> tuple[FieldChange, ...]:
        """Field changes of one object, safe to show, store and send."""
        return self.shown(id, raw)[0]

    def shown(
        self, id: ObjectId, raw: Iterable[RawFieldChange]
    ) -> tuple[tuple[FieldChange, ...], tuple[str, ...]]:
        """Field changes of one object, safe to show, store and send, and the paths of those in
        which a value is hidden for no other reason than that it equals a Secret's."""
        secret = id.kind == "Secret" and not id.group
        changes: list[FieldChange] = []
        hides: list[str] = []
        for change in raw:
            known = self._by_kind(change, secret=secret)
            if known is None:
                hits, free = self._hits, not _FREE.isdisjoint(change.keys)
                known = tuple(self.value(v, free=free) for v in (change.before, change.after))
                if self._hits > hits:
                    hides.append(change.path)
            before, after = known
            changes.append(FieldChange(change.path, before, after))
        return tuple(changes), tuple(hides)

    def _by_kind(self, change: RawFieldChange, *, secret: bool) -> tuple[Any, ...] | None:
        """Before and after where the field itself decides; None where the values do."""
        before, after = change.before, change.after
        if secret and change.keys[0] in _SECRET_FIELDS:
            return self._data(before), self._data(after)
        if LAST_APPLIED in change.keys:
            return _hide(before), _hide(after)
        if _FREE.isdisjoint(change.keys) and any(map(_always_shown, change.keys)):
            return before, after
        if self._is_env(change.keys):
            return self._marked(before), self._marked(after)
        return None

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


def secret_values(body: Mapping[str, Any]) -> Iterator[str]:
    """The values of a Secret, encoded and not; of other kinds nothing."""
    if body.get("kind") != "Secret" or body.get("apiVersion") != "v1":
        return
    for value in _strings(body.get("data")):
        yield from (value, _decoded(value))
    yield from _strings(body.get("stringData"))


def _always_shown(name: str) -> bool:
    return name in _SHOWN or name.endswith("Name")


def _lines(value: str) -> list[str]:
    """The lines of a value worth remembering, longest first."""
    if "\n" not in value:
        return []
    lines = {
        line
        for line in value.splitlines()
        if len(line) >= _LONG_LINE and not line.startswith("-----")
    }
    return sorted(lines, key=len, reverse=True)[:MOST_LINES]


def _hide(value: Any) -> Any:
    return value if value is ABSENT else HIDDEN


def _strings(holder: Any) -> Iterator[str]:
    if isinstance(holder, Mapping):
        yield from (value for value in holder.values() if isinstance(value, str))


def _decoded(value: str) -> str:
    """The text behind base64; empty where it is none (bytes that are no text cannot be printed).

    Line ends are skipped, as Go's decoder does: a folded value is the same secret."""
    try:
        return base64.b64decode(value.translate(_NO_LINE_ENDS), validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


_NO_LINE_ENDS = str.maketrans("", "", "\r\n")


def _forms(value: str) -> tuple[str, ...]:
    stripped = value.strip()
    encoded = tuple(
        base64.b64encode(form.encode("utf-8", "surrogateescape")).decode().rstrip("=")
        for form in {value, stripped}
    )
    escaped = (json.dumps(stripped)[1:-1], json.dumps(stripped, ensure_ascii=False)[1:-1])
    quoted = (quote(stripped, safe="", errors="replace"), _for_html(escaped[1]))
    forms = dict.fromkeys((stripped, *escaped, *encoded, *quoted, *_within(stripped)))
    return tuple(form for form in forms if len(form) >= SHORTEST and len(stripped) >= SHORTEST)


def _for_html(text: str) -> str:
    """As Go writes a text into JSON (encoding/json, HTMLEscape)."""
    return text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e")


def _within(value: str) -> Iterator[str]:
    """The characters in base64 that are this value's alone, wherever in a longer text it is: after
    a name and a colon, as in what a registry is given."""
    data = value.encode("utf-8", "surrogateescape")
    if not _LONG_LINE <= len(data) <= _LONGEST_WITHIN:
        return
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + data).decode()
        yield coded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
