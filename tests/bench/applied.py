"""When an object has a value, told by the API server itself: a watch of our own on one ConfigMap.

Asking the controller would slow it down while it is measured.
"""

from __future__ import annotations

import http.client
import json
import queue
import ssl
import threading
import time
from urllib.parse import urlsplit

from gitops.sandbox.layout import SandboxInfo


class Witness:
    """Watches one ConfigMap from another thread; ``seen`` blocks until it has a value."""

    def __init__(self, sandbox: SandboxInfo, namespace: str, name: str) -> None:
        address = urlsplit(sandbox.url)
        trust = ssl.create_default_context(cafile=str(sandbox.ca_file))
        self._connection = http.client.HTTPSConnection(
            str(address.hostname), address.port, context=trust
        )
        path = (
            f"/api/v1/namespaces/{namespace}/configmaps?watch=1&fieldSelector=metadata.name={name}"
        )
        headers = {"Authorization": f"Bearer {sandbox.token}", "User-Agent": "bench"}
        self._connection.request("GET", path, headers=headers)
        self._answer = self._connection.getresponse()
        self._told: queue.Queue[tuple[str, float]] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while line := self._answer.readline():
            now = time.perf_counter()
            self._told.put((json.loads(line)["object"].get("data", {}).get("v", ""), now))

    def seen(self, value: str, seconds: float = 60) -> float:
        """When ``perf_counter`` showed it. Raises queue.Empty when it does not come in time."""
        while True:
            found, at = self._told.get(timeout=seconds)
            if found == value:
                return at
