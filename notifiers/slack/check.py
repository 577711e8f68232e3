"""What of a Slack set-up is missing, each with the line that mends it.

Called by ``gitops slack check``. Looks only: posts nothing, joins nothing, opens no connection that
stays. No part of a secret is ever in what it says, and what Slack answers is foreign text.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from slack_sdk.errors import SlackClientError

from gitops.errors import ConfigError, GitopsError
from gitops.foreign import one_line
from gitops.model.fleet import People, Person
from gitops.model.secret import SecretRef
from notifiers.slack.account import Account
from notifiers.slack.client import Refusal, Unfit
from notifiers.slack.identity import user_of
from notifiers.slack.search import Search

APPS = "https://api.slack.com/apps"
MOST_PEOPLE = 40
"""Looked up at once: Slack answers about fifty such questions a minute."""


class State(StrEnum):
    OK = "ok"
    OPTIONAL = "optional"
    """Works without; the detail says what does not."""
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Found:
    """One thing looked at. ``remedy`` is what to do; empty if all is well."""

    name: str
    state: State
    detail: str
    remedy: str = ""


# Scope → what is not to be had without it; needed for everything, or for that alone.
# (docs.slack.dev/reference/scopes)
_NEEDED = {
    "chat:write": "no card can be posted",
    "commands": "/gitops does not work",
    "users:read": "nobody can answer: guests could not be told from members",
}
_WISHED = {
    "users:read.email": "people are known by their Slack ids only",
    "app_mentions:read": "mentions of the app are not heard; /gitops works",
    "channels:read": "a public channel cannot be named by #name, nor checked here",
    "groups:read": "a private channel cannot be named by #name, nor checked here",
    "channels:history": "a card whose answer was lost may be posted twice",
    "groups:history": "the same in a private channel",
    "metadata.message:read": "a card whose answer was lost may be posted twice",
    "files:write": "long plans come in pieces instead of as a file",
    "channels:join": "the app has to be invited to every channel",
}
_KINDS = {
    "xoxp-": "a user token",
    "xapp-": "an app-level token",
    "xoxe.": "a token that expires (token rotation)",
    "xoxe-": "a refresh token",
    "xoxs-": "a token of another kind",
    "xoxa-": "a token of another kind",
}
_APP_TOKEN = f"{APPS} → Basic Information → App-Level Tokens: generate one with connections:write"
_INVITE = "in that channel: /invite @gitops – or write another one in channel:"
_SIGNING = re.compile(r"[0-9A-Za-z]{16,64}")


async def check(account: Account, people: People) -> list[Found]:
    """Everything, in the order somebody would set it up."""
    return [found async for found in Checkup(account, people)]


class Checkup:
    """One look at one account."""

    def __init__(self, account: Account, people: People) -> None:
        self._account = account
        self._people = people
        self._scopes: frozenset[str] = frozenset()
        self._team = ""

    async def __aiter__(self) -> AsyncIterator[Found]:
        said, found = await self._bot_token()
        yield found
        if said:
            self._team = one_line(str(said.get("team_id", "")), 40)
            self._scopes = await self._granted()
            for each in self._scope_table():
                yield each
            yield await self._channel()
        for secret in [await self._app_token(), self._signing_secret()]:
            if secret is not None:
                yield secret
        options = self._account.options
        if options.app_token is None and options.signing_secret is None:
            yield Found(
                "answers",
                State.MISSING,
                "neither app_token nor signing_secret is set: buttons and commands do nothing",
                f"{_APP_TOKEN}; then app_token: {{env: SLACK_APP_TOKEN}}",
            )
        if said:
            async for person in self._persons():
                yield person
            yield self._events()

    # --- tokens -------------------------------------------------------------------------------

    async def _bot_token(self) -> tuple[Mapping[str, Any] | None, Found]:
        name, remedy = "bot_token", f"{APPS} → OAuth & Permissions: the Bot User OAuth Token"
        token, wrong = self._read(self._account.options.bot_token)
        if wrong is not None:
            return None, Found(name, State.MISSING, wrong.message, wrong.hint)
        kind = next((what for start, what in _KINDS.items() if token.startswith(start)), "")
        if kind:
            return None, Found(name, State.MISSING, f"it is {kind}, not a bot token", remedy)
        try:
            said = await self._account.web.ask("auth_test")
        except GitopsError as error:
            return None, Found(name, State.MISSING, error.message, error.hint or remedy)
        if not said.get("bot_id"):
            return None, Found(name, State.MISSING, "it is not the token of a bot", remedy)
        who = f"{said.get('user', '')} in {said.get('team', '')} ({said.get('team_id', '')})"
        return said, Found(name, State.OK, one_line(who, 200))

    async def _granted(self) -> frozenset[str]:
        """Scopes of the token, which Slack names in a header of every answer."""
        try:
            answer = await self._account.web.sdk.auth_test()
        except (SlackClientError, OSError, TimeoutError):
            return frozenset()
        headers: Mapping[str, Any] = answer.headers or {}
        found = next((v for k, v in headers.items() if k.lower() == "x-oauth-scopes"), "")
        return frozenset(each.strip() for each in str(found).split(",") if each.strip())

    def _scope_table(self) -> list[Found]:
        remedy = f"{APPS} → OAuth & Permissions → Bot Token Scopes: add %s, then reinstall the app"
        missing = [
            Found(f"scope {scope}", state, without, remedy % scope)
            for scopes, state in ((_NEEDED, State.MISSING), (_WISHED, State.OPTIONAL))
            for scope, without in scopes.items()
            if scope not in self._scopes
        ]
        return missing or [Found("scopes", State.OK, f"all {len(_NEEDED) + len(_WISHED)}")]

    async def _app_token(self) -> Found | None:
        reference = self._account.options.app_token
        if reference is None:
            return None
        token, wrong = self._read(reference)
        if wrong is not None:
            return Found("app_token", State.MISSING, wrong.message, wrong.hint)
        if not token.startswith("xapp-"):
            kind = "a bot token" if token.startswith("xoxb-") else "of another kind"
            detail = f"it is {kind}, not an app-level token (xapp-…)"
            return Found("app_token", State.MISSING, detail, _APP_TOKEN)
        try:
            await self._account.web.ask("apps_connections_open", app_token=token)
        except GitopsError as error:
            detail = error.message
            remedy = f"{_APP_TOKEN}; {APPS} → Socket Mode: enable it"
            return Found("app_token", State.MISSING, detail, remedy)
        return Found("app_token", State.OK, "Socket Mode answers")

    def _signing_secret(self) -> Found | None:
        reference = self._account.options.signing_secret
        if reference is None:
            return None
        remedy = f"{APPS} → Basic Information → App Credentials: the Signing Secret"
        secret, wrong = self._read(reference)
        if wrong is not None:
            return Found("signing_secret", State.MISSING, wrong.message, wrong.hint)
        if secret.startswith("xo") or not _SIGNING.fullmatch(secret):
            detail = "it does not look like a signing secret (32 digits and letters)"
            return Found("signing_secret", State.MISSING, detail, remedy)
        name = self._account.owner.removeprefix("slack/")
        detail = "set; Slack cannot be asked whether it is the right one"
        url = f"request URL of interactivity, events and /gitops: https://YOUR-HOST/hooks/{name}"
        return Found("signing_secret", State.OK, detail, url)

    def _read(self, reference: SecretRef) -> tuple[str, ConfigError | None]:
        try:
            return self._account.secret(reference).strip(), None
        except ConfigError as error:
            return "", error

    # --- where cards go -----------------------------------------------------------------------

    async def _channel(self) -> Found:
        channel = self._account.options.channel
        name = f"channel {one_line(channel, 80)}"
        try:
            facts = await self._facts(channel)
        except GitopsError as error:
            if isinstance(error, Refusal) and error.code == "missing_scope":
                detail = f"cannot be looked at: {error.message}"
                return Found(name, State.OPTIONAL, detail, "see the scopes above")
            return Found(name, State.MISSING, error.message, error.hint or _INVITE)
        if facts.get("is_archived"):
            remedy = "unarchive it, or write another one in channel:"
            return Found(name, State.MISSING, "it is archived", remedy)
        if not facts.get("is_member"):
            return Found(name, State.MISSING, "the app is not in it", _INVITE)
        return Found(name, State.OK, "the app is in it")

    async def _facts(self, channel: str) -> Mapping[str, Any]:
        """The channel as conversations.info has it."""
        id = await Search(self._account.web, "").channel_id(channel)
        found = (await self._account.web.ask("conversations_info", channel=id)).get("channel")
        return found if isinstance(found, Mapping) else {}

    # --- who answers --------------------------------------------------------------------------

    async def _persons(self) -> AsyncIterator[Found]:
        persons = list(self._people.persons.values())
        reached = 0
        for person in persons[:MOST_PEOPLE]:
            found = await self._person(person)
            reached += found.state is State.OK
            yield found
        if persons and not reached and len(persons) <= MOST_PEOPLE:
            detail = "nobody of the fleet file can answer in Slack"
            yield Found("people", State.MISSING, detail, "see the lines above")
        if len(persons) > MOST_PEOPLE:
            left = len(persons) - MOST_PEOPLE
            yield Found("people", State.OPTIONAL, f"{left} more were not looked up")

    async def _person(self, person: Person) -> Found:
        name = f"person {one_line(person.name, 60)}"
        why = "no Slack id of this workspace, no e-mail"
        ids = [id for team, _, id in (each.partition(":") for each in person.slack)]
        ids = [id for id in ids if f"{self._team}:{id}" in person.slack]
        asked = [("users_info", {"user": id}) for id in ids]
        if not ids:  # where an account is named, an e-mail is not enough
            asked += [("users_lookupByEmail", {"email": email}) for email in person.emails[:3]]
        for method, given in asked:
            try:
                said = await self._account.web.ask(method, **given)
            except GitopsError as error:
                gone = isinstance(error, Unfit) and error.code in (
                    "users_not_found",
                    "user_not_found",
                )
                why = "no such account" if gone else one_line(error.message, 120)
                continue
            user = user_of(said.get("user"))
            by_mail = method == "users_lookupByEmail"
            if user.team != self._team:
                why = "their account is of another workspace"
            elif user.refused:
                why = user.refused
            elif by_mail and not user.email:
                why = "Slack has not verified their e-mail"
            else:
                return Found(name, State.OK, "known by e-mail" if by_mail else "known by id")
        remedy = f"under people: {person.name}: slack: [{self._team}:MEMBER-ID] (profile → Copy)"
        return Found(name, State.OPTIONAL, f"cannot answer in Slack: {why}", remedy)

    def _events(self) -> Found:
        if "app_mentions:read" not in self._scopes:
            detail = "mentions are not heard without app_mentions:read; /gitops works"
            return Found("mentions", State.OPTIONAL, detail, "see the scopes above")
        detail = "Slack cannot be asked whether app_mention is subscribed"
        remedy = f"if `@gitops help` stays unanswered: {APPS} → Event Subscriptions: app_mention"
        return Found("mentions", State.OPTIONAL, detail, remedy)
