"""What people may see of one plan's values.

Made for one reading of one plan and dropped with it. Hidden are the values Terraform marks as
sensitive, by configuration or by a provider's schema, and the same values wherever else they
appear: a computed attribute echoes its input without the mark. Whoever writes a root may mark any
field as sensitive, so hiding by value gives nobody a lever they do not have already; that is why
it goes further here than for manifests, where a pushed Secret must not hide what matters
(:mod:`gitops.masking`). It must never give out a value it was told is sensitive.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gitops.masking import SHORTEST_DELIVERED, Masker
from gitops.ports import Digester
from planners.plan.terraform import marks
from planners.plan.terraform.document import (
    Entry,
    Json,
    Side,
    deferred,
    drifted,
    mapping,
    modules,
    outputs,
    prior_resources,
    resources,
)

UNKNOWN_YET = "(known after apply)"
_WIDEST = 64
"""Bits of an integer that every reader of JSON takes as it is."""
_LONGEST = 256 * 1024
"""Characters of a text that is looked through; of a longer one only size and tag are shown."""
_DEEPEST = 32


@dataclass(frozen=True, slots=True)
class Secret:
    """A sensitive value as text."""

    text: str
    live: bool
    """The state holds it. What is only planned is nobody else's secret yet."""


def secrets_of(shown: Json) -> frozenset[Secret]:
    """Every sensitive string and number of a plan: of resources, outputs, data sources and
    variables, before and after."""
    return frozenset(
        Secret(_text_of(leaf), live)
        for side, live in _sides(shown)
        if side.sensitive
        for leaf in marks.marked_leaves(side.value, side.sensitive)
    )


def _sides(shown: Json) -> Iterator[tuple[Side, bool]]:
    for entry in _entries(shown):
        yield entry.before, True
        yield entry.after, False
    for held in prior_resources(shown):
        yield Side(held.get("values"), False, held.get("sensitive_values")), True
    declared = mapping(next(iter(modules(shown)))[2].get("variables"))
    given = mapping(shown.get("variables"))
    for name in given:
        sensitive = mapping(declared.get(name)).get("sensitive") is True
        yield Side(mapping(given[name]).get("value"), False, sensitive), False


class Veil:
    """Hides one plan's sensitive values."""

    def __init__(self, masker: Masker, digester: Digester, secrets: Iterable[Secret]) -> None:
        """``masker`` is the application's (:meth:`gitops.masking.Masker.scope`), and has been told
        the secrets too: whatever it hides is hidden here as well."""
        self._application = masker
        self._plan = Masker(digester)
        for secret in secrets:
            if len(secret.text) >= SHORTEST_DELIVERED:
                self._plan.taint(secret.text)
        self._echoes: frozenset[str] = frozenset()
        self._texts: dict[str, str] = {}
        self._hid = False

    def of(self, entry: Entry) -> None:
        """From now on values of this resource are shown: its own sensitive ones are expected to
        turn up in its other attributes."""
        sides = (entry.before, entry.after)
        self._echoes = frozenset(
            _text_of(leaf)
            for side in sides
            if side.sensitive
            for leaf in marks.marked_leaves(side.value, side.sensitive)
        )
        self._hid = False

    @property
    def hid(self) -> bool:
        """Since :meth:`of`, or since it was last asked: was a value hidden for no other reason
        than that it equals a sensitive one of somewhere else?"""
        hid, self._hid = self._hid, False
        return hid

    def text(self, text: str) -> str:
        """``text`` without sensitive values."""
        known = self._texts.get(text)
        if known is None:
            known = self._texts[text] = self._looked_through(text)
        self._hid |= known != text
        return known

    def _looked_through(self, text: str) -> str:
        if len(text) > _LONGEST:
            return self.marker(text)
        return self._application.text(self._plan.text(text))

    def marker(self, value: Any) -> str:
        return self._plan.marker(_text_of(value) if isinstance(value, int | float) else value)

    def shown(self, side: Side, depth: int = 0) -> Any:
        """A copy of the value that may be seen."""
        value = side.value
        if side.unknown is True:
            return UNKNOWN_YET
        if value is not None and (side.sensitive is True or depth > _DEEPEST):
            return self.marker(value)
        if isinstance(value, Mapping):
            known = dict.fromkeys((*value, *marks.names(side.unknown)))
            return {self.text(name): self.shown(part(side, name), depth + 1) for name in known}
        if isinstance(value, list):
            return [self.shown(part(side, index), depth + 1) for index in range(len(value))]
        return self._scalar(value)

    def _scalar(self, value: Any) -> Any:
        if isinstance(value, str):
            # A short password is no use to look for in every text, but here it is known to be one.
            return self.marker(value) if value and value in self._echoes else self.text(value)
        if isinstance(value, bool) or value is None:
            return value
        text = _text_of(value)
        if self.text(text) != text:
            return self.marker(value)
        plain = value.bit_length() < _WIDEST if isinstance(value, int) else math.isfinite(value)
        return value if plain else text


def part(side: Side, step: str | int) -> Side:
    """One attribute or item of a side, with its marks."""
    value = side.value
    if isinstance(value, Mapping):
        inner = value.get(step)
    else:
        inner = value[step] if isinstance(value, list) and isinstance(step, int) else None
    return Side(inner, marks.beneath(side.unknown, step), marks.beneath(side.sensitive, step))


def _entries(shown: Json) -> Iterator[Entry]:
    yield from resources(shown)
    yield from drifted(shown)
    yield from outputs(shown)
    yield from (entry for _, entry in deferred(shown))


def _text_of(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > _WIDEST**2:
        return hex(value)  # Python refuses to write so many decimal digits
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
