"""What every request passes before an address answers it: keys, codings, the log, traces."""
