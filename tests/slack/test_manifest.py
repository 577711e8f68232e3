"""The app manifest people paste asks for what the controller needs, and for nothing else."""

from __future__ import annotations

from pathlib import Path

import yaml

from notifiers.slack.orders import USAGE
from tests.slack.methods import NEEDS
from tests.slack.workspace import SCOPES

MANIFEST = Path(__file__).parents[2] / "examples" / "slack" / "manifest.yaml"


def test_it_has_the_scopes_every_method_that_is_called_needs() -> None:
    manifest = yaml.safe_load(MANIFEST.read_text())
    scopes = manifest["oauth_config"]["scopes"]["bot"]
    assert scopes == sorted(SCOPES)
    assert {scope for needed in NEEDS.values() for scope in needed} <= set(scopes)


def test_its_hint_names_every_command_there_is() -> None:
    [command] = yaml.safe_load(MANIFEST.read_text())["features"]["slash_commands"]
    hints = command["usage_hint"].split(" | ")
    assert {hint.split()[0] for hint in hints} == set(USAGE)
    assert "pause APP 2h reason" in hints


def test_it_takes_answers_over_socket_mode_and_hears_mentions() -> None:
    settings = yaml.safe_load(MANIFEST.read_text())["settings"]
    assert settings["socket_mode_enabled"] is True
    assert settings["interactivity"]["is_enabled"] is True
    assert settings["event_subscriptions"]["bot_events"] == ["app_mention"]
