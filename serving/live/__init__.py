"""Loaded versions, asked by many."""
