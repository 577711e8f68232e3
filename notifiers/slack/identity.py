"""Who is this in the fleet file? A Slack user becomes a person here or is turned away, in words.

Asked by :mod:`.hearing` before anything is shown or done. The fleet file's ``slack: [TEAM:USER]``
says it outright; else the e-mail that Slack verified does, of a person for whom the fleet file
names no account of this workspace: whoever may change e-mails there must not become them. Either
way Slack is asked what the account is now: guests, programs, other workspaces and closed accounts
answer nothing, whatever the fleet file says. What a person may do is the gate's to say, not ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gitops.errors import NotAllowed, Transient
from gitops.model.fleet import People, Person
from gitops.model.ids import PersonName
from gitops.ports import Clock
from notifiers.slack.client import Refusal, Unfit, Web
from notifiers.slack.payloads import Speaker

SECONDS = 2.0
"""For one question to Slack: people wait, and Slack takes an answer for lost after three."""
FRESH = 120.0
"""Seconds an account is believed to be what it was: so long may a closed one still answer."""
_MOST = 5_000
"""Accounts remembered."""


@dataclass(frozen=True, slots=True)
class User:
    """What users.info says of a user (docs.slack.dev/reference/objects/user-object)."""

    team: str
    email: str
    """Verified by Slack, lower case; empty where there is none, or it is not."""
    refused: str
    """Why this account answers nothing at all, in words; empty for a full member."""


class Identity:
    """Of one workspace: the one the bot token is for."""

    def __init__(self, web: Web, clock: Clock) -> None:
        self._web = web
        self._clock = clock
        self._team = ""
        self._known: dict[str, tuple[float, User]] = {}

    async def person(self, speaker: Speaker, people: People) -> PersonName:
        """Raises NotAllowed with what to do about it, Transient when Slack cannot be asked."""
        if not speaker.user or not speaker.team:
            raise NotAllowed("Slack did not say who you are")
        team = await self.team()
        for where in (speaker.team, speaker.home or team):
            if where != team:
                raise NotAllowed(
                    f"you are of another workspace ({where}) than this app ({team})",
                    hint="somebody of this workspace has to answer",
                )
        account = await self._user(speaker.user)
        if account.team != team:
            raise NotAllowed(
                f"your account is of another workspace ({account.team or 'unknown'})",
                hint="somebody of this workspace has to answer",
            )
        if account.refused:
            raise NotAllowed(account.refused, hint="a full member of the workspace has to answer")
        return mapped(f"{team}:{speaker.user}", account.email, people)

    async def team(self) -> str:
        """The workspace's id. Raises Transient."""
        if not self._team:
            said = await self._ask("auth_test")
            self._team = _text(said, "team_id")
            if not self._team:
                raise Transient("Slack does not say which workspace this is")
        return self._team

    async def _user(self, user: str) -> User:
        at, known = self._known.get(user, (0.0, None))
        if known is not None and self._clock.monotonic() - at < FRESH:
            return known
        try:
            said = await self._ask("users_info", user=user)
        except Unfit as unfit:
            # user_not_found, user_not_visible: Slack does not say more of strangers.
            raise NotAllowed(f"Slack does not know your account here ({unfit.code})") from None
        account = user_of(said.get("user"))
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[user] = (self._clock.monotonic(), account)
        return account

    async def _ask(self, method: str, **given: Any) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(SECONDS):
                return await self._web.ask(method, **given)
        except TimeoutError:
            raise Transient("Slack did not say in time who you are", hint="try again") from None
        except Refusal as refused:
            raise Transient(
                f"Slack does not say who you are: {refused.message}", hint=refused.hint
            ) from None


def user_of(user: object) -> User:
    """Reads a user object: what is missing or of another type counts against the account."""
    given: Mapping[str, Any] = user if isinstance(user, Mapping) else {}
    profile = given.get("profile")
    email = _text(profile, "email") if isinstance(profile, Mapping) else ""
    confirmed = given.get("is_email_confirmed") is True
    return User(
        team=_text(given, "team_id"),
        email=_lower(email.strip()) if confirmed else "",
        refused=next((why for key, why in _REFUSED.items() if given.get(key, False)), ""),
    )


_REFUSED = {
    "deleted": "your Slack account is deactivated",
    "is_bot": "a bot answers nothing",
    "is_app_user": "an app answers nothing",
    "is_workflow_bot": "a workflow answers nothing",
    "is_ultra_restricted": "you are a guest of this workspace",
    "is_restricted": "you are a guest of this workspace",
    "is_stranger": "you are of another workspace",
    "is_invited_user": "your invitation to this workspace is not accepted yet",
}
"""Fields of a user object, any value of which but false turns somebody away."""


def mapped(id: str, email: str, people: People) -> PersonName:
    """The person of ``TEAM:USER``, else of a verified e-mail. Raises NotAllowed with the lines
    that would map them; one human under two names is refused rather than chosen."""
    by_id = _by_slack(id, people)
    by_email = _by_email(email, people)
    if by_id is None and by_email is None:
        address = f" or emails: [{email}]" if email else ""
        raise NotAllowed(
            f"the fleet file does not say who {id} is",
            hint=f"have its operator add to you, under people: slack: [{id}]{address}",
        )
    if by_id is not None and by_email is not None and by_id.name != by_email.name:
        raise NotAllowed(
            f"the fleet file contradicts itself: {id} is {by_id.name}, "
            f"and the e-mail of that account is {by_email.name}'s",
            hint="have its operator correct `people`: one human, one person",
        )
    found = by_id or by_email
    assert found is not None
    if by_id is None and _is_named(found, id.partition(":")[0]):
        raise NotAllowed(
            f"the fleet file names another Slack account of this workspace for {found.name}",
            hint=f"if it is theirs too, have its operator add to {found.name}, under slack: {id}",
        )
    return found.name


def _by_slack(id: str, people: People) -> Person | None:
    return next((each for each in people.persons.values() if id in each.slack), None)


def _by_email(email: str, people: People) -> Person | None:
    """By exactly one of their e-mails, capitals apart. A forge's stand-in for a hidden e-mail is
    nobody's mailbox, and letters that fold into others are other letters."""
    if not email or email in map(_lower, people.bots):
        return None
    persons = people.persons.values()
    return next((each for each in persons if email in map(_lower, each.emails)), None)


def _lower(email: str) -> str:
    return email.lower() if email.isascii() else email


def _is_named(person: Person, team: str) -> bool:
    return any(each.partition(":")[0] == team for each in person.slack)


def _text(given: Mapping[str, Any], key: str) -> str:
    value = given.get(key)
    return value if isinstance(value, str) else ""
