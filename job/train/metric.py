"""What a metric is."""


def lower_is_better(metric: str) -> bool:
    """Whether a figure of this name is an error."""
    return metric in ("rmse", "loss", "perplexity")
