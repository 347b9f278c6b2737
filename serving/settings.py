"""The server's settings: read once, from the environment, with all mistakes reported together."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tunewright.registry.variables import NESTED, build_settings, leaves
from tunewright.serving.errors import SettingsError
from tunewright.serving.runtime.capacity import TOKENS_PER_RUN

PREFIX = "SERVING_"


class Limits(BaseModel):
    """What one request, and all of them together, may cost."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)

    body_bytes: int | None = Field(default=None, ge=1024, le=1 << 30)
    """Largest body of a request in bytes; a larger one is refused with 413 before it is read. When not set 1 MiB, and
    32 MiB for a model that reads images or recordings."""
    body_seconds: float = Field(default=10.0, gt=0, le=3600)
    """Seconds a request may take to arrive, from the first byte of its head to the last of its body; then 408."""
    bodies_bytes: int = Field(default=256 << 20, ge=1 << 20, le=1 << 40)
    """Bytes of the bodies of all requests together; a body over 64 KiB that finds no room is refused with 429."""
    connections: int = Field(default=1024, ge=1, le=100_000)
    """Connections at the same time, fewer where this process may open fewer files. For one more, that one is closed
    with 503 which has longest not had a whole request."""
    inputs: int = Field(default=256, ge=1, le=100_000)
    """Most texts (or pairs) in one request; more are refused with 413."""
    characters: int = Field(default=100_000, ge=1, le=100_000_000)
    """Longest text in characters; a longer one is refused with 413, one within the limit is cut to the model's
    tokens."""
    media_bytes: int = Field(default=256 << 20, ge=1 << 20, le=1 << 40)
    """Memory that the images or recordings of one request may unfold into, in bytes, and four times what a single one
    may; told from the headers of the files, before any is decoded, and refused with 413."""
    requests: int = Field(default=64, ge=1, le=10_000)
    """Requests that have arrived and wait or are being answered at the same time; one more is refused with 429 and the
    seconds to wait."""
    deadline_seconds: float = Field(default=30.0, gt=0, le=3600)
    """Seconds a request may wait and compute once it has arrived; then 503."""

    @model_validator(mode="after")
    def _one_body_fits(self) -> Self:
        if self.body_bytes is not None and self.body_bytes > self.bodies_bytes:
            raise ValueError(
                f"body_bytes is {self.body_bytes}, over the {self.bodies_bytes} that all bodies share: "
                "raise bodies_bytes too"
            )
        return self


class ServingSettings(BaseSettings):
    """Everything the server can be told; each field is the variable SERVING_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )

    model: str = Field(min_length=1)
    """The version to serve: reviews@production, reviews:7, reviews@sha256:..., or reviews for the latest."""
    variant: str | None = None
    """The variant to serve, such as fp32 or int8; the version's own default when not set."""
    host: str = "0.0.0.0"  # noqa: S104  a container is reached through its own network address only
    """Address to listen on; 127.0.0.1 keeps the server to this machine."""
    port: int = Field(default=8080, ge=0, le=65535)
    """Port to listen on; 0 takes a free one and prints it."""
    metrics_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of its own for /metrics, which is then nowhere else, and nothing else there: a network policy can keep the
    two apart. 0 takes a free one and prints it."""
    threads: int = Field(default=0, ge=0, le=1024)
    """Runs of the model at the same time; 0 means one per processor that this process may use."""
    tokens_per_run: int = Field(default=TOKENS_PER_RUN, ge=1, le=1 << 20)
    """Padded tokens in one run of the model."""
    drain_seconds: float = Field(default=5.0, ge=0, le=3600, allow_inf_nan=False)
    """Seconds between SIGTERM and the end of listening: /readyz says 503 while requests are still answered, so that
    a load balancer looks elsewhere first."""
    limits: Limits = Limits()
    """Bounds, see below."""

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.metrics_port and self.metrics_port == self.port:
            raise ValueError(f"metrics_port is {self.metrics_port}, which is port; choose another one, or leave it out")
        return self

    @field_validator("port", "metrics_port", mode="before")
    @classmethod
    def _is_no_service_link(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, str) and value.startswith("tcp://"):
            service = "serving" if info.field_name == "port" else "serving-metrics"
            raise ValueError(
                f"Kubernetes sets this for a Service called {service!r}; "
                "set enableServiceLinks: false in the pod, or rename the Service"
            )
        return value


def read_settings(environ: Mapping[str, str] = os.environ) -> ServingSettings:
    """The settings of this process; SettingsError names every mistake at once."""
    # The environment gives what has no default.
    built = build_settings(lambda: ServingSettings(), ServingSettings, PREFIX, environ)  # type: ignore[call-arg]
    if isinstance(built, list):
        raise SettingsError("; ".join(built))
    return built


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the settings reference."""

    variable: str
    default: str
    meaning: str


def reference() -> Iterator[Setting]:
    """Every setting with its default and meaning, for `--help` and the documentation."""
    for path in leaves(ServingSettings):
        kind: type[BaseModel] = Limits if len(path) > 1 else ServingSettings
        field = kind.model_fields[path[-1]]
        default = "required" if field.is_required() else str(field.default if field.default is not None else "not set")
        yield Setting(PREFIX + NESTED.join(path).upper(), default, " ".join((field.description or "").split()))
