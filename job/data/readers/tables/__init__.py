"""CSV and TSV: the dialect of a file, and its rows."""
