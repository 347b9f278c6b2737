"""The registry's settings, read once at the edge."""

import os
from pathlib import Path
from typing import Any, Self

from pydantic import Field, ModelWrapValidatorHandler, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tunewright.registry.errors import SettingsError
from tunewright.registry.variables import build_settings

_PREFIX = "REGISTRY_"


class RegistrySettings(BaseSettings):
    """Where the registry is. Raises SettingsError, naming every mistake at once."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, hide_input_in_errors=True, frozen=True, extra="forbid")

    uri: str = Field(default="./var/registry", description="Address of the registry: s3://bucket/prefix or a folder.")
    cache: Path = Field(default=Path("./var/cache"), description="Folder for downloaded files, shared by processes.")
    single_writer: bool = Field(
        default=False,
        description="Accept a store without create-only writes: no two processes may write to it at once.",
    )
    signing_key: Path | None = Field(
        default=None,
        description="PEM file of an ed25519 private key: versions and moves that are made here are signed with it.",
    )
    trusted_keys: Path | None = Field(
        default=None,
        description="Public keys: a folder, a PEM file, or a YAML file of who is trusted with which model or alias. "
        "What none of them has signed is refused.",
    )

    webhook_url: str | None = Field(
        default=None,
        description="Where publications and moves of aliases are told, by a signed POST: https://host/path.",
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        description="What signs them: a text, or whsec_ and base64, that the receiver knows too.",
    )

    @field_validator("cache", "signing_key", "trusted_keys", mode="before")
    @classmethod
    def _is_named(cls, value: object, info: ValidationInfo) -> object:
        if value == "":  # which would mean the folder that the program was started in
            what = "a folder" if info.field_name == "cache" else "a file"
            raise ValueError(f"expected {what}, or leave it out")
        return value

    @model_validator(mode="after")
    def _is_no_registry(self) -> Self:
        if "://" not in self.uri and self.uri and Path(self.uri).resolve() == self.cache.resolve():
            raise ValueError(f"REGISTRY_CACHE is the registry itself ({self.uri}); give it a folder of its own")
        return self

    @model_validator(mode="wrap")
    @classmethod
    def _name_every_mistake(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        built = build_settings(lambda: handler(values), cls, _PREFIX, os.environ)
        if isinstance(built, list):
            raise SettingsError("; ".join(built))
        return built
