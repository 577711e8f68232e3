"""Ranges of addresses: which are claimed where, and which of them overlap. Pure."""
