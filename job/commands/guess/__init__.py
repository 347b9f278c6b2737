"""What a data set is for, told from its files: sides, formats, columns, task."""
