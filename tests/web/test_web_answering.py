"""Whose answer is taken at page and API, by their role, before the gate is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gitops.model.approval import Decision, MemberState
from gitops.model.events import TokenCreated
from gitops.model.serving import Role, RoleRule
from gitops.tokens import new_token
from tests.web.change_cases import BOB, BROWSER, CYD, HERE, House, house

__all__ = ["house"]

ELSEWHERE = (
    RoleRule(Role.APPROVER, people=(BOB,)),
    RoleRule(Role.APPROVER, people=(CYD,), applications=("mail",)),
)
"""Roles: cyd approves of mail alone. The policy of shop names nobody, so that it lets everybody."""


@pytest.mark.parametrize("approved", [False, True])
@pytest.mark.parametrize("decision", [Decision.APPROVE, Decision.DENY])
async def test_nobody_answers_about_an_application_they_have_no_role_for(
    house: House, decision: Decision, approved: bool
) -> None:
    """What is approved already and was not begun can be denied still: by who may."""
    house.set(api=replace(house.controller.fleet.api, roles=ELSEWHERE))
    request = await house.asked()
    if approved:
        await house.answer(BOB)
    given = {"root": request.root, "decision": decision.value, "reason": "no"}
    page = await house.post(f"/requests/{request.id}", CYD, **given)
    token = await house.client.post(
        f"{HERE}/api/v1/requests/{request.id}/answer", json=given, headers=await scoped(house)
    )
    if not (approved and decision is Decision.APPROVE):  # then there is nothing to approve
        assert (page.status_code, token.status_code) == (403, 403)
    member = (await house.request()).members[0]
    assert member.state is (MemberState.APPROVED if approved else MemberState.ASKING)
    assert CYD not in member.yes


async def scoped(house: House) -> dict[str, Any]:
    """A token of who may, cut down to another application."""
    token = new_token()
    made = TokenCreated(token.id, BOB, token.hash, 1e12, "", Role.ADMIN, ("mail",))
    await house.controller.ledger.append(made)
    return {**BROWSER, "accept": "application/json", "authorization": f"Bearer {token.text}"}
