"""A changed fleet file is taken into use as a whole or not at all, and never deletes."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops.config import changes, load, reload

BEFORE = """\
sources:
  config: {git: https://git.example.com/c.git}
  more: {git: https://git.example.com/m.git}
clusters:
  dev: {sandbox: dev}
  prod: {sandbox: prod}
applications:
  shop: {source: config, path: shop, clusters: [dev, prod]}
  web: {source: more, path: web, clusters: dev}
people: {ada: {emails: ada@example.com}}
"""
STAY = "its objects stay and are no longer managed"
AGAIN = "the old policy is asked again"


def test_a_bad_file_keeps_the_old_fleet_and_says_all_that_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "gitops.yaml"
    path.write_text(BEFORE)
    old = load(path, {})
    path.write_text(BEFORE.replace("source: config", "souce: config") + "bot: []\n")
    kept, problems = reload(old, path, {})
    assert kept is old
    assert len(problems) >= 2


def test_a_missing_file_keeps_the_old_fleet(tmp_path: Path) -> None:
    path = tmp_path / "gitops.yaml"
    path.write_text(BEFORE)
    old = load(path, {})
    path.unlink()
    kept, [problem] = reload(old, path, {})
    assert kept is old
    assert "does not exist" in str(problem)


def test_a_good_file_is_taken_into_use(tmp_path: Path) -> None:
    path = tmp_path / "gitops.yaml"
    path.write_text(BEFORE)
    old = load(path, {})
    path.write_text(BEFORE + "chart_hosts: [charts.example.com]\n")
    new, problems = reload(old, path, {})
    assert problems == ()
    assert changes(old, new) == ("chart hosts were changed",)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (("", ""), ()),
        (
            ("  web: {source: more, path: web, clusters: dev}\n", ""),
            ('application "web" was removed: its objects stay and are no longer managed',),
        ),
        (
            ("clusters: [dev, prod]", "clusters: [dev]"),
            (
                f'application "shop" no longer goes to cluster "prod": {STAY} there',
                'application "shop" was changed',
            ),
        ),
        (
            ("path: shop,", "path: shop, approval: {author_may_approve: true},"),
            (f'application "shop" was changed: what waits for approval under {AGAIN}',),
        ),
        (
            ("ada@example.com", "ada@example.org"),
            ("people, groups or bots were changed: what waits for approval is asked again",),
        ),
        (
            ("people:", "api: {listen: '127.0.0.1:8080'}\npeople:"),
            ("api was changed: this takes effect at the next start",),
        ),
        (
            (
                "people:",
                "api: {listen: '[::1]:1', roles: [{role: viewer, people: [ada]}]}\npeople:",
            ),
            (
                "roles at pages and API were changed: they hold from the next request on",
                "api was changed: this takes effect at the next start",
            ),
        ),
        (
            ("people:", "api: {listen: '[::1]:1', sign_in: {anonymous: read}}\npeople:"),
            (
                "the ways to sign in were changed: they hold from the next request on",
                "from now on everybody who reaches the address may look",
                "api was changed: this takes effect at the next start",
            ),
        ),
        (
            ("people:", "discover: [{source: config, path: a/*, clusters: dev}]\npeople:"),
            ("discoveries were changed",),
        ),
    ],
)
def test_what_changed_is_said_in_words(
    tmp_path: Path, edit: tuple[str, str], said: tuple[str, ...]
) -> None:
    path = tmp_path / "gitops.yaml"
    path.write_text(BEFORE)
    old = load(path, {})
    path.write_text(BEFORE.replace(*edit) if edit[0] else BEFORE)
    assert changes(old, load(path, {})) == said


def test_removing_a_source_and_a_cluster_says_that_nothing_is_deleted(tmp_path: Path) -> None:
    path = tmp_path / "gitops.yaml"
    path.write_text(BEFORE)
    old = load(path, {})
    text = BEFORE.replace("  more: {git: https://git.example.com/m.git}\n", "")
    text = text.replace("  web: {source: more, path: web, clusters: dev}\n", "")
    text = text.replace("  prod: {sandbox: prod}\n", "").replace("[dev, prod]", "[dev]")
    path.write_text(text)
    assert changes(old, load(path, {}))[:3] == (
        'source "more" was removed: nothing is read from it any more',
        'cluster "prod" was removed: everything in it stays and is no longer managed',
        'application "web" was removed: its objects stay and are no longer managed',
    )
