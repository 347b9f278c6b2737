"""From files to checked rows on disk."""
