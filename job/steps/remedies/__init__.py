"""What is done about uneven labels, and about rounding that costs too much: tried, measured, kept where it helps."""
