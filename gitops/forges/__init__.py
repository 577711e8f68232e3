"""Clients of the forges (GitHub, GitLab, Bitbucket, Gitea and Forgejo), one file each.

Each plays :class:`gitops.ports.forges.Forge` for one repository, which comes from the source's own
address in the fleet file and never from a payload. Built by the composition root; used by previews,
by the commit-status notifier and where authorship is established. They all ask through
:mod:`.line`, which bounds, retries and judges every answer, and read them by :mod:`.shapes`.

The SDKs there are were looked at first: PyGithub and python-gitlab are synchronous on ``requests``,
follow redirects and pages to any host and honour proxies of the environment; one more SDK for each
forge would still leave bounds, retries and circuit to be written around it.
"""
