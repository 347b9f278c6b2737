"""The web around it."""
