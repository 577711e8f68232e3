"""The whole system shown once, on real parts: a control plane, a repository, the controller.

Called by ``gitops demo``. It prints nothing itself: what it tells goes through
:class:`gitops.demo.story.Voice`. It proves every step with the API server and believes nothing the
controller says.
"""
