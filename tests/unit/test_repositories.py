"""Which source a forge speaks of: by address alone, in all its forms, and no other way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitops.engine.meaning import meaning
from gitops.engine.repositories import follows, matching, place
from gitops.model.fleet import SourceSpec, WebhookSpec
from gitops.model.ids import SourceName
from gitops.ports.inbound import LookAgain, PullAction, PullMoved, Pushed, Repository

A = "a" * 40
SHOP, LIVE, WEB = map(SourceName, ("shop", "live", "web"))


def source(name: SourceName, url: str, ref: str = "main") -> SourceSpec:
    return SourceSpec(name, "git", url, ref)


SOURCES = {
    SHOP: source(SHOP, "https://git.example.com/acme/shop.git"),
    LIVE: source(LIVE, "git@git.example.com:acme/shop", "prod"),
    WEB: source(WEB, "ssh://git@git.example.com:7999/acme/web.git"),
}


@pytest.mark.parametrize(
    "address",
    [
        "https://git.example.com/acme/shop.git",
        "https://git.example.com/acme/shop",
        "https://git.example.com/acme/shop/",
        "https://Git.Example.COM:443/acme/shop.git",
        "http://git.example.com:80/acme/shop",
        "ssh://git@git.example.com/acme/shop.git",
        "ssh://git@git.example.com:22/acme/shop",
        "git@git.example.com:acme/shop.git",
        "git.example.com:/acme/shop",
    ],
)
def test_every_form_of_an_address_is_one_place(address: str) -> None:
    assert place(address) == "git.example.com/acme/shop"


@pytest.mark.parametrize(
    "address",
    [
        "",
        "acme/shop",
        "https://git.example.com",
        "https://git.example.com/",
        "https://user:secret@git.example.com/acme/shop",
        "https://token@git.example.com/acme/shop",
        "https://git.example.com/acme/../shop",
        "https://git.example.com/./acme/shop",
        "https://git.example.com/acme/shop?x=1",
        "https://git.example.com/acme/shop#x",
        "https://git.example.com:99999/acme/shop",
        "https://[git.example.com/acme/shop",
        "file:///acme/shop",
        "ext::sh -c id",
        "--upload-pack=id",
        "git@git.example.com:acme/shop\n",
        "https://git.example.com/acme/\u202eshop",
        "https://git.example.com/" + "a" * 3_000,
        "/srv/git/shop.git",
    ],
)
def test_w8_what_is_not_plainly_an_address_is_nowhere(address: str) -> None:
    assert place(address) is None


@given(st.text(max_size=60))
def test_any_text_is_a_place_or_nowhere(text: str) -> None:
    assert place(text) is None or "/" in (place(text) or "")


def repository(*names: str) -> Repository:
    return Repository(names)


def test_all_branches_of_a_repository_are_meant_by_its_address() -> None:
    found = matching(repository("https://git.example.com/acme/shop"), SOURCES, ())
    assert found == (SHOP, LIVE)


@pytest.mark.parametrize(
    "name",
    [
        "https://git.example.org/acme/shop",
        "https://git.example.com/acme/Shop",
        "https://git.example.com:8443/acme/shop",
        "https://git.example.com.evil.org/acme/shop",
        "https://git.example.com/acme/shop/x",
        "https://git.example.com/acme/web",
    ],
)
def test_w8_another_host_port_path_or_case_is_another_repository(name: str) -> None:
    assert matching(repository(name), SOURCES, ()) == ()


def test_a_forge_that_says_project_and_slug_alone_means_that_path() -> None:
    assert matching(repository("ACME/web"), SOURCES, ()) == (WEB,)
    assert matching(repository("web"), SOURCES, ()) == ()
    assert matching(repository("cme/web"), SOURCES, ()) == ()


def test_a_webhook_for_some_sources_concerns_no_others() -> None:
    here = repository("https://git.example.com/acme/shop")
    assert matching(here, SOURCES, (LIVE, WEB)) == (LIVE,)
    assert matching(repository("https://mirror.example/x/y"), SOURCES, (WEB,)) == (WEB,)
    assert matching(here, SOURCES, (SourceName("gone"),)) == ()


@pytest.mark.parametrize(
    ("ref", "pushed", "so"),
    [
        ("main", "refs/heads/main", True),
        ("main", "refs/tags/main", True),
        ("main", "main", True),
        ("main", "refs/heads/main2", False),
        ("main", "refs/heads/feature/main", False),
        ("refs/tags/v1", "refs/tags/v1", True),
        ("HEAD", "refs/heads/anything", True),
        (A, "refs/heads/main", False),
        ("main", "--upload-pack=x", False),
        ("main", "refs/heads/main\n", False),
    ],
)
def test_a_source_follows_its_own_ref_alone(ref: str, pushed: str, so: bool) -> None:
    assert follows(source(SHOP, "https://x/y/z", ref), pushed) is so


HOOK = WebhookSpec("github", "github")


def pushed(ref: str = "refs/heads/main", **more: object) -> Pushed:
    return Pushed(
        repository("https://git.example.com/acme/shop.git"),
        ref,
        **{"after": A, "pusher": "github:ada", **more},  # type: ignore[arg-type]
    )


def test_a_push_is_looked_at_where_it_is_followed_and_remembers_who_pushed() -> None:
    effect = meaning([pushed(commits=("b" * 40, A))], HOOK, SOURCES)
    assert effect.nudges == (SHOP,)
    assert set(effect.facts) == {(SHOP, A, "github:ada"), (SHOP, "b" * 40, "github:ada")}


def test_nobody_becomes_an_author_by_pushing_where_no_source_looks() -> None:
    effect = meaning([pushed("refs/heads/other")], HOOK, SOURCES)
    assert (effect.sources, effect.facts) == ((), ())
    assert "refs/heads/other" in effect.note


def test_who_pushes_new_commits_to_a_pull_requests_branch_is_known() -> None:
    effect = meaning([pushed("refs/heads/other", commits=("b" * 40,))], HOOK, SOURCES)
    assert (effect.sources, effect.nudges) == ((), ())
    assert set(effect.facts) == {(SHOP, "b" * 40, "github:ada"), (LIVE, "b" * 40, "github:ada")}
    many = tuple(f"{n:040x}" for n in range(1, 2_000))
    assert len(meaning([pushed("refs/heads/other", commits=many)], HOOK, SOURCES).facts) <= 400


def test_what_is_told_of_another_repository_proves_nothing_of_the_source() -> None:
    """A webhook of a whole organisation tells of everybody's repositories in the same way."""
    word = replace(pushed(), repository=repository("https://git.example.com/mallory/sandbox"))
    effect = meaning([word], replace(HOOK, sources=(SHOP,)), SOURCES)
    assert effect.nudges == (SHOP,)
    assert effect.facts == ((SHOP, A, "~github:ada"),)
    aside = replace(word, ref="refs/heads/other", commits=(A,))
    assert meaning([aside], replace(HOOK, sources=(SHOP,)), SOURCES).facts == ()


def test_a_ref_that_was_deleted_is_looked_at_and_nobody_pushed_it() -> None:
    effect = meaning([pushed(after="0" * 40)], HOOK, SOURCES)
    assert (effect.nudges, effect.facts) == ((SHOP,), ())


def test_a_pull_request_concerns_every_source_of_its_repository() -> None:
    word = PullMoved(repository("https://git.example.com/acme/shop"), 7, PullAction.UPDATED)
    effect = meaning([word], HOOK, SOURCES)
    assert effect.pulls == ((SHOP, word), (LIVE, word))
    assert effect.nudges == ()


def test_look_means_the_sources_the_fleet_file_names_and_no_others() -> None:
    named = WebhookSpec("x", "generic", sources=(WEB, SourceName("gone")))
    assert meaning([LookAgain()], named, SOURCES).nudges == (WEB,)
    assert meaning([LookAgain()], HOOK, SOURCES).nudges == ()


def test_w9_what_is_shown_of_a_name_nobody_knows_cannot_move_a_cursor() -> None:
    word = Pushed(repository("https://x/\x1b[2Jy\n"), "r", A)
    note = meaning([word], HOOK, SOURCES).note
    assert note.isprintable()
    assert "\x1b" not in note
