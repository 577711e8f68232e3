"""Watch: what does this lane want now, if anything?

Looks at the present only: the newest revision, what was delivered, what is live, what is held.
Opens a change for it, puts an outdated one aside, or finds that there is nothing to do, which for
an unchanged lane costs no request to anybody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from gitops.engine.ledger import open_change
from gitops.engine.renders import Rendered
from gitops.engine.rollbacks import half_way
from gitops.engine.supplies import joined
from gitops.model.delivery import (
    CLAIMED,
    Cause,
    Change,
    ChangeRecord,
    ChangeState,
    Hold,
    LaneRecord,
    Rollback,
)
from gitops.model.events import ChangeClosed, ChangeOpened, Event, HoldLifted, RollbackLifted
from gitops.model.fleet import DriftPolicy
from gitops.model.ids import Digest, PersonName, short
from gitops.model.source import Authorship, Grade, Revision
from gitops.ports import Reading, Transaction
from gitops.steps.kit import Kit, wanted
from gitops.steps.render import as_delivered, earlier


def stands(record: ChangeRecord) -> bool:
    """Does it go on whatever the source does meanwhile? A claimed change, and a command until it
    is answered."""
    return record.state in CLAIMED or record.change.cause is Cause.COMMAND


_UNBEGUN = "nothing was applied: a person wants the state's lock forced first"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the lane should become, and why."""

    after: Digest
    cause: Cause
    revision: Revision
    rendered: Rendered | None = None
    occasion: str = ""
    """Empty: what the cause and the revision make of it."""
    rollback: Rollback | None = None


async def watch(kit: Kit) -> ChangeRecord | None:
    """The change to carry on with; None when the lane is as it should be, or waits on a hold."""
    lane, current = await _present(kit)
    if standing := await _standing(kit, current):
        return standing
    if kit.departed and lane.delivered is None:
        await _put_aside(kit, current, "its folder left the source before it was delivered")
        return None
    newest = await kit.renders.of(
        kit.application,
        kit.snapshot,
        await kit.target.facts(),
        kit.supplies,
        gone=lane.delivered is not None,
    )
    back = _set_back(lane, current, newest)
    rendered = newest if back is None else await earlier(kit, back.revision)
    after = await wanted(kit, rendered)
    if current is not None and _insisted(kit, current, after):
        return current
    desire = _desire(kit, current, rendered, after, back)
    wish = await _wish(kit, lane, current, desire, rendered)
    await _lift_outdated_holds(kit, lane, newest, rendered, wish)
    if wish is None:
        await _put_aside(kit, current, "the source is back at what is delivered already")
        return None
    authorship = await _authorship(kit, lane, current, wish)
    if current is not None and _same(current.change, wish, authorship):
        _insist(kit, current)
        return current
    return await _open(kit, current, wish, authorship)


async def _standing(kit: Kit, current: ChangeRecord | None) -> ChangeRecord | None:
    """What goes on whatever the source does meanwhile (:func:`stands`), a new command first of all
    but for what is claimed."""
    if current is not None and current.state in CLAIMED and not await _may_wait(kit, current):
        return current
    wanted_now = kit.memory.unlock
    if wanted_now is not None:
        kit.memory.unlock = None
        if current is None or current.change.after != wanted_now.after:
            wish = Wish(wanted_now.after, Cause.COMMAND, kit.snapshot.revision)
            wish = replace(wish, occasion=wanted_now.occasion)
            by = Authorship(people=(wanted_now.person,), note="asked for by a command")
            return await _open(kit, current, wish, by, _UNBEGUN)
    return current if current is not None and stands(current) else None


async def _may_wait(kit: Kit, current: ChangeRecord) -> bool:
    """A lock that is to be forced may be the very one a claimed change waits for. As long as
    nothing was started for it, it makes way: it is planned and asked about again afterwards."""
    if kit.memory.unlock is None or current.change.cause is Cause.COMMAND:
        return False
    return current.state is ChangeState.APPLYING and await kit.target.unbegun(current.change.id)


