"""What goes wrong within a step, and what becomes of it."""
