"""What models answer to rows, as something to learn: those of a teacher, and a model's own."""
