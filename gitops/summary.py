"""Plans in few words: the risk in one line, what the change means, which checks passed. Pure.

Every face says it with these words, so that a card, a page and a terminal cannot disagree. Called
by the command line, chats and pages. What it returns holds foreign text (names, values; secrets
are masked in the plan already): whoever shows it escapes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gitops.model.finding import Finding, Severity
from gitops.model.ids import Digest, combine
from gitops.model.plan import ABSENT, Action, FieldChange, Plan, ResourceChange
from gitops.model.source import PullFacts

PLACES_NAMED = 3
"""Targets a risk line names; more are counted."""


def brought(pull: PullFacts) -> str:
    """``pull request 7 (by github:ada, merged by github:bob, approved by github:cyd): Raise it``"""
    people = [f"by {pull.author or 'nobody any more'}"]
    people += [f"merged by {pull.merger}"] if pull.merger else []
    people += [f"approved by {', '.join(pull.approvers)}"] if pull.approvers else []
    return f"pull request {pull.number} ({', '.join(people)}): {pull.title}"


# --- risk -------------------------------------------------------------------------------------

_NOUNS = {
    Action.CREATE: ("create", "creates"),
    Action.UPDATE: ("update", "updates"),
    Action.REPLACE: ("replacement", "replacements"),
    Action.DELETE: ("delete", "deletes"),
}


def risk(plans: Iterable[Plan]) -> str:
    """``3 updates, 1 delete in prod-eu; restarts 12 pods``: what one yes would do, in one line.

    Plans that do the same in several places are said once (``1 update in each of eu, us``), more
    places than a few are counted. ``no change`` when nothing would be done.
    """
    given = [plan for plan in plans if plan.changes]
    parts = [*_works(given), *filter(None, (_outputs(given), _restarts(given)))]
    return "; ".join(parts) or "no change"


def restarts(plans: Iterable[Plan]) -> int:
    """Running pods that are replaced."""
    return sum(change.restarts for plan in plans for change in plan.changes)


def _works(plans: Sequence[Plan]) -> list[str]:
    by_place: dict[str, list[Plan]] = {}
    for plan in plans:
        by_place.setdefault(place(plan), []).append(plan)
    said = {where: _counts(each) for where, each in by_place.items()}
    said = {where: words for where, words in said.items() if words}
    places: dict[str, list[str]] = {}
    for where, words in said.items():
        places.setdefault(words, []).append(where)
    if len(places) > PLACES_NAMED:
        return [f"{_counts(plans)} in {len(said)} places", *_losses(plans, len(said))]
    return [f"{words} in {_listed(where)}" for words, where in places.items()]


def _losses(plans: Sequence[Plan], places: int) -> list[str]:
    """Where something is lost, when not everywhere: that must not drown in a total."""
    where = list(dict.fromkeys(place(plan) for plan in plans if plan.deletes))
    if not where or len(where) == places:
        return []
    return [f"deletes in {', '.join(where[:PLACES_NAMED])}{', …' * (len(where) > PLACES_NAMED)}"]


def _listed(places: Sequence[str]) -> str:
    if len(places) == 1:
        return places[0]
    if len(places) > PLACES_NAMED:
        return f"each of {len(places)} places"
    return f"each of {', '.join(places)}"


def _counts(plans: Iterable[Plan]) -> str:
    every = list(plans)
    totals = {action: sum(plan.count(action) for plan in every) for action in _NOUNS}
    return ", ".join(counted(total, *_NOUNS[each]) for each, total in totals.items() if total)


def counted(number: int, one: str, many: str = "") -> str:
    """``1 pod``, ``12,000 pods``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _outputs(plans: Sequence[Plan]) -> str:
    number = sum(1 for plan in plans for change in plan.changes if change.output)
    return f"{counted(number, 'output')} {'changes' if number == 1 else 'change'}" * bool(number)


def _restarts(plans: Sequence[Plan]) -> str:
    number = restarts(plans)
    return f"restarts {counted(number, 'pod')}" if number else ""


def place(plan: Plan) -> str:
    """Where a plan has its effect: the cluster; for a Terraform root the root itself, whose
    workspace is only named when it is not the usual one."""
    if any(change.object is not None for change in plan.changes):
        return plan.target
    return plan.application if plan.target == "default" else f"{plan.application}@{plan.target}"


# --- meaning ----------------------------------------------------------------------------------

_IMAGE = re.compile(r"(?:initC|c)ontainers\[name=[^\]]+\]\.image$")
_RESOURCES = re.compile(r"ontainers\[name=([^\]]+)\]\.resources\.(limit|request)s\.(.+)$")
_ENV = re.compile(r"ontainers\[name=([^\]]+)\]\.env\[name=([^\]]+)\]")
_HOST = re.compile(r"\[host=([^\]]+)\]|\.rules\[\d+\]\.host$|\.hostnames(?:\[\d+\])?$")
_DATA = re.compile(r"^(?:data|stringData|binaryData)(?:\.(.+)|\['(.+)'\])$")
_NUMBERS = ("spec.replicas", "spec.minReplicas", "spec.maxReplicas", "spec.schedule")
KEYS_NAMED = 6
Words = Iterator[tuple[str, str]]


def meaning(plans: Iterable[Plan]) -> tuple[str, ...]:
    """What the changes mean, a line each: ``image web 1.4.1 → 1.4.2``, ``replicas web 3 → 5``,
    hosts, resources, keys of configuration; what has no such meaning is in the plan itself."""
    lines: dict[str, None] = {}
    gathered: dict[str, dict[str, None]] = {}
    for plan in plans:
        for change in plan.changes:
            if change.action in (Action.UPDATE, Action.REPLACE):
                for head, tail in _of_change(change):
                    if tail:
                        gathered.setdefault(head, {})[tail] = None
                    else:
                        lines[head] = None
    return (*lines, *(f"{head}: {_names(tails)}" for head, tails in gathered.items()))


