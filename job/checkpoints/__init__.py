"""What is kept of a run under way, so that the same command goes on where it was stopped."""
