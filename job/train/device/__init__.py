"""How a step is computed: numbers, attention, layers compiled or computed again, the optimizer, reading of losses."""
