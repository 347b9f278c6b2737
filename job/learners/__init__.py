"""How each kind of model reads rows, learns, and is exported."""
