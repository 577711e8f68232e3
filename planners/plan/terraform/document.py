"""``show -json`` as values: one entry a resource, whatever a provider or a newer tool put there.

Called by everything in this package that reads a plan. Pure, and masks nothing: what it gives out
holds secrets in clear. A part that is missing or of an unexpected shape reads as empty, except
where that would hide a change: an unknown format or action is refused or said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitops.errors import RenderError

Json = Mapping[str, Any]

_FORMAT = "1"
"""Major version of the plan format. Minor ones only add: terraform 1.11 and tofu 1.12 write 1.2."""
_INDEX = re.compile(r'\[(?:\d+|"(?:[^"\\]|\\.)*")\]')


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a change: the value, and which parts of it are unknown yet or sensitive.

    The marks follow the value's shape; ``True`` stands for everything beneath.
    """

    value: Any
    unknown: Any = False
    sensitive: Any = False


@dataclass(frozen=True, slots=True)
class Entry:
    """What the tool says about one resource or output."""

    address: str
    actions: tuple[str, ...]
    before: Side
    after: Side
    previous: str = ""
    """Its address before a ``moved`` block took effect."""
    mode: str = "managed"
    type: str = ""
    name: str = ""
    module: str = ""
    provider: str = ""
    deposed: str = ""
    """Key of an object left over by a replacement that failed half-way."""
    reason: str = ""
    replace_paths: tuple[tuple[Any, ...], ...] = ()
    importing: Json | None = None

    @property
    def managed(self) -> bool:
        return self.mode == "managed"

    @property
    def place(self) -> str:
        """The address as the configuration writes it: without instance keys."""
        here = f"{self.type}.{self.name}"
        return f"{_INDEX.sub('', self.module)}.{here}" if self.module else here


def mapping(value: Any) -> Json:
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def require_readable(shown: Json) -> None:
    """Raises RenderError for a plan in a format this version does not know."""
    written = str(shown.get("format_version", ""))
    if written.partition(".")[0] != _FORMAT:
        raise RenderError(
            f"the tool wrote its plan in format {written[:20] or 'unknown'}, "
            f"and only {_FORMAT}.x is understood",
            hint="use a tool of version 1.x for this root: `terraform: {version: …}`",
        )


def resources(shown: Json) -> tuple[Entry, ...]:
    """Everything of ``resource_changes``, unchanged ones included, in order of address."""
    return _sorted(map(_entry, items(shown.get("resource_changes"))))


def drifted(shown: Json) -> tuple[Entry, ...]:
    """What the refresh found other than the state says. A moved address alone is no drift."""
    entries = map(_entry, items(shown.get("resource_drift")))
    return _sorted(entry for entry in entries if entry.actions != ("no-op",))


def deferred(shown: Json) -> tuple[tuple[str, Entry], ...]:
    """(reason, entry) of what the tool puts off to a later run."""
    found = map(mapping, items(shown.get("deferred_changes")))
    return tuple(
        (str(each.get("reason", "")), _entry(each.get("resource_change"))) for each in found
    )


def outputs(shown: Json) -> tuple[Entry, ...]:
    """Everything of ``output_changes``, unchanged ones included, by name."""
    changes = mapping(shown.get("output_changes"))
    return _sorted(_changed(f"output.{name}", changes[name], name=name) for name in changes)


def prior_resources(shown: Json) -> Iterator[Json]:
    """Each resource of the state the plan was made against, data sources too."""
    waiting = [mapping(mapping(mapping(shown.get("prior_state")).get("values")).get("root_module"))]
    while waiting:
        module = waiting.pop()
        yield from map(mapping, items(module.get("resources")))
        waiting += map(mapping, items(module.get("child_modules")))


def modules(shown: Json) -> Iterator[tuple[str, Json, Json]]:
    """(address without keys, its call, its configuration) of each module, the root's ``""``
    first."""
    root = mapping(mapping(shown.get("configuration")).get("root_module"))
    waiting: list[tuple[str, Json, Json]] = [("", {}, root)]
    while waiting:
        address, call, module = waiting.pop()
        yield address, call, module
        calls = mapping(module.get("module_calls"))
        for name in calls:
            inner = mapping(calls[name])
            prefix = f"{address}.module.{name}" if address else f"module.{name}"
            waiting.append((prefix, inner, mapping(inner.get("module"))))


def _sorted(entries: Iterator[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: (natural(entry.address), entry.deposed)))


def natural(address: str) -> tuple[tuple[int, str], ...]:
    """Orders ``x[2]`` before ``x[10]``."""
    parts = re.split(r"(\d+)", address)
    return tuple((len(part) if part.isdecimal() else 0, part) for part in parts)


def _entry(raw: Any) -> Entry:
    raw = mapping(raw)
    return _changed(
        str(raw.get("address", "")),
        raw.get("change"),
        previous=str(raw.get("previous_address", "")),
        mode=str(raw.get("mode", "managed")),
        type=str(raw.get("type", "")),
        name=str(raw.get("name", "")),
        module=str(raw.get("module_address", "")),
        provider=str(raw.get("provider_name", "")),
        deposed=str(raw.get("deposed", "")),
        reason=str(raw.get("action_reason", "")),
    )


def _changed(address: str, raw: Any, **rest: str) -> Entry:
    change = mapping(raw)
    importing = change.get("importing")
    return Entry(
        address,
        tuple(map(str, items(change.get("actions")))),
        Side(change.get("before"), False, change.get("before_sensitive", False)),
        Side(
            change.get("after"),
            change.get("after_unknown", False),
            change.get("after_sensitive", False),
        ),
        replace_paths=tuple(tuple(items(path)) for path in items(change.get("replace_paths"))),
        importing=importing if isinstance(importing, Mapping) else None,
        **rest,
    )
