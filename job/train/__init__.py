"""The loop, its losses and objectives."""
