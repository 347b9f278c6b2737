"""How a model is made: data in a bucket to a registered version."""
