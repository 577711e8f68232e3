"""Names of folders for names that come from elsewhere.

Applications, workspaces and runs are called what people and stores call them; a folder is called
something that no path means anything special by. Used for everything this package puts on disk.
"""

from __future__ import annotations

import hashlib
import re

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def folder_name(text: str) -> str:
    """``text`` itself where it is an ordinary name, else a readable start of it and a digest.

    Different texts give different names: a ``~`` is in every one that is not the text itself.
    """
    if _PLAIN.fullmatch(text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    start = re.sub(r"[^A-Za-z0-9]+", "-", text)[:40].strip("-")
    return f"{start}~{digest[:32]}"
