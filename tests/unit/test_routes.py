"""Who is told of what, and when: the routes of a fleet file."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gitops.config import load
from gitops.engine.routes import held_until, route, severity_of
from gitops.errors import ConfigError
from gitops.model.events import Notice
from gitops.model.finding import Severity
from gitops.model.fleet import Fleet, NotifierSpec
from gitops.model.routes import KINDS, QuietHours, Route, Told

CHAT, MAIL, LOG = Told("chat"), Told("mail"), Told("log")
FACTS: dict[str, object] = {
    "application": "shop-web",
    "project": "shop",
    "labels": {"team": "shop", "tier": "1"},
    "target": "prod-eu",
    "environment": {"env": "prod"},
    "severity": "warning",
}


def fleet(*routes: Route) -> Fleet:
    specs = tuple(NotifierSpec(name, "console") for name in ("chat", "mail", "log"))
    return Fleet(Path("gitops.yaml"), Path("state"), notifiers=specs, routes=routes)


def notice(kind: str = "asked", **facts: object) -> Notice:
    return Notice("1", "", kind, "c", {**FACTS, **facts})


def test_without_routes_everybody_is_told_everything() -> None:
    assert [told.notifier for told in route(notice(), fleet())] == ["chat", "mail", "log"]


@pytest.mark.parametrize(
    ("fits", "condition"),
    [
        (True, {}),
        (True, {"applications": ("shop-*",)}),
        (True, {"applications": ("other", "shop-web")}),
        (False, {"applications": ("shop",)}),
        (False, {"applications": ("SHOP-*",)}),
        (True, {"projects": ("shop",)}),
        (False, {"projects": ("pay",)}),
        (True, {"labels": {"team": "shop"}}),
        (False, {"labels": {"team": "shop", "tier": "2"}}),
        (False, {"labels": {"owner": "shop"}}),
        (True, {"targets": ("prod-*",)}),
        (False, {"targets": ("staging-*",)}),
        (True, {"environment": {"env": "prod"}}),
        (False, {"environment": {"env": "staging"}}),
        (True, {"kinds": ("asked", "failed")}),
        (False, {"kinds": ("failed",)}),
        (True, {"severity": Severity.WARNING}),
        (False, {"severity": Severity.ERROR}),
        (False, {"applications": ("shop-*",), "kinds": ("failed",)}),
    ],
)
def test_a_route_fits_what_has_all_it_names(fits: bool, condition: dict[str, Any]) -> None:
    found = route(notice(), fleet(Route((CHAT,), **condition)))
    assert found == ((CHAT,) if fits else (CHAT, MAIL, LOG))


def test_the_first_route_that_fits_decides() -> None:
    routes = Route((CHAT,), kinds=("asked",)), Route((MAIL,))
    assert route(notice("asked"), fleet(*routes)) == (CHAT,)
    assert route(notice("failed"), fleet(*routes)) == (MAIL,)


def test_a_route_that_says_also_lets_later_ones_speak_and_nobody_hears_it_twice() -> None:
    prod = Told("chat", "#prod")
    routes = Route((prod,), also=True), Route((CHAT, MAIL), also=True), Route((LOG,))
    assert route(notice(), fleet(*routes)) == (prod, MAIL, LOG)
    assert route(notice(), fleet(routes[0])) == (prod,), "it fits, so not everybody is told"


def test_a_route_to_nobody_tells_nobody() -> None:
    assert route(notice(), fleet(Route((), kinds=("asked",)))) == ()


def test_a_notifier_that_left_the_file_is_not_told() -> None:
    assert route(notice(), fleet(Route((Told("gone"), CHAT)))) == (CHAT,)


def test_facts_of_a_strange_shape_fit_nothing_that_is_asked_of_them() -> None:
    odd = notice(labels="team=shop", environment=None, application=7, severity="loud")
    assert route(odd, fleet(Route((CHAT,), labels={"team": "shop"}))) == (CHAT, MAIL, LOG)
    assert route(odd, fleet(Route((CHAT,), severity=Severity.WARNING))) == (CHAT,)


def test_every_kind_of_notice_has_a_severity() -> None:
    assert severity_of("failed") is severity_of("degraded") is Severity.ERROR
    assert severity_of("something new") is Severity.WARNING
    assert set(KINDS.values()) == set(Severity)


# --- quiet hours ------------------------------------------------------------------------------

BERLIN = "Europe/Berlin"
NIGHT = QuietHours(time(22), time(7), BERLIN)


def at(text: str, zone: str = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def until(now: float, *quiet: QuietHours, severity: str = "warning") -> float:
    return held_until(Told("chat", "", quiet), notice(severity=severity), now)


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2026-06-01 21:59", "2026-06-01 21:59"),
        ("2026-06-01 22:00", "2026-06-02 07:00"),
        ("2026-06-01 23:30", "2026-06-02 07:00"),
        ("2026-06-02 06:59", "2026-06-02 07:00"),
        ("2026-06-02 07:00", "2026-06-02 07:00"),
        ("2026-06-02 12:00", "2026-06-02 12:00"),
    ],
)
def test_the_night_goes_past_midnight_and_ends_in_the_morning(now: str, then: str) -> None:
    assert until(at(now), NIGHT) == at(then)


def test_the_zone_of_the_people_counts_not_that_of_the_machine() -> None:
    tokyo = QuietHours(time(22), time(7), "Asia/Tokyo")
    now = at("2026-06-01 16:00", "UTC")
    assert until(now, tokyo) == at("2026-06-02 07:00", "Asia/Tokyo")
    assert until(now, QuietHours(time(22), time(7), "UTC")) == now


def test_what_is_grave_is_told_all_the_same_and_prod_may_let_questions_through() -> None:
    now = at("2026-06-01 23:00")
    assert until(now, NIGHT, severity="error") == now
    assert until(now, replace(NIGHT, pierce=Severity.WARNING)) == now
    assert until(now, replace(NIGHT, pierce=Severity.WARNING), severity="info") > now


def test_quiet_hours_hold_on_the_days_they_begin_on() -> None:
    weekdays = replace(NIGHT, days=frozenset(range(5)))
    assert until(at("2026-06-06 03:00"), weekdays) == at("2026-06-06 07:00"), "Friday's night"
    assert until(at("2026-06-06 23:00"), weekdays) == at("2026-06-06 23:00"), "Saturday"


def test_a_weekend_between_two_nights_is_one_long_silence() -> None:
    weekend = QuietHours(time(0), time(0), BERLIN, frozenset({5, 6}))
    assert until(at("2026-06-05 23:00"), NIGHT, weekend) == at("2026-06-08 07:00")


def test_silence_without_end_holds_nothing_back_for_ever() -> None:
    always = QuietHours(time(0), time(0), BERLIN)
    now = at("2026-06-01 12:00")
    assert until(now, always) == now + 7 * 86_400


def test_the_night_the_clocks_go_forward_is_an_hour_shorter() -> None:
    night = until(at("2026-03-28 22:00"), NIGHT) - at("2026-03-28 22:00")
    assert night == 8 * 3_600


def test_the_night_the_clocks_go_back_is_an_hour_longer() -> None:
    night = until(at("2026-10-24 22:00"), NIGHT) - at("2026-10-24 22:00")
    assert night == 10 * 3_600


def test_a_time_that_comes_twice_is_quiet_until_its_second_time() -> None:
    early = QuietHours(time(1), time(2, 30), BERLIN)
    first, second = at("2026-10-25 02:30"), at("2026-10-25 02:30", fold=1)
    assert second - first == 3_600
    assert until(first, early) == second
    assert until(second, early) == second


def test_a_time_that_is_skipped_is_as_much_later() -> None:
    early = QuietHours(time(1), time(2, 30), BERLIN)
    assert until(at("2026-03-29 01:30"), early) == at("2026-03-29 03:30")
    late = QuietHours(time(2, 30), time(5), BERLIN)
    assert until(at("2026-03-29 03:10"), late) == at("2026-03-29 03:10")
    assert until(at("2026-03-29 03:40"), late) == at("2026-03-29 05:00")


# --- in the fleet file ------------------------------------------------------------------------


def loaded(folder: Path, routes: str) -> tuple[Route, ...]:
    file = folder / "gitops.yaml"
    lines = "notifiers: {log: console, chat: {webhook: {url: 'https://example.com'}}, "
    lines += "marks: commit-status}\nroutes:\n"
    file.write_text(lines + routes)
    return load(file).routes


def test_routes_of_a_fleet_file_become_values(tmp_path: Path) -> None:
    (found,) = loaded(
        tmp_path,
        """
  - environment: {env: prod}
    kinds: [asked, reminder]
    to: [{chat: "#prod"}, log]
    quiet: [{begins: "22:00", ends: "7:30", zone: Europe/Berlin, days: [mon, sun], pierce: info}]
