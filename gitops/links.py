"""Addresses of pages: ours, and those of a forge, from what the fleet file says. Pure.

Only the operator's own words and ids of our own become part of a link: nothing a source holds or a
payload says does, but for the path of a file, which can lead nowhere but to a file of its own
repository. Called by the office and the pages, for every face that shows a commit or leads
to a page of ours (``at`` is ``api: url:``; empty gives paths, which are links on our own pages).
"""

from __future__ import annotations

import re
from urllib.parse import quote, urlsplit

from gitops.model.fleet import SourceSpec

_SCP = re.compile(r"(?:[\w.-]+@)?([\w.-]+):(?!//)([\w./~-]+)")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_HOSTS = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "bitbucket.org": "bitbucket-cloud",
    "codeberg.org": "gitea",
}
_FILES = {
    "github": ("blob/{}/{}", "#L{}"),
    "gitlab": ("-/blob/{}/{}", "#L{}"),
    "gitea": ("src/commit/{}/{}", "#L{}"),
    "bitbucket-cloud": ("src/{}/{}", "#lines-{}"),
}
_PATHS = {
    "github": "commit",
    "gitlab": "-/commit",
    "gitea": "commit",
    "bitbucket-cloud": "commits",
}


def commits_at(source: SourceSpec | None) -> str:
    """Address of a commit's page without the id, for https, ssh and scp-like addresses of a forge
    that is known by its host or by the source's ``forge``; else empty. None: a source that left
    the fleet file."""
    at, kind = _repository(source)
    return f"{at}/{_PATHS[kind]}/" if at else ""


def file_at(source: SourceSpec | None, revision: str, path: str, line: int = 0) -> str:
    """Address of a file's page at a commit, at a line where one is known; empty where the forge is
    not, and for a path that leads elsewhere."""
    at, kind = _repository(source)
    steps = path.split("/")
    if not at or not _COMMIT.fullmatch(revision) or not {"", ".", ".."}.isdisjoint(steps):
        return ""
    file, place = _FILES[kind]
    named = quote(path.encode("utf-8", "surrogatepass"), safe="/")
    return f"{at}/{file.format(revision, named)}{place.format(line) if line > 0 else ''}"


def _repository(source: SourceSpec | None) -> tuple[str, str]:
    """(address, kind of its forge); both empty where it is not known."""
    if source is None or source.kind != "git":
        return "", ""
    host, path = _parts(source.url)
    kind = source.forge.kind if source.forge else _HOSTS.get(host, "")
    path = path.strip("/").removesuffix(".git")
    if not host or not path or kind not in _PATHS:
        return "", ""
    return f"https://{host}/{path}", kind


def _parts(url: str) -> tuple[str, str]:
    if found := _SCP.fullmatch(url):
        return found[1].lower(), found[2]
    parts = urlsplit(url)
    # A port is git's own over ssh, and nobody's business over https.
    if parts.scheme == "https" and parts.port is None:
        return parts.hostname or "", parts.path
    return (parts.hostname or "", parts.path) if parts.scheme == "ssh" else ("", "")


# --- pages of ours ----------------------------------------------------------------------------


def application_page(name: str, at: str = "") -> str:
    return f"{at.rstrip('/')}/applications/{quote(name, safe='')}"


def change_page(id: str, at: str = "") -> str:
    """Of a change, and so of its delivery."""
    return f"{at.rstrip('/')}/changes/{quote(id, safe='')}"


def request_page(id: str, at: str = "") -> str:
    return f"{at.rstrip('/')}/requests/{quote(id, safe='')}"


def preview_page(source: str, number: int, at: str = "") -> str:
    return f"{at.rstrip('/')}/previews/{quote(source, safe='')}/{number}"
