"""`python -m tunewright`: the same as the command `tunewright`."""

import sys

from tunewright.registry.command_line import main

if __name__ == "__main__":
    sys.exit(main())
