"""The page for people: what this model is, and a place to try it."""
