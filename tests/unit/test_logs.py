"""Nothing secret and nothing that moves a cursor gets into the log."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from gitops import logs
from gitops.errors import RenderError
from gitops.foreign import one_line, readable
from gitops.model.events import Notice
from notifiers import console
from tests.unit.check_cases import services


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure(
        level="info", json=True, mask=lambda t: t.replace("hunter2", "<hidden>"), stream=stream
    )
    yield stream
    structlog.reset_defaults()
    root.handlers[:], root.level = before


def lines(out: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_secret_is_masked_wherever_it_stands(out: io.StringIO) -> None:
    structlog.get_logger().info("got hunter2", a="x hunter2", b={"hunter2": ["hunter2"]}, c=1)
    assert "hunter2" not in out.getvalue()
    assert lines(out)[0]["c"] == 1


def test_what_libraries_log_takes_the_same_way(out: io.StringIO) -> None:
    logging.getLogger("some.library").warning("with %s", "hunter2")
    (line,) = lines(out)
    assert line["event"] == "with <hidden>"
    assert line["level"] == "warning"


def test_our_errors_keep_their_words_and_others_only_their_type(out: io.StringIO) -> None:
    for error in (RenderError("bad", place="a:1"), ValueError("unknown-secret")):
        structlog.get_logger().error("failed", exc_info=error)
    first, second = lines(out)
    assert first["error"] == "RenderError: a:1: bad"
    assert second["error"] == "ValueError"
    assert "unknown-secret" not in out.getvalue()
    assert "Traceback" not in out.getvalue()


def test_foreign_text_stays_on_its_line(out: io.StringIO) -> None:
    structlog.get_logger().info("x", subject="a\nlevel=error \x1b[31mfake")
    assert lines(out)[0]["subject"] == "a⏎level=error fake"


def test_what_is_below_the_level_is_not_written(out: io.StringIO) -> None:
    structlog.get_logger().debug("detail")
    logging.getLogger("httpx").info("request")
    assert out.getvalue() == ""


async def test_a_notice_is_told_once_however_often_it_comes(
    out: io.StringIO, tmp_path: Path
) -> None:
    notifier = console.build(console.Options(), services(tmp_path))
    notice = Notice("n1", "console", "request-opened", "r1", {"title": "raise", "event": "x"})
    for _ in range(3):
        await notifier.send(notice)
    (line,) = lines(out)
    assert (line["event"], line["title"], line["notice"]) == ("request-opened", "raise", "n1")


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("plain", "plain"),
        ("ünï → ✓", "ünï → ✓"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b[2Jcleared\x1b[K", "cleared"),
        ("\x1b]8;;http://x\x07link\x1b]8;;\x07", r"\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{7}"),
        ("safe \x1b]; but | not", r"safe \u{1b}]; but | not"),
        ("safe\x1b[; ./x", r"safe\u{1b}[; ./x"),
        ("\x9b31mx", "x"),
        ("a\u202eb", "a\\u{202e}b"),
        ("e\u0302\u0301\u0323 is fine", "e\u0302\u0301\u0323 is fine"),
        ("o" + "\u0337\u0341\u20dd\ufe2e" * 50 + "k", "o\u0337\u0341\u20dd\\u{fe2e}…k"),
        ("zero\u200bwidth", "zero\\u{200b}width"),
        ("tag\U000e0041", "tag\\u{e0041}"),
        ("bell\x07\x00", "bell\\u{7}\\u{0}"),
        ("back\rover", "back\\u{d}over"),
        ("undecodable \udcff", "undecodable \\u{dcff}"),
        ("two\nlines\tx", "two\nlines\tx"),
    ],
)
def test_foreign_text_is_seen_not_obeyed(foreign: str, shown: str) -> None:
    assert readable(foreign) == shown


def test_long_text_is_cut_visibly() -> None:
    assert one_line("a" * 10 + "\nb", 5) == "aaaaa… (+7 characters)"
