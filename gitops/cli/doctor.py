"""``gitops doctor``: what is here, what is missing, and the line that gets it.

Looks only: builds nothing, writes nothing, and asks a cluster no more than who it is, and an
identity provider no more than where it is.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from gitops.cli.settings import Settings, settings

if TYPE_CHECKING:
    from gitops.errors import GitopsError
    from gitops.model.fleet import ClusterSpec, Fleet
    from gitops.model.secret import SecretRef
    from gitops.model.serving import OidcSpec
    from gitops.model.terraform import TerraformHost
    from gitops.sandbox.tools import Toolbox

_OLDEST_GIT = (2, 31)
"""Configuration through the environment (``GIT_CONFIG_COUNT``) came with it."""
_ROOT_TOOLS = {
    "terraform": "install it: https://developer.hashicorp.com/terraform/install",
    "tofu": "gitops sandbox tools tofu",
}
"""What Terraform roots are run with, each with the line that gets it."""
_GIB = 1 << 30
_SECONDS = 15.0


class State(StrEnum):
    OK = "ok"
    OPTIONAL = "optional"
    """Not here, and needed only for what the detail says."""
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Examined:
    """One thing looked at. ``remedy`` is a line to type or a thing to do; empty if all is well."""

    name: str
    state: State
    detail: str
    remedy: str = ""


def doctor(ctx: typer.Context) -> None:
    """Say which tools and clusters are at hand, and the line that gets what is missing.

    Exit code 1 if something is missing that every delivery needs, or a cluster of the fleet file
    cannot be used.
    """
    from gitops.cli.output import emit, make_console, show_examined
    from gitops.sandbox.tools import Toolbox

    chosen = settings(ctx)
    toolbox = Toolbox()
    found = [*examine_machine(toolbox), *_examine_fleet(chosen, toolbox)]
    well = all(one.state is not State.MISSING for one in found)
    if chosen.json:
        emit({"ok": well, "checks": found})
    else:
        rows = [(one.state.value, one.name, one.detail, one.remedy) for one in found]
        show_examined(rows, make_console(chosen))
    if not well:
        raise typer.Exit(1)


def examine_machine(toolbox: Toolbox) -> Iterator[Examined]:
    """Everything that does not depend on a fleet file."""
    from gitops import __version__

    python = ".".join(map(str, sys.version_info[:3]))
    yield Examined("gitops", State.OK, f"{__version__} on Python {python}")
    yield _git()
    yield from _tools(toolbox)
    yield from _root_tools(toolbox)
    yield _go(toolbox)
    yield _isolation()
    yield _disk(toolbox.cache)


def _git() -> Examined:
    remedy = "install git 2.31 or newer: apt-get install git"
    where = shutil.which("git")
    if where is None:
        return Examined("git", State.MISSING, "not on PATH", remedy)
    try:
        said = subprocess.run(
            [where, "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return Examined("git", State.MISSING, f"{where} does not run", remedy)
    number = re.search(r"(\d+)\.(\d+)[\w.]*", said)
    if number is None or (int(number[1]), int(number[2])) < _OLDEST_GIT:
        return Examined("git", State.MISSING, f"{where}: {said.strip()[:80]}", remedy)
    return Examined("git", State.OK, f"{number[0]}  {where}")


def _tools(toolbox: Toolbox) -> Iterator[Examined]:
    from gitops.sandbox.recipes import RENDERING, TESTING, TOOLS

    for name in RENDERING:
        yield _tool(toolbox, name, State.MISSING, f"needed to render {name.title()} applications")
    for name in (name for name in TOOLS if name not in RENDERING + TESTING):
        yield _tool(toolbox, name, State.OPTIONAL, "only for the sandbox, the demo and tests")


def _tool(toolbox: Toolbox, name: str, if_absent: State, needed: str) -> Examined:
    path = toolbox.find(name)
    if path is not None:
        return Examined(name, State.OK, f"{toolbox.version(name)}  {path}")
    others = [f"{c.path} is {c.version or 'of no known version'}" for c in toolbox.candidates(name)]
    absent = "; ".join([f"{toolbox.version(name)} is not here", *others, needed])
    return Examined(name, if_absent, absent, f"gitops sandbox tools {name}")


def _root_tools(toolbox: Toolbox) -> Iterator[Examined]:
    """Of any version: which one a root wants is looked at with the fleet file."""
    from gitops.model.terraform import TerraformHost

    for name, remedy in _ROOT_TOOLS.items():
        found = next(_binaries(TerraformHost(), name, "", toolbox), None)
        if found is None:
            detail = f"not here; only for Terraform roots with binary: {name}"
            yield Examined(name, State.OPTIONAL, detail, remedy)
        else:
            yield Examined(name, State.OK, f"{found[1] or 'of no known version'}  {found[0]}")


def _binaries(
    host: TerraformHost, name: str, version: str, toolbox: Toolbox
) -> Iterator[tuple[Path, str]]:
    """Each file the controller would look at, in its order, and the version it says it has."""
    from gitops.terraform.binaries import candidates

    for place in candidates(host, name, version, toolbox.path):
        yield place, _version_of(place)


def _version_of(binary: Path) -> str:
    """``1.11.4``; empty for what does not say. Asks nobody whether there is a newer one."""
    from gitops.terraform.binaries import version_said

    environment = {"HOME": "/nonexistent", "PATH": os.defpath, "CHECKPOINT_DISABLE": "1"}
    try:
        answer = subprocess.run(
            [binary, "version", "-json"],
            capture_output=True,
            timeout=_SECONDS,
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return version_said(answer.stdout)


def _go(toolbox: Toolbox) -> Examined:
    from gitops.sandbox.golang import find_go

    go = find_go(toolbox.cache)
    if go is not None:
        return Examined("go", State.OK, str(go))
    return Examined("go", State.OPTIONAL, "only to build tools; installed when one is built")


def _isolation() -> Examined:
    """Whether renderers can be kept from the network, for what they run on nobody approved."""
    from gitops.children import UNISOLATED, Runner

    found = Runner().capabilities
    if found.no_network:
        return Examined("isolation", State.OK, found.note or "renderers have no network")
    if os.environ.get(UNISOLATED) == "1":
        return Examined("isolation", State.OPTIONAL, f"{found.note}; allowed by {UNISOLATED}=1")
    remedy = (
        "permit user namespaces: sysctl kernel.unprivileged_userns_clone=1, "
        "kernel.apparmor_restrict_unprivileged_userns=0, or the container's seccomp profile; "
        f"or confine the controller yourself and set {UNISOLATED}=1"
    )
    detail = f"{found.note}: Kustomize and Helm applications are not rendered"
    return Examined("isolation", State.MISSING, detail, remedy)


def _disk(folder: Path) -> Examined:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free / _GIB
    detail = f"{free:.1f} GiB free at {folder}"
    if free < 1:
        return Examined("disk", State.MISSING, detail, "free at least 1 GiB")
    return Examined("disk", State.OK, detail)


def _examine_fleet(chosen: Settings, toolbox: Toolbox) -> Iterator[Examined]:
    """The fleet file and each cluster it names. That there is none is fine unless it was named."""
    from gitops.config import load
    from gitops.errors import GitopsError

    if not chosen.config.exists() and not chosen.config_given:
        yield Examined("fleet file", State.OPTIONAL, f"no {chosen.config} here", "gitops init")
        return
    try:
        fleet = load(chosen.config)
    except GitopsError as problem:
        yield _refused("fleet file", problem)
        return
    yield Examined("fleet file", State.OK, str(chosen.config))
    yield examine_doors(fleet)
    yield from examine_secrets(fleet)
    if fleet.api.sign_in.oidc is not None:
        yield asyncio.run(examine_sign_in(fleet.api.sign_in.oidc))
    yield from examine_roots(fleet, toolbox)
    for spec in fleet.clusters.values():
        yield asyncio.run(examine_cluster(spec))


def examine_doors(fleet: Fleet) -> Examined:
    """What is open, to whom, and whether the certificate can be used."""
    from gitops.config.addresses import listens_locally
    from gitops.errors import GitopsError
    from gitops.web.tls import Certificate

    api = fleet.api
    if not api.listen:
        return Examined("api", State.OK, "on its socket alone, for the controller's own account")
    whom = "this machine" if listens_locally(api.listen) else "everybody who reaches this machine"
    how = "plain HTTP"
    if api.tls is not None:
        how = "TLS"
        try:
            Certificate(api.tls)
        except GitopsError as problem:
            return _refused("api", problem)
    elif api.behind_proxy:
        how = "plain HTTP behind a proxy: nobody else may reach it"
    hooks = ", ".join(f"/hooks/{spec.name}" for spec in fleet.webhooks)
    free = f"; open without a token: /healthz, /readyz{', ' + hooks if hooks else ''}"
    public = f", called {api.url}" if api.url else ""
    look = "; everybody may look, without signing in" if api.sign_in.anonymous else ""
    return Examined("api", State.OK, f"{api.listen} ({how}) for {whom}{public}{free}{look}")


def examine_secrets(fleet: Fleet) -> Iterator[Examined]:
    """Whether everything the fleet file refers to can be read here, by this account. Environment
    variables are the controller's own, so one that is not set here may be set there."""
    from gitops.errors import GitopsError
    from gitops.secrets import read_secret

    wanted = dict.fromkeys(_references(fleet))
    readable = 0
    for ref in wanted:
        try:
            read_secret(ref)
            readable += 1
        except GitopsError as problem:
            state = State.OPTIONAL if ref.env else State.MISSING
            yield Examined(f"secret {ref}", state, problem.message, problem.hint)
    if readable:
        yield Examined("secrets", State.OK, f"{readable} of {len(wanted)} can be read here")


