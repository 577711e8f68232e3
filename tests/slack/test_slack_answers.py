"""Yes and no in Slack: forms that say what they are about, and one answer whatever is pressed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gitops.model.approval import Decision
from tests.slack.incoming_rig import REQUEST, Incoming, incoming, text_of
from tests.slack.server import SlackServer


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
async def rig(tmp_path: Path, slack: SlackServer) -> AsyncIterator[Incoming]:
    async with incoming(tmp_path, slack) as rig:
        yield rig


async def test_approve_opens_a_form_that_says_what_to_and_its_submission_is_the_answer(
    rig: Incoming, slack: SlackServer
) -> None:
    await rig.ask()
    bob = slack.add_user("bob", "bob@example.org")
    await rig.press("Approve", bob)
    asked = await rig.request()
    shown = rig.shown()
    assert "shop@prod" in shown
    assert "1 update" in shown
    assert asked.id in shown
    assert asked.root[:12] in shown
    assert not asked.verdicts, "nothing is answered until the form is handed in"
    ack = await rig.submit(bob)
    assert ack["response_action"] == "update"
    assert "recorded: approved as bob" in text_of(ack)
    [verdict] = await rig.verdicts()
    assert (verdict.person, verdict.decision, verdict.via) == ("bob", Decision.APPROVE, "slack")
    assert verdict.request == REQUEST
