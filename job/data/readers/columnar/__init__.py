"""Files that hold columns with types, and what they tell of these: Parquet and Arrow."""
