"""Programs of others, tried in a child process before they run here."""
