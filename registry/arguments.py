"""The commands of the registry, and the parser of each one's words."""

import argparse
from importlib import import_module
from typing import cast

from tunewright.registry.command_line import GROUP, Parser
from tunewright.registry.commands.command import Command
from tunewright.registry.completion import SHELLS

_PLACES = {
    "list": "listing:LIST",
    "show": "showing:SHOW",
    "diff": "comparing:DIFF",
    "publish": "moving:PUBLISH",
    "pull": "pulling:PULL",
    "push": "oci:PUSH",
    "export": "exporting:EXPORT",
    "storage-initializer": "exporting:STORAGE_INITIALIZER",
    "site": "exporting:SITE",
    "copy": "moving:COPY",
    "promote": "aliases:PROMOTE",
    "gates": "gates:GATES",
    "rollback": "aliases:ROLLBACK",
    "unalias": "aliases:UNALIAS",
    "canary": "canary:CANARY",
    "history": "aliases:HISTORY",
    "tag": "upkeep.notes:TAG",
    "untag": "upkeep.notes:UNTAG",
    "describe": "upkeep.notes:DESCRIBE",
    "yank": "upkeep.yanks:YANK",
    "unyank": "upkeep.yanks:UNYANK",
    "search": "upkeep.notes:SEARCH",
    "verify": "upkeep.damage:VERIFY",
    "sign": "upkeep.signing:SIGN",
    "repair": "upkeep.damage:REPAIR",
    "delete": "upkeep.damage:DELETE",
    "gc": "upkeep.room:GC",
    "stats": "upkeep.room:STATS",
    "cache": "upkeep.room:CACHE",
}
"""Where each command stands. One is imported when it is asked for: together they take longer than most of them."""

_REFERENCES = """\
references:
  reviews, reviews@latest     the highest version
  reviews@production          where an alias points
  reviews:7                   version 7
  reviews@sha256:...          by the digest of its manifest
  models:/reviews/7           as in MLflow (also models:/reviews@production)
"""
_ADDRESSES = """\
addresses:
  tunewright://reviews@production           where an alias points
  tunewright://reviews:7?variant=int8       one of the folders in onnx/; without it the one that is served by default
  tunewright://reviews@sha256:...           by the digest of its manifest
  s3://bucket/prefix                        whatever lies there, such as an export
"""
_SETTINGS = """\

settings (environment):
  REGISTRY_URI            s3://bucket/prefix or a folder (default ./var/registry)
  REGISTRY_CACHE          folder for the files that are pulled, kept and shared by processes (default ./var/cache)
  REGISTRY_SINGLE_WRITER  true: accept a server without conditional writes
  REGISTRY_SIGNING_KEY    PEM file of an ed25519 private key: what is made here is signed with it
  REGISTRY_TRUSTED_KEYS   public keys, a folder or a file: what none of them has signed is refused
  REGISTRY_WEBHOOK_URL    where publications and moves of aliases are told, signed by REGISTRY_WEBHOOK_SECRET
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
        epilog=_epilog(command),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if command == "completion":
        made.add_argument("shell", choices=SHELLS)
    else:
        command_of(command).add(made)
    return made


def _epilog(command: str) -> str:
    if command == "completion":
        return _COMPLETION
    return (_ADDRESSES if command == "storage-initializer" else _REFERENCES) + _SETTINGS


def command_of(name: str) -> Command:
    """The command of that name. Raises KeyError."""
    module, _, place = _PLACES[name].partition(":")
    return cast(Command, getattr(import_module(f"tunewright.registry.commands.{module}"), place))
