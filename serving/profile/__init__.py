"""What the rows and answers of a version look like, as counts: those it was measured on, and those it meets."""
