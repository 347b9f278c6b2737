"""What single rows tell: what a file answers to each, how sure of it, where it fails, and what plain means would do."""
