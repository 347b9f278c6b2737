"""Versions in OCI registries, pushed and pulled over their HTTP protocol."""
