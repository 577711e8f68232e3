"""Lints every YAML file of an application, templates as they were rendered.

Called by :mod:`planners.checks.run`. Syntax and meaning are judged by :mod:`gitops.yamlio`, which
reads as the API server does, and always block; style is yamllint's and by default only warns, for
a delivery should not wait for a blank. Of rendered output only what changes its meaning is linted:
nobody wrote its blanks.

Linting is pure Python and slow (about 6 ms for 40 lines), so it never runs on the event loop: a
few files go to a thread, many (a first look at an application) to child processes, and findings
are kept by content id.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from yamllint.config import YamlLintConfig, YamlLintConfigError
from yamllint.linter import get_cosmetic_problems

from gitops import yamlio
from gitops.errors import ConfigError, GitopsError, RenderError
from gitops.foreign import one_line
from gitops.jsonable import from_json, to_json
from gitops.model.finding import Finding, Severity
from gitops.model.fleet import ApplicationSpec
from gitops.model.manifest import RenderedFile
from gitops.plugins import Services
from gitops.ports import CheckJob, Children, Command, Limits, Scope

NAME = "yaml-lint"
VERSION = "1"

LINTED_BYTES = 256 * 1024
"""Of a larger file only the syntax is read: the linter would need seconds for it."""
REMARKS_PER_FILE = 50
BATCH = 32
"""More files than this go to child processes, at least so many to each."""

DEFAULT_RULES: dict[str, Any] = {
    "extends": "relaxed",
    "rules": {
        "line-length": "disable",
        "octal-values": {"level": "warning", "forbid-explicit-octal": False},
        "truthy": {"level": "warning", "check-keys": False},
    },
}
_LAYOUT = (
    "braces",
    "brackets",
    "colons",
    "commas",
    "comments",
    "comments-indentation",
    "document-end",
    "document-start",
    "empty-lines",
    "empty-values",
    "hyphens",
    "indentation",
    "key-ordering",
    "line-length",
    "new-line-at-end-of-file",
    "new-lines",
    "quoted-strings",
    "trailing-spaces",
)
"""Rules about how a file is laid out: not asked of rendered output."""
_HINTS = {
    "colons": "write one blank after the colon and none before it",
    "commas": "write one blank after the comma and none before it",
    "empty-lines": "remove the extra empty lines",
    "float-values": "write the number with digits on both sides of the point, or quote it",
    "indentation": "indent the lines of one level alike",
    "key-duplicates": "keep one of the two: the API server would refuse or drop the other",
    "new-line-at-end-of-file": "end the file with a newline",
    "new-lines": "use one kind of line ending in the file",
    "octal-values": "quote it if it is text; write 0o… or the decimal number if it is a number",
    "trailing-spaces": "remove the blanks at the end of the line",
    "truthy": "write true or false, or quote the word if it is text",
}
_WORDS = {
    "octal-values": "a number with a leading zero is read as octal",
    "float-values": "a number in this form is easily misread",
    "truthy": "this word is read as true or false",
    "quoted-strings": "the quotes are not as the rules want them",
}
"""Ours, where the linter would quote the value: it may be a secret."""


@dataclass(frozen=True, slots=True)
class Options:
    """How strict the lint is."""

    config: str | Mapping[str, Any] = field(default_factory=dict)
    """yamllint's own configuration, as text or inline; put on top of the default rules unless it
    says ``extends`` itself."""
    level: str = "warning"
    """The worst a remark about style can be: ``error`` (then it blocks, and comments in the files
    cannot switch rules off), ``warning`` or ``info``."""


class Raw(NamedTuple):
    """A remark before it is a finding."""

    line: int
    column: int
    rule: str
    message: str
    bad: bool


@dataclass(frozen=True, slots=True)
class Lint:
    """The check, as configured."""

    options: Options
    children: Children | None = None
    name: str = NAME
    version: str = VERSION
    scope: Scope = Scope.FILE

    def concerns(self, application: ApplicationSpec) -> bool:
        return application.terraform is None

    async def run(self, job: CheckJob) -> Sequence[Finding]:
        if len(job.files) <= BATCH or self.children is None:
            return await asyncio.to_thread(lint_all, job.files, self.options)
        size = max(BATCH, -(-len(job.files) // (os.cpu_count() or 1)))
        parts = [job.files[i : i + size] for i in range(0, len(job.files), size)]
        found = await asyncio.gather(*(self._apart(part, self.children) for part in parts))
        return [finding for findings in found for finding in findings]

    async def _apart(self, files: Sequence[RenderedFile], children: Children) -> list[Finding]:
        texts = [[f.path, f.text.decode("utf-8", "surrogateescape"), f.rendered] for f in files]
        done = await children.run(
            Command(
                argv=(sys.executable, "-m", "planners.checks.yaml_lint"),
                cwd=Path("/"),
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                stdin=json.dumps([texts, to_json(self.options)]).encode(),
                limits=Limits(seconds=30 + len(files)),
            )
        )
        if done.code:
            raise RenderError(f"the linter ended with code {done.code}")
        return [from_json(Finding, each) for each in json.loads(done.stdout)]


def build(options: Options, services: Services) -> Lint:
    """Raises ConfigError for rules that yamllint does not understand."""
    if options.level not in set(Severity):
        raise ConfigError(
            f"level {options.level!r} of check {NAME!r} is unknown",
            hint=f"write one of: {', '.join(Severity)}",
        )
    _rules(_rules_text(options), False)
    return Lint(options, services.children)


def lint_all(files: Sequence[RenderedFile], options: Options) -> list[Finding]:
    """Pure, slow: one file after the other."""
    return [finding for file in files for finding in lint(file, options)]


def lint(file: RenderedFile, options: Options) -> list[Finding]:
    """Findings of one file, in order of place."""
    if not _is_yaml(file):
        return []
    try:
        text = file.text.decode("utf-8")
        yamlio.tree(file.text, file.path)
    except UnicodeDecodeError:
        return [_finding(file, Severity.ERROR, Raw(0, 0, "", "the file is not UTF-8", True))]
    except GitopsError as error:
        return [_broken(file, error)]
    if len(file.text) > LINTED_BYTES:
        size = f"{len(file.text) // 1024} KiB are too many to lint: only the syntax was read"
        return [_finding(file, Severity.INFO, Raw(0, 0, "", size, False))]
    return list(_remarks(file, text, options))


def _is_yaml(file: RenderedFile) -> bool:
    return file.rendered or file.path.endswith((".yaml", ".yml"))


def _broken(file: RenderedFile, error: GitopsError) -> Finding:
    numbers = error.place.removeprefix(file.path).strip(":").split(":")
    line, column = ([int(n) for n in numbers if n.isdigit()] + [0, 0])[:2]
    raw = Raw(line, column, "", error.message, True)
    return _finding(file, Severity.ERROR, raw, error.hint)


def _remarks(file: RenderedFile, text: str, options: Options) -> Iterator[Finding]:
    worst = Severity(options.level)
    problems = _problems(file, text, options)
    for raw in problems[:REMARKS_PER_FILE]:
        severity = Severity.ERROR if raw.rule == "key-duplicates" else worst
        if severity is worst is Severity.ERROR and not raw.bad:
            severity = Severity.WARNING
        yield _finding(file, severity, raw, _HINTS.get(raw.rule, ""))
    if len(problems) > REMARKS_PER_FILE:
        more = f"and {len(problems) - REMARKS_PER_FILE} more remarks on this file"
        yield _finding(file, Severity.INFO, Raw(0, 0, "", more, False))


def _problems(file: RenderedFile, text: str, options: Options) -> list[Raw]:
    if options.level == Severity.ERROR:
        text = text.replace("# yamllint ", "# yaml-lint")
    elif text.partition("\n")[0].strip() == "# yamllint disable-file":
        return []
    rules = _rules(_rules_text(options), file.rendered)
    if rules.is_file_ignored(file.path):
        return []
    found = get_cosmetic_problems(text, rules, file.path)
    return sorted(
        Raw(p.line, p.column, p.rule, _WORDS.get(p.rule, p.desc), p.level == "error") for p in found
    )


def _finding(file: RenderedFile, severity: Severity, raw: Raw, hint: str = "") -> Finding:
    message = one_line(raw.message, 300)
    if raw.rule:
        message += f" ({raw.rule})"
    if file.rendered and raw.line:
        message += f", in line {raw.line} of what the template renders to"
        raw = raw._replace(line=0, column=0)
    place = {"path": file.path, "line": raw.line, "column": raw.column}
    return Finding(NAME, severity, message, hint, **place)  # type: ignore[arg-type]


def _rules_text(options: Options) -> str:
    if isinstance(options.config, str) and options.config.strip():
        return options.config
    own: Any = dict(options.config) if isinstance(options.config, Mapping) else {}
    if "extends" not in own:
        rules = {**DEFAULT_RULES["rules"], **own.get("rules", {})}
        own = {**own, "extends": DEFAULT_RULES["extends"], "rules": rules}
    return json.dumps(to_json(own))


@lru_cache(maxsize=64)
def _rules(text: str, rendered: bool) -> Any:
    try:
        rules = YamlLintConfig(text)
    except YamlLintConfigError as error:
        raise ConfigError(
            f"the rules of check {NAME!r} are refused: {error}",
            hint="see yamllint's documentation of its configuration",
        ) from error
    if rendered:
        rules.rules.update(dict.fromkeys(_LAYOUT, False))
    return rules


def _main() -> None:
    """The child's side: files and options on stdin, findings on stdout."""
    texts, options = json.load(sys.stdin)
    files = [
        RenderedFile(path, text.encode("utf-8", "surrogateescape"), "", rendered)
        for path, text, rendered in texts
    ]
    config, level = options["config"], options["level"]
    json.dump([to_json(f) for f in lint_all(files, Options(config, level))], sys.stdout)


if __name__ == "__main__":
    _main()