def _references(value: object) -> Iterator[SecretRef]:
    """Every reference to a secret in a value of the model."""
    from gitops.model.secret import SecretRef

    if isinstance(value, SecretRef):
        yield value
    elif is_dataclass(value):
        for field in fields(value):
            yield from _references(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, tuple | list | set | frozenset):
        for each in value:
            yield from _references(each)


async def examine_sign_in(spec: OidcSpec) -> Examined:
    """Whether the identity provider is there and describes itself as the fleet file says."""
    from gitops.clock import SystemClock
    from gitops.errors import GitopsError
    from gitops.web.auth.oidc import Provider

    try:
        async with asyncio.timeout(_SECONDS):
            await Provider(spec, "https://localhost/sign-in/return", SystemClock()).begin("/", 60)
    except TimeoutError:
        return Examined("sign-in", State.MISSING, f"no answer within {_SECONDS:.0f} s", spec.issuer)
    except GitopsError as problem:
        return _refused("sign-in", problem)
    return Examined("sign-in", State.OK, f"{spec.issuer} answers")


def examine_roots(fleet: Fleet, toolbox: Toolbox) -> Iterator[Examined]:
    """One row for each binary and version that Terraform roots of the fleet want."""
    from gitops.model.ids import ApplicationName

    wanted: dict[tuple[str, str], list[str]] = {}
    roots = [(name, spec.terraform) for name, spec in fleet.applications.items()]
    roots += [(ApplicationName(one.glob), one.template.terraform) for one in fleet.discoveries]
    for name, root in roots:
        if root is not None:
            wanted.setdefault((root.binary, root.version), []).append(name)
    for (binary, version), names in wanted.items():
        found = list(_binaries(fleet.terraform, binary, version, toolbox))
        yield _root_tool(binary, version, names, found)


