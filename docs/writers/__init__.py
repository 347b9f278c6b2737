"""What writes the pages of docs/reference/: a file a page that needs more than a few lines."""
