"""What the training loop reads: rows as tensors."""
