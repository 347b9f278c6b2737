"""Tunewright: the rooms registry, serving and job, each a link to the folder of its name."""