async def _present(kit: Kit) -> tuple[LaneRecord, ChangeRecord | None]:
    def query(reading: Reading) -> tuple[LaneRecord, ChangeRecord | None]:
        lane = reading.lane(kit.lane)
        return lane, open_change(reading, lane)

    return await kit.ledger.read(query)


def _insisted(kit: Kit, current: ChangeRecord, after: Digest) -> bool:
    """A person asked for this very try, so it stands although nothing else calls for it."""
    return current.change.id == kit.memory.insisted and current.change.after == after


def _insist(kit: Kit, record: ChangeRecord) -> None:
    if kit.memory.demanded:
        kit.memory.demanded, kit.memory.insisted = "", record.change.id


def _same(change: Change, wish: Wish, authorship: Authorship) -> bool:
    """The same bytes by other hands are another change: who may approve it has changed."""
    if (change.after, change.cause) != (wish.after, wish.cause):
        return False
    if change.rollback != wish.rollback:
        return False
    return _names(authorship) <= _names(change.authorship)


def _names(authorship: Authorship) -> set[str]:
    emails = {signature.email.casefold() for signature in authorship.signatures}
    return emails | {login.casefold() for login in (*authorship.logins, *authorship.mergers)}


def _set_back(lane: LaneRecord, current: ChangeRecord | None, newest: Rendered) -> Rollback | None:
    """What the lane is set back to, or is asked to be: until its source moves on."""
    asked = current.change.rollback if current is not None else None
    for back in (asked, lane.rollback):
        if back is not None and back.leaves == newest.closure.inside:
            return back
    return None


def _desire(
    kit: Kit, current: ChangeRecord | None, rendered: Rendered, after: Digest, back: Rollback | None
) -> Wish:
    """What the source has for the lane, or while it is set back, what it was set back to."""
    if back is None:
        return Wish(after, Cause.COMMIT, rendered.revision, rendered)
    occasion = f"rollback {kit.lane.application} to {back.revision.id}"
    if current is not None and current.change.rollback == back:
        occasion = current.change.occasion
    return Wish(after, Cause.ROLLBACK, rendered.revision, rendered, occasion, back)


async def _wish(
    kit: Kit,
    lane: LaneRecord,
    current: ChangeRecord | None,
    desire: Wish,
    rendered: Rendered,
) -> Wish | None:
    back = current.change.rollback if current is not None else None
    if kit.memory.demanded or (back is not None and back == desire.rollback):
        return desire
    after, delivered = desire.after, lane.delivered
    torn = half_way(lane)
    if delivered is None or delivered.closure != after or torn:
        if not _holds(lane.hold, after):
            return desire
        if delivered is None or torn:
            return None
    if kit.application.drift is DriftPolicy.IGNORE:
        return None
    drift = await _drift(kit, lane, rendered)
    if drift is None or _holds(lane.drift_hold, drift):
        return None
    return Wish(drift, Cause.DRIFT, delivered.revision)


async def _drift(kit: Kit, lane: LaneRecord, rendered: Rendered) -> Digest | None:
    """A root is looked at with what was delivered to it: a commit somebody denied, or that failed,
    is not run only because time went by."""
    in_force = rendered
    if kit.application.terraform is not None:
        in_force = await as_delivered(kit, lane, rendered)
    return await kit.target.drift(in_force.desired)


def _holds(hold: Hold | None, after: Digest) -> bool:
    return hold is not None and hold.closure == after


