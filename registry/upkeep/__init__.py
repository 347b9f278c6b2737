"""Versions brought in and copied, held against each other, damage found and mended, room made."""
