"""Where models live: a bucket, and the protocol that makes it a registry."""
