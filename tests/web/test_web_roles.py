"""Roles narrow what people may do at page and API, and never widen it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import HTTPException

from gitops.model.fleet import ApplicationSpec, Fleet, People, Person
from gitops.model.ids import ApplicationName, GroupName, PersonName, SourceName
from gitops.model.serving import ApiSpec, Role, RoleRule
from gitops.web.auth.roles import EVERYTHING, LOOKING, Roles, Scope, roles_of
from gitops.web.auth.viewer import Viewer, Way

ADA, BOB, EVE = map(PersonName, ("ada", "bob", "eve"))
SHOP = ApplicationSpec(ApplicationName("shop-eu"), SourceName("s"), "shop", labels={"team": "shop"})
BANK = ApplicationSpec(ApplicationName("bank"), SourceName("s"), "bank", labels={"team": "money"})


def fleet(*rules: RoleRule | None) -> Fleet:
    people = People({n: Person(n) for n in (ADA, BOB)}, {GroupName("crew"): (BOB,)})
    roles = None if rules == (None,) else tuple(rule for rule in rules if rule)
    return Fleet(Path("f"), Path(), people=people, api=ApiSpec(roles=roles))


def test_without_roles_everybody_of_the_fleet_does_what_the_policies_say() -> None:
    roles = roles_of(ADA, (), fleet(None))
    assert roles.allow(Role.OPERATOR, SHOP)
    assert roles.allow(Role.OPERATOR)
    assert not roles.allow(Role.ADMIN)
    assert not roles_of(EVE, ("sre",), fleet(None)).allow(Role.VIEWER)
    assert not roles_of(None, ("sre",), fleet(None)).allow(Role.VIEWER)


@pytest.mark.parametrize(
    ("rule", "person", "groups"),
    [
        (RoleRule(Role.APPROVER, people=(ADA,)), ADA, ()),
        (RoleRule(Role.APPROVER, groups=(GroupName("crew"),)), BOB, ()),
        (RoleRule(Role.APPROVER, sso_groups=("sre",)), ADA, ("x", "sre")),
        (RoleRule(Role.APPROVER, sso_groups=("sre",)), None, ("sre",)),
    ],
)
def test_a_role_is_given_by_name_by_group_and_by_the_identity_providers_group(
    rule: RoleRule, person: PersonName | None, groups: tuple[str, ...]
) -> None:
    roles = roles_of(person, groups, fleet(rule))
    assert roles.allow(Role.VIEWER)
    assert roles.allow(Role.APPROVER, SHOP)
    assert not roles.allow(Role.OPERATOR, SHOP)
    assert not roles_of(EVE, (), fleet(rule)).allow(Role.VIEWER)
    assert not roles_of(EVE, groups, fleet(rule)).allow(Role.VIEWER)


def test_a_role_about_some_applications_is_about_no_others() -> None:
    named = RoleRule(Role.OPERATOR, people=(ADA,), applications=("shop-*",))
    labelled = RoleRule(Role.APPROVER, people=(BOB,), labels={"team": "money"})
    ada, bob = (roles_of(who, (), fleet(named, labelled)) for who in (ADA, BOB))
    assert ada.allow(Role.OPERATOR, SHOP)
    assert not ada.allow(Role.APPROVER, BANK)
    assert bob.allow(Role.APPROVER, BANK)
    assert not bob.allow(Role.APPROVER, SHOP)
    for roles in (ada, bob):
        assert roles.allow(Role.VIEWER, SHOP)
        assert roles.allow(Role.VIEWER)
        assert roles.anywhere(Role.APPROVER)
        assert not roles.allow(Role.APPROVER), "nothing that is about all of them"
        assert not roles.anywhere(Role.ADMIN)


def test_both_a_name_and_its_labels_have_to_fit() -> None:
    rule = RoleRule(Role.APPROVER, people=(ADA,), applications=("*",), labels={"team": "shop"})
    roles = roles_of(ADA, (), fleet(rule))
    assert roles.allow(Role.APPROVER, SHOP)
    assert not roles.allow(Role.APPROVER, BANK)
    assert not roles.allow(Role.APPROVER, replace(SHOP, labels={}))


def test_a_tokens_scope_cuts_a_persons_roles_down_and_adds_none() -> None:
    rule = RoleRule(Role.APPROVER, people=(ADA,))
    cut = roles_of(ADA, (), fleet(rule), Scope(Role.OPERATOR, ("shop-*",)))
    assert cut.allow(Role.APPROVER, SHOP)
    assert cut.allow(Role.VIEWER)
    assert not cut.allow(Role.APPROVER, BANK)
    assert not cut.allow(Role.APPROVER)
    assert not cut.allow(Role.OPERATOR, SHOP)
    looking = roles_of(ADA, (), fleet(rule), Scope(Role.VIEWER))
    assert looking.allow(Role.VIEWER)
    assert not looking.allow(Role.APPROVER, SHOP)
    assert not looking.anywhere(Role.APPROVER)


def test_who_is_no_person_looks_and_does_nothing() -> None:
    for roles, way in ((EVERYTHING, Way.SOCKET), (LOOKING, Way.ANONYMOUS), (Roles(), Way.SESSION)):
        nobody = Viewer(None, roles, way)
        assert nobody.may(Role.VIEWER) == bool(roles.rules)
        assert not nobody.may(Role.APPROVER, SHOP)
        with pytest.raises(HTTPException) as refused:
            nobody.require(Role.APPROVER, SHOP)
        assert refused.value.status_code == 401
