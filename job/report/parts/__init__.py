"""The sections of the report, each of which is None for a run that has nothing of it."""
