"""Pages that programs ask again and again to see how this server is."""

PROBES = frozenset(
    "/livez /readyz /startupz /healthz /health /ping /metrics /v2/health/live /v2/health/ready".split(),
)
"""They ask for no key, since kubelets and load balancers have none, and are written to the access log only where they
fail."""
STILL = frozenset("/ /page/page.css /page/page.js".split())
"""The page for people: it says nothing of any model by itself, and has a field for a key."""
