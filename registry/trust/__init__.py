"""Who has made a version, moved an alias, and whom to believe: signatures, trusted keys."""
