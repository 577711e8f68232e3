"""Who is asking, and what they may do: tokens, sessions, signing in.

Pages and API depend on :func:`gitops.web.auth.viewer.viewer` and know nothing else of it. Nothing
here decides about a change: roles only ever narrow what the gate would let a person do.
"""
