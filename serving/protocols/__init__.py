"""Bytes of a protocol to a request, answers to bytes of it."""
