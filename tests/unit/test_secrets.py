"""Secrets are read from where they are named, and are never part of a message."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitops.errors import ConfigError
from gitops.model.secret import SecretRef
from gitops.secrets import LIMIT, read_secret


def write(path: Path, content: bytes, mode: int = 0o600) -> SecretRef:
    path.write_bytes(content)
    path.chmod(mode)
    return SecretRef(file=path)


def test_an_environment_variable_is_read_from_the_environment_given() -> None:
    assert read_secret(SecretRef(env="SHOP"), {"SHOP": "s3cret"}) == "s3cret"


@pytest.mark.parametrize(
    ("content", "text"), [(b"a\n", "a"), (b"a\r\n", "a"), (b"a\n\n", "a\n"), (b" a ", " a ")]
)
def test_exactly_one_trailing_newline_is_dropped(tmp_path: Path, content: bytes, text: str) -> None:
    assert read_secret(write(tmp_path / "s", content)) == text


def test_a_missing_variable_is_named_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match="environment variable SHOP is not set") as caught:
        read_secret(SecretRef(env="SHOP"), {})
    assert "{file: PATH}" in caught.value.hint


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o644, 0o666])
def test_a_file_open_to_everybody_is_refused_without_showing_it(tmp_path: Path, mode: int) -> None:
    ref = write(tmp_path / "s", b"canary-value", mode)
    with pytest.raises(ConfigError, match="by everybody") as caught:
        read_secret(ref)
    assert "canary-value" not in str(caught.value)


def test_a_file_of_the_group_is_accepted(tmp_path: Path) -> None:
    assert read_secret(write(tmp_path / "s", b"x", 0o440)) == "x"


def test_a_link_to_a_private_file_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "s", b"x")
    (tmp_path / "link").symlink_to(tmp_path / "s")
    assert read_secret(SecretRef(file=tmp_path / "link")) == "x"


def test_a_pipe_is_refused_and_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_secret(SecretRef(file=tmp_path / "pipe"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is not text"),
        (b"x" * (LIMIT + 1), "too large"),
    ],
)
def test_what_cannot_be_a_secret_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_secret(write(tmp_path / "s", content))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file") as caught:
        read_secret(SecretRef(file=tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") in str(caught.value)


def test_a_reference_to_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="empty secret reference"):
        read_secret(SecretRef())