""",
    )
    night = QuietHours(time(22), time(7, 30), BERLIN, frozenset({0, 6}), Severity.INFO)
    assert found.to == (Told("chat", "#prod", (night,)), Told("log", "", (night,)))
    assert (dict(found.environment), found.kinds) == ({"env": "prod"}, ("asked", "reminder"))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("- {to: [caht]}", 'there is no notifier "caht"'),
        ("- {to: [{log: '#x'}]}", "a notifier of kind console has no channels"),
        ("- {to: [log, log]}", "named twice"),
        ("- {to: [marks]}", "told of everything"),
        ("- {to: [log], kinds: [asekd]}", 'did you mean "asked"?'),
        ("- {to: [log], kinds: [opened]}", 'no kind of notice "opened"'),
        ("- {to: [log], severity: loud}", "info, warning or error"),
        ("- {to: [log], quiet: [{begins: '22', ends: '7:00', zone: UTC}]}", "no time of the day"),
        ("- {to: [log], quiet: [{begins: '24:00', ends: '7:00', zone: UTC}]}", "no time of the"),
        ("- {to: [log], quiet: [{begins: '2:00', ends: '7:00', zone: Mars}]}", "no time zone"),
        ("- {to: [log], quiet: [{begins: '2:00', ends: '7:00', zone: ../x}]}", "no time zone"),
        ("- {to: [log], quiet: [{begins: '2:00', ends: '7:00', zone: UTC, days: []}]}", "no day"),
        ("- {kinds: [asked]}", '"to"'),
    ],
)
def test_what_would_silently_tell_nobody_is_refused_with_its_line(
    tmp_path: Path, line: str, says: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, f"  {line}\n")
    assert says in str(refused.value)
    assert "gitops.yaml:3:" in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://example.com/x", "https://u:p@example.com", "ftp://example.com", "https://", "x"]
)
def test_a_webhook_in_clear_or_with_a_password_in_its_address_is_refused(
    tmp_path: Path, url: str
) -> None:
    file = tmp_path / "gitops.yaml"
    file.write_text(f"notifiers: {{x: {{webhook: {{url: '{url}'}}}}}}\n")
    with pytest.raises(ConfigError, match="notifier webhook: its url"):
        load(file)
