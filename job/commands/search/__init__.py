"""Settings searched for: many short trainings on the same rows, and what the best one was told."""
