"""One job of `make bench-train`: the command `tunewright` with the arguments given, and then, in the same process, how
fast it multiplies matrices. Prints one JSON line at the end."""

import json
import sys

from gemm_rate import gemm_rates

from tunewright.registry.command_line import main

if __name__ == "__main__":
    code = main()
    if code:
        sys.exit(code)
    print(json.dumps(gemm_rates()))
