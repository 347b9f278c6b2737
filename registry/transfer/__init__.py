"""Bytes, moved and checked."""
