"""What the job can do besides train."""
