"""Draws the plan of one application for one cluster.

Called by the plan step. Reads through ports and dry-runs only; it writes nothing, so that
``gitops plan`` may run it with the credentials of a person who can only look.
"""

from __future__ import annotations

from planners.plan.job import DrawJob, Drawn


async def draw(job: DrawJob) -> Drawn:
    """The plan, its sealed set, and what was found already right.

    An object whose manifest and live projection are those last recorded costs no request; every
    other one costs a dry-run. What the server refuses becomes a finding at the object's origin.
    Raises Transient errors of the cluster (nothing was drawn then); never RenderError.
    """
    raise NotImplementedError
