"""`python -m job train|check|predict`: the entry point of the job image."""

import argparse
import errno
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from job import signals
from job.errors import Interrupted, JobError
from registry.errors import Conflict, RegistryError, Unreachable
from serving.errors import ServingError

if TYPE_CHECKING:
    from job.settings import JobSettings
    from registry.settings import RegistrySettings

USAGE = """usage: python -m job COMMAND [--config FILE] [--SETTING VALUE ...]

commands:
  train     read data, fine-tune, export, measure, register
  check     everything up to token ids, with no GPU and no weights: prints what it finds in settings and data
  predict   MODEL TEXT [TEXT ...]: answer with a registered version, for example reviews@production

`python -m job train --help` lists every setting.

exit codes: 0 done, 2 settings, base model or registry wrong, 3 data wrong, 4 gate failed, 75 stopped by SIGTERM (run it
again), 130 stopped by Ctrl-C, 1 anything else
"""

_DISK = (errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS)
"""Faults of the disk or the folders that the settings name, which a person can mend."""


def main(arguments: Sequence[str]) -> int:
    """Run one command; the exit code."""
    commands = {"train": _train, "check": _check, "predict": _predict}
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE, end="")  # noqa: T201 - the answer of a command line
        return 0 if arguments else 2
    if arguments[0] not in commands:
        return _fail(f"unknown command {arguments[0]!r}; the commands are {', '.join(commands)}", 2)
    signals.leave_at_once()
    return _guarded(lambda: commands[arguments[0]](arguments[1:]))


def _guarded(command: Callable[[], None]) -> int:
    """Turn what a person can act on into sentences and an exit code; anything else is a bug and keeps its traceback."""
    try:
        command()
    except JobError as error:
        return _fail(str(error), error.exit_code)
    except (Conflict, Unreachable) as error:
        return _fail(str(error), 1)
    except RegistryError as error:
        return _fail(str(error), 2)
    except ServingError as error:
        return _fail(str(error), 1)
    except Interrupted as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail(signals.CTRL_C, 130)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        return _fail(f"{error.filename or 'the disk'}: {error.strerror}; see the settings output and REGISTRY_CACHE", 1)
    return 0


def _fail(sentences: str, code: int) -> int:
    for sentence in sentences.splitlines():
        print(f"error: {sentence}", file=sys.stderr)  # noqa: T201 - the answer of a command line
    return code


# The commands import what they need themselves: seconds of importing, during which a signal must find its handler.
# `signals.unwind` stands where those seconds are over.


def _settings(arguments: Sequence[str], command: str) -> "tuple[JobSettings, RegistrySettings]":
    from job.settings import load_settings
    from registry.settings import RegistrySettings

    settings = load_settings(arguments, f"python -m job {command}")
    return settings, RegistrySettings()


def _train(arguments: Sequence[str]) -> None:
    settings, registry = _settings(arguments, "train")
    from job.recipe import run
    from job.summary import show

    signals.unwind()
    show(run(settings, registry))


def _check(arguments: Sequence[str]) -> None:
    settings, registry = _settings(arguments, "check")
    from job.recipe import look, make_loss

    signals.unwind()
    with tempfile.TemporaryDirectory(prefix="tunewright-") as work:
        _, prepared, _, _ = look(settings, registry, Path(work))
        make_loss(prepared, settings)
    print("the settings and the data can be used")  # noqa: T201 - the answer of a command line


def _predict(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m job predict", description="Answer with a registered version.")
    parser.add_argument("model", help="reference, for example reviews@production or reviews:7")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help='a text, or JSON such as \'["text", "text_pair"]\'')
    parser.add_argument("--variant", help="fp32, int8, ...; the version's default when absent")
    asked = parser.parse_args(arguments)
    from job.predict import predict
    from registry.settings import RegistrySettings

    signals.unwind()
    for answer in predict(asked.model, asked.inputs, asked.variant, RegistrySettings()):
        print(json.dumps(answer, ensure_ascii=False))  # noqa: T201 - the answer of a command line


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
