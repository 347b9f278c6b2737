"""The program in processes that are forked from one which has imported it: each takes a tenth of a second, not one."""

import multiprocessing
import os
import sys
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["boto3", "tunewright.job.program", "tunewright.registry.program"])


def run(command, environment, folder, seconds=60):
    """The exit code of `tunewright command...` in a folder, with this environment alone, and all that it said."""
    process = _FORKS.Process(target=_main, args=(command, environment, str(folder)))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        raise TimeoutError(f"{command} runs after {seconds} s")
    return process.exitcode, (Path(folder) / "said.txt").read_text(encoding="utf-8")


def _main(command, environment, folder):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    said = os.open("said.txt", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    for number in (1, 2):
        os.dup2(said, number)
    sys.argv = ["tunewright", *command]
    from tunewright.registry.command_line import main

    sys.exit(main())
