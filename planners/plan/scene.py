"""What every part of drawing one plan works with."""

from __future__ import annotations

from dataclasses import dataclass

from gitops.masking import Masker
from gitops.model.manifest import ObjectId
from gitops.ports import Digester, DrawJob
from planners.plan.memory import Lane


@dataclass(frozen=True, slots=True)
class Scene:
    """One drawing: the job, and what the planner brings along."""

    job: DrawJob
    digester: Digester
    masker: Masker
    lane: Lane
    fence: str = ""
    """The namespace where the controller keeps its own state in that cluster: nothing is
    delivered there and nothing is pruned from it. Empty: no fence."""

    def fenced(self, id: ObjectId) -> bool:
        if not self.fence:
            return False
        itself = id.kind == "Namespace" and not id.group and id.name == self.fence
        return itself or id.namespace == self.fence
