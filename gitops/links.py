"""Addresses of pages on a forge, from what the fleet file says of a source. Pure.

Only the operator's own words become part of a link: nothing a source holds or a payload says does.
Called by the office, for every face that shows a commit.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gitops.model.fleet import SourceSpec

_SCP = re.compile(r"(?:[\w.-]+@)?([\w.-]+):(?!//)([\w./~-]+)")
_HOSTS = {
    "github.com": "github",
    "gitlab.com": "gitlab",
    "bitbucket.org": "bitbucket-cloud",
    "codeberg.org": "gitea",
}
_PATHS = {
    "github": "commit",
    "gitlab": "-/commit",
    "gitea": "commit",
    "bitbucket-cloud": "commits",
}


def commits_at(source: SourceSpec) -> str:
    """Address of a commit's page without the id, for https, ssh and scp-like addresses of a forge
    that is known by its host or by the source's ``forge``; else empty."""
    if source.kind != "git":
        return ""
    host, path = _parts(source.url)
    kind = source.forge.kind if source.forge else _HOSTS.get(host, "")
    path = path.strip("/").removesuffix(".git")
    if not host or not path or kind not in _PATHS:
        return ""
    return f"https://{host}/{path}/{_PATHS[kind]}/"


def _parts(url: str) -> tuple[str, str]:
    if found := _SCP.fullmatch(url):
        return found[1].lower(), found[2]
    parts = urlsplit(url)
    # A port is git's own over ssh, and nobody's business over https.
    if parts.scheme == "https" and parts.port is None:
        return parts.hostname or "", parts.path
    return (parts.hostname or "", parts.path) if parts.scheme == "ssh" else ("", "")
