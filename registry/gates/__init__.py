"""Promotion by evidence: what a version must have shown before an alias is moved to it."""
