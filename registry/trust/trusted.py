"""Trusted keys: who may publish a model, and who may move an alias of it.

`REGISTRY_TRUSTED_KEYS` names one of

    a folder        the public keys in its *.pem: each may publish and move everything
    a PEM file      the same with the keys in it
    a YAML file     "*" (all models), a model, or model@alias, each with the PEM files of its keys, beside this one
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tunewright.registry.errors import SettingsError
from tunewright.registry.trust.keys import PublicKey, read_public_keys
from tunewright.registry.versions.layout import is_name

SETTING = "REGISTRY_TRUSTED_KEYS"
_ALL = "*"
_EXAMPLE = "as in 'reviews: [ci.pem]', 'reviews@production: [release.pem]' or '\"*\": [ci.pem]'"


@dataclass(frozen=True)
class TrustedKeys:
    """The keys that are believed."""

    path: Path
    keys: Mapping[str, list[PublicKey]]
    """By "*", the name of a model, or name@alias: the one that says most holds alone."""

    def of(self, name: str, alias: str | None = None) -> list[PublicKey]:
        """Who may publish a model, or move one of its aliases."""
        wanted = (*([f"{name}@{alias}"] if alias else []), name, _ALL)
        return next((self.keys[one] for one in wanted if one in self.keys), [])


def read_trusted(path: Path) -> TrustedKeys:
    """The keys in a file or in a folder. Raises SettingsError."""
    if path.is_dir():
        files = sorted(path.glob("*.pem"))
        if not files:
            raise SettingsError(f"{SETTING}: the folder {path} holds no *.pem, so that nobody would be trusted")
        return TrustedKeys(path, {_ALL: [key for file in files for key in read_public_keys(file, SETTING)]})
    if path.suffix in (".yaml", ".yml", ".json"):
        return TrustedKeys(path, _in_yaml(path))
    return TrustedKeys(path, {_ALL: read_public_keys(path, SETTING)})


def _in_yaml(path: Path) -> dict[str, list[PublicKey]]:
    # Imported here: a server and every command that reads a version look for keys, and few are told of a YAML file.
    import yaml

    from tunewright.registry.unique_keys import UniqueKeys

    try:
        told = yaml.load(path.read_bytes(), UniqueKeys)  # noqa: S506 - it is a SafeLoader
    except OSError as error:
        raise SettingsError(f"{SETTING}: {path} cannot be read ({error.strerror}); expected YAML") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        said = " ".join(str(error).split())[:200]
        raise SettingsError(f"{SETTING}: {path} is no YAML: {said}") from None
    if not isinstance(told, dict) or not told:
        raise SettingsError(f"{SETTING}: {path} names no keys; expected who is trusted with what, {_EXAMPLE}")
    found = {}
    for place, files in told.items():
        names = [files] if isinstance(files, str) else files
        if not _is_place(place) or not isinstance(names, list) or not all(isinstance(one, str) for one in names):
            raise SettingsError(
                f"{SETTING}: {path}: {str(place)[:100]!r} is not understood; expected files, {_EXAMPLE}"
            )
        found[place] = [key for one in names for key in read_public_keys(path.parent / one, SETTING)]
    return found


def _is_place(place: object) -> bool:
    if not isinstance(place, str):
        return False
    name, at, alias = place.partition("@")
    return place == _ALL or (is_name(name) and (not at or is_name(alias)))
