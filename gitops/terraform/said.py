"""What the tool says went wrong, as our errors and findings.

The tool reports in JSON (``@level``/``diagnostic`` lines, or ``validate -json``'s document) where
it can and in prose where it cannot; both are hostile text until cleaned. Pure. Used by
:mod:`gitops.terraform.workspace` and :mod:`gitops.terraform.applying`.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitops.errors import GitopsError, RenderError, StalePlan, StateLocked, Transient
from gitops.model.finding import Finding, Severity
from gitops.terraform.environment import Scrub

_LOCKED = "Error acquiring the state lock"
_STALE = "Saved plan is stale"
_PASSING = re.compile(
    r"no such host|connection refused|connection reset|i/o timeout|TLS handshake timeout"
    r"|Client\.Timeout|server misbehaving|temporary failure|50[234] (?:Bad|Service|Gateway)"
    r"|could not connect to|the database system is|no space left on device",
    re.I,
)
_HELD = re.compile(r"already locked: ID=(\S+)")
_UNSAID = re.compile(r"already locked(?: for workspace creation)?: ", re.I)
_LOCK_FIELD = re.compile(r"^\s*(ID|Who|Created|Path|Operation):\s*(.*?)\s*$", re.M)
_PROSE_PLACE = re.compile(r"^\s*on (.+?) line (\d+)", re.M)
_REMARK = re.compile(r"(?:Terraform|OpenTofu) encountered problems during initiali[sz]ation")
_MOST = 20


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One complaint, its text still as the tool gave it."""

    error: bool
    summary: str
    detail: str = ""
    path: str = ""
    """As the tool names it, relative to the folder it ran in."""
    line: int = 0
    column: int = 0
    address: str = ""

    @property
    def text(self) -> str:
        if not self.detail:
            return self.summary
        return f"{self.summary}{'' if self.summary.endswith(('.', ':')) else ':'}\n{self.detail}"


@dataclass(frozen=True, slots=True)
class Reader:
    """Turns complaints into words for people: where in the source, without secrets."""

    scrub: Scrub
    folder: str
    """The root's, relative to the source's root."""
    tool: str = "terraform"

    def words(self, said: Diagnostic) -> str:
        return self.scrub.text(" ".join(said.text.split()), 2000)

    def place(self, said: Diagnostic) -> str:
        return self.finding(said).place

    def finding(self, said: Diagnostic, check: str = "") -> Finding:
        path = posixpath.normpath(posixpath.join(self.folder, said.path)) if said.path else ""
        if path.startswith(("/", "../")):
            path = posixpath.basename(path)
        return Finding(
            check=check or f"{self.tool}-validate",
            severity=Severity.ERROR if said.error else Severity.WARNING,
            message=self.words(said),
            path=self.scrub.text(path, 300),
            line=said.line,
            column=said.column,
        )

    def error(self, said: Sequence[Diagnostic], doing: str) -> GitopsError:
        """The error a failed run means."""
        errors = telling(said) or [
            Diagnostic(True, f"{self.tool} {doing} failed and did not say why")
        ]
        for each in errors:
            if _LOCKED in each.text:
                return self._locked(each)
            if _STALE in each.text:
                return StalePlan(self.words(each), hint="plan and ask again")
        return self._failed(errors, doing)

    def _failed(self, errors: Sequence[Diagnostic], doing: str) -> GitopsError:
        # The one with a place says what to change; the tool's general remark comes first or last.
        first = next((each for each in errors if each.line), errors[0])
        others = [each for each in errors if each is not first][:_MOST]
        message = self.words(first)
        for each in others:
            place = self.place(each)
            message += f"\n{place}: {self.words(each)}" if place else f"\n{self.words(each)}"
        if not first.line and any(_PASSING.search(each.text) for each in errors):
            return Transient(f"{self.tool} {doing}: {message}", hint="it is tried again")
        return RenderError(message, place=self.place(first))

    def _locked(self, said: Diagnostic) -> StateLocked:
        found = {name: self.scrub.text(value, 200) for name, value in _holder(said.text)}
        who, since = found.get("Who", ""), found.get("Created", "")
        lock = found.get("ID", "")
        held = f" by {who}" if who else f", and {self.tool} does not say by whom"
        held += f" since {since}" if since else ""
        hint = "it is tried again"
        if lock:
            end = "if nobody works on it any more, release the lock"
            hint = f"{hint}; {end} {lock} with `gitops unlock`"
        return StateLocked(f"the state is locked{held}", lock=lock, who=who, since=since, hint=hint)


def telling(said: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The errors, without the tool's remark that there are some."""
    errors = [each for each in said if each.error]
    return [each for each in errors if not _REMARK.match(each.summary)] or errors


def _holder(text: str) -> Iterator[tuple[str, str]]:
    """What is told of whoever holds a lock. In some backends' complaints (pg, and http with
    terraform) ``Lock Info`` describes the lock that was asked for, so nothing of it is true of the
    one that is held but, where it is given apart, the id. A lock of pg has none: it lasts as long
    as its holder's connection and cannot be forced."""
    held = _HELD.search(text)
    info = list(_lock_fields(text))
    if held is None and _UNSAID.search(text):
        return
    if held is not None and ("ID", held[1]) not in info:
        info = [("ID", held[1])]
    yield from info


def _lock_fields(text: str) -> Iterator[tuple[str, str]]:
    info = text.partition("Lock Info:")[2]
    for match in _LOCK_FIELD.finditer(info):
        yield match[1], match[2]


def events(output: bytes) -> Iterator[Mapping[str, Any]]:
    """The JSON objects among the lines of a ``-json`` run; anything else is passed over."""
    for line in output.splitlines():
        if not line.startswith(b"{"):
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def diagnostics(stdout: bytes, stderr: bytes) -> list[Diagnostic]:
    """Every complaint of a run, whichever way it was made."""
    found = [
        diagnostic(event["diagnostic"])
        for event in events(stdout)
        if isinstance(event.get("diagnostic"), dict)
    ]
    if not any(each.error for each in found):
        found += prose(stderr.decode("utf-8", "replace"))
    return found


def diagnostic(raw: Mapping[str, Any]) -> Diagnostic:
    start = _mapping(_mapping(raw.get("range")).get("start"))
    return Diagnostic(
        error=raw.get("severity") != "warning",
        summary=_text(raw.get("summary")),
        detail=_text(raw.get("detail")),
        path=_text(_mapping(raw.get("range")).get("filename")),
        line=_number(start.get("line")),
        column=_number(start.get("column")),
        address=_text(raw.get("address")),
    )


def prose(text: str) -> list[Diagnostic]:
    """``Error: …`` paragraphs, as commands without JSON print them."""
    text = re.sub(r"^[│╷╵]\s?", "", text, flags=re.M)
    pieces = re.split(r"^Error: ", text, flags=re.M)[1:]
    if not pieces and text.strip():
        pieces = [text]
    found = []
    for piece in pieces[:_MOST]:
        summary, _, detail = piece.strip().partition("\n\n")
        place = _PROSE_PLACE.search(detail)
        path, line = (place[1].strip('"'), int(place[2])) if place else ("", 0)
        found.append(Diagnostic(True, summary, detail.strip(), path, line))
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) and 0 <= value < 1 << 31 else 0
