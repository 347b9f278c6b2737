"""Where a base model lies: a folder, an installed package, a version of the registry, a bucket, the hub."""

import hashlib
import importlib.util
import os
import sys
from fnmatch import fnmatch
from pathlib import Path

from tunewright.job.errors import BaseModelError, first_line
from tunewright.job.hub import refusal
from tunewright.job.licence import CARD, LINEAGE
from tunewright.job.relay import once
from tunewright.registry.address import shown_address
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.transfer.download import download
from tunewright.registry.trust.trust import trusted
from tunewright.registry.versions.pull import pull

FILES_OF_ENCODERS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "preprocessor_config.json",
    "chat_template.jinja",
)
"""What says how inputs become numbers."""
FILES = ("config.json", *FILES_OF_ENCODERS, "generation_config.json", "modules.json")
INDEX = "model.safetensors.index.json"
GRAPHS = ("model.onnx", "onnx/model.onnx")
"""Where a model lies that is given as a graph: as optimum writes it, and as the hub has it."""
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "tf_model.h5", "*.msgpack", "*.pkl")


def find(address: str, registry: RegistrySettings, *, graphs: bool = False) -> Path:
    """The folder of a base model, fetched where it is not here; BaseModelError where there is none. `graphs`: whether a
    graph may stand for the weights where there are none."""
    if address.startswith("package://"):
        return _find_package(address)
    if is_fetched(address):
        return once(f"the folder of base model {shown_address(address)!r}", lambda: _fetched(address, registry, graphs))
    path = Path(address).expanduser()
    if path.is_dir():
        return path
    raise BaseModelError(
        f"base model {shown_address(address)!r} is not a folder here; "
        "expected a folder, a hub id (org/name), s3://bucket/folder, package://module/folder or models:/name@alias"
    )


def is_fetched(address: str) -> bool:
    """Whether a base model lies elsewhere: in the registry, a bucket or the hub."""
    if address.startswith(("models:/", "s3://")):
        return True
    is_path = address.startswith((".", "/", "~")) or address.count("/") != 1 or "://" in address
    return not is_path and not Path(address).is_dir()


def _fetched(address: str, registry: RegistrySettings, graphs: bool) -> Path:
    if address.startswith("models:/"):
        return _find_version(address, registry)
    if address.startswith("s3://"):
        return _fetch_bucket(address, registry.cache / "base-downloads", graphs)
    return _fetch_hub(address, graphs)


def _find_package(address: str) -> Path:
    module, _, inside = address.removeprefix("package://").partition("/")
    try:
        spec = importlib.util.find_spec(module) if module.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise BaseModelError(f"base model {address!r}: the Python package {module!r} is not installed (pip install it)")
    root = Path(next(iter(spec.submodule_search_locations))).resolve()
    folder = (root / inside).resolve()
    if not folder.is_relative_to(root) or not folder.is_dir():
        raise BaseModelError(f"base model {address!r}: the package has no folder {inside!r}")
    return folder


def _find_version(address: str, registry: RegistrySettings) -> Path:
    pulled = pull(
        *trusted(registry, address),
        cache=registry.cache,
        only=lambda path: path.startswith("weights/") or path == LINEAGE,
    )
    if not (pulled.folder / "weights").is_dir():
        raise BaseModelError(
            f"base model {shown_address(address)!r}: {pulled.version} carries no weights: it was imported as an "
            "ONNX graph, or published as files of others; name the model that it was made of"
        )
    return pulled.folder / "weights"


def _fetch_bucket(address: str, cache: Path, graphs: bool) -> Path:
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    store = open_store(f"s3://{bucket}", foreign=True)
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    folder = cache / hashlib.sha256(address.encode()).hexdigest()[:32]
    names = [stat.key.removeprefix(prefix) for stat in store.list(prefix)]
    wanted = [name for name in names if is_wanted(name) or name == CARD]
    if not any(name.endswith(".safetensors") for name in wanted):
        wanted += [name for name in names if graphs and is_graph(name)]
    if not any(name.endswith(".safetensors") or name in GRAPHS for name in wanted):
        raise weightless(names, shown_address(address))
    for name in wanted:
        download(store, prefix + name, folder / name)
    # What an earlier job fetched and the bucket no longer has would be taken for a part of the model.
    for left in [path for path in folder.rglob("*") if path.is_file()]:
        name = left.relative_to(folder).as_posix()
        if (left.suffix in (".json", ".safetensors", ".md") or is_graph(name)) and name not in wanted:
            left.unlink()
    return folder


def is_wanted(name: str) -> bool:
    """Whether a file of a base model is of use, by its path."""
    return name in (*FILES, INDEX, "1_Pooling/config.json") or ("/" not in name and name.endswith(".safetensors"))


def is_graph(name: str) -> bool:
    """Whether a file is of a graph that may stand for weights, or of those beside it, by its path."""
    return name.removeprefix("onnx/").startswith(GRAPHS[0]) and "/" not in name.removeprefix("onnx/")


def _fetch_hub(address: str, graphs: bool) -> Path:
    # Imported here: it reads its environment when it is imported, and most jobs need no hub.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    name, _, revision = address.partition("@")
    patterns = [*FILES, INDEX, CARD, "*.safetensors", "1_Pooling/config.json"]
    # Of what the network refuses the library makes an HTTP error of its own, and no OSError.
    refused: tuple[type[Exception], ...] = (HFValidationError, *HfHubHTTPError.__bases__)
    try:
        found = snapshot_download(name, revision=revision or None, allow_patterns=patterns)
        if graphs and not any(Path(found).glob("*.safetensors")):
            patterns += [f"{graph}*" for graph in GRAPHS]
            found = snapshot_download(name, revision=revision or None, allow_patterns=patterns)
    except refused as error:
        raise BaseModelError(_refused(address, error)) from error
    return Path(found)


def _refused(address: str, error: Exception) -> str:
    """What the hub refuses, or the network on the way to it, in one sentence."""
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    name, _, revision = address.partition("@")
    what = f"base model {address!r}"
    if told := refusal(what, "model", name, revision, error):
        return told
    said = f"{what} could not be had from the hub"
    if os.environ.get("HF_HUB_OFFLINE"):
        return f"{said} (HF_HUB_OFFLINE is set): {first_line(error)}"
    # What is neither on the disk nor within reach.
    hint = "; look at the network, HTTPS_PROXY and HF_ENDPOINT, or name a folder, s3://bucket/folder or models:/name/7"
    is_away = isinstance(error, LocalEntryNotFoundError) or not isinstance(error, HFValidationError | OSError)
    return f"{said}: {first_line(error).removeprefix('Got: ').removesuffix('.')}{hint if is_away else ''}"


def shown_names(names: list[str]) -> str:
    """The first names of several, for an error."""
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "no files"


def weightless(names: list[str], address: str) -> BaseModelError:
    """The error of a base model without weights that may be read."""
    pickles = [name for name in names if any(fnmatch(name, pattern) for pattern in _PICKLES)]
    if pickles:
        return BaseModelError(
            f"base model {address!r} has its weights only as {pickles[0]}, a format that can run code when it is read; "
            "convert it to model.safetensors (transformers: save_pretrained(..., safe_serialization=True))"
        )
    if any(name in GRAPHS for name in names):
        return BaseModelError(
            f"base model {address!r} is an ONNX graph without model.safetensors, and a graph cannot be taught; name "
            "the weights that it was made of, or register it as it is with `tunewright import`"
        )
    return BaseModelError(
        f"base model {address!r} has no model.safetensors, the only weights that are read (it has {shown_names(names)})"
    )
