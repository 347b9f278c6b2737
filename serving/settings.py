"""The server's settings: read once, from the environment, with all mistakes reported together."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tunewright.registry.variables import NESTED, build_settings, leaves
from tunewright.serving.errors import SettingsError
from tunewright.serving.meanings import described
from tunewright.serving.runtime.capacity import TOKENS_PER_RUN, Provider

PREFIX = "SERVING_"
_PERCENT = re.compile(r"(100|[0-9]{1,2})([.][0-9]{1,3})?")
_ORIGIN = re.compile(r"\*|https?://[A-Za-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?")


class Limits(BaseModel):
    """What one request, and all of them together, may cost."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

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
    explain_rows: int = Field(default=512, ge=4, le=1_000_000)
    """Most rows that the model runs for one request of explanations; a larger budget is refused with 422."""
    characters: int = Field(default=100_000, ge=1, le=100_000_000)
    """Longest text in characters; a longer one is refused with 413, one within the limit is cut to the model's
    tokens."""
    media_bytes: int = Field(default=256 << 20, ge=1 << 20, le=1 << 40)
    """Memory that the images or recordings of one request may unfold into, in bytes, and four times what a single one
    may; told from the headers of the files, before any is decoded, and refused with 413."""
    requests: int = Field(default=256, ge=1, le=10_000)
    """Requests that have arrived and wait or are being answered at the same time; one more is refused with 429 and the
    seconds to wait."""
    queue_seconds: float = Field(default=0.75, gt=0, le=3600)
    """Seconds that a request may have to wait for others, as estimated; where it is more it is refused with 429 and the
    seconds to wait. For 128 others it may always wait, but never for more than half of the deadline."""
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


class StepBack(BaseModel):
    """When a canary has to leave all requests to the version before it again."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    requests: int = Field(default=50, ge=1, le=500)
    """Requests (or comparisons) of the canary before it is judged."""
    errors: float = Field(default=0.02, ge=0, le=1)
    """Share of its latest requests that may end in a 5xx beyond the share of the others."""
    latency: float = Field(default=2.0, ge=1)
    """Times as long as the others' its answers may take, each at the 95th percentile."""
    disagreement: float = Field(default=0.2, ge=0, le=1)
    """Share of its answers that may come to something else than those of the version it is to replace."""


class FeedbackSettings(BaseModel):
    """What is kept of the requests that were answered."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    uri: str | None = Field(default=None, min_length=1)
    """Where counts of what was met go, for `tunewright drift`, and samples: s3://bucket/prefix or a folder. When not
    set nothing is kept."""
    share: float = Field(default=0.0, ge=0, le=1)
    """Share of the requests whose inputs and answers are kept too, redacted; files never are."""
    seconds: float = Field(default=300.0, ge=1, le=86400)
    """Between two writes: one object of counts and one of samples."""
    redact: str = "email,number"
    """What is taken out of the texts of samples, separated by commas: email, url, number (of seven digits and more),
    digits, and what packages bring under the entry points tunewright.redactors. Empty: nothing is."""


class ServingSettings(BaseSettings):
    """Everything the server can be told; each field is the variable SERVING_<NAME>."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
    )

    model: str = Field(min_length=1)
    """What to serve: reviews@production, reviews:7, reviews@sha256:..., or reviews for the latest; or the folder of a
    version, ./reviews or /models, for which no registry is asked, and reviews=/models to name it. Several models are
    separated by blanks, of which the path of a folder may have some too; the first one answers requests that name
    none."""
    wait: bool = False
    """Whether to wait, alive and not ready, for the first version of a model that nobody has registered yet, and for a
    registry that does not answer: in a cluster, where to be started again brings neither. When not set the start ends
    and tells what there is instead, as befits a name that is mistyped."""
    poll_seconds: float = Field(default=10.0, ge=0, le=86400, allow_inf_nan=False)
    """Seconds between two looks at whether an alias, or the latest version, has moved, a fifth more or less; 0: never.
    A look costs a small request, of an alias two."""
    memory_bytes: int | None = Field(default=None, ge=1 << 20, le=1 << 50)
    """Memory that all models may take together, as their trials have measured it. Those longest not asked go out of
    memory, and come back when they are asked. When not set all stay."""
    canary: str = ""
    """A second version that answers a share of a model's requests, and the percentage: reviews:8=10. An alias is
    followed (reviews@candidate=10). For several models separated by blanks. Of other models those that `tunewright
    canary` names are taken."""
    shadow: str = ""
    """A second version that is asked what a model is asked, and answers nobody: reviews:8, or reviews:8=20 for a
    percentage of the requests."""
    shadow_texts: bool = False
    """Keep texts with the examples of answers that differ, in memory and in GET /models; else their digests alone."""
    step_back: StepBack = StepBack()
    """Bounds of a canary, see below."""
    feedback: FeedbackSettings = FeedbackSettings()
    """Counts and samples of requests, see below."""
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
    provider: Provider = "cpu"
    """What computes: cpu, or cuda for an NVIDIA GPU, which needs the image built with PROVIDER=cuda and a variant in
    floating point. A provider whose answers are not those that were recorded at export is refused."""
    tokens_per_run: int = Field(default=TOKENS_PER_RUN, ge=1, le=1 << 20)
    """Padded tokens in one run of the model."""
    drain_seconds: float = Field(default=5.0, ge=0, le=3600, allow_inf_nan=False)
    """Seconds between SIGTERM and the end of listening: /readyz says 503 while requests are still answered, so that
    a load balancer looks elsewhere first."""
    report: bool = False
    """Whether the page shows the report of each version too, which holds some of its test rows: whoever may ask the
    server can read them."""
    access_log: bool = False
    """Whether each request gets a line in the log: its id, who asked what, how it ended and how long it took, never its
    texts. Probes and scrapes get none while all is well."""
    keys: SecretStr | None = None
    """Who may ask: `name: secret`, divided by commas or lines. Callers send the secret as `Authorization: Bearer` or as
    `x-api-key`; probes and /metrics need none. The file of SERVING_KEYS_FILE is better hidden."""
    keys_file: Path | None = None
    """The same in a file, one a line. It is read again when it has changed."""
    tls_certificate: Path | None = None
    """A PEM file: the server speaks HTTPS. A certificate that is replaced holds from the next connection on."""
    tls_key: Path | None = None
    """The PEM file of its key, without a password; when not set it is in the file of the certificate."""
    origins: str | None = None
    """Pages of other origins that may ask from a browser (CORS), divided by commas, such as https://app.example.com;
    * for all. When not set none may."""
    compress: bool = True
    """Whether replies over 1 KiB are sent in gzip to callers who accept it; streams never are."""
    limits: Limits = Limits()
    """Bounds, see below."""

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.metrics_port and self.metrics_port == self.port:
            raise ValueError(f"metrics_port is {self.metrics_port}, which is port; choose another one, or leave it out")
        return self

    @field_validator("canary", "shadow")
    @classmethod
    def _is_shares(cls, value: str, info: ValidationInfo) -> str:
        for word in _words(value):
            _, equals, percent = word.partition("=")
            if (not equals and info.field_name == "canary") or (equals and not _PERCENT.fullmatch(percent)):
                raise ValueError(f"{word!r} is no reference with a percentage from 0 to 100, such as reviews:8=10")
        return value

    @property
    def references(self) -> list[str]:
        """What to serve."""
        return _words(self.model)

    @property
    def canaries(self) -> list[tuple[str, float]]:
        """References, and the percentage of the requests that each of them answers."""
        return _shares(self.canary)

    @property
    def shadows(self) -> list[tuple[str, float]]:
        """References, and the percentage of the requests that each of them is asked too."""
        return _shares(self.shadow)

    @model_validator(mode="after")
    def _a_key_has_its_certificate(self) -> Self:
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key is set without tls_certificate; set both, or leave both out")
        return self

    @field_validator("origins")
    @classmethod
    def _are_origins(cls, value: str | None) -> str | None:
        for origin in (value or "").split(",") if value else ():
            if not _ORIGIN.fullmatch(origin.strip()):
                raise ValueError(f"{origin.strip()!r} is no origin; write one like https://app.example.com, or *")
        return value

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


