"""``gitops webhook``: what came in, once more, and a try that is explained step by step."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gitops.cli.remote import controller, read, read_all, say
from gitops.cli.settings import settings

if TYPE_CHECKING:
    from rich.console import Console

    from gitops.model.hooks import HooksStatus, HookStatus
    from gitops.web.client import Api

app = typer.Typer(help="See and try the webhooks of forges.", no_args_is_help=True)

PATIENCE = 30.0
"""Seconds a look at a repository may take."""


@app.command()
def deliveries(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=500)] = 30,
) -> None:
    """List verified requests of the last 30 days, newest first."""
    from rich.text import Text

    from gitops.cli.output import emit, make_console, moment, show_table
    from gitops.foreign import one_line
    from gitops.model.hooks import HookDelivery

    with controller(ctx) as api:
        found = api.get("webhooks", "deliveries", limit=limit)
    chosen = settings(ctx)
    if chosen.json:
        emit(found)
        return
    rows = [
        (
            Text(one_line(each.id[:12])),
            Text(moment(each.at)),
            Text(one_line(each.webhook)),
            Text(one_line(each.event, 40)),
            Text(each.outcome.value),
            Text(one_line(", ".join(each.sources) or each.note, 120)),
        )
        for each in read_all(HookDelivery, found["deliveries"])
    ]
    headings = ("delivery", "at", "webhook", "event", "", "sources, or why none")
    show_table(headings, rows, make_console(chosen), empty="no webhook came in yet")


@app.command()
def replay(
    ctx: typer.Context, delivery: Annotated[str, typer.Argument(help="Its id, see deliveries.")]
) -> None:
    """Have what a delivery said done once more, by the present fleet file."""
    from gitops.model.hooks import HookDelivery

    with controller(ctx) as api:
        answer = api.post("webhooks", "deliveries", delivery, "replay")
    found = read(HookDelivery, answer["delivery"])
    followed = f"concerns {', '.join(found.sources)}" if found.sources else f"nothing: {found.note}"
    say(ctx, f"{found.webhook} {found.event} {found.id[:12]}: {followed}", answer)


@app.command("test")
def try_it(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="A webhook of the fleet file.")],
    source: Annotated[str, typer.Option(help="Whose repository; default: the first.")] = "",
    url: Annotated[
        str, typer.Option(help="Public address to send to, such as https://gitops.example.com.")
    ] = "",
) -> None:
    """Send a signed sample to the running controller and tell what became of it."""
    with controller(ctx) as api:
        trial = Trial(api, name, source, url)
        done = trial.run()
    text = "\n".join(f"{'✓' if step['ok'] else '✗'} {step['says']}" for step in trial.steps)
    say(ctx, text, {"webhook": name, "ok": done, "steps": trial.steps})
    if not done:
        raise typer.Exit(1)


def show_webhooks(hooks: HooksStatus, console: Console) -> None:
    """How each endpoint fares, and when each source was last heard of: for ``gitops status``."""
    from rich.text import Text

    from gitops.cli.output import moment, show_table
    from gitops.foreign import one_line

    console.print()
    rows = [
        (
            Text(one_line(each.webhook)),
            Text(moment(each.last_at)),
            Text(_counts(each)),
            Text(
                f"{moment(each.problem_at)} {one_line(each.problem, 120)}" if each.problem else ""
            ),
        )
        for each in hooks.webhooks
    ]
    show_table(("webhook", "last heard", "since the start", "last problem"), rows, console)
    heard = [f"{name} {moment(at)}" for name, at in sorted(hooks.heard.items())]
    if heard:
        console.print(Text(one_line(f"last webhook: {', '.join(heard)}", 500), style="dim"))


def _counts(found: HookStatus) -> str:
    counts = {
        name: getattr(found, name)
        for name in ("accepted", "ignored", "repeated", "refused", "limited")
    }
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count) or "nothing"


class Trial:
    """One sample on its way. ``steps`` tells how far it came."""

    def __init__(self, api: Api, name: str, source: str, url: str) -> None:
        self._api, self._name, self._source, self._url = api, name, source, url
        self.steps: list[dict[str, Any]] = []

    def run(self) -> bool:
        """Did it come all the way? Raises what the controller says when there is no sample."""
        sample = self._api.post("webhooks", self._name, "sample", body={"source": self._source})
        known = {each["id"] for each in self._deliveries()}
        if not self._send(sample):
            return False
        delivery = self._delivery(known)
        if delivery is None:
            return self._step(False, "it was answered, and yet no delivery is in the log")
        sources = delivery["sources"]
        if not sources:
            advice = "a source at another address is named in `sources` of the webhook"
            return self._step(False, f"it concerns no source: {delivery['note']}; {advice}")
        self._step(True, f"it concerns {', '.join(sources)}")
        looked = [self._looked(each, sample["at"]) for each in sources]
        return all(looked)

    def _step(self, ok: bool, says: str) -> bool:
        self.steps.append({"ok": ok, "says": says})
        return ok

    def _send(self, sample: dict[str, Any]) -> bool:
        where = f"{_checked(self._url or sample['url'])}{sample['path']}"
        about = f"a push to {sample['ref']} of {sample['address']}"
        status = _post(where, sample["headers"], sample["body"].encode())
        if status is None:
            return self._step(False, f"nobody answers at {where}")
        self._step(True, f"sent to {where}: {about}")
        return self._step(status == 200, _ANSWERS.get(status, f"it was answered with {status}"))

    def _deliveries(self) -> list[dict[str, Any]]:
        found = self._api.get("webhooks", "deliveries", limit=100)["deliveries"]
        return [each for each in found if each["webhook"] == self._name]

    def _delivery(self, known: set[str]) -> dict[str, Any] | None:
        return next((each for each in self._deliveries() if each["id"] not in known), None)

    def _looked(self, source: str, since: float) -> bool:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            rows = self._api.get("status")["sources"]
            found = next((row for row in rows if row["source"] == source), None)
            if found is not None and (found["checked_at"] or 0) >= since:
                return self._step(*_look(source, found, since))
            time.sleep(0.1)
        return self._step(False, f"{source} was not looked at within {PATIENCE:.0f} s")


def _checked(url: str) -> str:
    """Raises ConfigError: a signature is worth something to whoever reads it on the way."""
    from urllib.parse import urlsplit

    from gitops.egress.addresses import is_loopback
    from gitops.errors import ConfigError

    parts = urlsplit(url)
    plain = parts.scheme == "http" and is_loopback(parts.hostname or "")
    if not parts.hostname or parts.username or not (plain or parts.scheme == "https"):
        raise ConfigError("the address has to be https:, or http: on loopback", place="--url")
    return url.rstrip("/")


def _post(url: str, headers: dict[str, str], body: bytes) -> int | None:
    """The status of the answer; None without one. Follows no redirect, uses no proxy."""
    import httpx

    try:
        with httpx.Client(timeout=15, trust_env=False) as client:
            return client.post(url, headers=headers, content=body).status_code
    except httpx.HTTPError:
        return None


def _look(source: str, found: dict[str, Any], since: float) -> tuple[bool, str]:
    at = found["revision"]["id"][:12] if found["revision"] else "no revision"
    if found["state"] not in ("ready", "rewritten"):
        return False, f"{source} was looked at and is {found['state']}: {found['message']}"
    if (found["changed_at"] or 0) >= since:
        return True, f"{source} was looked at: it has a new revision, {at}"
    return True, f"{source} was looked at: nothing new, it is at {at}"


_ANSWERS = {
    200: "the signature holds",
    401: "the signature does not hold: is another controller listening there, or does a proxy "
    "change the body?",
    404: "there is no such endpoint: does the proxy pass /hooks/ on, and to this controller?",
    408: "it came in too slowly",
    413: "a proxy or the controller finds it too large",
    429: "too many requests at once: try again in a moment",
    502: "the proxy does not reach the controller",
    504: "the proxy does not reach the controller",
}
