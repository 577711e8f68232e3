"""Which applications there are: those the fleet file lists and those found in a source.

A discovered application whose folder vanished stays on the roster as long as it was delivered
anywhere: its disappearance is a delete plan that is asked, not an action (promise 6).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase

from gitops.config.discover import Discovered, instance
from gitops.errors import ConfigError, Unknown
from gitops.foreign import one_line
from gitops.model.delivery import LaneId, LaneRecord
from gitops.model.fleet import ApplicationSpec, Discovery, Fleet
from gitops.model.ids import ApplicationName, SourceName
from gitops.ports import Snapshot

_LISTED = 20
"""Names shown to whoever wrote one that is none."""

Discover = Callable[[Fleet, Discovery, Snapshot], Discovered]


class Roster:
    """Names to specifications, present and departed."""

    def __init__(self, fleet: Fleet, discover: Discover) -> None:
        self.fleet = fleet
        self._discover = discover
        self._found: dict[SourceName, dict[ApplicationName, ApplicationSpec]] = {}
        self._departed: dict[ApplicationName, ApplicationSpec] = {}
        self._problems: dict[SourceName, tuple[ConfigError, ...]] = {}
        self.edition = 0
        """Rises whenever what is on it may have changed."""

    @property
    def problems(self) -> tuple[ConfigError, ...]:
        """Folders that cannot become applications, of every source's newest revision."""
        return tuple(problem for each in self._problems.values() for problem in each)

    def beside(self) -> Roster:
        """A roster of its own for the same fleet file: for what may never come to be."""
        return Roster(self.fleet, self._discover)

    def reload(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.edition += 1
        self._found.clear()
        self._departed.clear()

    def spec(self, name: ApplicationName) -> ApplicationSpec | None:
        listed = self.fleet.applications.get(name)
        if listed is not None:
            return listed
        for found in self._found.values():
            if name in found:
                return found[name]
        return self._departed.get(name)

    def named(self, name: ApplicationName) -> ApplicationSpec:
        """The one somebody spoke of; the name is as they wrote it. Raises Unknown."""
        spec = self.spec(name)
        if spec is None:
            every = sorted(self.specs())
            more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
            known = ", ".join(every[:_LISTED]) or "none"
            raise Unknown(
                f"there is no application {one_line(name, 80)!r}",
                hint=f"applications: {known}{more}",
            )
        return spec

    def specs(self) -> Mapping[ApplicationName, ApplicationSpec]:
        every = dict(self._departed)
        for found in self._found.values():
            every.update(found)
        every.update(self.fleet.applications)
        return every

    def lanes(self) -> tuple[LaneId, ...]:
        return tuple(
            LaneId(spec.name, target) for spec in self.specs().values() for target in spec.targets
        )

    def of_source(self, source: SourceName) -> tuple[ApplicationSpec, ...]:
        return tuple(spec for spec in self.specs().values() if spec.source == source)

    def look(self, snapshot: Snapshot) -> None:
        """Finds the applications of a source's new revision; those that left become departed."""
        source = snapshot.revision.source
        before = self._found.get(source, {})
        now: dict[ApplicationName, ApplicationSpec] = {}
        problems: list[ConfigError] = []
        for discovery in self.fleet.discoveries:
            if discovery.template.source == source:
                discovered = self._discover(self.fleet, discovery, snapshot)
                now.update(discovered.applications)
                problems += discovered.problems
        self.edition += 1
        self._found[source] = now
        self._problems[source] = tuple(problems)
        for name, spec in before.items():
            if name not in now:
                self._departed[name] = spec
        for name in now:
            self._departed.pop(name, None)

    def departed(self, name: ApplicationName) -> bool:
        """Is it here only because it once was found?"""
        return name in self._departed

    def dismiss(self, name: ApplicationName) -> None:
        """A departed application that has nothing anywhere."""
        self.edition += 1
        self._departed.pop(name, None)

    def recall(self, delivered: Iterable[LaneRecord]) -> None:
        """After a restart or reload: lanes of applications that nothing lists any more, but that
        one of the discoveries once found."""
        for record in delivered:
            name = record.lane.application
            if record.delivered is None or self.spec(name) is not None:
                continue
            for discovery in self.fleet.discoveries:
                spec = _once_found(discovery, name)
                if spec is not None and record.delivered.revision.source == spec.source:
                    self._departed[name] = spec
                    self.edition += 1
                    break


def _once_found(discovery: Discovery, name: ApplicationName) -> ApplicationSpec | None:
    """The specification a discovery would have made for this name, if it could have.

    Where the pattern leaves the folder open, any folder it could have been will do: had it been
    there still, it would have been found.
    """
    pattern = re.escape(discovery.template.name)
    for part in ("name", "parent"):
        first, again = f"(?P<{part}>.+?)", f"(?P={part})"
        pattern = pattern.replace(re.escape(f"{{{part}}}"), first, 1)
        pattern = pattern.replace(re.escape(f"{{{part}}}"), again)
    match = re.fullmatch(pattern, name)
    if match is None:
        return None
    folders = [part for part in discovery.glob.split("/") if part]
    for place, part in ((-1, "name"), (-2, "parent")):
        folder = match.groupdict().get(part)
        if folder is not None and len(folders) >= -place:
            if not fnmatchcase(folder, folders[place]):
                return None
            folders[place] = folder
    return instance(discovery, name, "/".join(folders))
