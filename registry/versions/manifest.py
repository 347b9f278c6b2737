"""The manifest: which files a version consists of, as an OCI image manifest of the CNCF ModelPack kind.

The same bytes can be pushed to any OCI registry and keep their digest. What the formats ask for:
OCI image-spec 1.1 (manifest.md) and ModelPack model-spec (docs/spec.md, docs/config.md, docs/annotations.md).
ModelPack's configuration admits no keys of others, so the caller's own description of the model is an annotation.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tunewright.registry.errors import BadReference, CorruptObject, NotFound
from tunewright.registry.versions.document import canonical, wrong
from tunewright.registry.versions.document import parse as parse_json
from tunewright.registry.versions.layout import Digest

MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"
CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
PATH_KEY = "org.cncf.model.filepath"
CONFIG_KEY = "org.tunewright.config"

LARGEST = 4 * 1024 * 1024  # bytes: OCI registries must accept manifests up to this size
_MOST_FILES = 4096
_WEIGHTS = (".onnx", ".onnx_data", ".data", ".safetensors", ".bin", ".gguf")
_DOCS = (".md", ".html", ".txt", ".pdf", ".png", ".svg")


@dataclass(frozen=True)
class Layer:
    """One file of a version."""

    path: str  # relative, parts joined by /
    digest: str  # sha256:...
    size: int  # bytes
    media_type: str


@dataclass(frozen=True)
class Manifest:
    """The files of a version and what its publisher said about the model."""

    layers: tuple[Layer, ...]  # sorted by path
    config: Mapping[str, Any]
    config_digest: str  # of the ModelPack configuration, a blob of its own
    config_size: int

    @property
    def size(self) -> int:
        """Bytes of all files together."""
        return sum(layer.size for layer in self.layers)

    def require_variant(self, variant: str, what: object) -> None:
        """NotFound, with those that it has, for a variant of the graph that is not among the files. `what`: what it is
        a variant of, as people say it."""
        have = sorted({layer.path.split("/")[1] for layer in self.layers if layer.path.startswith("onnx/")})
        if variant not in have:
            raise NotFound(f"{what} has no variant {variant!r}; it has {', '.join(have) or 'none'}")


def build(files: Sequence[Layer], config: Mapping[str, object]) -> bytes:
    """The manifest of these files: the same files and config give the same bytes. Raises BadReference."""
    layers = sorted(files, key=lambda layer: layer.path)
    _check_paths([layer.path for layer in layers])
    blob = config_blob(layers)
    data = canonical(
        {
            "schemaVersion": 2,
            "mediaType": MEDIA_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": descriptor(CONFIG_TYPE, digest_of(blob), len(blob)),
            "layers": [
                descriptor(layer.media_type, layer.digest, layer.size) | {"annotations": {PATH_KEY: layer.path}}
                for layer in layers
            ],
            "annotations": {CONFIG_KEY: _config_text(config)},
        }
    )
    if len(data) > LARGEST:
        raise BadReference(f"the manifest would hold {len(data)} bytes, at most {LARGEST} are allowed; shorten config")
    return data


def descriptor(media_type: str, digest: str, size: int) -> dict[str, object]:
    """How a manifest names a blob (OCI image-spec, descriptor.md)."""
    return {"mediaType": media_type, "digest": digest, "size": size}


def config_blob(layers: Sequence[Layer]) -> bytes:
    """ModelPack's configuration of these files; its diffIds are the digests, as no layer is compressed."""
    ordered = sorted(layers, key=lambda layer: layer.path)
    onnx = any(layer.path.endswith(".onnx") for layer in ordered)
    return canonical(
        {
            "descriptor": {},
            "config": {"format": "onnx"} if onnx else {},
            "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in ordered]},
        }
    )


