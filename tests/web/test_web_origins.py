"""The names we answer to, and the origin a request of our own pages has."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitops.model.serving import ApiSpec, TlsSpec
from gitops.web.auth.origins import origin_of

PUBLIC = ApiSpec(listen="0.0.0.0:8443", url="https://gitops.example.com", behind_proxy=True)
PORT = ApiSpec(listen="0.0.0.0:8443", url="https://gitops.example.com:8443", behind_proxy=True)
TLS = ApiSpec(listen="127.0.0.1:1", tls=TlsSpec(Path("c"), Path("k")))
HERE = ApiSpec(listen="127.0.0.1:8080")


@pytest.mark.parametrize(
    ("api", "host", "origin"),
    [
        (PUBLIC, "gitops.example.com", "https://gitops.example.com"),
        (PUBLIC, "GitOps.Example.com:443", "https://gitops.example.com"),
        (PORT, "gitops.example.com:8443", "https://gitops.example.com:8443"),
        (HERE, "127.0.0.1:8080", "http://127.0.0.1:8080"),
        (HERE, "localhost:80", "http://localhost"),
        (HERE, "[::1]:8080", "http://[::1]:8080"),
        (TLS, "localhost:8443", "https://localhost:8443"),
        (PUBLIC, "127.0.0.1:9000", "http://127.0.0.1:9000"),
    ],
)
def test_names_of_ours_have_an_origin(api: ApiSpec, host: str, origin: str) -> None:
    found = origin_of(host, api)
    assert found is not None
    assert found.text == origin
    assert found.secure == origin.startswith("https:")


@pytest.mark.parametrize("api", [PUBLIC, PORT, HERE, TLS])
@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "gitops.example.com.evil.example", "gitops.example.com@evil"),
        *("127.0.0.1.evil.example", "localhost.evil.example", "gitops.example.com:80", "10.0.0.1"),
        *(
            "127.0.0.1:8080/x",
            "127.0.0.1 ",
            "[::1",
            "0.0.0.0:8443",
            "http://127.0.0.1",
            "a" * 9_999,
        ),
        *("gitops.example.com:8443:443", "\u0131localhost", "localhost\r\nx: y", "2130706433"),
    ],
)
def test_any_other_name_has_none(api: ApiSpec, host: str) -> None:
    assert origin_of(host, api) is None
