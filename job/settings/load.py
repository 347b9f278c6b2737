"""The settings of a job from everywhere: a YAML file, above it the environment, above that the command line."""

import argparse
import functools
import os
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import NoReturn, cast

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, EnvSettingsSource
from pydantic_settings import SettingsError as UnreadableSetting

from tunewright.job.errors import SettingsError
from tunewright.job.settings.entries import Tree, merged, take_flags, take_variables
from tunewright.job.settings.job import PREFIX, JobSettings
from tunewright.registry.variables import build_settings, leaves, mappings

_OF_KUBERNETES = "JOB_COMPLETION_INDEX"
"""Kubernetes sets it in every pod of an Indexed Job: the number of the pod."""
_EPILOG = """A flag wins over a variable (JOB_TRAIN__EPOCHS=3), a variable over the file. A mapping is given key by key
(--data.columns.text sentence, --gate.min.accuracy 0.8, JOB_DATA__COLUMNS__TEXT=sentence) or as JSON, and keeps the keys
of the file that are not given; in a variable the key is taken in lower case. The registry is REGISTRY_URI (a folder or
s3://bucket/prefix); credentials and endpoint are AWS's own (AWS_ENDPOINT_URL_S3, AWS_ACCESS_KEY_ID, ...)."""


def load_settings(
    arguments: Sequence[str],
    program: str,
    contradictions: Callable[[JobSettings], list[str]] = lambda rest: [],
    kind: type[JobSettings] = JobSettings,
) -> JobSettings:
    """The settings of `--config FILE`, the environment and the flags. SettingsError names every mistake at once.

    `contradictions`: what is wrong with settings that can be read, which is asked about the rest where some cannot.
    `kind`: the same settings, of which others must be set.
    """
    parser, source = settings_parser(program)
    others, entries = take_flags(arguments, JobSettings)
    flags = vars(parser.parse_args(others))
    config = flags.pop("config")
    file = {"data": {}, **(_of_file(config) if config else {})}
    environ = {name: value for name, value in os.environ.items() if name != _OF_KUBERNETES}
    rest: list[str] = []

    def build() -> JobSettings:
        tree = _layered(file, _of_environment(), _of_flags(source, flags), entries)
        try:
            return kind.model_validate(tree)
        except ValidationError as error:
            rest.extend(_of_rest(tree, error, contradictions, kind))
            raise

    built = build_settings(build, kind, PREFIX, environ, only_variables=False)
    if isinstance(built, list):
        raise SettingsError("\n".join([*built, *rest]))
    return built


_DECIDING = ("task", "options", "data.columns")
"""Settings without which little can be said of the others."""
_STANDING_IN: dict[str, Tree] = {
    "model_name": {"model_name": "model"},
    "base_model": {"base_model": "base"},
    "data.train": {"data": {"train": "train"}},
    "data.test": {"data": {"test": "test"}},
}
"""For what must be set and is not."""


def _of_rest(
    tree: Tree, error: ValidationError, contradictions: Callable[[JobSettings], list[str]], kind: type[JobSettings]
) -> list[str]:
    """What is wrong with the settings beside those that cannot be read, and not because of these."""
    paths = [tuple(map(str, fault["loc"])) for fault in error.errors(include_url=False)]
    mistaken = {next((one for one in leaves(JobSettings) if path[: len(one)] == one), path) for path in paths}
    names = {".".join(path) for path in mistaken}
    if any(name.startswith(_DECIDING) for name in names):
        return []
    for path in mistaken:
        tree = _without(tree, path)
    tree = functools.reduce(merged, (value for name, value in _STANDING_IN.items() if name in names), tree)
    try:
        said = contradictions(kind.model_validate(tree))
    except ValidationError:
        return []
    return [sentence for sentence in said if not any(name in sentence for name in names)]


def _without(tree: Tree, path: Sequence[str]) -> Tree:
    """The tree without what stands at this place."""
    inner = tree.get(path[0])
    if len(path) > 1 and isinstance(inner, dict):
        return {**tree, path[0]: _without(inner, path[1:])}
    return {key: value for key, value in tree.items() if key != path[0]}


def settings_parser(program: str) -> tuple[argparse.ArgumentParser, CliSettingsSource[object]]:
    """The parser of every setting as a flag, and what makes a tree of the flags it has read."""
    usage = f"{program} [--config FILE] [--SETTING VALUE ...]"
    parser = _FlagParser(prog=program, usage=usage, description=JobSettings.__doc__, epilog=_EPILOG, allow_abbrev=False)
    parser.add_argument("--config", metavar="FILE", help="YAML file of settings, local or s3://")
    return parser, CliSettingsSource[object](
        JobSettings, root_parser=parser, cli_avoid_json=True, cli_hide_none_type=True, cli_enforce_required=False
    )


def _of_file(config: str) -> Tree:
    # YAML and the stores take a tenth of the time that help may take.
    from tunewright.job.settings.file import read_config

    return read_config(config)


def _of_environment() -> Tree:
    source = EnvSettingsSource(JobSettings)
    source.env_vars, entries = take_variables(source.env_vars, JobSettings, PREFIX)
    return merged(source(), entries)


def _of_flags(source: CliSettingsSource[object], flags: Tree) -> Tree:
    try:
        return dict(source(parsed_args=flags)())
    except UnreadableSetting as error:
        for path, _ in mappings(JobSettings):
            name = ".".join(path)
            if f"for {name}:" in str(error):
                given = " ".join(cast(list[str], flags[name]))
                raise SettingsError(
                    f"--{name} is {given!r}, which is no mapping; expected --{name}.NAME VALUE, or JSON"
                ) from error
        raise


def _layered(*layers: Tree) -> Tree:
    """One tree, where a later layer stands above an earlier one."""
    return functools.reduce(merged, layers, {})


class _FlagParser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        flag = re.search(r"--\S+", message)
        flags = ["--" + ".".join(leaf) for leaf in leaves(JobSettings)]
        near = get_close_matches(flag[0].rstrip(":"), flags, 1) if flag else []
        hint = f"; did you mean {near[0]}?" if near and "unrecognized" in message else ""
        raise SettingsError(f"{message}{hint} ({self.prog} --help lists all)")
