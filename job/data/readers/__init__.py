"""One file a format: bytes to rows."""
