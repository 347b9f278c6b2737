"""What a caller sends, checked."""
