"""What no other program has a protocol for."""
