"""`python -m tunewright`: the same as the command `tunewright`."""

import signal
import sys

from tunewright.registry.command_line import main, raise_ctrl_c

if __name__ == "__main__":
    signal.signal(signal.SIGINT, raise_ctrl_c)
    sys.exit(main())
