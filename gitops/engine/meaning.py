"""What follows from the words of one webhook: which sources are looked at, and what is learnt.

Pure. Called by the inbox before anything is written. Decides by the fleet file alone: a word only
selects among what the operator configured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gitops.engine.repositories import follows, matching
from gitops.foreign import one_line
from gitops.model.fleet import SourceSpec, WebhookSpec
from gitops.model.ids import SourceName
from gitops.ports.inbound import CheckAgain, LookAgain, PullMoved, Pushed, Word

PullWord = PullMoved | CheckAgain
_SHOWN = 300
_MOST_NOTES = 5
_GONE = frozenset("0")


@dataclass(frozen=True, slots=True)
class Effect:
    """What follows from one delivery. Decided before it is written, acted on after."""

    nudges: tuple[SourceName, ...] = ()
    pulls: tuple[tuple[SourceName, PullWord], ...] = ()
    facts: tuple[tuple[SourceName, str, str], ...] = ()
    """(source, commit, login of who pushed it)"""
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
        named = ", ".join(one_line(name[:_SHOWN]) for name in word.repository.names[:3])
        return Effect(notes=(f"no source is at {named}",))
    if not isinstance(word, Pushed):
        return Effect(pulls=tuple((name, word) for name in found))
    following = tuple(name for name in found if follows(sources[name], word.ref))
    if not following:
        return Effect(notes=(f"no source there follows {one_line(word.ref[:_SHOWN])}",))
    return Effect(following, facts=_facts(following, word))


def _facts(sources: Sequence[SourceName], word: Pushed) -> tuple[tuple[SourceName, str, str], ...]:
    """Only of pushes to what a source follows: a branch that somebody makes of an old commit does
    not make them its author."""
    if not word.pusher or set(word.after) <= _GONE:
        return ()
    commits = dict.fromkeys((word.after, *word.commits))
    return tuple((source, commit, word.pusher) for source in sources for commit in commits)
