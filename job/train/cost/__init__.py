"""What learning costs: the work that was done, and what a run will take."""
