"""JSON: its text as a stream, and what its arrays, lines and questions are as rows."""
