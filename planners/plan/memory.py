"""What planning remembers between passes, so that an unchanged object costs dictionary look-ups.

Only derived values live here: losing all of it costs time, never correctness.
"""

from __future__ import annotations


class PlanMemory:
    """Resolved manifests by digest, projections by resource version; bounded. One a process."""
