"""One variant of a bundle, loaded."""
