"""What the job says: lines and bars on a terminal, one JSON line an event elsewhere, and whoever reads along."""