async def _lift_outdated_holds(
    kit: Kit, lane: LaneRecord, newest: Rendered, rendered: Rendered, wish: Wish | None
) -> None:
    """A failed one stays until a change arrived (``apply.arrived``): it alone remembers that
    something is live that nobody asked for. ``rendered`` is what the lane goes by, or is asked to:
    until it does, a no to the newest stays a no."""
    events: list[Event] = []
    if lane.hold and not lane.hold.failed:
        held = {await wanted(kit, rendered)}
        if lane.rollback is None:
            held.add(await wanted(kit, newest))
        if lane.hold.closure not in held:
            why = "it was rolled back" if lane.rollback else "the source moved"
            events.append(HoldLifted(kit.lane, why))
    if lane.rollback and lane.rollback.leaves != newest.closure.inside:
        events.append(RollbackLifted(kit.lane, "the source moved"))
    if lane.drift_hold and wish is not None and wish.cause is Cause.DRIFT:
        events.append(HoldLifted(kit.lane, "the drift is another one", drift=True))
    elif lane.drift_hold and wish is None and await _drift(kit, lane, rendered) is None:
        events.append(HoldLifted(kit.lane, "the drift is gone", drift=True))
    if events:
        await kit.ledger.append(*events)


async def _put_aside(kit: Kit, current: ChangeRecord | None, why: str) -> None:
    if current is not None:
        await kit.ledger.append(ChangeClosed(current.change.id, ChangeState.SUPERSEDED, why))
        await _discard(kit, current)


async def _discard(kit: Kit, record: ChangeRecord) -> None:
    if record.seal is not None:
        await kit.vault.discard(record.seal)


async def _open(
    kit: Kit,
    current: ChangeRecord | None,
    wish: Wish,
    authorship: Authorship,
    claimed: str = "",
) -> ChangeRecord:
    """``claimed``: what is said of a current one that was claimed already."""
    occasion = wish.occasion or f"{wish.revision.source}@{wish.revision.id}"
    if wish.cause is Cause.DRIFT:
        occasion = f"drift {kit.lane} {short(wish.after)}"
    draft = Change(
        kit.lane, 0, wish.after, wish.cause, wish.revision, authorship, occasion, wish.rollback
    )

    def work(tx: Transaction) -> ChangeRecord:
        if current is not None:
            why = f"{wish.cause.value} {short(wish.revision.id)} took its place"
            if (current.change.after, current.change.revision) == (wish.after, wish.revision):
                why = "more is known of who wrote it"
            unbegun = current.state in CLAIMED
            why = claimed if unbegun else why
            end = ChangeState.SUPERSEDED
            tx.append(ChangeClosed(current.change.id, end, why, unbegun=unbegun))
        change = replace(draft, generation=tx.lane(kit.lane).generation)
        tx.append(ChangeOpened(change))
        record = tx.change(change.id)
        assert record is not None
        return record

    record = await kit.ledger.write(work)
    if wish.cause is not Cause.COMMAND:  # who asked for another try meant the source's
        _insist(kit, record)
    if current is not None:
        await _discard(kit, current)
    return record


def requester(person: PersonName) -> Authorship:
    """Of what a person asked for with their token."""
    return Authorship(people=(person,), grade=Grade.AUTHENTICATED)


async def _authorship(
    kit: Kit, lane: LaneRecord, current: ChangeRecord | None, wish: Wish
) -> Authorship:
    """Nobody authors a drift. A commit change counts everybody since the last delivered one."""
    if wish.cause is Cause.DRIFT or wish.rendered is None:
        return Authorship()
    if wish.rollback is not None:
        return joined(requester(wish.rollback.by), kit.supplies.authorship)
    same = current is not None and current.change.revision.id == wish.revision.id
    if current is not None and same and _asked_for_good(current.change):
        # The revision is nobody else's, but a value taken in may have moved meanwhile.
        return joined(current.change.authorship, kit.supplies.authorship)
    since = lane.delivered.revision if lane.delivered else None
    own = await kit.source.authorship(since, wish.revision, wish.rendered.closure.reads)
    return joined(await kit.provenance(own), kit.supplies.authorship)


def _asked_for_good(change: Change) -> bool:
    """A forge that has not answered yet may still name somebody."""
    return change.cause is Cause.COMMIT and not change.authorship.unasked
