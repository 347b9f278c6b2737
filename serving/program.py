"""`tunewright serve`: the words and the variables, and what goes wrong, as a person meets them."""

import argparse
import gc
import os
import signal
import textwrap
from collections.abc import Callable, Sequence

from tunewright.registry.command_line import Parser, raise_ctrl_c
from tunewright.registry.errors import RegistryError
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.errors import ServingError
from tunewright.serving.events import capture_logging, emit
from tunewright.serving.settings import ServingSettings, read_settings, reference


def main(arguments: Sequence[str]) -> int:
    """Run the program; the exit code: 0 stopped as asked, 2 something the user can put right, 130 interrupted."""
    if arguments[0] == "drift":
        from tunewright.serving import drift  # it needs numpy, for which help need not wait

        return drift.main(arguments)
    asked = parser(arguments[0]).parse_args(arguments[1:])
    if asked.model:
        os.environ["SERVING_MODEL"] = " ".join(asked.model)
    capture_logging()
    # As process 1 of a container there is no default for SIGTERM; until the server is ready it is a Ctrl-C.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, raise_ctrl_c)
    try:
        settings = read_settings()
        run = _imported()
        run(settings, RegistrySettings())
    except (ServingError, RegistryError) as error:
        emit("failed", str(error), level="error", error=type(error).__name__)
        return 2
    except KeyboardInterrupt:
        emit("failed", "interrupted before the server was ready", level="error")
        return 130
    return 0


def _imported() -> Callable[[ServingSettings, RegistrySettings], None]:
    """What runs the server. To import it takes a while, which help and a mistake in the settings need not wait for."""
    gc.disable()  # nothing of it is garbage, and looking through it takes a tenth of the time
    try:
        from tunewright.serving.startup import run
    finally:
        gc.enable()
    return run


def parser(command: str) -> argparse.ArgumentParser:
    """What the command can be told."""
    if command == "drift":
        from tunewright.serving import drift

        return drift.parser()
    made = _Parser(
        prog=f"tunewright {command}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Serve versions of the registry over HTTP: POST /predict, GET /readyz /livez /models /metrics "
        "/docs.\nAn alias is followed: the version that it moves to answers once it has proven to work.\nA folder of "
        "this machine needs no registry.",
    )
    made.add_argument(
        "model",
        nargs="*",
        help="references, for example reviews@production, which is followed, or folders, for example ./reviews or "
        "reviews=/models; SERVING_MODEL if absent",
    )
    return made


class _Parser(Parser):
    """A parser whose help tells of the settings too. To gather these takes a while, which a start need not wait for."""

    def format_help(self) -> str:
        """The whole help."""
        lines = [
            f"  {setting.variable} ({setting.default})\n" + textwrap.indent(textwrap.fill(setting.meaning, 92), " " * 6)
            for setting in reference()
        ]
        self.epilog = (
            "Settings are environment variables, with their defaults:\n\n"
            + "\n".join(lines)
            + "\n\nThe registry is named by REGISTRY_URI (s3://bucket/prefix or a folder); downloads are kept in "
            "REGISTRY_CACHE.\n\nExample:\n  tunewright serve reviews@production --registry ./var/registry"
        )
        return super().format_help()
