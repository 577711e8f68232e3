"""Answers: whose count, what they cover, and when they no longer do."""

from __future__ import annotations

import pytest

from gitops.errors import NotAllowed
from gitops.model.approval import Decision, MemberState, RequestState
from gitops.model.delivery import ChangeState
from gitops.model.ids import PersonName
from tests.e2e.rig import ADA, BOB, Rig, System, config_map

pytestmark = pytest.mark.e2e


@pytest.fixture
def painted(rig: Rig) -> Rig:
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rig.write("docs/readme.txt", "hello")
    rig.commit("paint the sky")
    return rig


async def test_a_denied_plan_is_not_asked_again_until_its_closure_moves(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.nudge()
        record = await system.deny("bob", "wrong blue")
        assert record.state is ChangeState.DENIED
        assert "wrong blue" in record.reason
        painted.write("docs/readme.txt", "outside the closure")
        painted.commit("docs")
        await system.nudge()
        assert not await system.requests()
        painted.write("app/colours.yaml", config_map("colours", sky="azure"))
        painted.commit("another blue")
        await system.nudge()
        assert (await system.request()).state is RequestState.OPEN
    assert painted.data("colours") is None


async def test_somebody_may_say_ask_after_a_denial(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.nudge()
        await system.deny()
        await system.orders.again(system.lane.application, PersonName("ada"))
        await system.quiet()
        record = await system.approve("bob")
    assert record.state is ChangeState.HEALTHY
    assert painted.data("colours") == {"sky": "blue"}


@pytest.mark.parametrize("part", ["author", "committer", "co-author", "earlier commit"])
async def test_nobody_who_had_a_hand_in_the_range_approves_it(rig: Rig, part: str) -> None:
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rig.commit()
    async with rig.controller() as system:
        await system.deliver()
        rig.write("app/colours.yaml", config_map("colours", sky="grey"))
        match part:
            case "author":
                rig.commit(author=BOB, committer=ADA)
            case "committer":
                rig.commit(author=ADA, committer=BOB)
            case "co-author":
                rig.commit("x\n\nCo-authored-by: Bob <BOB@example.com>", author=ADA)
            case _:
                rig.commit(author=BOB)
                rig.write("app/colours.yaml", config_map("colours", sky="black"))
                rig.commit(author=ADA)
        await system.nudge()
        with pytest.raises(NotAllowed, match="bob is an author"):
            await system.answer("bob")
        record = await system.approve("cyd")
    assert record.state is ChangeState.HEALTHY


async def test_a_request_nobody_can_approve_says_so_at_once(rig: Rig) -> None:
    rig.fleet["people"] = {"ada": {"emails": [ADA[1]]}}
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        with pytest.raises(NotAllowed, match="ada is an author"):
            await system.answer("ada")
        from gitops.web.views import why

        told = await why(system.controller, system.lane.application)
        assert told is not None
        assert "Nobody can approve this" in " ".join(told[str(system.lane)])


async def test_an_unknown_author_makes_two_approvers_necessary(rig: Rig) -> None:
    rig.write("app/colours.yaml", config_map("colours", sky="blue"))
    rig.commit(author=("Mallory", "mallory@elsewhere.example"))
    async with rig.controller() as system:
        await system.nudge()
        await system.answer("bob")
        await system.quiet()
        assert rig.data("colours") is None
        with pytest.raises(NotAllowed, match="has approved this already"):
            await system.answer("bob")
        record = await system.approve("cyd")
    assert record.state is ChangeState.HEALTHY


async def test_a_newer_commit_supersedes_what_is_being_asked(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.nudge()
        old = await system.request()
        painted.write("app/colours.yaml", config_map("colours", sky="grey"))
        painted.commit("newer")
        await system.nudge()
        new = await system.request()
        assert new.id != old.id
        with pytest.raises(NotAllowed, match="too late"):
            await system.answer("bob", request=old)
        await system.approve("bob")
        states = [record.state for record in await system.changes()]
    assert states == [ChangeState.HEALTHY, ChangeState.SUPERSEDED]
    assert painted.data("colours") == {"sky": "grey"}


async def test_a_commit_between_approval_and_claim_is_what_people_are_asked_about(
    painted: Rig,
) -> None:
    async with painted.controller() as system:
        await system.nudge()
        asked = await system.request()
        # The answer is committed, and its lane has had no turn yet when the source moves.
        await system.controller.ledger.write(
            lambda tx: system.controller.desk.answer(
                tx,
                request=asked.id,
                root=asked.root,
                person=PersonName("bob"),
                decision=Decision.APPROVE,
                via="test",
            )
        )
        painted.write("app/colours.yaml", config_map("colours", sky="grey"))
        painted.commit("newer")
        await system.nudge()
        assert painted.data("colours") is None
        await system.approve("cyd")
    assert painted.data("colours") == {"sky": "grey"}


async def test_a_commit_outside_the_closure_changes_nothing(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.nudge()
        before = await system.request()
        painted.write("docs/readme.txt", "outside")
        painted.commit("docs")
        await system.nudge()
        after = await system.request()
        assert (after.id, after.root) == (before.id, before.root)
        await system.answer("bob", request=before)
        await system.quiet()
        assert (await system.last()).state is ChangeState.HEALTHY
    assert painted.data("colours") == {"sky": "blue"}


async def test_a_live_edit_between_ask_and_approval_is_asked_again(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.deliver()
        painted.write("app/colours.yaml", config_map("colours", sky="grey"))
        painted.commit("winter")
        await system.nudge()
        asked = await system.request()
        patch(painted, "colours", '{"data": {"sky": "red"}}')
        await system.until_async(lambda: moved(system, asked.root))
        with pytest.raises(NotAllowed, match="changed since you looked"):
            await system.answer("bob", request=asked)
        assert painted.data("colours") == {"sky": "red"}
        plan = await system.plan()
        (field,) = [f for c in plan.changes for f in c.fields if f.path == "data.sky"]
        assert (field.before, field.after) == ("red", "grey")
        await system.approve("bob")
    assert painted.data("colours") == {"sky": "grey"}


async def test_there_and_back_and_there_again_is_asked_each_time(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.deliver()
        for colour in ("grey", "blue", "grey"):
            painted.write("app/colours.yaml", config_map("colours", sky=colour))
            painted.commit(colour)
            await system.deliver()
            assert painted.data("colours") == {"sky": colour}
        assert len(await system.changes()) == 4


async def test_going_back_to_what_is_delivered_withdraws_the_question(painted: Rig) -> None:
    async with painted.controller() as system:
        await system.deliver()
        painted.write("app/colours.yaml", config_map("colours", sky="grey"))
        painted.commit("grey")
        await system.nudge()
        await system.request()
        painted.write("app/colours.yaml", config_map("colours", sky="blue"))
        painted.commit("no, blue")
        await system.nudge()
        assert not await system.requests()
        assert (await system.last()).state is ChangeState.SUPERSEDED


async def test_an_expired_question_is_closed_and_not_asked_again(painted: Rig) -> None:
    painted.app["approval"] = {"expires_after": "1s"}
    async with painted.controller() as system:
        await system.nudge()
        asked = await system.request()
        await system.until_async(lambda: expired(system))
        with pytest.raises(NotAllowed, match="too late"):
            await system.answer("bob", request=asked)
        await system.nudge()
        assert not await system.requests()
    assert painted.data("colours") is None


async def test_a_policy_may_answer_for_itself(painted: Rig) -> None:
    painted.app["approval"] = {"auto": {"no_deletes": True}}
    async with painted.controller() as system:
        await system.nudge()
        assert (await system.last()).state is ChangeState.HEALTHY
        deliveries = await system.controller.ledger.read(lambda r: r.deliveries())
        assert deliveries[0].approved_by == ("policy " + deliveries[0].approved_by[0][7:],)
    assert painted.data("colours") == {"sky": "blue"}


async def test_one_request_covers_every_target_a_commit_concerns(rig: Rig) -> None:
    second = f"{rig.application}-b"
    rig.fleet["applications"][second] = {"path": "b", "namespace": rig.namespace}
    rig.write("app/a.yaml", config_map("a", v="1"))
    rig.write("b/b.yaml", config_map("b", v="1"))
    rig.commit()
    async with rig.controller() as system:
        await system.nudge()
        request = await system.request()
        assert len(request.members) == 2
        await system.answer("cyd")
        await system.quiet()
        ended = await system.controller.ledger.read(lambda r: r.request(request.id))
        assert ended is not None
        assert {m.state for m in ended.members} == {MemberState.APPROVED}
        assert ended.state is RequestState.CLOSED
    assert rig.data("a") == {"v": "1"}
    assert rig.data("b") == {"v": "1"}


def patch(rig: Rig, name: str, body: str) -> None:
    rig.kubectl(
        "-n",
        rig.namespace,
        "patch",
        "configmap",
        name,
        "--field-manager=kubectl-edit",
        "--patch",
        body,
    )


async def moved(system: System, root: str) -> bool:
    requests = await system.requests()
    return bool(requests) and requests[0].root != root


async def expired(system: System) -> bool:
    await system.controller.expire()
    return not await system.requests()
