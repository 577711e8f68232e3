"""What shows applications: how they stand, what they have on a target, a closer look at an object.

Made once for a door, for its API (:mod:`gitops.web.application_routes`) and its pages alike, so
that what one of them remembers of a cluster serves both.
"""

from __future__ import annotations

from dataclasses import dataclass

from gitops.controller import Controller
from gitops.errors import Unknown
from gitops.model.delivery import LaneId
from gitops.model.fleet import ApplicationSpec
from gitops.model.serving import Role
from gitops.office import FrontOffice
from gitops.web.applications import Applications, View
from gitops.web.auth.viewer import Viewer, Way
from gitops.web.looks import Looks
from gitops.web.objects import Known, Node, Tree, Trees, known
from gitops.web.secrecy import Secrecy


@dataclass(frozen=True, slots=True)
class Showcase:
    """One door's."""

    applications: Applications
    trees: Trees
    looks: Looks

    @classmethod
    def of(cls, controller: Controller) -> Showcase:
        secrecy = Secrecy(controller)
        trees = Trees(controller, secrecy)
        looks = Looks(controller, trees, secrecy)
        return cls(Applications(controller, FrontOffice(controller)), trees, looks)

    def tree(self, view: View) -> Tree:
        """Of the target that is looked at; of a Terraform root an empty one."""
        lane = view.chosen.standing.lane
        return Tree(lane, ()) if view.spec.terraform else self.trees.of(lane, view.store)

    async def node(self, lane: LaneId, controller: Controller, key: str, under: str = "") -> Node:
        """One object by its key; ``under`` is the key of the CronJob that made it. Raises
        Unknown."""
        store: Known = await controller.ledger.read(lambda reading: known(reading, lane))
        tree = self.trees.of(lane, store)
        found = tree.find(under or key)
        if found is not None and under:
            jobs = await self.looks.jobs(lane.target, found)
            found = next((n for job in jobs for n in job.all() if n.key == key), None)
        if found is None:
            raise Unknown(
                f"{lane} has no such object (any more)", hint="its page lists what there is"
            )
        return found


def require_looking(viewer: Viewer, spec: ApplicationSpec) -> None:
    """Raises 401 for an anonymous reader, 403 for who may not look at the application."""
    if viewer.way is not Way.SOCKET:
        viewer.require(Role.VIEWER, spec)
