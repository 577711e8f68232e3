"""Inbound HTTP of forges: one file a provider, each verifies and then only says what it heard.

A receiver never fetches, never writes and keeps no state. What follows from a request is decided by
:mod:`gitops.engine.inbox`; how it comes in, by :mod:`gitops.web.hooks`.
"""
