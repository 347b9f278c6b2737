"""Buckets and folders behind six verbs."""
