"""People, groups and approval policies of the fleet file, as values.

Called by :mod:`gitops.config.build`. Whether a policy can ever be answered is judged across the
fleet, in :mod:`gitops.config.rules`.
"""

from __future__ import annotations

from types import MappingProxyType

from gitops.config import shape
from gitops.config.problems import Draft, Loc
from gitops.model.fleet import ApprovalPolicy, AutoApprove, People, Person
from gitops.model.ids import GroupName, PersonName
from gitops.model.source import Grade

_FORGES = ("github", "gitlab", "bitbucket", "gitea")


def directory(draft: Draft, file: shape.FleetFile) -> People:
    """Everybody, with groups and bots; refuses members nobody has heard of."""
    groups = {}
    for group, members in file.groups.items():
        for index, member in enumerate(members):
            draft.expect(("groups", group, index), member, draft.names("people"), "person")
        groups[GroupName(group)] = tuple(map(PersonName, dict.fromkeys(members)))
    return People(
        MappingProxyType({PersonName(name): _person(name, p) for name, p in file.people.items()}),
        MappingProxyType(groups),
        tuple(dict.fromkeys(file.bots)),
    )


def _person(name: str, given: shape.Person) -> Person:
    return Person(
        name=PersonName(name),
        emails=tuple(given.emails),
        logins=tuple(f"{forge}:{login}" for forge in _FORGES for login in getattr(given, forge)),
        slack=tuple(given.slack),
        subjects=tuple(given.sso),
    )


def approval(draft: Draft, name: str, given: shape.Approval, loc: Loc) -> ApprovalPolicy:
    """A policy under its own name, or under the application's it is written in."""
    for index, person in enumerate(given.people):
        _person_named(draft, (*loc, "people", index), person)
    for index, group in enumerate(given.groups):
        draft.expect((*loc, "groups", index), group, draft.names("groups"), "group")
    return ApprovalPolicy(
        name=name,
        people=tuple(map(PersonName, given.people)),
        groups=tuple(map(GroupName, given.groups)),
        quorum=given.quorum,
        author_may_approve=given.author_may_approve,
        merger_may_approve=given.merger_may_approve,
        minimum_grade=Grade(given.minimum_grade),
        expires_after=given.expires_after,
        auto=_auto(draft, given.auto, (*loc, "auto")),
        review_counts=given.pull_request_review == "counts",
    )


def _person_named(draft: Draft, loc: Loc, name: str) -> None:
    people, groups = draft.names("people"), draft.names("groups")
    if name in groups and name not in people:
        draft.refuse(loc, f'"{name}" is a group, not a person', f"write groups: [{name}]")
    else:
        draft.expect(loc, name, people, "person")


def _auto(draft: Draft, given: shape.Auto | None, loc: Loc) -> AutoApprove | None:
    if given is None:
        return None
    if not (given.always or given.no_deletes or given.clusters):
        hint = "write always: true, no_deletes: true or clusters: {LABEL: VALUE}"
        draft.refuse(loc, '"auto" names no condition, so it would approve nothing', hint)
    return AutoApprove(
        given.always, given.no_deletes, MappingProxyType(dict(given.clusters)), given.takes
    )
