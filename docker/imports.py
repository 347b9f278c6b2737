"""Fails where an image lacks what it imports, or holds what it must not: `python imports.py serving|job`."""

import sys
from importlib import import_module, util
from pkgutil import walk_packages
from shutil import which

ROOMS = {"serving": ("registry", "serving"), "job": ("registry", "job")}
"""Of the serving room the job takes the predictor alone, and has no web server."""
FORBIDDEN = ("torch", "transformers", "datasets", "tunewright.job", "pip")
"""What makes models, and what installs: not in an image that serves."""
COMPILERS = ("cc", "gcc", "g++", "clang")
OPTIONAL = ("mlflow", "opentelemetry", "tensorboardX", "wandb")
"""Packages that a user adds, and whose modules here are imported when a setting names them."""


def main() -> None:
    """Import every module of the image's rooms."""
    image = sys.argv[1]
    for room in ROOMS[image]:
        package = import_module(f"tunewright.{room}")
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            try:
                import_module(module.name)
            except ModuleNotFoundError as error:
                if str(error.name).partition(".")[0] not in OPTIONAL:
                    raise
    if image == "serving":
        extra = [name for name in FORBIDDEN if util.find_spec(name)] + [name for name in COMPILERS if which(name)]
        if extra:
            raise SystemExit(f"not allowed in the serving image: {', '.join(extra)}")


if __name__ == "__main__":
    main()
