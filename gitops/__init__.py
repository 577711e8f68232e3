"""A GitOps continuous-deployment controller: the engine and its faces."""

__version__ = "0.1.0"
