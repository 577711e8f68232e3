"""API tokens: 256 random bits, shown once, kept as a SHA-256.

A slow hash protects guessable secrets; nobody guesses 256 bits, so a fast one is right here and a
look-up by hash is one index probe. Used by the API (to recognise a person) and ``gitops token``.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

PREFIX = "gct_"
"""Lets secret scanners of forges recognise a leaked token."""


@dataclass(frozen=True, slots=True)
class NewToken:
    id: str
    """Public: what ``list`` shows and ``revoke`` takes."""
    text: str
    """The token itself: leaves the process once and is never stored."""
    hash: str


def new_token() -> NewToken:
    text = PREFIX + secrets.token_urlsafe(32)
    return NewToken(secrets.token_hex(4), text, hash_of(text))


def hash_of(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
