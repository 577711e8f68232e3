"""The ``forge:`` and ``pull_requests:`` of a source in the fleet file: which API its repository is
reached by, and what is shown of pull requests.

``forge: github`` is enough where the source's own address and token say the rest. Called by
:mod:`gitops.config.build`.
"""

from __future__ import annotations

from types import MappingProxyType

from gitops.config.base import Choice
from gitops.config.options import known, options
from gitops.config.problems import Draft, Loc
from gitops.config.shape import PullRequests
from gitops.errors import ConfigError
from gitops.model.fleet import ForgeSpec, PullRequestsSpec, SourceSpec
from gitops.plugins import Role


def forge(draft: Draft, given: Choice | None, source: SourceSpec, loc: Loc) -> ForgeSpec | None:
    """None where the file names none; what does not fit is added to the draft."""
    if given is None:
        return None
    kind, raw = (given, {}) if isinstance(given, str) else next(iter(given.items()))
    at: Loc = loc if isinstance(given, str) else (*loc, kind)
    if source.kind != "git":
        draft.refuse(loc, "only a git repository is on a forge", "remove it")
        return None
    plugin = known(draft, Role.FORGE, kind, at)
    if plugin is None:
        return None
    taken = options(draft, plugin, raw, at)
    spec = ForgeSpec(kind, MappingProxyType(dict(taken)))
    if None in taken.values() or not source.url:  # refused already
        return spec
    try:
        told = plugin.options(url=source.url, credentials=source.credentials, **taken)
        plugin.module.judge(told)
    except ConfigError as error:
        draft.refuse(at, error.message, error.hint)
    else:
        if told.token is None and told.credentials.token is None and not _as_app(kind, source):
            hint = f"write forge: {{{kind}: {{token: {{env: VARIABLE}}}}}}"
            draft.refuse(at, f"forge {kind} needs a token for its API", hint)
    return spec


def pull_requests(
    draft: Draft, given: PullRequests | None, source: SourceSpec, loc: Loc
) -> PullRequestsSpec | None:
    """None where the file says nothing of them."""
    if given is None:
        return None
    damaged = draft.damaged.intersection({(*loc[:-1], "forge"), (*loc[:-1], "kind"), loc[:-1]})
    if source.forge is None and not damaged:
        draft.refuse(
            loc,
            "pull requests are on a forge, and none is named",
            "write forge: github, or another",
        )
    return PullRequestsSpec(given.preview, given.forks, given.comment)


def _as_app(kind: str, source: SourceSpec) -> bool:
    return kind == "github" and source.credentials.github_app is not None