def _root_tool(
    binary: str, version: str, names: Sequence[str], found: Sequence[tuple[Path, str]]
) -> Examined:
    name = f"roots with {binary} {version}".rstrip()
    users = f"for {', '.join(names[:3])}{f' and {len(names) - 3} more' if names[3:] else ''}"
    for path, said in found:
        if said and version in {"", said}:
            return Examined(name, State.OK, f"{said}  {path}  {users}")
    others = [f"{path} is {said or 'of no known version'}" for path, said in found]
    remedy = _ROOT_TOOLS[binary]
    if version:
        remedy = f"put it into a folder of terraform.folders as {binary}-{version}"
    return Examined(name, State.MISSING, "; ".join(["is not here", *others, users]), remedy)


async def examine_cluster(spec: ClusterSpec) -> Examined:
    """Whether a cluster lets us in, and as which version it answers."""
    from gitops.app import connector
    from gitops.clock import SystemClock
    from gitops.errors import GitopsError

    name = f"cluster {spec.name}"
    cluster = None
    try:
        async with asyncio.timeout(_SECONDS):
            cluster = await connector(SystemClock())(spec)
            facts = await cluster.facts()
    except TimeoutError:
        return Examined(name, State.MISSING, f"no answer within {_SECONDS:.0f} s", "is it up?")
    except GitopsError as problem:
        return _refused(name, problem)
    finally:
        if cluster is not None:
            await cluster.close()
    return Examined(name, State.OK, f"Kubernetes {facts.version}, uid {facts.uid}")


def _refused(name: str, problem: GitopsError) -> Examined:
    where = f"{problem.place}: " if problem.place else ""
    remedy = problem.hint or "gitops config check"
    return Examined(name, State.MISSING, where + problem.message, remedy)
