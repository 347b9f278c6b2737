"""Which rows to label next: chosen by what registered versions are unsure of, written for tools, and read back."""
