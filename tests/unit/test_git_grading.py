"""What verified signatures make of authorship that was only claimed."""

from __future__ import annotations

import pytest

from gitops.model.source import Authorship, Commit, Grade, Signature
from gitops.sources.git import signatures
from gitops.sources.git.history import graded
from gitops.sources.git.objects import parse_commit
from gitops.sources.git.signatures import Verdict

ANN, BOB = Signature("Ann", "ann@example.org"), Signature("Bob", "bob@example.org")


def claimed(*commits: Commit, note: str = "") -> Authorship:
    people = dict.fromkeys(p for c in commits for p in (c.author, c.committer, *c.co_authors))
    return Authorship(commits, tuple(people), known=not note, note=note)


def by(*people: Signature) -> Verdict:
    return Verdict(f"{people[0].name} (KEY)", people)


def test_nobodys_commits_are_signed_by_nobody() -> None:
    assert graded(claimed(), {}).grade is Grade.CLAIMED


def test_a_co_author_who_signs_proves_only_themselves() -> None:
    found = graded(claimed(Commit("1" * 40, "s", ANN, ANN, (BOB,))), {"1" * 40: by(BOB)})
    assert found.grade is Grade.CLAIMED
    assert found.signatures == (ANN, BOB)


def test_an_empty_e_mail_matches_no_key() -> None:
    nameless = Signature("Ann", "")
    commit = Commit("1" * 40, "s", nameless, nameless)
    assert graded(claimed(commit), {"1" * 40: by(nameless)}).grade is Grade.CLAIMED


def test_a_name_is_never_taken_for_a_key() -> None:
    posing = Signature("ann", "bob@example.org")
    found = graded(
        claimed(Commit("1" * 40, "s", posing, posing)), {"1" * 40: by(Signature("ann", "ann"))}
    )
    assert found.grade is Grade.CLAIMED
    assert Signature("ann", "ann") in found.signatures


def test_what_made_authorship_unknown_is_not_covered_by_what_weakens_it() -> None:
    commit = Commit("1" * 40, "s", ANN, ANN)
    found = graded(claimed(commit, note="rewritten"), {commit.id: Verdict(why="it is not signed")})
    assert (found.known, found.note) == (False, "rewritten")


@pytest.mark.parametrize(
    ("line", "valid"),
    [
        ("ann@example.org ssh-ed25519 AAAA", True),
        ('ann@example.org valid-before="20260101" ssh-ed25519 AAAA', False),
        ("ann@example.org valid-before=20260101Z ssh-ed25519 AAAA", False),
        ('ann@example.org valid-before="20260301" ssh-ed25519 AAAA', True),
        ('ann@example.org namespaces="git",valid-after="20260301000000Z" ssh-ed25519 AAAA', False),
        ('a@x valid-after="202601010000Z",valid-before="202603010000Z" ssh-ed25519 AAAA', True),
        ('a@x VALID-BEFORE="20260101" ssh-ed25519 AAAA', False),
        ('a@x valid-before="20269999" ssh-ed25519 AAAA', False),
    ],
)
def test_an_allowed_signer_counts_in_their_time_only(line: str, valid: bool) -> None:
    now = 1_770_000_000.0  # 2 February 2026
    assert signatures._in_time(line, now) is valid


def test_a_commits_signature_is_told_from_its_message() -> None:
    head = b"tree 1\nauthor A <a@x> 5 +0000\ncommitter A <a@x> 7 +0000\n"
    signed = parse_commit(head + b"gpgsig -----BEGIN SSH SIGNATURE-----\n AAAA\n\nmessage")
    assert signed.signed == b"-----BEGIN SSH SIGNATURE-----"
    assert signed.time == 7
    assert parse_commit(head + b"\ngpgsig -----BEGIN SSH SIGNATURE-----\n").signed == b""
