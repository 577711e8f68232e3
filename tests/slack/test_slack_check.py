"""``gitops slack check``: every way a set-up is wrong, and the line that mends it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from gitops.cli import main
from tests.slack.server import SlackServer


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with SlackServer() as server:
        yield server


@pytest.fixture
def fleet(tmp_path: Path, slack: SlackServer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A fleet file that is fine; tests spoil it."""
    slack.add_channel("deploys")
    slack.add_user("ada", "ada@example.org")
    monkeypatch.setenv("BOT", slack.bot_token)
    monkeypatch.setenv("APP", slack.app_token)
    monkeypatch.setenv("SIGNING", slack.signing_secret)
    return {
        "state_dir": str(tmp_path / "state"),
        "people": {"ada": {"emails": ["ada@example.org"]}},
        "notifiers": {
            "ops": {
                "slack": {
                    "bot_token": {"env": "BOT"},
                    "app_token": {"env": "APP"},
                    "signing_secret": {"env": "SIGNING"},
                    "channel": "#deploys",
                    "api": slack.api_url,
                }
            }
        },
    }


def run(folder: Path, fleet: dict[str, Any], *arguments: str) -> int:
    path = folder / "gitops.yaml"
    path.write_text(yaml.safe_dump(fleet))
    with pytest.raises(SystemExit) as ended:
        main(["--config", str(path), "slack", "check", *arguments])
    return int(ended.value.code or 0)


def test_a_good_set_up_is_said_to_be_good_and_nothing_is_posted(
    tmp_path: Path, slack: SlackServer, fleet: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, fleet) == 0
    told = capsys.readouterr().out
    assert "✗" not in told
    for line in ("gitops in recorded (T0GITOPS)", "the app is in it", "Socket Mode answers"):
        assert line in told
    assert "known by e-mail" in told
    assert "/hooks/ops" in told
    assert not slack.posted()
    assert slack.bot_token not in told
    assert slack.signing_secret not in told


Spoil = Callable[[SlackServer, dict[str, Any], pytest.MonkeyPatch], object]

WRONG: dict[str, tuple[Spoil, str, str]] = {
    "no bot token": (lambda s, f, m: m.delenv("BOT"), "bot_token", "set BOT"),
    "an app token for the bot's": (
        lambda s, f, m: m.setenv("BOT", s.app_token),
        "an app-level token, not a bot token",
        "OAuth & Permissions",
    ),
    "a user's token": (lambda s, f, m: m.setenv("BOT", "xoxp-1"), "a user token", "OAuth"),
    "a revoked token": (
        lambda s, f, m: m.setenv("BOT", "xoxb-gone"),
        "invalid_auth",
        "reinstall the app",
    ),
    "no scope to write": (
        lambda s, f, m: s.scopes.remove("chat:write"),
        "scope chat:write",
        "add chat:write, then reinstall",
    ),
    "no scope to know people": (
        lambda s, f, m: s.scopes.remove("users:read"),
        "scope users:read",
        "add users:read",
    ),
    "an unknown channel": (
        lambda s, f, m: f.update(channel="#nowhere"),
        "channel #nowhere",
        "/invite @gitops",
    ),
    "a channel the app is not in": (
        lambda s, f, m: f.update(channel=s.add_channel("x", member=False)),
        "the app is not in it",
        "/invite @gitops",
    ),
    "an archived channel": (
        lambda s, f, m: f.update(channel=s.add_channel("x", archived=True)),
        "it is archived",
        "unarchive it",
    ),
    "a bot token for the app's": (
        lambda s, f, m: m.setenv("APP", s.bot_token),
        "not an app-level token",
        "connections:write",
    ),
    "a revoked app token": (
        lambda s, f, m: m.setenv("APP", "xapp-gone"),
        "invalid_auth",
        "Socket Mode: enable it",
    ),
    "a token for the signing secret": (
        lambda s, f, m: m.setenv("SIGNING", s.bot_token),
        "does not look like a signing secret",
        "the Signing Secret",
    ),
    "no way in": (
        lambda s, f, m: (f.pop("app_token"), f.pop("signing_secret")),
        "buttons and commands do nothing",
        "app_token: {env: SLACK_APP_TOKEN}",
    ),
    "nobody who could answer": (
        lambda s, f, m: [user.update(is_restricted=True) for user in s.users.values()],
        "nobody of the fleet file can answer",
        "MEMBER-ID",
    ),
    "slack is away": (lambda s, f, m: setattr(s, "down", True), "Slack fails at auth.test", ""),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_missing_is_named_with_the_line_that_mends_it(
    tmp_path: Path,
    slack: SlackServer,
    fleet: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    spoil, what, remedy = WRONG[name]
    spoil(slack, fleet["notifiers"]["ops"]["slack"], monkeypatch)
    assert run(tmp_path, fleet) == 1
    told = capsys.readouterr().out
    assert "✗" in told
    assert what in told
    assert remedy in told
    assert not any(token in told for token in (slack.bot_token, slack.app_token, "xoxb-gone"))


@pytest.mark.parametrize("scope", ["files:write", "users:read.email", "channels:read"])
def test_what_works_without_is_told_and_is_no_error(
    tmp_path: Path,
    slack: SlackServer,
    fleet: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    scope: str,
) -> None:
    slack.scopes.remove(scope)
    id = next(iter(slack.channels))
    fleet["notifiers"]["ops"]["slack"]["channel"] = id
    fleet["people"]["ada"]["slack"] = [f"{slack.team}:{next(iter(slack.users))}"]
    assert run(tmp_path, fleet) == 0
    assert f"scope {scope}" in capsys.readouterr().out


def test_programs_get_json_and_a_fleet_without_slack_is_told_where_to_begin(
    tmp_path: Path, fleet: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, fleet, "--output", "json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is True
    assert {row["state"] for row in said["notifiers"]["ops"]} <= {"ok", "optional"}
    assert run(tmp_path, fleet, "nobody") == 1
    assert "it has: ops" in capsys.readouterr().err
    assert run(tmp_path, {**fleet, "notifiers": {}}) == 1
    assert "examples/slack" in capsys.readouterr().err
