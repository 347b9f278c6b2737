"""A registry as pages: files that any bucket or web server hands out, without a program behind them."""