def _words(value: str) -> list[str]:
    """What is separated by blanks; a folder that is there is taken whole, blanks in its path or not."""
    words, found = re.split(r"(\s+)", value.strip()), []
    while words:
        ends = (end for end in range(len(words), 1, -2) if _is_folder_there("".join(words[:end])))
        end = next(ends, 1)
        found.append("".join(words[:end]))
        words = words[end + 1 :]
    return [word for word in found if word]


def _is_folder_there(word: str) -> bool:
    """Whether it is a path, `NAME=PATH` or `PATH=PERCENTAGE`, and the folder is there."""
    name, _, named = word.partition("=")
    shared, _, percent = word.rpartition("=")
    parts = [word, *([] if re.search(r"\s", name) else [named]), *([shared] if _PERCENT.fullmatch(percent) else [])]
    with suppress(OSError, ValueError, RuntimeError):  # it is too long for a path, or of a user whom nobody knows
        return any("/" in part and Path(part).expanduser().is_dir() for part in parts)
    return False


def _shares(value: str) -> list[tuple[str, float]]:
    words = [word.partition("=") for word in _words(value)]
    return [(reference, float(percent or 100)) for reference, _, percent in words]


def read_settings(environ: Mapping[str, str] = os.environ) -> ServingSettings:
    """The settings of this process; SettingsError names every mistake at once."""
    # The environment gives what has no default.
    built = build_settings(lambda: ServingSettings(), ServingSettings, PREFIX, environ)  # type: ignore[call-arg]
    if isinstance(built, list):
        raise SettingsError("; ".join(built))
    return built


_GROUPS: dict[str, type[BaseModel]] = {"limits": Limits, "step_back": StepBack, "feedback": FeedbackSettings}


@dataclass(frozen=True, slots=True)
class Setting:
    """One line of the settings reference."""

    variable: str
    default: str
    meaning: str


def reference() -> Iterator[Setting]:
    """Every setting with its default and meaning, for `--help` and the documentation."""
    for path in leaves(described(ServingSettings)):
        kind: type[BaseModel] = _GROUPS[path[0]] if len(path) > 1 else ServingSettings
        field = kind.model_fields[path[-1]]
        default = (
            "required" if field.is_required() else str("not set" if field.default in (None, "") else field.default)
        )
        yield Setting(PREFIX + NESTED.join(path).upper(), default, " ".join((field.description or "").split()))
