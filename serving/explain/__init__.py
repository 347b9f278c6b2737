"""Which parts of an input an answer rests on."""
