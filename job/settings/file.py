"""The YAML settings file: plain mappings only, no aliases, no key twice."""

from pathlib import Path

import yaml

from tunewright.job.errors import SettingsError
from tunewright.job.relay import once
from tunewright.registry.address import shown_address
from tunewright.registry.stores.store import open_store
from tunewright.registry.unique_keys import UniqueKeys

_MOST_BYTES = 1024 * 1024
"""Bytes of a settings file: YAML of that size takes seconds to read."""


class _PlainLoader(UniqueKeys):
    """YAML without the parts that make a small file mean something else or something huge."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.get_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"alias *{event.anchor} is not allowed", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> str:
        value = super().construct_scalar(node)
        try:
            # JSON writes a character above U+FFFF as two halves.
            return value.encode("utf-16", "surrogatepass").decode("utf-16") if isinstance(value, str) else value
        except UnicodeDecodeError:
            problem = "a text holds half of a character (one of two \\u escapes that belong together)"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark) from None


def read_config(address: str) -> dict[str, object]:
    """The mapping in a local or s3:// YAML file, without keys that have no value; SettingsError names the line."""
    shown = shown_address(address)
    try:
        text = _read(address).decode()
    except UnicodeDecodeError as error:
        raise SettingsError(f"{shown} is not YAML text: {error}") from error
    try:
        values = yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise SettingsError(f"{shown}, line {line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{shown} is not YAML text: {str(error).splitlines()[0]}") from error
    except ValueError as error:
        raise SettingsError(f"{shown} holds a number or a date that cannot be read: {error}") from error
    except RecursionError:
        raise SettingsError(f"{shown} is nested too deeply; settings have two levels") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{shown} holds a {type(values).__name__}; settings are a mapping, such as 'task: ...'")
    return _with_values(values)


def _with_values(mapping: dict[object, object]) -> dict[str, object]:
    """A key that stands there alone (`train:`) counts as not set, like an empty variable."""
    given = {str(key): value for key, value in mapping.items() if value is not None}
    return {key: _with_values(value) if isinstance(value, dict) else value for key, value in given.items()}


def _read(address: str) -> bytes:
    shown = shown_address(address)
    if address.startswith("s3://"):
        bucket, _, key = address.removeprefix("s3://").partition("/")
        if not key:
            raise SettingsError(f"--config {shown} names a bucket; expected s3://bucket/file.yaml")
        return once(f"--config {shown}", lambda: open_store(f"s3://{bucket}").read(key, limit=_MOST_BYTES))
    if "://" in address:
        raise SettingsError(f"--config {shown} is not a place to read from; use a path or s3://bucket/file.yaml")
    try:
        with Path(address).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"--config {shown}: {error.strerror or error}") from error
    if len(data) > _MOST_BYTES:
        raise SettingsError(f"--config {shown} holds more than {_MOST_BYTES:,} bytes; settings are a page of text")
    return data
