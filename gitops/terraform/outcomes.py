"""How an apply went, from the tool's own event stream. Pure; used by the applying half."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gitops.ports.terraform import AddressOutcome
from gitops.terraform.said import Diagnostic, Reader, diagnostic

UNKNOWN = "begun, and nobody knows how it ended"
UNRECORDED = "done, but written into no state: import it, or remove it by hand"
_MOST = 10_000


@dataclass(slots=True)
class _Address:
    open: int = 0
    failed: bool = False
    messages: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Told:
    """What the stream tells."""

    outcomes: tuple[AddressOutcome, ...]
    complete: bool
    """The tool said that it applied everything."""
    errors: tuple[Diagnostic, ...]

    @property
    def begun(self) -> tuple[str, ...]:
        """Addresses of which nobody knows how they ended."""
        return tuple(each.address for each in self.outcomes if each.message == UNKNOWN)

    def unrecorded(self) -> Told:
        """The same where the state was never written: what is there now, nothing knows of."""
        outcomes = (
            replace(each, done=False, message=UNRECORDED) if each.done else each
            for each in self.outcomes
        )
        return replace(self, outcomes=tuple(outcomes))


def told(events: Iterable[Mapping[str, Any]], reader: Reader) -> Told:
    """Reads an apply's ``-json`` events. One address may be worked on twice (replace): it is done
    when all that was begun on it is."""
    found: dict[str, _Address] = {}
    errors: list[Diagnostic] = []
    complete = False
    for event in events:
        kind = event.get("type")
        if kind == "diagnostic" and isinstance(event.get("diagnostic"), dict):
            errors += [said] if (said := diagnostic(event["diagnostic"])).error else []
        elif kind == "change_summary":
            complete = complete or _operation(event) in {"apply", "destroy"}
        elif isinstance(kind, str) and kind.startswith("apply_"):
            _count(found, _address(event), kind)
    for said in errors:
        if said.address in found:
            found[said.address].messages.append(reader.words(said))
    outcomes = tuple(_outcome(reader, name, each) for name, each in found.items())
    return Told(outcomes, complete and not errors, tuple(errors))


def _count(found: dict[str, _Address], name: str, kind: str) -> None:
    if not name or (name not in found and len(found) >= _MOST):
        return
    address = found.setdefault(name, _Address())
    if kind == "apply_start":
        address.open += 1
    elif kind == "apply_complete":
        address.open -= 1
    elif kind == "apply_errored":
        address.open -= 1
        address.failed = True


def _outcome(reader: Reader, name: str, address: _Address) -> AddressOutcome:
    shown = reader.scrub.text(name, 500)
    if address.failed:
        return AddressOutcome(shown, False, "; ".join(address.messages) or "it failed")
    if address.open > 0:
        return AddressOutcome(shown, False, UNKNOWN)
    return AddressOutcome(shown, True)


def _address(event: Mapping[str, Any]) -> str:
    hook = event.get("hook")
    resource = hook.get("resource") if isinstance(hook, dict) else None
    name = resource.get("addr") if isinstance(resource, dict) else None
    return name if isinstance(name, str) else ""


def _operation(event: Mapping[str, Any]) -> str:
    changes = event.get("changes")
    return str(changes.get("operation", "")) if isinstance(changes, dict) else ""
