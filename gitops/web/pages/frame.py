"""The frame around every page: templates, what all of them show, and how foreign text gets in.

Templates escape everything they are given (Jinja2's autoescape); foreign text goes through
``text`` besides, so that invisible and direction-turning characters are seen and not obeyed.
Nothing here marks anything as safe but what :mod:`gitops.plots` drew. Called by the pages.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup
from starlette.responses import HTMLResponse

from gitops import links
from gitops.controller import Controller
from gitops.foreign import one_line, readable
from gitops.model.ids import short
from gitops.summary import counted
from gitops.web.auth.viewer import Viewer
from gitops.web.pages import static
from gitops.web.pages.words import sign, tone

PLACES = (
    ("/", "Fleet"),
    ("/pending", "Pending"),
    ("/deliveries", "Deliveries"),
    ("/audit", "Audit"),
    ("/sources", "Sources"),
    ("/stats", "Trends"),
)
"""Paths and names of the navigation, in its order."""
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400


class _Compiled(BytecodeCache):
    """Templates are compiled once a process: a controller has a frame for each of its faces."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if found := self._kept.get(bucket.key):
            bucket.bytecode_from_string(found)

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _Compiled()


class Frame:
    """One controller's; made once."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._templates = Environment(
            loader=PackageLoader("gitops.web.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            bytecode_cache=_COMPILED,
        )
        self._templates.filters.update(
            text=one_line,
            lines=readable,
            short=short,
            time=self.time,
            age=self.age,
            lasted=lasted,
            safe_link=safe_link,
            counted=counted,
        )
        self._templates.globals.update(
            static=static.address,
            places=PLACES,
            sign=sign,
            tone=tone,
            application_page=links.application_page,
            change_page=links.change_page,
            request_page=links.request_page,
        )

    def page(
        self,
        template: str,
        viewer: Viewer,
        *,
        at: str,
        topics: str = "",
        status: int = 200,
        **values: object,
    ) -> HTMLResponse:
        """A page by its template. ``at`` is the path of its place in the navigation; ``topics`` are
        those of :mod:`gitops.engine.bell`, separated by spaces, that make the page be loaded anew
        (empty: never)."""
        html = self._templates.get_template(template).render(
            viewer=viewer,
            at=at,
            topics=topics,
            now=self._controller.parts.clock.now(),
            notices=self._notices(),
            **values,
        )
        return HTMLResponse(html, status, headers={"cache-control": "no-store"})

    def part(self, template: str, **values: object) -> Markup:
        """A piece of a page, escaped already."""
        now = self._controller.parts.clock.now()
        return Markup(self._templates.get_template(template).render(now=now, **values))  # noqa: S704

    def refusal(
        self, viewer: Viewer | None, status: int, said: str, hint: str = ""
    ) -> HTMLResponse:
        """An error as a page: what happened and what to do next."""
        nobody = viewer is None
        shown = self._templates.get_template("refusal.html").render(
            viewer=viewer,
            at="",
            topics="",
            now=self._controller.parts.clock.now(),
            notices=() if nobody else self._notices(),
            status=status,
            said=said,
            hint=hint,
        )
        return HTMLResponse(shown, status, headers={"cache-control": "no-store"})

    def time(self, at: float | None, *, empty: str = "never") -> Markup:
        """``<time>`` with the age for the eye and the absolute time, in UTC, on hover; the script
        puts it into the reader's own zone."""
        if at is None:
            return Markup("<span class=quiet>{}</span>").format(empty)
        try:
            moment = datetime.fromtimestamp(at, UTC)
        except (ValueError, OverflowError, OSError):  # commits carry any time their author likes
            return Markup("<span class=quiet>{}</span>").format("at no time there is")
        return Markup('<time datetime="{}" title="{}">{}</time>').format(
            moment.isoformat(timespec="seconds").replace("+00:00", "Z"),
            f"{moment:%Y-%m-%d %H:%M:%S} UTC",
            self.age(at),
        )

    def age(self, at: float | None) -> str:
        """``3 min ago``, ``in 2 h``; empty for never."""
        if at is None:
            return ""
        away = self._controller.parts.clock.now() - at
        return f"{lasted(away)} ago" if away >= 0 else f"in {lasted(-away)}"

    def _notices(self) -> tuple[str, ...]:
        """What everybody should know on every page."""
        controller = self._controller
        told = [] if controller.ready.is_set() else ["the controller is still starting"]
        return (*told, *(str(problem) for problem in controller.roster.problems))


def lasted(seconds: float | None) -> str:
    """``41 s``, ``3 min``, ``2 h``, ``5 d``; the script writes it the same way."""
    if seconds is None:
        return ""
    for size, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def safe_link(address: str) -> str:
    """An address that may stand in ``href``: http, https, or a path of ours; else empty."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if parts.scheme in {"http", "https"} and parts.netloc:
        return address
    ours = address.startswith("/") and not address.startswith(("//", "/\\"))
    return address if ours and not parts.scheme else ""


def query(**given: object) -> Mapping[str, str]:
    """What of a filter is set, for links that keep it."""
    return {key: str(value) for key, value in given.items() if value not in ("", None, 0, ())}
