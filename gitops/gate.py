"""May this person answer this? The one function every face asks (promise 2).

Pure: the desk calls it inside the store's transaction, so what it says is true at the instant the
answer is recorded. Nothing here knows Slack, HTTP or a command line.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gitops.model.approval import Decision, Electorate, Ruling
from gitops.model.fleet import ApprovalPolicy, People
from gitops.model.ids import PersonName
from gitops.model.plan import Action, Plan
from gitops.model.source import Authorship, Grade


@dataclass(frozen=True, slots=True)
class Authors:
    """Who made a change, as far as the fleet file can say."""

    persons: frozenset[PersonName]
    strangers: tuple[str, ...]
    """E-mails and logins that belong to nobody in the fleet file and are no known bot."""
    mergers: frozenset[PersonName]
    """Persons who only merged it: authors too unless the policy says otherwise."""
    known: bool
    """False: the set may be incomplete, so two distinct approvers are needed."""
    why: str = ""

    @property
    def named(self) -> tuple[str, ...]:
        """For people: persons, then strangers, who are foreign text. Mergers are told apart."""
        return (*sorted(self.persons), *self.strangers)


def authors_of(authorship: Authorship, people: People) -> Authors:
    """Maps e-mails and logins to persons.

    Somebody who maps to nobody could be the approver under another name, so strangers make the
    set unknown. So does a change by bots alone: anyone can claim a bot's e-mail.
    """
    bots = {name.casefold() for name in people.bots}
    persons = set(authorship.people)
    strangers: list[str] = []
    for email in dict.fromkeys(signature.email for signature in authorship.signatures):
        person = people.by_email(email)
        if person is not None:
            persons.add(person.name)
        elif email.casefold() not in bots:
            strangers.append(email or "an empty e-mail")
    mergers: set[PersonName] = set()
    for logins, found in ((authorship.logins, persons), (authorship.mergers, mergers)):
        for login in logins:
            person = people.by_login(login)
            if person is not None:
                found.add(person.name)
            elif login.casefold() not in bots:
                strangers.append(login)
    if not persons and not strangers:  # a bot's change: whoever merged it stands in
        persons = mergers
    why = _why_unknown(authorship, persons, strangers)
    only = frozenset(mergers - persons)
    return Authors(frozenset(persons), tuple(dict.fromkeys(strangers)), only, not why, why)


def _why_unknown(authorship: Authorship, persons: set[PersonName], strangers: list[str]) -> str:
    if not authorship.known:
        return authorship.note or "the source cannot say who the author is"
    if strangers:
        return f"{', '.join(strangers)} is nobody in `people`"
    if (authorship.signatures or authorship.logins or authorship.mergers) and not persons:
        return "only bots are named as authors"
    return ""


def electorate(policy: ApprovalPolicy, authorship: Authorship, people: People) -> Electorate:
    """Everybody of the fleet file, sorted into may and may not."""
    authors = authors_of(authorship, people)
    refusals: dict[PersonName, str] = {}
    eligible = []
    for name in people.persons:
        ruling = may_answer(name, Decision.APPROVE, policy, authorship, people)
        if ruling.allowed:
            eligible.append(name)
        else:
            refusals[name] = ruling.reason
    needed = policy.quorum if authors.known else max(policy.quorum, 2)
    note = "nobody is the author"
    if authors.persons or authors.mergers or authorship.signatures or not authors.known:
        note = f"authorship is {authorship.grade.value}"
    if not authors.known:
        note += f"; {authors.why}: two different people have to approve"
    return Electorate(tuple(sorted(eligible)), needed, refusals, note)


def may_answer(
    person: PersonName,
    decision: Decision,
    policy: ApprovalPolicy,
    authorship: Authorship,
    people: People,
) -> Ruling:
    """The ruling on one person and one change.

    Anybody entitled may deny, authors too: taking one's own change back endangers nobody.
    """
    if person not in people.persons:
        return Ruling(False, f"{person} is nobody in `people` of the fleet file")
    if person not in entitled(policy, people):
        return Ruling(False, f"{person} is not among those policy {policy.name!r} names")
    if decision is Decision.DENY:
        return Ruling(True, f"{person} is entitled by policy {policy.name!r}")
    if _below(policy, authorship):
        return Ruling(False, _grade_refusal(policy, authorship.grade))
    hand = _hand_in_it(person, policy, authors_of(authorship, people))
    if hand:
        return Ruling(False, f"{person} {hand} this change: somebody else has to approve")
    return Ruling(True, f"{person} is entitled by policy {policy.name!r}")


def _hand_in_it(person: PersonName, policy: ApprovalPolicy, authors: Authors) -> str:
    """What they did that the policy does not let them approve; empty when nothing."""
    if policy.author_may_approve:
        return ""
    if person in authors.persons:
        return "is an author of"
    return "merged" if person in authors.mergers and not policy.merger_may_approve else ""


def may_ask(
    person: PersonName,
    policy: ApprovalPolicy,
    people: People,
    authorship: Authorship | None = None,
) -> Ruling:
    """May they have an application looked at again (``gitops ask``, ``gitops retry``)?

    Whoever the policy entitles, and the authors of what would be asked about (``authorship``): it
    approves nothing by itself, but a retry applies again what people approved before.
    """
    if person not in people.persons:
        return Ruling(False, f"{person} is nobody in `people` of the fleet file")
    if person in entitled(policy, people):
        return Ruling(True, f"{person} is entitled by policy {policy.name!r}")
    if authorship is not None:
        authors = authors_of(authorship, people)
        if person in authors.persons | authors.mergers:
            return Ruling(True, f"{person} is an author of this change")
    return Ruling(
        False,
        f"{person} is neither among those policy {policy.name!r} names nor an author of the change",
    )


def entitled(policy: ApprovalPolicy, people: People) -> frozenset[PersonName]:
    """Persons a policy names, groups spelled out; everybody when it names none."""
    if not policy.people and not policy.groups:
        return frozenset(people.persons)
    named: set[PersonName] = set(policy.people)
    for group in policy.groups:
        named.update(people.members(group))
    return frozenset(named & set(people.persons))


def _below(policy: ApprovalPolicy, authorship: Authorship) -> bool:
    """A drift has no author and so nothing to be graded; everything else has, known or not."""
    nobody = not (
        authorship.signatures or authorship.logins or authorship.mergers or authorship.people
    )
    if nobody and authorship.known:
        return False
    return authorship.grade.rank < policy.minimum_grade.rank


def _grade_refusal(policy: ApprovalPolicy, grade: Grade) -> str:
    return (
        f"policy {policy.name!r} wants authorship at least {policy.minimum_grade.value}, "
        f"this change is {grade.value}: nobody may approve it"
    )


def nobody_can(group: Electorate, policy: ApprovalPolicy) -> str:
    """The sentence for a request no set of people can approve, naming who could be added."""
    have = ", ".join(group.eligible) or "nobody"
    excluded = "; ".join(sorted(group.refusals.values()))
    where = _where_to_add(policy)
    if group.needed > policy.quorum:  # only because an author is not known
        where += (
            " Or, if the author nobody knows is one of them, add that e-mail or login to theirs:"
            f" then it takes {policy.quorum}."
        )
    return (
        f"Nobody can approve this: it takes {group.needed} and {have} may. "
        f"{excluded or 'The fleet file names no other people'}. {where}"
    )


def _where_to_add(policy: ApprovalPolicy) -> str:
    if policy.groups:
        return f"Add a person to group {policy.groups[0]!r} in the fleet file."
    if policy.people:
        return f"Add a person to policy {policy.name!r} in the fleet file."
    return "Add a person under `people:` in the fleet file."


def auto_approves(
    policy: ApprovalPolicy, plan: Plan, labels: Mapping[str, str], authorship: Authorship
) -> bool:
    """Does the policy itself say yes? Never to deletes over the budget or to what it cannot show,
    never to a take unless it says ``takes``, never below the minimum grade."""
    auto = policy.auto
    if auto is None or plan.over_budget or plan.hides or (plan.takes and not auto.takes):
        return False
    if _below(policy, authorship):
        return False
    conditions = []
    if auto.always:
        conditions.append(True)
    if auto.no_deletes:
        conditions.append(plan.deletes == 0)
    if auto.clusters:
        conditions.append(all(labels.get(k) == v for k, v in auto.clusters.items()))
    return bool(conditions) and all(conditions)


def confirmation_phrase(plans: Iterable[Plan]) -> str:
    """What has to be typed to approve deletes over the budget: ``delete 12`` for all the plans of
    one answer together; empty when no plan is over its budget."""
    over = [plan for plan in plans if plan.over_budget]
    total = sum(plan.count(Action.DELETE) + plan.count(Action.REPLACE) for plan in over)
    return f"delete {total}" if over else ""
