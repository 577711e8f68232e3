"""Writes the first fleet file, with a comment on everything in it.

Called by ``gitops init``, which checks the result with :func:`gitops.config.load.load`. Pure: from
answers to text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_PLAIN = re.compile(r"[A-Za-z0-9_./@][-A-Za-z0-9_./@+:]*")
_WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"}


@dataclass(frozen=True, slots=True)
class Answers:
    """What a first fleet file needs to know."""

    source: str
    """Name of the source."""
    address: str
    """A git URL, or a folder when ``directory``."""
    path: str
    """A folder of the source, or a pattern such as ``apps/*``."""
    cluster: str
    """Name of the cluster."""
    reached: tuple[str, str]
    """(``context``, NAME), (``sandbox``, NAME) or (``in_cluster``, ``true``)."""
    people: tuple[tuple[str, str], ...]
    """(name, e-mail) of everybody who may approve."""
    directory: bool = False
    ref: str = "main"
    local: bool = False
    """The git repository is a path on this machine."""
    namespace: str = "default"


def fleet_file(answers: Answers) -> str:
    """The text of a fleet file that :func:`gitops.config.load.load` accepts."""
    return "\n".join(
        (
            "# yaml-language-server: $schema=gitops.schema.json",
            "# The fleet: what is watched, where it goes, and who may say yes.",
            "# `gitops config check` checks this file, `gitops plan` shows what would change.",
            *_source(answers),
            *_cluster(answers),
            *_application(answers),
            *_people(answers),
            "",
        )
    )


def quoted(text: str) -> str:
    """A YAML scalar that reads back as exactly this text."""
    number = re.fullmatch(r"[-+]?[0-9_.]+([eE:][-+0-9]+)*", text)
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS and not text.endswith(":")
    return text if plain and not number else json.dumps(text, ensure_ascii=False)


def _source(answers: Answers) -> list[str]:
    key = "directory" if answers.directory else "git"
    lines = [
        "",
        "sources:",
        f"  {quoted(answers.source)}:",
        f"    {key}: {quoted(answers.address)}",
    ]
    if answers.local:
        lines.append("    allow_local: true  # a path on this machine")
    if not answers.directory:
        lines.append(f"    ref: {quoted(answers.ref)}")
        lines.append("    # A private repository needs one of these; secrets only by reference:")
        lines.append("    # credentials: {token: {env: GIT_TOKEN}}")
        lines.append("    # credentials: {ssh_key: {file: ~/.ssh/id_ed25519}}")
    return lines


def _cluster(answers: Answers) -> list[str]:
    way, value = answers.reached
    return [
        "",
        "clusters:",
        f"  {quoted(answers.cluster)}:",
        f"    {way}: {value if way == 'in_cluster' else quoted(value)}",
        "    # labels: {env: prod}  # applications can select clusters by label",
    ]


def _application(answers: Answers) -> list[str]:
    common = [
        f"    source: {quoted(answers.source)}",
        f"    path: {quoted(answers.path)}",
        f"    clusters: [{quoted(answers.cluster)}]",
        f"    namespace: {quoted(answers.namespace)}  # for objects that name none",
        "    # renderer: helm  # plain, kustomize or helm; found by looking when left out",
        "    # approval: {quorum: 2}  # how many have to approve; or the name of a policy",
    ]
    if "*" in answers.path:
        first, rest = common[0].lstrip(), common[1:]
        return [
            "",
            "discover:",
            "  # Every folder that matches becomes an application.",
            f"  - {first}",
            *rest,
        ]
    name = re.sub(r"[^a-z0-9]+", "-", answers.path.rpartition("/")[2].lower()).strip("-")
    return ["", "applications:", f"  {quoted(name[:63].strip('-') or 'app')}:", *common]


def _people(answers: Answers) -> list[str]:
    lines = [
        "",
        "# Nobody approves their own change: an author is recognised by these e-mails.",
        "people:",
    ]
    for name, email in answers.people:
        lines.append(f"  {quoted(name)}: {{emails: [{quoted(email)}]}}")
    return [
        *lines,
        "",
        "# The status page, at http://127.0.0.1:8080; `gitops user add NAME` gives a password.",
        '# api: {listen: "127.0.0.1:8080", sign_in: {local: true}}',
    ]
