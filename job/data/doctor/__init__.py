"""What is odd about rows that can be read: repeated, leaked, personal, far from the others."""
