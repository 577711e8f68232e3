"""An approval holds only under the rules it was given under."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from gitops.model.fleet import (
    ApplicationSpec,
    ApprovalPolicy,
    AutoApprove,
    ConflictPolicy,
    DeleteBudget,
    DriftPolicy,
    People,
    Person,
)
from gitops.model.ids import ApplicationName, GroupName, PersonName, SourceName
from gitops.model.source import Grade
from gitops.policy import policy_digest

ADA = Person(PersonName("ada"), emails=("ada@example.com",))
PEOPLE = People(persons={ADA.name: ADA}, groups={GroupName("sre"): (ADA.name,)})
SHOP = ApplicationSpec(ApplicationName("shop"), SourceName("config"), "apps/shop")


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"people": (PersonName("ada"),)},
        {"groups": (GroupName("sre"),)},
        {"quorum": 2},
        {"author_may_approve": True},
        {"merger_may_approve": True},
        {"minimum_grade": Grade.SIGNED},
        {"expires_after": timedelta(hours=1)},
        {"auto": AutoApprove()},
        {"auto": AutoApprove(always=True)},
        {"auto": AutoApprove(clusters={"env": "prod"})},
        {"review_counts": True},
    ],
    ids=str,
)
def test_every_part_of_the_approval_policy_counts(change: dict[str, Any]) -> None:
    policy = dataclasses.replace(ApprovalPolicy(), **change)
    assert policy_digest(dataclasses.replace(SHOP, approval=policy), PEOPLE) != policy_digest(
        SHOP, PEOPLE
    )


def test_every_field_of_the_approval_policy_is_tried_above() -> None:
    """A field added to the policy must be added to the digest, and to the cases above."""
    assert [f.name for f in dataclasses.fields(ApprovalPolicy)] == [
        "name",
        "people",
        "groups",
        "quorum",
        "author_may_approve",
        "merger_may_approve",
        "minimum_grade",
        "expires_after",
        "auto",
        "review_counts",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"conflicts": ConflictPolicy.LEAVE},
        {"prune": False},
        {"delete_budget": DeleteBudget(objects=11)},
        {"delete_budget": DeleteBudget(fraction=0.5)},
        {"delete_budget": DeleteBudget(kinds=())},
    ],
    ids=str,
)
def test_the_rules_on_what_may_be_touched_count(change: dict[str, Any]) -> None:
    assert policy_digest(dataclasses.replace(SHOP, **change), PEOPLE) != policy_digest(SHOP, PEOPLE)


def test_who_is_who_counts() -> None:
    renamed = dataclasses.replace(ADA, emails=("ada@other.example",))
    assert policy_digest(
        SHOP, dataclasses.replace(PEOPLE, persons={ADA.name: renamed})
    ) != policy_digest(SHOP, PEOPLE)


def test_the_order_people_are_listed_in_does_not_count() -> None:
    def digest(*names: str) -> str:
        policy = ApprovalPolicy(people=tuple(PersonName(name) for name in names))
        return policy_digest(dataclasses.replace(SHOP, approval=policy), PEOPLE)

    assert digest("ada", "bob") == digest("bob", "ada")


def test_what_only_decides_when_to_ask_does_not_void_an_approval() -> None:
    later = dataclasses.replace(SHOP, drift=DriftPolicy.REPORT, verify_timeout=timedelta(1))
    assert policy_digest(later, PEOPLE) == policy_digest(SHOP, PEOPLE)
