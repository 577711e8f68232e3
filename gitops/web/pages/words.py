"""Signs and tones of states: which colour says it, and which sign says it without colour. Pure.

Called by the templates through :mod:`gitops.web.pages.frame`.
"""

from __future__ import annotations

from gitops.standing import TONES

_TONES = {
    "good": ("approved", "ready", "passed", "ok", "current", "in sync"),
    "bad": (
        "denied",
        "unreachable",
        "refused",
        "changed",
        "error",
        "gone",
        "invalid",
    ),
    "wait": (
        "expired",
        "warning",
        "missing",
        "waits",
        "rewritten",
    ),
    "work": ("connecting", "progressing", "being applied"),
}
_SIGNS = {"good": "✓", "bad": "✗", "wait": "◷", "work": "▸", "": "·"}
_BY_STATE = {**{state: tone for tone, states in _TONES.items() for state in states}, **TONES}


def tone(state: object) -> str:
    """``good``, ``bad``, ``wait``, ``work``, or empty for what is neither."""
    return _BY_STATE.get(str(state), "")


def sign(state: object) -> str:
    return _SIGNS[tone(state)]
