"""The protocol: records, aliases, manifests."""
