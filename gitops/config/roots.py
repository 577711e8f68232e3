"""Terraform roots of the fleet file, as values.

Called by :mod:`gitops.config.build` for each application or discovery with a ``terraform`` key.
What concerns more than one root is in :mod:`gitops.config.root_rules`.
"""

from __future__ import annotations

import dataclasses
import posixpath
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from gitops.config import shape_terraform as shape
from gitops.config.addresses import Refused, check_folder
from gitops.config.backends import KINDS, check_kind, check_place, identity, secret_settings
from gitops.config.environment import VARIABLE, environment
from gitops.config.problems import Draft, Loc
from gitops.config.secrecy import secrets_in, tells
from gitops.config.shape import Delivered
from gitops.config.values import existing, judge
from gitops.config.words import owner
from gitops.foreign import one_line
from gitops.model.terraform import (
    Allowed,
    Backend,
    Deadlines,
    Environment,
    TerraformHost,
    TerraformSpec,
)

APPLICATION = "{application}"
"""In the backend and workspace of a discovery: the name of each application it finds."""
RENDERER = "terraform"
_MEANINGLESS: Mapping[str, str] = {
    "clusters": "a root goes to its workspace: remove it",
    "namespace": "remove it",
    "renderer": "a root is never rendered by another: remove it",
    "run_as": "credentials of a root are in terraform: {environment: …}: remove it",
    "prune": "what leaves a root is planned as destroyed, and asked: remove it",
    "conflicts": "remove it",
}


def root(draft: Draft, path: str, given: Delivered, loc: Loc) -> TerraformSpec | None:
    """The root described at ``loc``, in the folder ``path`` of its source (of a discovery: its
    pattern); None for an application that is none."""
    if given.terraform is None:
        return None
    _meaningless(draft, given, loc)
    return _Root(draft, path, given, given.terraform, (*loc, "terraform")).spec()


def host(draft: Draft, given: shape.TerraformHost) -> TerraformHost:
    """What all roots share."""
    loc: Loc = ("terraform",)
    mirror = given.mirror
    return TerraformHost(
        folders=tuple(
            existing(draft, text, (*loc, "folders", index), folder=True)
            for index, text in enumerate(given.folders)
        ),
        mirror=None if mirror is None else existing(draft, mirror, (*loc, "mirror"), folder=True),
        cache=None if given.cache is None else draft.path((*loc, "cache"), given.cache),
        parallel=given.parallel,
        reserve=given.reserve,
    )


def _meaningless(draft: Draft, given: Delivered, loc: Loc) -> None:
    """A key that does nothing would be read as if it did."""
    for key, hint in _MEANINGLESS.items():
        if key in given.model_fields_set:
            message = f'"{key}" of {owner(loc)} has no meaning for a Terraform root'
            draft.refuse_at(draft.named((*loc, key)), message, hint)
    if given.drift == "heal":
        hint = "write drift: ask, or drift: report"
        message = f"{owner(loc)} cannot heal: that would apply a plan nobody approved"
        draft.refuse((*loc, "drift"), message, hint)
    auto = getattr(given.approval, "auto", None)
    if auto is not None and auto.clusters:
        message = f'"clusters" in the auto-approval of {owner(loc)} has no meaning'
        hint = "a root goes to no cluster, so it would never hold: remove it"
        draft.refuse_at(draft.named((*loc, "approval", "auto", "clusters")), message, hint)


