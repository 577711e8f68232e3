"""The words of a notice: complete, and nothing foreign in them acts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitops.announcing import LISTED, digest, inert, words
from gitops.model.events import Notice
from gitops.model.routes import KINDS
from tests.slack.card_cases import card_of, row_of

NOTICE = Notice(
    "7-a",
    "mail",
    "asked",
    "c",
    {
        "application": "shop",
        "target": "prod",
        "lane": "shop@prod",
        "source": "config",
        "revision": "1a2b3c4d5e6f7890",
        "cause": "commit",
        "expires_at": 1_780_272_000.0,
        "severity": "warning",
    },
    1_780_268_400.0,
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_happened_where(kind: str) -> None:
    found = words(replace(NOTICE, kind=kind), None, str)
    head, _, about = found.subject.partition(": ")
    assert about == "shop on prod"
    assert head
    assert "config at 1a2b3c4d5e6f" in found.text


def test_a_question_says_what_it_would_do_who_may_answer_and_until_when() -> None:
    card = card_of(row_of())
    found = words(NOTICE, card, str)
    assert found.subject == "Approval needed: shop on prod"
    assert any("update" in line for line in found.lines)
    assert any(line.startswith("needs 1 of: ") for line in found.lines)
    assert "it expires at 2026-06-01 00:00Z" in found.lines
    assert found.url == card.url
    assert found.text.endswith(card.url)


def test_what_nobody_was_asked_about_leads_to_the_page_of_its_change() -> None:
    assert words(NOTICE, None, str, "https://ops.example/changes/c").url.endswith("/changes/c")
    asked = card_of(row_of(), url="https://ops.example/requests/r")
    assert words(NOTICE, asked, str, "https://ops.example/changes/c").url == asked.url


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("@everyone", "＠everyone"),
        ("<@U1> <!here> <https://x|y>", "‹＠U1› ‹!here› ‹https:⁄⁄x|y›"),
        ("see https://evil.example/a", "see https:⁄⁄evil.example/a"),
        ("see www.evil.example", "see www․evil.example"),
        ("one\nApproved by: ada", "one⏎Approved by: ada"),
        ("\x1b[2Jgone \u202e", "gone \\u{202e}"),
        ("x" * 300, "x" * 200 + "… (+100 characters)"),
    ],
)
def test_foreign_text_neither_mentions_links_nor_leaves_its_line(foreign: str, shown: str) -> None:
    assert inert(foreign) == shown
    told = replace(NOTICE, payload={**NOTICE.payload, "reason": foreign})
    assert f"“{inert(foreign, 600)}”" in words(told, None, str).lines


def test_secrets_are_taken_out_before_anything_else() -> None:
    told = replace(NOTICE, payload={**NOTICE.payload, "reason": "p@ss://word"})
    hide = lambda text: text.replace("p@ss://word", "<hidden>")  # noqa: E731
    assert "“‹hidden›”" in words(told, None, hide).lines
    assert "“‹hidden›”" in digest([told, told], hide).text


def test_a_digest_names_what_needs_somebody_first_and_counts_the_rest() -> None:
    payload = NOTICE.payload
    healthy = replace(NOTICE, kind="healthy", payload={**payload, "severity": "info"})
    failed = replace(NOTICE, kind="failed", payload={**payload, "severity": "error"})
    found = digest([*[healthy] * LISTED, failed], str)
    assert found.subject == f"While you were away: 1 × Failed, {LISTED} × Healthy"
    assert found.lines[0] == "05-31 23:00Z Failed: shop on prod"
    assert found.lines[-1] == "and 1 more"


def test_a_payload_of_another_shape_is_told_all_the_same() -> None:
    odd = Notice("1", "mail", "something\nnew", "c", {"expires_at": "soon", "seconds": None})
    found = words(odd, None, str)
    assert found.subject == "something⏎new: c"
    assert digest([odd, odd], str).subject == "While you were away: 2 × something⏎new"
