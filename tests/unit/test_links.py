"""A commit leads to its page on the operator's forge, and to nowhere else."""

from __future__ import annotations

import pytest

from gitops.links import commits_at, file_at
from gitops.model.fleet import ForgeSpec, SourceSpec
from gitops.model.ids import SourceName

HUB = "https://github.com/example/config/commit/"


@pytest.mark.parametrize(
    ("url", "forge", "page"),
    [
        ("https://github.com/example/config.git", "", HUB),
        ("https://github.com/example/config", "", HUB),
        ("git@github.com:example/config.git", "", HUB),
        ("ssh://git@github.com:22/example/config.git", "", HUB),
        ("https://gitlab.com/a/b/c.git", "", "https://gitlab.com/a/b/c/-/commit/"),
        ("https://bitbucket.org/a/b", "", "https://bitbucket.org/a/b/commits/"),
        ("https://git.example.com/a/b.git", "gitea", "https://git.example.com/a/b/commit/"),
        ("https://git.example.com/a/b.git", "", ""),
        ("https://git.example.com/a/b.git", "bitbucket-dc", ""),
        ("https://git.example.com:8443/a/b.git", "gitlab", ""),
        ("http://127.0.0.1/a/b.git", "gitea", ""),
        ("/srv/config.git", "github", ""),
        ("file:///srv/config.git", "github", ""),
        ("https://github.com/", "", ""),
    ],
)
def test_the_page_follows_from_the_fleet_file_alone(url: str, forge: str, page: str) -> None:
    spec = SourceSpec(SourceName("config"), "git", url, forge=ForgeSpec(forge) if forge else None)
    assert commits_at(spec) == page


def test_what_is_no_git_source_has_no_commits() -> None:
    assert commits_at(SourceSpec(SourceName("x"), "web", "https://github.com/a/b.git")) == ""


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("git@github.com:a/b.git", "https://github.com/a/b/blob/1a2b3c4d/x/y%20%23z.yaml#L7"),
        ("https://gitlab.com/a/b", "https://gitlab.com/a/b/-/blob/1a2b3c4d/x/y%20%23z.yaml#L7"),
        ("https://bitbucket.org/a/b", "https://bitbucket.org/a/b/src/1a2b3c4d/x/y%20%23z.yaml#lines-7"),
        ("/srv/config.git", ""),
    ],
)  # fmt: skip
def test_a_file_leads_to_its_page_at_its_commit(url: str, page: str) -> None:
    source = SourceSpec(SourceName("config"), "git", url)
    assert file_at(source, "1a2b3c4d", "x/y #z.yaml", 7) == page


@pytest.mark.parametrize("path", ["", "/etc", "../../x", "a/../b", "a//b", "./a"])
def test_a_path_leads_nowhere_but_to_a_file(path: str) -> None:
    source = SourceSpec(SourceName("config"), "git", "https://github.com/a/b")
    assert file_at(source, "1a2b3c4d", path) == ""
    assert file_at(source, "javascript:x", "a") == ""
