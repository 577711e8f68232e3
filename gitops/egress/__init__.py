"""The one way out for what is fetched over HTTP: sources on web hosts, OCI registries, charts.

Whoever fetches says which addresses a URL may lead to (:mod:`.addresses`), asks through one client
that checks the address it really connects to (:mod:`.client`), and speaks to registries as the
distribution specification says (:mod:`.registry`). Used by adapters; it must never take a proxy, a
cookie, a credential or a certificate from the environment.
"""
