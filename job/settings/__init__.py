"""The whole job as one tree of small settings."""
