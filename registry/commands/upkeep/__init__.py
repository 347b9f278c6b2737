"""What is whole, mended, said or thrown away, and how much room the rest takes."""
