"""HTTP as a client speaks it, on hot paths: to the gateway (the proxy), and from it (upstreams)."""
