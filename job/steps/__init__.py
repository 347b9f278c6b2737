"""The lines of the recipe."""
