"""The folder the tool works in: the root's files as they lie in the source, and ours beside them.

Used by :mod:`gitops.terraform.session`. The files are hostile: nothing is written outside the
folder, nothing that makes the tool believe it has worked here before, and nothing may stand where
our backend settings stand.
"""

from __future__ import annotations

import errno
import json
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from gitops.errors import ConfigError, RenderError
from gitops.model.sealed import SealedFile
from gitops.model.terraform import Backend
from gitops.terraform.names import folder_name

_OVERRIDE = "zz_gitops_override"
_OVERRIDES = re.compile(r"(?:.*_)?override\.(?:tf|tofu)(?:\.json)?")
_NEVER = (
    "terraform.tfstate*",
    ".terraform.tfstate*",
    "errored.tfstate",
    "*.tfplan",
    ".terraformrc",
    "terraform.rc",
    ".tofurc",
)
"""What a tool leaves behind, or reads as its own settings: never part of a configuration."""
_ITS_FAULT = {errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL}
"""What the names in a tree can be to blame for; anything else is this machine's trouble."""
TESTS = ("*.tftest.hcl", "*.tftest.json", "*.tofutest.hcl", "*.tofutest.json")


def write_tree(
    tree: Path, files: Iterable[SealedFile], wanted: Callable[[str], bool] = lambda path: True
) -> None:
    """Writes the files into an empty folder. Raises RenderError for a path that leads elsewhere."""
    tree.mkdir(mode=0o700)
    for file in files:
        path = safe(file.path)
        if _never(path) or not wanted(path):
            continue
        target = tree / path
        try:
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(target, file.content, 0o700 if file.executable else 0o600)
        except OSError as error:
            if error.errno not in _ITS_FAULT:
                raise
            raise RenderError(
                f"the file cannot be written out: {error.strerror}", place=path[:200]
            ) from error


def write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """A new file, for us alone."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, mode), "wb") as file:
        file.write(content)


def safe(path: str) -> str:
    """A path inside the source, as it is. Raises RenderError for any other."""
    if not path or "\0" in path or path != posixpath.normpath(path) or path in {".", ".."}:
        raise RenderError(f"no path of a file: {path[:200]!r}")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise RenderError(f"no name of a file: {path[:200]!r}") from None
    if path.startswith(("/", "../")):
        raise RenderError(f"a path that leads out of the source: {path[:200]!r}")
    return path


def _never(path: str) -> bool:
    *folders, name = path.split("/")
    return ".terraform" in (*folders, name) or any(fnmatchcase(name, each) for each in _NEVER)


def dumps(value: Any) -> str:
    """JSON of a value of the fleet file; one and the same for equal values."""
    return json.dumps(value, sort_keys=True, default=dict)


def write_backend(folder: Path, backend: Backend) -> None:
    """Ours is the last override file the tool reads. Raises RenderError when it would not be."""
    for path in sorted(folder.iterdir()):
        name = path.name
        if name.startswith(_OVERRIDE) or (_OVERRIDES.fullmatch(name) and name > _OVERRIDE):
            raise RenderError(
                f"{name} would replace the backend the operator configured",
                place=name,
                hint="rename it: an override file's name has to sort before zz_gitops_override",
            )
    body = {"terraform": {"backend": {backend.kind: _literal(dict(backend.settings))}}}
    write(folder / f"{_OVERRIDE}.tf.json", dumps(body).encode())


def _literal(value: Any) -> Any:
    """Strings of JSON configuration are templates; these are not."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, Mapping):
        return {name: _literal(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_literal(item) for item in value]
    return value


def write_settings(path: Path, mirror: Path | None) -> None:
    """The tool's own settings: where providers come from, and that it asks nobody for news."""
    source = "direct {}"
    if mirror is not None:
        source = f"filesystem_mirror {{\n    path = {json.dumps(str(mirror))}\n  }}"
    text = (
        "disable_checkpoint = true\ndisable_checkpoint_signature = true\n"
        f"provider_installation {{\n  {source}\n}}\n"
    )
    write(path, text.encode())


def own_state(state_dir: Path, application: str, workspace: str) -> Backend:
    """Where the state lies when the operator names no backend: ``APPLICATION/WORKSPACE/
    terraform.tfstate`` in the controller's state folder. Raises ConfigError."""
    if folder_name(workspace) != workspace:
        raise ConfigError(
            f"{workspace!r} cannot be a workspace with a state in the state folder",
            hint="use letters, digits, dots, dashes and underscores, beginning with a letter",
        )
    home = state_dir / folder_name(application)
    path = home / workspace / "terraform.tfstate"
    # The tool keeps the default workspace in `path` and any other under `workspace_dir`.
    return Backend("local", {"path": str(path), "workspace_dir": str(home)})


def checked(backend: Backend, workspace: str) -> Backend:
    """The operator's backend. Raises ConfigError for a local state nobody would find again."""
    if backend.kind != "local":
        return backend
    key = "path" if workspace == "default" else "workspace_dir"
    where = backend.settings.get(key)
    if not isinstance(where, str) or not where.startswith("/"):
        raise ConfigError(
            f"the local backend needs an absolute {key}",
            hint=f"settings: {{{key}: /var/lib/…}}: roots are written to a new folder each time",
        )
    return backend


def state_file(backend: Backend, workspace: str) -> Path | None:
    """Of a local backend; None for any other."""
    if backend.kind != "local":
        return None
    if workspace == "default":
        return Path(str(backend.settings["path"]))
    return Path(str(backend.settings["workspace_dir"]), workspace, "terraform.tfstate")
