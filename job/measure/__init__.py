"""Figures, their intervals and times."""