class _Root:
    def __init__(
        self, draft: Draft, path: str, given: Delivered, terraform: shape.Terraform, loc: Loc
    ) -> None:
        self.draft, self.path, self.delivered, self.given = draft, path, given, terraform
        self.loc = loc
        self.discovered = loc[0] == "discover"

    def spec(self) -> TerraformSpec:
        given, allow, deadlines = self.given, self.given.allow, self.given.deadlines
        variables = Environment(
            plan=environment(self.draft, given.environment.plan, self._at("environment", "plan")),
            apply=environment(
                self.draft, given.environment.apply, self._at("environment", "apply")
            ),
        )
        self._drift_every()
        self._modules()
        return TerraformSpec(
            binary=given.binary,
            version=given.version or "",
            workspace=self._workspace(),
            variables=self._variables(variables),
            variable_files=self._variable_files(),
            backend=self._backend(variables),
            environment=variables,
            allow=Allowed(
                tuple(allow.providers),
                tuple(allow.modules),
                allow.external,
                allow.http,
                allow.provisioners,
                allow.files,
            ),
            deadlines=Deadlines(deadlines.init, deadlines.plan, deadlines.apply),
            drift_every=given.drift_every,
            stateful=tuple(given.stateful),
        )

    def _at(self, *keys: str | int) -> Loc:
        return (*self.loc, *keys)

    def _refuse(self, keys: Loc, says: str, hint: str) -> None:
        """``says`` continues the name of the last key; the value is never repeated."""
        at = self._at(*keys)
        self.draft.refuse(at, f'"{keys[-1]}" of {owner(at[:-1])} {says}', hint)

    def _drift_every(self) -> None:
        if self.given.drift_every.total_seconds() < 60:
            self._refuse(("drift_every",), "is shorter than a minute", "write 1m or more")

    def _modules(self) -> None:
        for index, source in enumerate(self.given.allow.modules):
            judge(self.draft, _check_module, source, self._at("allow", "modules", index))

    def _workspace(self) -> str:
        workspace = self.given.workspace
        if APPLICATION in workspace and not self.discovered:
            self._refuse(("workspace",), f"holds {APPLICATION}", "only a discovery fills it in")
        return workspace

    # --- variables ----------------------------------------------------------------------------

    def _variables(self, variables: Environment) -> Mapping[str, Any]:
        given = self.given.variables
        for name, value in given.items():
            for inner in secrets_in(name, value):
                hint = (
                    f"put it into the environment: {{plan: {{{VARIABLE}{name}: "
                    "{env: VARIABLE}}}, and change it if it was real"
                )
                self._refuse(("variables", name, *inner), "is a secret in clear", hint)
        self._once(given, variables)
        return MappingProxyType(dict(given))

    def _once(self, given: Mapping[str, Any], variables: Environment) -> None:
        """Terraform takes the file of variables over its environment, without a word."""
        for phase in ("plan", "apply"):
            for name in getattr(variables, phase):
                variable = name.removeprefix(VARIABLE)
                if name.startswith(VARIABLE) and variable in given:
                    hint = f'remove one: "{variable}" is also in variables'
                    self._refuse(("environment", phase, name), "is given twice", hint)
        for name in self.delivered.needs:
            at: Loc = (*self.loc[:-1], "needs", name)
            if "." in name:
                message = f'"{name}" of {owner(at[:-1])} is not the name of a Terraform variable'
                hint = "letters, digits, _ and -: only Helm values have dots"
                self.draft.refuse_at(self.draft.named(at), message, hint)
            elif name in given or VARIABLE + name in variables.plan:
                message = f'variable "{name}" of {owner(self.loc[:-1])} is given twice'
                self.draft.refuse_at(
                    self.draft.named(at), message, "remove it from variables, or from needs"
                )

    def _variable_files(self) -> tuple[str, ...]:
        found = []
        for index, text in enumerate(self.given.variable_files):
            at = self._at("variable_files", index)
            found.append(judge(self.draft, lambda name: check_file(self.path, name), text, at))
        return tuple(found)

    # --- the state ----------------------------------------------------------------------------

    def _backend(self, variables: Environment) -> Backend | None:
        chosen = self.given.backend
        if chosen is None:
            return None
        kind, raw = (chosen, {}) if isinstance(chosen, str) else next(iter(chosen.items()))
        at: Loc = ("backend",) if isinstance(chosen, str) else ("backend", kind)
        try:
            check_kind(kind)
        except Refused as refused:
            message = f'backend "{one_line(kind, 80)}" of {owner(self.loc[:-1])} {refused.message}'
            place = self.draft.named(self._at(*at))
            if isinstance(chosen, str):
                place = self.draft.root.find(self._at("backend"))[0].place
            self.draft.refuse_at(place, message, refused.hint)
            return None
        backend = Backend(kind, MappingProxyType(dict(raw)))
        for inner, hint in secret_settings(backend):
            self._refuse((*at, *inner), "is a secret in clear", hint)
        self._state(backend, at, variables)
        return backend

    def _state(self, backend: Backend, at: Loc, variables: Environment) -> None:
        """The state can be found again, and is one application's."""
        whole = self._at(*at)
        if any(damaged[: len(whole)] == whole for damaged in self.draft.damaged):
            return
        place = self.draft.named(whole)
        where = f"backend of {owner(self.loc[:-1])}"
        try:
            check_place(backend, self.given.workspace)
        except Refused as refused:
            self.draft.refuse_at(place, f"{where}: {refused.message}", refused.hint)
            return
        told = identity(backend, self.given.workspace, variables.plan)
        if self.discovered and APPLICATION not in told:
            hint = f"put {APPLICATION} into {_names_state(backend.kind)}"
            message = f"{where}: every root that is found would have the same state"
            self.draft.refuse_at(place, message, hint)
        elif not self.discovered and APPLICATION in told:
            message, hint = f"{where} holds {APPLICATION}", "only a discovery fills it in"
            self.draft.refuse_at(place, message, hint)


def _names_state(kind: str) -> str:
    return f"{' or '.join(KINDS[kind].place[:3])}, or into workspace"


def _check_module(source: str) -> None:
    if not source or any(c.isspace() or not c.isprintable() for c in source):
        raise Refused("is empty or holds white space", "write the module's source; * is a pattern")
    if source.startswith(("./", "../", "/")):
        raise Refused("is a path", "modules inside the source need no permission: remove it")
    if tells(source):
        raise Refused("holds a password", "take it out (and change it): git asks its own helper")


def check_file(folder: str, name: str) -> str:
    """A file of variables, normalised, relative to ``folder`` of the source. Raises Refused if it
    leaves the source."""
    if name.startswith(("/", "~")) or "\\" in name or any(not c.isprintable() for c in name):
        raise Refused("is not a path inside the source", "write it from the root's folder")
    if not name.endswith((".tfvars", ".tfvars.json")):
        raise Refused("is not a file of variables", "terraform takes .tfvars and .tfvars.json")
    whole = posixpath.normpath(posixpath.join(folder, name))
    if whole.startswith("../"):
        raise Refused("leaves the source", "a path may go up only as far as the source's root")
    check_folder(whole)
    return posixpath.relpath(f"/{whole}", f"/{folder}")


def named(spec: TerraformSpec, application: str) -> TerraformSpec:
    """A discovery's root for one application it found: its state has a place of its own."""
    backend = spec.backend
    if backend is not None:
        settings = MappingProxyType(_filled(dict(backend.settings), application))
        backend = Backend(backend.kind, settings)
    workspace = spec.workspace.replace(APPLICATION, application)
    return dataclasses.replace(spec, backend=backend, workspace=workspace)


def _filled(value: Any, application: str) -> Any:
    if isinstance(value, dict):
        return {key: _filled(inner, application) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, application) for inner in value]
    return value.replace(APPLICATION, application) if isinstance(value, str) else value
