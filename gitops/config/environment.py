"""Which variables a Terraform run may be given, and that secrets among them are references.

Some names would change what is run, where it writes or what it logs: with one of them the plan
people approve is no longer made, or kept, as promised. Called by :mod:`gitops.config.roots`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gitops.config.base import Secret
from gitops.config.problems import Draft, Loc
from gitops.config.secrecy import gives_away
from gitops.config.values import secret
from gitops.config.words import owner
from gitops.model.secret import SecretRef

VARIABLE = "TF_VAR_"
_OURS = "is set by the controller for every run"
_REASONS: Mapping[str, tuple[str, str]] = {
    "TF_CLI_ARGS": ("would change the commands that are run", "remove it"),
    "TF_CLI_CONFIG_FILE": (_OURS, "mirrors and caches have keys: terraform: {mirror: …, cache: …}"),
    "TERRAFORM_CONFIG": (_OURS, "mirrors and caches have keys: terraform: {mirror: …, cache: …}"),
    "TF_DATA_DIR": (_OURS, "remove it"),
    "TF_LOG": ("would write secrets into the log", "remove it"),
    "TF_PLUGIN_CACHE": (_OURS, "write terraform: {cache: FOLDER} at the top of the fleet file"),
    "TF_WORKSPACE": ("would choose another state than the one shown", "write workspace: NAME"),
    "TF_REATTACH_PROVIDERS": ("would replace providers by running programs", "remove it"),
    "TF_INPUT": (_OURS, "remove it"),
    "TF_IN_AUTOMATION": (_OURS, "remove it"),
    "TF_TEMP": (_OURS, "remove it"),
    "CHECKPOINT_": (_OURS, "remove it"),
}
"""By how a name begins."""
_LOADS = ("would change which programs and libraries are loaded", "remove it")
_LOADERS = ("LD_", "DYLD_", "BASH_", "GODEBUG", "GOTRACEBACK", "GOCOVERDIR")
_SHELL = frozenset({"SHELL", "ENV", "IFS"})
_PLACES = frozenset({"PATH", "HOME", "TMPDIR", "LANG"})
_KEYS = frozenset({"TF_ENCRYPTION"})
"""Holds secrets though its name does not say so."""


def refusal(name: str) -> tuple[str, str] | None:
    """Why a run may not be given this variable, and what to write instead."""
    if name in _PLACES or name.startswith("LC_"):
        return _OURS, "remove it"
    if name in _SHELL or name.startswith(_LOADERS):
        return _LOADS
    for prefix, reason in _REASONS.items():
        if name.startswith(prefix):
            return reason
    return None


def environment(
    draft: Draft, given: Mapping[str, str | Secret], loc: Loc
) -> Mapping[str, str | SecretRef]:
    """The variables of one phase; what may not be said is added to the draft."""
    found: dict[str, str | SecretRef] = {}
    for name, value in given.items():
        at: Loc = (*loc, name)
        refused = refusal(name)
        if refused is not None:
            draft.refuse_at(draft.named(at), f'"{name}" of {owner(loc)} {refused[0]}', refused[1])
        elif isinstance(value, Secret):
            found[name] = secret(draft, value, at) or ""
        elif value and (name in _KEYS or gives_away(_bare(name), value)):
            hint = (
                f"take it out of the file (and change it), then refer to it: "
                f"{name}: {{env: VARIABLE}} or {name}: {{file: PATH}}"
            )
            draft.refuse(at, f'"{name}" of {owner(loc)} is a secret in clear', hint)
        else:
            found[name] = value
    return MappingProxyType(found)


def _bare(name: str) -> str:
    return name.removeprefix(VARIABLE)
