"""What the fleet file may say about where a Terraform state is.

A backend's settings are shown, logged and part of a seal, so they hold no secret: every backend
reads its credentials from the environment. And they have to name the state wherever the tool runs,
since it runs in a folder that is gone afterwards. Pure; called by :mod:`gitops.config.roots`.

The names are those of terraform 1.11 and OpenTofu 1.12, tried on both; ``oci`` came with
terraform 1.12.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from gitops.config.addresses import Refused
from gitops.config.problems import Loc, nearest
from gitops.config.secrecy import secrets_in
from gitops.model.terraform import Backend


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of backend."""

    place: tuple[str, ...]
    """Settings that say which state it is."""
    place_variables: tuple[str, ...] = ()
    """Variables of the environment that say the same where the settings do not."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Settings that are secret, and the variable to use instead."""


_NEEDED: Mapping[str, tuple[str, ...]] = {
    "azurerm": ("container_name", "key"),
    "consul": ("path",),
    "cos": ("bucket",),
    "gcs": ("bucket",),
    "kubernetes": ("secret_suffix",),
    "oss": ("bucket",),
    "s3": ("bucket", "key"),
}
"""Settings no variable of the environment can stand in for."""


def _kind(place: str, variables: str = "", secrets: str = "") -> Kind:
    instead = dict(each.split(":") for each in secrets.split())
    return Kind(tuple(place.split()), tuple(variables.split()), MappingProxyType(instead))


KINDS: Mapping[str, Kind] = {
    "local": _kind("path workspace_dir"),
    "azurerm": _kind(
        "storage_account_name container_name key environment",
        secrets="access_key:ARM_ACCESS_KEY sas_token:ARM_SAS_TOKEN "
        "client_secret:ARM_CLIENT_SECRET client_certificate:ARM_CLIENT_CERTIFICATE "
        "client_certificate_password:ARM_CLIENT_CERTIFICATE_PASSWORD "
        "oidc_token:ARM_OIDC_TOKEN oidc_request_token:ARM_OIDC_REQUEST_TOKEN",
    ),
    "consul": _kind(
        "address path datacenter",
        "CONSUL_HTTP_ADDR",
        "access_token:CONSUL_HTTP_TOKEN http_auth:CONSUL_HTTP_AUTH",
    ),
    "cos": _kind(
        "bucket prefix key region",
        secrets="secret_id:TENCENTCLOUD_SECRET_ID secret_key:TENCENTCLOUD_SECRET_KEY "
        "security_token:TENCENTCLOUD_SECURITY_TOKEN",
    ),
    "gcs": _kind(
        "bucket prefix",
        secrets="credentials:GOOGLE_BACKEND_CREDENTIALS "
        "access_token:GOOGLE_OAUTH_ACCESS_TOKEN encryption_key:GOOGLE_ENCRYPTION_KEY",
    ),
    "http": _kind(
        "address",
        "TF_HTTP_ADDRESS",
        "password:TF_HTTP_PASSWORD client_private_key_pem:TF_HTTP_CLIENT_PRIVATE_KEY_PEM",
    ),
    "kubernetes": _kind(
        "secret_suffix namespace host config_path config_context in_cluster_config",
        "KUBE_NAMESPACE KUBE_HOST KUBE_CONFIG_PATH KUBE_CTX",
        "token:KUBE_TOKEN password:KUBE_PASSWORD client_key:KUBE_CLIENT_KEY_DATA",
    ),
    "oci": _kind("bucket namespace key region", secrets="private_key:"),
    "oss": _kind(
        "bucket prefix key endpoint region",
        secrets="access_key:ALICLOUD_ACCESS_KEY secret_key:ALICLOUD_SECRET_KEY "
        "security_token:ALICLOUD_SECURITY_TOKEN",
    ),
    "pg": _kind(
        "conn_str schema_name table_name index_name",
        "PG_CONN_STR PG_SCHEMA_NAME PG_TABLE_NAME PGHOST PGPORT PGDATABASE PGSERVICE",
    ),
    "s3": _kind(
        "bucket key workspace_key_prefix endpoint endpoints",
        "AWS_ENDPOINT_URL_S3 AWS_S3_ENDPOINT AWS_ENDPOINT_URL",
        "access_key:AWS_ACCESS_KEY_ID secret_key:AWS_SECRET_ACCESS_KEY "
        "token:AWS_SESSION_TOKEN sse_customer_key:AWS_SSE_CUSTOMER_KEY",
    ),
}
_ELSEWHERE = "runs plans and applies elsewhere: what is approved here would not be what runs"
_NEVER = {
    "remote": (_ELSEWHERE, "write the backend that holds the state itself, such as s3 or pg"),
    "cloud": (_ELSEWHERE, "write the backend that holds the state itself, such as s3 or pg"),
    "inmem": ("forgets the state when the tool ends", "leave backend out to keep it in state_dir"),
}
_GONE = frozenset({"artifactory", "atlas", "azure", "etcd", "etcdv3", "manta", "swift"})


