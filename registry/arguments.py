"""The commands of the registry, and the parser of each one's words."""

import argparse

from tunewright.registry.command_line import GROUP, Parser
from tunewright.registry.commands.aliases import HISTORY, PROMOTE, ROLLBACK, UNALIAS
from tunewright.registry.commands.canary import CANARY
from tunewright.registry.commands.command import Command
from tunewright.registry.commands.comparing import DIFF
from tunewright.registry.commands.gates import GATES
from tunewright.registry.commands.listing import LIST
from tunewright.registry.commands.moving import COPY, PUBLISH
from tunewright.registry.commands.oci import PUSH
from tunewright.registry.commands.pulling import PULL
from tunewright.registry.commands.showing import SHOW
from tunewright.registry.commands.upkeep.damage import DELETE, REPAIR, VERIFY
from tunewright.registry.commands.upkeep.notes import DESCRIBE, SEARCH, TAG, UNTAG
from tunewright.registry.commands.upkeep.room import CACHE, GC, STATS
from tunewright.registry.completion import SHELLS

COMMANDS: dict[str, Command] = {
    "list": LIST,
    "show": SHOW,
    "diff": DIFF,
    "publish": PUBLISH,
    "pull": PULL,
    "push": PUSH,
    "copy": COPY,
    "promote": PROMOTE,
    "gates": GATES,
    "rollback": ROLLBACK,
    "unalias": UNALIAS,
    "canary": CANARY,
    "history": HISTORY,
    "tag": TAG,
    "untag": UNTAG,
    "describe": DESCRIBE,
    "search": SEARCH,
    "verify": VERIFY,
    "repair": REPAIR,
    "delete": DELETE,
    "gc": GC,
    "stats": STATS,
    "cache": CACHE,
}

_EPILOG = """\
references:
  reviews, reviews@latest     the highest version
  reviews@production          where an alias points
  reviews:7                   version 7
  reviews@sha256:...          by the digest of its manifest
  models:/reviews/7           as in MLflow (also models:/reviews@production)

settings (environment):
  REGISTRY_URI            s3://bucket/prefix or a folder (default ./var/registry)
  REGISTRY_CACHE          folder for the files that are pulled, kept and shared by processes (default ./var/cache)
  REGISTRY_SINGLE_WRITER  true: accept a server without conditional writes
  AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_PROFILE ...: as for the aws tools
"""
_COMPLETION = """\
examples:
  source <(tunewright completion bash)                                        now, in this bash
  tunewright completion bash > ~/.local/share/bash-completion/completions/tunewright
  tunewright completion zsh > ~/.zfunc/_tunewright                            in a folder of your $fpath
  tunewright completion fish > ~/.config/fish/completions/tunewright.fish
"""


def parser(command: str) -> argparse.ArgumentParser:
    """The parser of a command's words."""
    what = GROUP.commands[command]
    made = Parser(
        prog=f"tunewright {command}",
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=_COMPLETION if command == "completion" else _EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if command == "completion":
        made.add_argument("shell", choices=SHELLS)
    else:
        COMMANDS[command].add(made)
    return made
