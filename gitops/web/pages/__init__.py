"""The status page: what is running, what waits for whom, what will change, who said yes.

Server-rendered, complete without JavaScript; the one script of ours only makes it live. A page is a
module here with ``add(app, desk)``: it reads through the office, gives a template what to show, and
acts through the same orders and the same gate as every other face. Added to the listening server by
:mod:`gitops.web.api`, never to the operator's socket.
"""

from __future__ import annotations

from fastapi import FastAPI

from gitops.controller import Controller
from gitops.web.pages import (
    application,
    application_actions,
    audit,
    change,
    change_actions,
    deliveries,
    live,
    overview,
    preview,
    requests,
    sources,
    static,
    stats,
    value_stream,
)
from gitops.web.pages.desk import Desk
from gitops.web.pages.frame import Frame


def add_pages(app: FastAPI, controller: Controller, frame: Frame) -> None:
    desk = Desk.of(controller, frame)
    for part in (
        static,
        live,
        overview,
        deliveries,
        sources,
        audit,
        stats,
        value_stream,
        application,
        application_actions,
        change,
        change_actions,
        requests,
        preview,
    ):
        part.add(app, desk)