def parse(data: bytes, name: str = "the manifest") -> Manifest:
    """The manifest in these bytes. Raises CorruptObject for anything that does not belong in one."""
    if len(data) > LARGEST:
        raise CorruptObject(f"{name} holds {len(data)} bytes; at most {LARGEST} are allowed")
    fields = parse_json(data, name)
    try:
        return _manifest(_Document.model_validate(fields))
    except ValidationError as error:
        raise CorruptObject(f"{name} is not acceptable: {wrong(error)}") from None
    except (BadReference, CorruptObject) as error:
        raise CorruptObject(f"{name} is not acceptable: {error}") from None


def digest_of(data: bytes) -> str:
    """sha256:..."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def media_type_of(path: str) -> str:
    """The ModelPack layer type for a file, picked by its path."""
    suffix = PurePosixPath(path).suffix.lower()
    if suffix in _WEIGHTS:
        kind = "weight"
    elif suffix in _DOCS or path.startswith("report/"):
        kind = "doc"
    else:
        kind = "weight.config"
    return f"application/vnd.cncf.model.{kind}.v1.raw"


def check_path(path: str) -> str:
    """The path of a file in a version, which may not leave its folder. Raises BadReference."""
    parts = path.split("/")
    bad = any(part in ("", ".", "..") or part.endswith((" ", ".")) for part in parts)
    # Backslashes and colons mean something on other systems; control characters mean mischief on all.
    if bad or len(path.encode(errors="replace")) > 512 or any(ord(c) < 32 or c in '\\:"<>|?*\x7f' for c in path):
        raise BadReference(
            f"{path!r} is not a usable file path; expected plain relative parts, as in 'onnx/fp32/model.onnx'"
        )
    return path


class _Strict(BaseModel):
    """A part of the document; what the formats allow others to add is passed over."""

    model_config = ConfigDict(extra="ignore", strict=True)


class _Descriptor(_Strict):
    """An OCI descriptor."""

    mediaType: Annotated[str, Field(min_length=1, max_length=255)]
    digest: Digest
    size: Annotated[int, Field(ge=0, lt=1 << 50)]
    annotations: dict[str, str] = {}


class _Document(_Strict):
    """An OCI image manifest of the ModelPack kind."""

    schemaVersion: Literal[2]
    mediaType: Literal["application/vnd.oci.image.manifest.v1+json"]
    artifactType: Literal["application/vnd.cncf.model.manifest.v1+json"]
    config: _Descriptor
    layers: list[_Descriptor]
    annotations: dict[str, str] = {}


def _manifest(document: _Document) -> Manifest:
    layers = tuple(_layer(entry) for entry in document.layers)
    _check_paths([layer.path for layer in layers])
    text = document.annotations.get(CONFIG_KEY, "{}")
    return Manifest(
        layers=tuple(sorted(layers, key=lambda layer: layer.path)),
        config=parse_json(text.encode(), "its description of the model"),
        config_digest=document.config.digest,
        config_size=document.config.size,
    )


def _layer(entry: _Descriptor) -> Layer:
    path = entry.annotations.get(PATH_KEY)
    if path is None:
        raise CorruptObject(f"the layer {entry.digest} has no annotation {PATH_KEY}")
    return Layer(path, entry.digest, entry.size, entry.mediaType)


def _check_paths(paths: Sequence[str]) -> None:
    """Paths that are one file, or a file and a folder, on some file system may not stand together."""
    if not 0 < len(paths) <= _MOST_FILES:
        raise BadReference(f"a version has 1 to {_MOST_FILES} files, not {len(paths)}")
    seen: dict[str, str] = {}
    for path in paths:
        folded = check_path(path).casefold()
        if folded in seen:
            raise BadReference(f"{path!r} and {seen[folded]!r} are the same file on some systems; rename one")
        seen[folded] = path
    for path in paths:
        for parent in PurePosixPath(path.casefold()).parents:
            if str(parent) in seen:
                raise BadReference(f"{seen[str(parent)]!r} cannot be a file and the folder of {path!r}; rename one")


def _config_text(config: Mapping[str, object]) -> str:
    try:
        return canonical(config).decode()
    except (TypeError, ValueError) as error:
        raise BadReference(f"config cannot be written as JSON: {error}") from None