def check_kind(kind: str) -> None:
    """Raises Refused unless terraform keeps a state there, and only a state."""
    if kind in _NEVER:
        raise Refused(*_NEVER[kind])
    if kind in _GONE:
        raise Refused("is gone from terraform since 1.3", f"known: {', '.join(sorted(KINDS))}")
    if kind not in KINDS:
        raise Refused("is not a backend terraform has", nearest(kind, KINDS))


def secret_settings(backend: Backend) -> Iterator[tuple[Loc, str]]:
    """(path beneath the settings, what to do instead) of each setting that is a secret."""
    kind = KINDS.get(backend.kind, _kind(""))
    for name, value in backend.settings.items():
        if name in kind.secrets and not isinstance(value, bool):
            yield (name,), _by_environment(kind.secrets[name])
            continue
        # Of a setting that names the state only what it plainly holds counts, not its own name.
        for inner in secrets_in("place" if name in kind.place else name, value):
            yield (name, *inner), _by_environment(_variable(backend.kind, name))


def _variable(kind: str, name: str) -> str:
    if (kind, name) == ("pg", "conn_str"):
        return "PGPASSWORD (or the whole of it PG_CONN_STR)"
    return {"http": "TF_HTTP_USERNAME and TF_HTTP_PASSWORD"}.get(kind, "")


def _by_environment(variable: str) -> str:
    where = f"as {variable}, " if variable else ""
    return (
        f"put it into the environment {where}by reference "
        "(environment: {plan: {NAME: {env: VARIABLE}}}), and change it if it was real"
    )


def check_place(backend: Backend, workspace: str) -> None:
    """Raises Refused for a state nobody would find again. Tried with terraform 1.11: of a
    workspace other than ``default`` the local backend ignores ``path`` and writes beneath
    ``workspace_dir``, by default in the folder it runs in."""
    if backend.kind == "http" and workspace != "default":
        hint = "remove workspace, and give each state an address of its own"
        raise Refused("http keeps one state and knows no workspaces", hint)
    missing = [name for name in _NEEDED.get(backend.kind, ()) if name not in backend.settings]
    if missing:
        hint = (
            f"write backend: {{{backend.kind}: {{{', '.join(f'{name}: …' for name in missing)}}}}}"
        )
        raise Refused(f"{backend.kind} needs {' and '.join(missing)}", hint)
    if backend.kind != "local":
        return
    needed = "path" if workspace == "default" else "workspace_dir"
    if not _is_absolute(backend.settings.get(needed)):
        hint = f"write {needed}: /FOLDER/…, or leave backend out: the state is then in state_dir"
        raise Refused(f'local needs an absolute "{needed}"', hint)


def _is_absolute(path: object) -> bool:
    return isinstance(path, str) and path.startswith("/") and ".." not in path.split("/")


def identity(backend: Backend, workspace: str, variables: Mapping[str, Any]) -> str:
    """Two of these are equal where two roots would write one state.

    ``variables`` is the environment of the plan. Settings that merely say how a state is reached
    do not count; where the settings leave the place open, what the environment says of it does.
    """
    kind = KINDS.get(backend.kind, _kind(""))
    place = {name: backend.settings[name] for name in kind.place if name in backend.settings}
    if backend.kind == "local":
        name = "path" if workspace == "default" else "workspace_dir"
        place = {name: str(PurePosixPath(str(backend.settings.get(name, ""))))}
    told = {name: str(variables[name]) for name in kind.place_variables if name in variables}
    return json.dumps([backend.kind, place, told, workspace], sort_keys=True, default=str)
