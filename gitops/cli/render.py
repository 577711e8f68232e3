"""``gitops render``: what applications become, before any cluster is looked at.

Needs no cluster, no controller and, with ``--local``, no fleet file. Nothing is written but what
is printed. Values of Secrets are hidden unless asked for: renderings end up in terminals and
tickets.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops.cli.settings import Settings, settings

if TYPE_CHECKING:
    from gitops.engine.renders import Rendered
    from gitops.engine.supplies import Supplies
    from gitops.model.finding import Finding
    from gitops.model.fleet import ApplicationSpec, Fleet
    from gitops.model.manifest import Desired

LOCAL = "local"
"""Name of source and application where no fleet file names them."""
_FIRST = ("apiVersion", "kind", "metadata")


class Form(StrEnum):
    YAML = "yaml"
    JSON = "json"


def render(
    ctx: typer.Context,
    applications: Annotated[
        list[str] | None, typer.Argument(help="Only these; default: all of the fleet file.")
    ] = None,
    local: Annotated[
        Path | None,
        typer.Option(
            help="Render this working tree; without an APPLICATION no fleet file is read and the "
            "folder itself is the application.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    renderer: Annotated[
        str, typer.Option(help="With --local: plain, kustomize or helm; else found by looking.")
    ] = "",
    namespace: Annotated[str, typer.Option(help="With --local: the namespace.")] = "default",
    form: Annotated[
        Form | None,
        typer.Option("--output", "-o", help="yaml, or json (one List).", metavar="yaml|json"),
    ] = None,
    show_secrets: Annotated[
        bool, typer.Option("--show-secrets", help="Print the values of Secrets as they are.")
    ] = False,
) -> None:
    """Print what applications become. Needs no cluster.

    Of a Terraform root there is nothing to print but what is wrong with it: see gitops plan. Where
    an output of one is taken in, ${needs.NAME} stands for it.

    Warnings go to stderr. Exit code 1 when anything did not render.
    """
    from gitops.logs import quiet

    quiet()
    chosen = settings(ctx)
    wanted = form or (Form.JSON if chosen.json else Form.YAML)
    with tempfile.TemporaryDirectory(prefix="gitops-render-") as scratch:
        fleet = _fleet(chosen, applications or [], local, Path(scratch), renderer, namespace)
        found = asyncio.run(_render(fleet, applications or []))
    sound = _tell_problems(found, chosen)
    bodies = [_body(m) for r in found if r.desired for m in r.desired.manifests]
    shown = bodies if show_secrets else _masked(bodies)
    _show(found, shown, wanted)
    raise typer.Exit(0 if sound else 1)


# --- which applications, from where -----------------------------------------------------------


def _fleet(
    chosen: Settings,
    applications: Sequence[str],
    local: Path | None,
    scratch: Path,
    renderer: str,
    namespace: str,
) -> Fleet:
    """The operator's, or one made up around a folder. State never lasts longer than the command."""
    from dataclasses import replace

    from gitops.config import load
    from gitops.errors import ConfigError

    if local is not None and not applications:
        return _around(local.absolute(), scratch, renderer, namespace)
    if renderer or namespace != "default":
        raise ConfigError(
            "--renderer and --namespace are for --local without an application",
            hint="the fleet file says what an application's renderer and namespace are",
        )
    fleet = replace(load(chosen.config, resolve_secrets=local is None), state_dir=scratch)
    return fleet if local is None else _reading(fleet, local.absolute(), applications)


def _around(folder: Path, scratch: Path, renderer: str, namespace: str) -> Fleet:
    """The folder as the one application. Its repository is the source where there is one, for an
    overlay may read a base beside it."""
    from gitops.errors import ConfigError
    from gitops.model.fleet import ApplicationSpec, Fleet, SourceSpec
    from gitops.model.ids import ApplicationName, SourceName
    from gitops.plugins import Role, plugins

    known = plugins(Role.RENDERER)
    if renderer and renderer not in known:
        raise ConfigError(f"there is no renderer {renderer!r}", hint=f"known: {', '.join(known)}")
    if _is_root(folder):
        raise ConfigError(
            "this is a Terraform root, of which there is nothing to render",
            place=str(folder),
            hint="describe it in a fleet file, under `terraform:` of an application; "
            "`gitops plan` then shows what it would change",
        )
    root = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), folder)
    source, name = SourceName(LOCAL), ApplicationName(LOCAL)
    path = folder.relative_to(root).as_posix()
    spec = ApplicationSpec(
        name, source, "" if path == "." else path, renderer=renderer, namespace=namespace
    )
    return Fleet(
        path=folder,
        state_dir=scratch,
        sources={source: SourceSpec(source, "directory", str(root), allow_local=True)},
        applications={name: spec},
    )


def _is_root(folder: Path) -> bool:
    """Terraform code, and nothing that anything else would read."""
    names = [each.suffix for each in folder.iterdir()]
    code = {".tf", ".tofu"} & set(names)
    return bool(code) and not {".yaml", ".yml", ".json"} & set(names)


