"""What each command of the registry can be told, and does."""
