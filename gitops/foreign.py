"""Text that somebody else wrote, made safe to print.

Commit subjects, condition messages, remote error texts and field values come from strangers. On a
terminal an escape sequence can rewrite what a person has just read, and bidirectional controls can
make a line say the opposite of its bytes. Called by every face that prints (CLI, console notifier,
logs). It must never be used on bytes that are sent or digested: it changes them.
"""

from __future__ import annotations

import re

_COLOURS = re.compile(r"(?:\x1b\[|\x9b)(?:[0-9;:]*m|[0-3]?[JK])")
"""Escapes that programs write for decoration: colours, and erasing the rest of a line or screen
(ECMA-48 8.3.39, 8.3.41, 8.3.117). Others may hold any text, which a terminal would not show, though
whoever the text is for reads it: a command behind one would be approved unseen."""
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls but tab and newline
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e01ef"  # zero width, bidi, tags
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # more without a shape
    "\ud800-\udfff\ufff9-\ufffb]"  # lone surrogates (undecodable bytes), annotations
)

_MARK = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_STACKED = re.compile(f"({_MARK}{{3}})({_MARK})({_MARK}*)")
"""Marks that stand over and under a letter: of many, a tower that covers the lines around it. No
language needs four."""


def readable(text: str) -> str:
    """The text without colours; other invisible characters, the beginning of any other terminal
    escape among them, and marks in a tower on one letter, become ``\\u{202e}`` so that they are
    seen, not obeyed. Newlines and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    text = _COLOURS.sub("", text.replace("\r\n", "\n"))
    text = _INVISIBLE.sub(_told, text)
    return _STACKED.sub(lambda found: f"{found[1]}{_told(found[2])}{'…' * bool(found[3])}", text)


def _told(found: re.Match[str] | str) -> str:
    return f"\\u{{{ord(found[0]):x}}}"


def one_line(text: str, limit: int = 0) -> str:
    """:func:`readable` on one line, cut visibly to ``limit`` characters (0: not cut)."""
    flat = readable(text).replace("\n", "⏎").replace("\t", " ")
    if limit and len(flat) > limit:
        return f"{flat[:limit]}… (+{len(flat) - limit} characters)"
    return flat
