"""The error tree. Whether trying again can help is part of the type, not of the caller.

::

    GitopsError
    ├── Permanent                    trying again with the same input gives the same answer
    │   ├── ConfigError              the fleet file, with file:line:column
    │   ├── RenderError              an application cannot be rendered: file:line where known
    │   ├── SourceProblem            a source cannot be read; carries the SourceState to show
    │   ├── ClusterRefused           the API server said no (403, 422, F7's 500 …)
    │   ├── NotifierRefused          the other side will not take this very notice
    │   ├── FieldConflict            another field manager owns what we would write (409)
    │   ├── ObjectMoved              a write's precondition failed: resourceVersion or uid (409)
    │   ├── SealBroken               live state is neither the sealed before nor the sealed after
    │   ├── StaleWrite               the store refused a write: lease lost, change superseded
    │   ├── NotAllowed               the gate or the API refused a person
    │   │   ├── Unknown              what they named does not exist
    │   │   └── Outdated             what they looked at has changed or is over
    │   └── ToolMissing              a binary is missing or of the wrong version
    └── Transient                    may pass; ``retry_after`` seconds where the server said so
        ├── SourceUnavailable        the remote does not answer; the last good revision stays
        ├── ClusterUnavailable       connection, 429, 5xx that is not F7, time-out before sending
        ├── AnswerLost               sent, then no answer: read back before believing anything
        ├── NotifierUnavailable      a notice did not get through; it is kept
        ├── Apart                    one of several destinations is away, others may be there
        ├── ChildTimeout             a child process was ended at its deadline
        └── StoreUnavailable         the database is away: nothing new is applied

Foreign errors are mapped to these at the adapter's edge. A message is shown to people: it says
what happened and where, ``hint`` says what to do next, and neither ever holds a secret. Denied,
expired and superseded are values (:mod:`gitops.model.approval`), not errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath

from gitops.model.source import SourceState


class GitopsError(Exception):
    """Anything we know how to explain."""

    def __init__(self, message: str, *, hint: str = "", place: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.place = place
        """``file:line:column``, an object, or a host; empty where there is none."""

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        return f"{text}\n  {self.hint}" if self.hint else text


class Permanent(GitopsError):
    """Will fail again until somebody changes something."""


class Transient(GitopsError):
    """May succeed later."""

    def __init__(
        self, message: str, *, hint: str = "", place: str = "", retry_after: float | None = None
    ) -> None:
        super().__init__(message, hint=hint, place=place)
        self.retry_after = retry_after


class ConfigError(Permanent):
    """The fleet file is refused. Several problems are reported at once in ``problems``."""

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        place: str = "",
        problems: Sequence[ConfigError] = (),
    ) -> None:
        super().__init__(message, hint=hint, place=place)
        self.problems = tuple(problems)


class RenderError(Permanent):
    """An application's files do not render."""


class SourceProblem(Permanent):
    """A source answered something we cannot deliver from."""

    def __init__(
        self, message: str, *, state: SourceState, hint: str = "", place: str = ""
    ) -> None:
        super().__init__(message, hint=hint, place=place)
        self.state = state


class ClusterRefused(Permanent):
    """The API server refused a request for good. ``code`` is the HTTP status."""

    def __init__(self, message: str, *, code: int, hint: str = "", place: str = "") -> None:
        super().__init__(message, hint=hint, place=place)
        self.code = code


class NotFound(ClusterRefused):
    """404: the object, its namespace or its kind is not there."""


class AccountMissing(NotFound):
    """403: a pod names a service account (``namespace/name``) that is not there, or not yet.

    Every namespace gets its ``default`` account from a controller some time after it was made.
    """

    def __init__(self, message: str, *, account: str, hint: str = "", place: str = "") -> None:
        super().__init__(message, code=403, hint=hint, place=place)
        self.account = account


class Immutable(ClusterRefused):
    """422: a field that cannot be changed in place; ``fields`` names it where the server did."""

    def __init__(
        self, message: str, *, fields: Sequence[str] = (), hint: str = "", place: str = ""
    ) -> None:
        super().__init__(message, code=422, hint=hint, place=place)
        self.fields = tuple(fields)


class FieldConflict(Permanent):
    """Server-side apply without force met fields owned by others."""

    def __init__(
        self, message: str, *, conflicts: Sequence[tuple[str, str]], place: str = ""
    ) -> None:
        super().__init__(message, place=place)
        self.conflicts = tuple(conflicts)
        """(manager, field path as the server writes it: ``.spec.replicas``)"""


class ObjectMoved(Permanent):
    """The object is no longer the one the write was planned against."""


class SealBroken(Permanent):
    """An object has a third value: neither what was shown nor what was approved."""


class StalePlan(Permanent):
    """A saved Terraform plan no longer fits the state it was made against."""


class NotifierRefused(Permanent):
    """The other side will not take this very notice."""


class StaleWrite(Permanent):
    """A precondition of a store transaction no longer holds."""


class NotAllowed(Permanent):
    """A person may not do this."""


class Unknown(NotAllowed):
    """There is no request, application or source of that name."""


class Outdated(NotAllowed):
    """Too late, or the plan changed since the person looked."""


class ToolMissing(Permanent):
    """A program we run is not there, or not in a version we can use."""


class SourceUnavailable(Transient):
    pass


class ClusterUnavailable(Transient):
    pass


class AnswerLost(Transient):
    pass


class Apart(Transient):
    """This one does not get through; what goes elsewhere need not wait for it."""


class ChildTimeout(Transient):
    pass


class Awaiting(Transient):
    """Something else has to happen first; the one that waits is looked at again when it did."""

    def __init__(self, message: str, *, outdated: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.outdated = outdated
        """What is open at this moment is about values that will not be."""


class StateLocked(Transient):
    """Somebody holds the lock of a Terraform state."""

    def __init__(
        self,
        message: str,
        *,
        lock: str,
        who: str = "",
        since: str = "",
        hint: str = "",
        place: str = "",
    ) -> None:
        super().__init__(message, hint=hint, place=place)
        self.lock = lock
        """Its id, as ``force-unlock`` takes it."""
        self.who = who
        self.since = since


class NotifierUnavailable(Transient):
    """A notice did not get through; whatever it is, somebody can mend it, so it is kept."""


class StoreUnavailable(Transient):
    pass


def raised_at(error: BaseException) -> str:
    """``hooks.py:41``: where a defect was raised, for the log and for people. File and line alone:
    what a foreign exception says may hold a secret, or what a stranger sent."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return ""
    return f"{PurePath(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
