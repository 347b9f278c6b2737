"""What a task is, and the columns and targets that several share."""
