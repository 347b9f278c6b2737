"""What each command of the registry can be told."""

import argparse
from pathlib import Path

from tunewright.registry.command_line import GROUP, Parser
from tunewright.registry.completion import SHELLS, names_a

_EPILOG = """\
references:
  reviews, reviews@latest     the highest version
  reviews@production          where an alias points
  reviews:7                   version 7
  reviews@sha256:...          by the digest of its manifest
  models:/reviews/7           as in MLflow (also models:/reviews@production)

settings (environment):
  REGISTRY_URI            s3://bucket/prefix or a folder (default ./var/registry)
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
    if command == "list":
        made.add_argument("name", nargs="?", help="a model; without it all models are listed")
    elif command == "completion":
        made.add_argument("shell", choices=SHELLS)
    else:
        many = "?" if command == "verify" else None
        is_alias = command in ("rollback", "unalias", "history", "canary")
        said = "a model is verified whole, and all of them without it" if many else None
        made.add_argument("reference", nargs=many, metavar="NAME@ALIAS" if is_alias else "REF", help=said)
    if command == "diff":
        made.add_argument("other", metavar="REF", help="the version that the first one is compared with")
    if command in ("list", "show", "diff", "history"):
        made.add_argument("--json", action="store_true", help="print JSON instead of a table")
        if command == "show":
            made.add_argument("--open", action="store_true", help="show the report of the version in a browser")
    elif command == "pull":
        to = made.add_argument("--to", required=True, type=Path, metavar="DIR", help="the folder; made when missing")
        names_a(to, "directory")
        made.add_argument("--variant", help="of the folders in onnx/ only this one, as in fp32 or int8")
    elif command == "canary":
        made.add_argument("version", nargs="?", metavar="REF", help="what to try; without it, tell what is tried")
        made.add_argument("percent", nargs="?", type=float, metavar="PERCENT", help="of the requests, as in 10")
        made.add_argument("--end", action="store_true", help="the alias's own version answers all again")
        made.add_argument("--reason", default="", help="kept with the trial")
    _add_moves(made, command)
    return made


def _add_moves(made: argparse.ArgumentParser, command: str) -> None:
    """What the commands that change an alias, or a version, can be told."""
    if command == "promote":
        made.add_argument("alias", metavar="ALIAS")
        made.add_argument("--force", action="store_true", help="allow going back to a lower number")
    if command in ("promote", "rollback"):
        made.add_argument("--why", "--reason", default="", metavar="TEXT", help="kept in the alias's history")
    elif command in ("delete", "unalias"):
        kept = "with the version's number" if command == "delete" else "in the alias's history"
        made.add_argument("--why", default="", metavar="TEXT", help=f"kept {kept}")
    elif command == "repair":
        place = "a folder with the files of the version, or a registry (s3://bucket/prefix or its folder)"
        names_a(
            made.add_argument("--from", dest="source", required=True, metavar="DIR|REGISTRY", help=place), "directory"
        )
    if command == "rollback":
        safe = made.add_mutually_exclusive_group()
        safe.add_argument(
            "--from",
            dest="holder",
            type=int,
            metavar="N",
            help="only where it points at version N: said twice, it goes back once",
        )
        safe.add_argument("--to", type=int, metavar="N", help="to version N, where it has been: said twice, likewise")
