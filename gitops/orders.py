"""What people may ask of a running controller: answers, another try, back, not now, force a lock.

Every face comes here (through :mod:`gitops.office` or the API), with a person it is sure of. Who
may is the gate's to say; what is recorded is durable when a method returns; the work that follows
is the lanes'.
"""

from __future__ import annotations

from collections.abc import Callable

from gitops.controller import Controller
from gitops.engine.supplies import together
from gitops.engine.targets.unlock import Unlock
from gitops.errors import NotAllowed, Unknown
from gitops.gate import may_ask
from gitops.model.approval import Decision, Verdict
from gitops.model.delivery import Begun, ChangeRecord, LaneId, LaneRecord, Pause
from gitops.model.events import HoldLifted, RollbackLifted
from gitops.model.fleet import ApplicationSpec
from gitops.model.ids import ApplicationName, Digest, PersonName, RequestId, SourceName
from gitops.model.source import Authorship, SourceStatus
from gitops.ports import Reading, Transaction
from gitops.steps.rollback import Asked, go_back


class Orders:
    """Holds nothing of its own."""

    def __init__(self, system: Controller) -> None:
        self._system = system

    async def nudge(self, source: SourceName) -> SourceStatus:
        """Look at a source now. Raises Unknown for a name that is not in the fleet file."""
        watch = self._system.watches.get(source)
        if watch is None:
            known = ", ".join(sorted(self._system.watches)) or "none"
            raise Unknown(f"there is no source {source!r}", hint=f"sources: {known}")
        return await watch.nudge_and_wait()

    async def answer(
        self,
        request: RequestId,
        root: Digest,
        person: PersonName,
        decision: Decision,
        *,
        reason: str = "",
        via: str,
        confirmation: str = "",
    ) -> Verdict:
        """One person's answer, through the gate. Raises NotAllowed in words for the person."""

        def work(tx: Transaction) -> tuple[Verdict, tuple[ChangeRecord, ...]]:
            verdict, decided = self._system.desk.answer(
                tx,
                request=request,
                root=root,
                person=person,
                decision=decision,
                reason=reason,
                via=via,
                confirmation=confirmation,
            )
            return verdict, decided

        verdict, decided = await self._system.ledger.write(work)
        for record in decided:
            if decision is Decision.DENY:
                await self._system.over(record)
            else:
                self._system.lanes.offer(record.change.lane)
        return verdict

    async def again(self, application: ApplicationName, person: PersonName) -> tuple[LaneId, ...]:
        """``ask`` and ``retry``: lifts what holds the application's lanes and offers them. A plan
        people approved before the failure is applied again while its seal holds; any other is
        asked about. A lane that was rolled back goes by the newest revision again."""
        spec, lanes = self._of(application)
        await self._may_ask(spec, lanes, person)
        self._not_paused(application)
        await self._look_again(spec, lanes, person, forward=True)
        return lanes

    async def retry(self, application: ApplicationName, person: PersonName) -> tuple[LaneId, ...]:
        """The same of what is held or in trouble, and of nothing else; what was rolled back stays
        so. Raises NotAllowed where there is nothing to retry."""
        spec, lanes = self._of(application)
        await self._may_ask(spec, lanes, person)
        self._not_paused(application)

        def stuck(reading: Reading) -> tuple[LaneId, ...]:
            return tuple(lane for lane in lanes if self._stuck(reading.lane(lane)))

        found = await self._system.ledger.read(stuck)
        if not found:
            raise NotAllowed(
                f"there is nothing to retry: nothing of {application} failed or is held",
                hint=f"`gitops ask {application}` looks at it again all the same",
            )
        await self._look_again(spec, found, person, forward=False)
        return found

    def _stuck(self, lane: LaneRecord) -> bool:
        held = lane.hold is not None or lane.drift_hold is not None
        return held or self._system.lanes.trouble(lane.lane) is not None

    async def _look_again(
        self, spec: ApplicationSpec, lanes: tuple[LaneId, ...], person: PersonName, *, forward: bool
    ) -> None:
        for lane in lanes:
            # Forward again after a rollback is asked about anew: the yes from before it is history.
            if not await self._system.ledger.write(_lift(lane, person, forward=forward)):
                self._system.memory(lane).demanded = person
            if spec.terraform is not None:
                self._system.roots.look_again(lane, spec)
            self._system.lanes.offer(lane)

    def _of(self, application: ApplicationName) -> tuple[ApplicationSpec, tuple[LaneId, ...]]:
        """An application and its lanes. Raises Unknown."""
        spec = self._system.roster.named(application)
        return spec, tuple(LaneId(application, target) for target in spec.targets)

    def _not_paused(self, application: ApplicationName) -> None:
        """Raises NotAllowed while it is."""
        pause = self._system.pauses.of(application)
        if pause is not None:
            raise NotAllowed(
                f"{application} is {pause.told}",
                hint=f"`gitops resume {application}` ends the pause",
            )

    async def rollback(
        self,
        application: ApplicationName,
        person: PersonName,
        delivery: str = "",
        reason: str = "",
        target: str = "",
    ) -> Begun:
        """Asks whether the application may go back to what ``delivery`` (an id or prefix) brought,
        or each of its lanes to what was healthy before; ``target`` chooses one. Raises Unknown,
        NotAllowed in words when nothing can be done about any lane."""
        spec, lanes = self._of(application)
        await self._may_ask(spec, lanes, person)
        self._not_paused(application)
        asked = Asked(application, person, delivery, reason.strip(), target)
        clock = self._system.parts.clock
        begun, put_aside = await go_back(asked, lanes, self._system.ledger, clock, self._system.kit)
        for lane in begun.changes:
            self._system.roots.moved(lane)
            self._system.lanes.offer(lane)
        for record in put_aside:
            await self._system.over(record)
        return begun

    async def pause(
        self, application: ApplicationName, person: PersonName, seconds: float, reason: str
    ) -> Pause:
        """Nothing of it is asked or claimed for ``seconds``. Raises Unknown, NotAllowed."""
        _, lanes = self._entitled(application, person)
        return await self._system.pauses.pause(lanes, person, seconds, reason)

    async def resume(self, application: ApplicationName, person: PersonName) -> None:
        """Ends a pause. Raises Unknown, NotAllowed."""
        self._entitled(application, person)
        await self._system.pauses.resume(application, person)

    def _entitled(
        self, application: ApplicationName, person: PersonName
    ) -> tuple[ApplicationSpec, tuple[LaneId, ...]]:
        """Raises NotAllowed for whoever may not say yes to it either."""
        spec, lanes = self._of(application)
        ruling = may_ask(person, spec.approval, self._system.fleet.people)
        if not ruling.allowed:
            raise NotAllowed(ruling.reason)
        return spec, lanes

    async def unlock(
        self, application: ApplicationName, person: PersonName, lock: str
    ) -> tuple[LaneId, ...]:
        """Asks whether a state's lock may be forced. Raises Unknown, NotAllowed."""
        spec = self._system.roster.spec(application)
        if spec is None or spec.terraform is None:
            roots = [name for name, each in self._system.roster.specs().items() if each.terraform]
            known = ", ".join(sorted(roots)) or "none"
            raise Unknown(
                f"there is no Terraform application {application!r}", hint=f"has: {known}"
            )
        lanes = tuple(LaneId(application, target) for target in spec.targets)
        await self._may_ask(spec, lanes, person)
        self._not_paused(application)
        self._holds_one_up(application, lanes, lock)
        for lane in lanes:
            self._system.memory(lane).unlock = Unlock(lock, person)
            self._system.lanes.offer(lane)
        return lanes

    def _holds_one_up(
        self, application: ApplicationName, lanes: tuple[LaneId, ...], lock: str
    ) -> None:
        """Raises Unknown for a lock nobody met: the answer would come only from who approves it."""
        troubles = [trouble for lane in lanes if (trouble := self._system.lanes.trouble(lane))]
        met = [trouble.lock for trouble in troubles if trouble.lock]
        if lock not in met:
            known = f"what it waits for is {', '.join(met)}" if met else "it waits for no lock"
            raise Unknown(
                f"no lock {lock!r} keeps {application} waiting: {known}",
                hint=f"`gitops ask {application}` has it tried again; `gitops why` names the lock",
            )

    async def _may_ask(
        self, spec: ApplicationSpec, lanes: tuple[LaneId, ...], person: PersonName
    ) -> None:
        def authorship(reading: Reading) -> Authorship:
            newest = (reading.changes(open_only=False, lane=lane, limit=1) for lane in lanes)
            return together(record.change.authorship for each in newest for record in each)

        theirs = await self._system.ledger.read(authorship)
        ruling = may_ask(person, spec.approval, self._system.fleet.people, theirs)
        if not ruling.allowed:
            raise NotAllowed(ruling.reason)


def _lift(lane: LaneId, person: PersonName, *, forward: bool) -> Callable[[Transaction], bool]:
    """Takes away what holds a lane; was it a rollback?"""

    def work(tx: Transaction) -> bool:
        record = tx.lane(lane)
        back = forward and record.rollback is not None
        if back:
            tx.append(RollbackLifted(lane, person))
        if record.hold is not None and not record.hold.failed:
            tx.append(HoldLifted(lane, person))
        if record.drift_hold is not None:
            tx.append(HoldLifted(lane, person, drift=True))
        return back

    return work