def _names(names: Iterable[str]) -> str:
    known = list(names)
    more = len(known) - KEYS_NAMED
    return ", ".join(known[:KEYS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _of_change(change: ResourceChange) -> Words:
    """(line, ""), or (head, name) where the names under one head are gathered."""
    for field in change.fields:
        for read in _READERS:
            found = next(read(change, field), None)
            if found is not None:
                yield found
                break


def _image(_change: ResourceChange, field: FieldChange) -> Words:
    before, after = field.before, field.after
    if not (_IMAGE.search(field.path) and isinstance(before, str) and isinstance(after, str)):
        return
    (old, was), (new, now) = split_image(before), split_image(after)
    name = new.rpartition("/")[2]
    yield (f"image {name} {was} → {now}" if old == new else f"image {before} → {after}"), ""


def _number(change: ResourceChange, field: FieldChange) -> Words:
    if field.path in _NUMBERS and change.object is not None:
        what = field.path.removeprefix("spec.")
        yield f"{what} {change.object.name} {_value(field.before)} → {_value(field.after)}", ""


def _resources(_change: ResourceChange, field: FieldChange) -> Words:
    if found := _RESOURCES.search(field.path):
        what = f"{found[3]} {found[2]} of {found[1]}"
        yield f"{what} {_value(field.before)} → {_value(field.after)}", ""


def _environment(_change: ResourceChange, field: FieldChange) -> Words:
    if found := _ENV.search(field.path):
        yield f"environment of {found[1]}", _done(field, found[2])


def _host(_change: ResourceChange, field: FieldChange) -> Words:
    found = _HOST.search(field.path)
    if found is None or (found[1] and field.before is not ABSENT and field.after is not ABSENT):
        return
    if found[1]:
        yield f"host {'+' if field.before is ABSENT else '−'} {found[1]}", ""
    else:
        yield f"host {_value(field.before)} → {_value(field.after)}", ""


def _configuration(change: ResourceChange, field: FieldChange) -> Words:
    found, id = _DATA.match(field.path), change.object
    if found and id is not None and id.kind in ("ConfigMap", "Secret") and not id.group:
        kind = "config" if id.kind == "ConfigMap" else "secret"
        yield f"{kind} {id.name}", _done(field, found[1] or found[2])


_READERS: tuple[Callable[[ResourceChange, FieldChange], Words], ...] = (
    _image,
    _number,
    _resources,
    _environment,
    _host,
    _configuration,
)


def _done(field: FieldChange, name: str) -> str:
    if field.before is ABSENT:
        return f"+{name}"
    return f"−{name}" if field.after is ABSENT else name


def _value(value: object) -> str:
    return "none" if value is ABSENT or value is None else str(value)


def split_image(image: str) -> tuple[str, str]:
    """``registry:5000/web:1.2`` is ``(registry:5000/web, 1.2)``; no tag is ``latest``."""
    name, at, digest = image.partition("@")
    folder, slash, last = name.rpartition("/")
    base, colon, tag = last.partition(":")
    version = digest if at and not colon else (f"{tag}@{digest}" if at else tag or "latest")
    return f"{folder}{slash}{base}", version


def versions(plans: Iterable[Plan]) -> tuple[tuple[str, str], ...]:
    """(name, version) of charts, applications and images that go out together, sorted."""
    return tuple(sorted({each for plan in plans for each in plan.versions}))


# --- equal plans ------------------------------------------------------------------------------


def likeness(plan: Plan) -> Digest:
    """Equal for plans that would show the same: another cluster's objects have other uids, which
    nobody is asked about, so this is no :attr:`Plan.digest` and never decides anything."""
    return combine(
        "likeness",
        plan.application,
        *(part for change in plan.changes for part in _shown(change)),
        *(f"{f.check} {f.severity} {f.place} {f.message}" for f in plan.findings),
        *plan.over_budget,
        *(f"{name} {version}" for name, version in plan.versions),
        *plan.checks,
        str(plan.hides),
    )


def _shown(change: ResourceChange) -> Iterator[str]:
    yield f"{change.action} {change.address} {change.predicted} {change.stateful} {change.foreign}"
    yield from change.notes
    for field in change.fields:
        yield f"{field.path} {field.before!r} {field.after!r} {field.taken_from}"


# --- checks -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Standing:
    """How one check came out."""

    check: str
    worst: Severity | None
    """None: it found nothing."""
    findings: tuple[Finding, ...] = ()
    """The worst first, each once."""

    @property
    def passed(self) -> bool:
        return self.worst in (None, Severity.INFO)


def board(plans: Iterable[Plan]) -> tuple[Standing, ...]:
    """Every check that looked and everybody else who found something; the worst first, then by
    name. A check that passed is there too: silence and a pass must not look the same."""
    found: dict[str, dict[Finding, None]] = {}
    for plan in plans:
        for name in plan.checks:
            found.setdefault(name, {})
        for finding in plan.findings:
            found.setdefault(finding.check, {})[finding] = None
    standings = [_standing(name, findings) for name, findings in found.items()]
    return tuple(sorted(standings, key=lambda each: (_rank(each.worst), each.check)))


def _standing(name: str, findings: Mapping[Finding, None]) -> Standing:
    ordered = sorted(findings, key=lambda finding: _rank(finding.severity))
    return Standing(name, ordered[0].severity if ordered else None, tuple(ordered))


def _rank(severity: Severity | None) -> int:
    return len(Severity) if severity is None else severity.rank
