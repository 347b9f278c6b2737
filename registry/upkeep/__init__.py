"""Versions held against each other, damage found, and mended."""
