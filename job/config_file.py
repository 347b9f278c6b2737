"""The YAML settings file: plain mappings only, no aliases, no key twice."""

from pathlib import Path
from typing import Any

import yaml

from job.errors import SettingsError
from registry.store import open_store


class _PlainLoader(yaml.SafeLoader):
    """YAML without the parts that make a small file mean something else or something huge."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.get_event()  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem=f"alias *{event.anchor} is not allowed", problem_mark=event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else id(key_node)
            if key in seen:
                mark: Any = key_node.start_mark
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} stands twice", problem_mark=mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_config(address: str) -> dict[str, Any]:
    """The mapping in a local or s3:// YAML file, without keys that have no value; SettingsError names the line."""
    try:
        values = yaml.load(_read(address), Loader=_PlainLoader)  # noqa: S506 - it is a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise SettingsError(f"{address}, line {line}: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{address} is not YAML text: {str(error).splitlines()[0]}") from error
    except RecursionError:
        raise SettingsError(f"{address} is nested too deeply; settings have two levels") from None
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise SettingsError(f"{address} holds a {type(values).__name__}; settings are a mapping, such as 'task: ...'")
    return _with_values(values)


def _with_values(mapping: dict[Any, Any]) -> dict[str, Any]:
    """A key that stands there alone (`train:`) counts as not set, like an empty variable."""
    given = {str(key): value for key, value in mapping.items() if value is not None}
    return {key: _with_values(value) if isinstance(value, dict) else value for key, value in given.items()}


def _read(address: str) -> str:
    if address.startswith("s3://"):
        bucket, _, key = address.removeprefix("s3://").partition("/")
        if not key:
            raise SettingsError(f"--config {address} names a bucket; expected s3://bucket/file.yaml")
        return open_store(f"s3://{bucket}").read(key).decode()
    try:
        return Path(address).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--config {address}: {error.strerror or error}") from error
