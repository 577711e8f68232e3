"""What a person may do at pages and API. Pure.

Called by :mod:`gitops.web.auth.guard` for every request, with the fleet file in force, so that a
role that is taken away is gone with the next request.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase

from gitops.errors import NotAllowed
from gitops.model.fleet import ApplicationSpec, Fleet
from gitops.model.ids import PersonName
from gitops.model.serving import Role, RoleRule


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is cut down to. The default is no cut."""

    role: Role = Role.ADMIN
    applications: tuple[str, ...] = ()
    """Names or patterns; empty: every one."""

    def covers(self, role: Role, application: ApplicationSpec | None) -> bool:
        if not self.role.covers(role):
            return False
        if not self.applications or role is Role.VIEWER:
            return True
        return application is not None and _named(self.applications, application)


@dataclass(frozen=True, slots=True)
class Roles:
    """Everything somebody was given. Empty: nothing may be seen either."""

    rules: tuple[RoleRule, ...] = ()
    scope: Scope = Scope()

    def allow(self, role: Role, application: ApplicationSpec | None = None) -> bool:
        """May they, about this application? None stands for what is about no single one, which
        takes a role about everything."""
        if not self.scope.covers(role, application):
            return False
        return any(
            rule.role.covers(role) and (role is Role.VIEWER or _about(rule, application))
            for rule in self.rules
        )

    def anywhere(self, role: Role) -> bool:
        """May they, about anything at all?"""
        return self.scope.role.covers(role) and any(rule.role.covers(role) for rule in self.rules)


EVERYTHING = Roles((RoleRule(Role.ADMIN),))
LOOKING = Roles((RoleRule(Role.VIEWER),))
_AS_POLICIES_SAY = (RoleRule(Role.OPERATOR),)


def known(fleet: Fleet, name: str) -> PersonName:
    """The person of that name. Raises NotAllowed with the names there are."""
    person = PersonName(name)
    if person not in fleet.people.persons:
        there = ", ".join(sorted(fleet.people.persons)) or "nobody"
        raise NotAllowed(f"{name!r} is nobody in `people`", hint=f"people: {there}")
    return person


def roles_of(
    person: PersonName | None,
    sso_groups: Collection[str],
    fleet: Fleet,
    scope: Scope | None = None,
) -> Roles:
    """``person`` is None for somebody known to the identity provider alone: what its groups give
    them they have, though without a person nobody can act."""
    scope, people = scope or Scope(), fleet.people
    if person is not None and person not in people.persons:
        return Roles()
    if fleet.api.roles is None:
        return Roles(_AS_POLICIES_SAY if person else (), scope)
    groups = {name for name, members in people.groups.items() if person in members}
    held = tuple(
        rule
        for rule in fleet.api.roles
        if person in rule.people
        or groups.intersection(rule.groups)
        or set(sso_groups).intersection(rule.sso_groups)
    )
    return Roles(held, scope)


def _about(rule: RoleRule, application: ApplicationSpec | None) -> bool:
    if not rule.applications and not rule.labels:
        return True
    if application is None:
        return False
    named = not rule.applications or _named(rule.applications, application)
    return named and all(application.labels.get(k) == v for k, v in rule.labels.items())


def _named(patterns: Collection[str], application: ApplicationSpec) -> bool:
    return any(fnmatchcase(application.name, pattern) for pattern in patterns)
