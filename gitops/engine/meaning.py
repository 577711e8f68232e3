"""What follows from the words of one webhook: which sources are looked at, and what is learnt.

Pure. Called by the inbox before anything is written. Decides by the fleet file alone: a word only
selects among what the operator configured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gitops.engine.repositories import follows, matching, same
from gitops.foreign import one_line
from gitops.model.fleet import SourceSpec, WebhookSpec
from gitops.model.ids import SourceName
from gitops.ports.inbound import CheckAgain, LookAgain, PullMoved, Pushed, Word

PullWord = PullMoved | CheckAgain
_SHOWN = 300
_MOST_NOTES = 5
_MOST_ASIDE = 200
"""Commits of one push to a branch no source follows."""
_GONE = frozenset("0")
HEARSAY = "~"
"""Stands before a pusher told of a repository at another address than the source's: somebody who
may have had a hand in it, and who vouches for nothing."""


def pushes_of(source: SourceName) -> str:
    """Whose memo it is who pushed the commits of a source: commit id → ``github:ada``, behind
    :data:`HEARSAY` where it was told of another repository."""
    return f"push/{source}"


@dataclass(frozen=True, slots=True)
class Effect:
    """What follows from one delivery. Decided before it is written, acted on after."""

    nudges: tuple[SourceName, ...] = ()
    pulls: tuple[tuple[SourceName, PullWord], ...] = ()
    facts: tuple[tuple[SourceName, str, str], ...] = ()
    """(source, commit, login of who pushed it); behind :data:`HEARSAY`, of a repository that is
    elsewhere than the source."""
    notes: tuple[str, ...] = ()
    """Why nothing follows from a word; may hold foreign text, safe to print."""

    @property
    def sources(self) -> tuple[SourceName, ...]:
        return tuple(dict.fromkeys((*self.nudges, *(source for source, _ in self.pulls))))

    @property
    def note(self) -> str:
        return "; ".join(self.notes[:_MOST_NOTES])


def meaning(
    words: Sequence[Word], webhook: WebhookSpec, sources: Mapping[SourceName, SourceSpec]
) -> Effect:
    """Of all words of a delivery together."""
    parts = [_of_word(word, webhook, sources) for word in words]
    return Effect(
        tuple(dict.fromkeys(each for part in parts for each in part.nudges)),
        tuple(each for part in parts for each in part.pulls),
        tuple(each for part in parts for each in part.facts),
        tuple(dict.fromkeys(each for part in parts for each in part.notes)),
    )


def _of_word(word: Word, webhook: WebhookSpec, sources: Mapping[SourceName, SourceSpec]) -> Effect:
    if isinstance(word, LookAgain):
        return Effect(nudges=tuple(name for name in webhook.sources if name in sources))
    found = matching(word.repository, sources, webhook.sources)
    if not found:
        names = dict.fromkeys(one_line(name[:_SHOWN]) for name in word.repository.names[:3])
        named = ", ".join(names)
        return Effect(notes=(f"no source is at {named}",))
    if not isinstance(word, Pushed):
        return Effect(pulls=tuple((name, word) for name in found))
    following = tuple(name for name in found if follows(sources[name], word.ref))
    if not following:
        note = f"no source there follows {one_line(word.ref[:_SHOWN])}"
        here = [name for name in found if same(word.repository, sources[name])]
        return Effect(notes=(note,), facts=_facts(here, word, word.commits[:_MOST_ASIDE], sources))
    return Effect(following, facts=_facts(following, word, (word.after, *word.commits), sources))


def _facts(
    found: Sequence[SourceName],
    word: Pushed,
    commits: Sequence[str],
    sources: Mapping[SourceName, SourceSpec],
) -> tuple[tuple[SourceName, str, str], ...]:
    """Of a branch no source follows only the commits that came with the push: it may be a pull
    request's, whose author need not be who pushed there. A branch that somebody makes of an old
    commit does not make them its author.

    A webhook's sources may be at another address than the repository it tells of; then anybody's
    repository at that forge is told of in the same way, and nothing is proven.
    """
    if not word.pusher or set(word.after) <= _GONE:
        return ()
    return tuple(
        (name, commit, ("" if same(word.repository, sources[name]) else HEARSAY) + word.pusher)
        for name in found
        for commit in dict.fromkeys(commits)
    )