def _reading(fleet: Fleet, tree: Path, applications: Sequence[str]) -> Fleet:
    """The same applications, their sources read from a working tree."""
    from dataclasses import replace

    known = fleet.applications
    wanted = {spec.source for name, spec in known.items() if name in applications}
    sources = {
        name: replace(spec, kind="directory", url=str(tree), allow_local=True, options={})
        for name, spec in fleet.sources.items()
        if name in wanted or not wanted
    }
    return replace(fleet, sources=sources)


async def _render(fleet: Fleet, applications: Sequence[str]) -> list[Rendered]:
    from gitops.app import offline
    from gitops.errors import ConfigError, SourceUnavailable
    from gitops.model.ids import ApplicationName

    running = offline(fleet)
    controller = running.controller
    try:
        problems = await controller.read_sources()
        known = controller.roster.specs()
        for name in applications:
            if name not in known and not problems:
                listed = ", ".join(sorted(known)) or "none"
                raise ConfigError(f"there is no application {name!r}", hint=f"known: {listed}")
        wanted = [known[n] for n in map(ApplicationName, applications) if n in known]
        found = []
        for spec in wanted or ([] if applications else list(known.values())):
            snapshot = controller.watches[spec.source].snapshot
            if snapshot is not None:
                taken = _stand_ins(spec)
                rendered = await controller.parts.renders.once(spec, snapshot, None, taken)
                found.append(_named(spec, rendered))
        if problems:
            name, why = next(iter(problems.items()))
            raise SourceUnavailable(f"source {name!r} cannot be read: {why}")
        return found
    finally:
        await controller.close()
        running.close()


def _stand_ins(spec: ApplicationSpec) -> Supplies:
    """What stands for outputs of other applications: where a value goes can be seen, the value
    itself is in a state that nobody looks at here."""
    from gitops.engine.supplies import Supplies

    return Supplies({name: f"${{needs.{name}}}" for name in spec.needs})


def _named(spec: ApplicationSpec, rendered: Rendered) -> Rendered:
    """A finding without a place at least says which application it is about."""
    from dataclasses import replace

    findings = tuple(
        finding if finding.path else replace(finding, path=spec.path or str(spec.name))
        for finding in (*rendered.findings, *_remarks(spec, rendered))
    )
    return replace(rendered, findings=findings)


def _remarks(spec: ApplicationSpec, rendered: Rendered) -> Iterable[Finding]:
    """What one might miss in what is printed."""
    from gitops.model.finding import Finding, Severity

    if spec.terraform is not None and rendered.desired is not None:
        count = len(rendered.desired.files)
        said = f"a Terraform root of {count} file{'' if count == 1 else 's'}: nothing to render"
        hint = f"`gitops plan {spec.name}` shows what it would change"
        yield Finding("render", Severity.INFO, said, hint)
    elif spec.needs:
        taken = ", ".join(f"{name} from {need.application}" for name, need in spec.needs.items())
        said = f"it takes in outputs ({taken}); ${{needs.…}} stands for them here"
        yield Finding("render", Severity.INFO, said)


# --- what is printed --------------------------------------------------------------------------


def _tell_problems(found: Iterable[Rendered], chosen: Settings) -> bool:
    from gitops.cli.output import make_console, show_findings
    from gitops.foreign import one_line
    from gitops.model.finding import blocking

    console = make_console(chosen, stderr=True)
    sound = True
    for rendered in found:
        show_findings(rendered.findings, console)
        for warning in rendered.desired.warnings if rendered.desired else ():
            console.print(f"warning: {one_line(warning)}", style="yellow")
        sound = sound and rendered.desired is not None and not blocking(rendered.findings)
    return sound


def _body(manifest: Any) -> dict[str, Any]:
    """Identity first, as people write it; then as it is sent."""
    import orjson

    body: dict[str, Any] = orjson.loads(manifest.body)
    return {**{key: body[key] for key in _FIRST if key in body}, **body}


def _masked(bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    from gitops.masking import Masker
    from gitops.vault import Keyring

    masker = Masker(Keyring.throwaway())
    for body in bodies:
        masker.learn(body)
    return [_without_values(body, masker) for body in bodies]


def _without_values(body: dict[str, Any], masker: Any) -> dict[str, Any]:
    if body.get("kind") == "Secret" and body.get("apiVersion") == "v1":
        for part in ("data", "stringData"):
            if isinstance(body.get(part), dict):
                hidden = {key: masker.marker(value) for key, value in body[part].items()}
                body = {**body, part: hidden}
    masked: dict[str, Any] = masker.value(body)
    return masked


def _show(found: Sequence[Rendered], bodies: Sequence[dict[str, Any]], form: Form) -> None:
    from gitops.cli.yaml_text import to_yaml
    from gitops.foreign import one_line

    if form is Form.JSON:
        whole = {"apiVersion": "v1", "kind": "List", "items": bodies}
        print(json.dumps(whole, indent=2, ensure_ascii=False))
        return
    origins = [m.origin for desired in _desired(found) for m in desired.manifests]
    for origin, body in zip(origins, bodies, strict=True):
        print(f"---\n# {one_line(str(origin))}\n{to_yaml(body)}", end="")


def _desired(found: Sequence[Rendered]) -> list[Desired]:
    return [rendered.desired for rendered in found if rendered.desired is not None]
