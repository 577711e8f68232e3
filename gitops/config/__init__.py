"""The operator's fleet file: the only place that says who may approve what.

``load`` turns it into :class:`gitops.model.fleet.Fleet`; ``reload`` keeps the old one when the new
one is bad; ``discover`` turns folders of a source into applications. Above the ports and the
plugin registry (it reads plugins' ``Options``), below the engine; it never starts anything.
"""

from gitops.config.discover import Discovered, discover
from gitops.config.load import load
from gitops.config.reload import changes, reload

__all__ = ["Discovered", "changes", "discover", "load", "reload"]
