"""The folder of a version."""
