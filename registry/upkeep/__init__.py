"""Damage found, and mended."""
