"""What every page works with: the office to read from, orders to act by, the frame to show in."""

from __future__ import annotations

from dataclasses import dataclass

from gitops.controller import Controller
from gitops.office import FrontOffice
from gitops.orders import Orders
from gitops.web.auth.viewer import Viewing
from gitops.web.pages.frame import Frame

__all__ = ["Desk", "Viewing"]


@dataclass(frozen=True, slots=True)
class Desk:
    controller: Controller
    office: FrontOffice
    orders: Orders
    frame: Frame

    @classmethod
    def of(cls, controller: Controller, frame: Frame) -> Desk:
        office = FrontOffice(controller)
        return cls(controller, office, office.orders, frame)
