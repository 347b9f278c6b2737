"""What makes two tries one run: its name, its folders, and what the first one has learned."""
