"""The base model: found, copied file by file into the cache, and looked at before transformers sees it.

What reaches transformers is a folder of our own making: weights in safetensors, `tokenizer.json`, and a
`config.json` whose keys all passed an allow-list. A configuration can otherwise name code or kernels to fetch
(`auto_map`; `_attn_implementation*`, CVE-2026-4372 for transformers 4.56 to 5.2), and a shard index can point
outside its folder.
"""

import hashlib
import importlib.util
import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tunewright.job.data.faults import shown
from tunewright.job.errors import BaseModelError
from tunewright.job.inside import leaves
from tunewright.job.model.tokenizer import check_tokenizer
from tunewright.job.model.tokenizer_config import applied_tokenizer
from tunewright.registry.address import shown_address
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.transfer.download import download, sha256_of
from tunewright.registry.versions.pull import pull

FILES_OF_ENCODERS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "preprocessor_config.json",
    "chat_template.jinja",
)
"""What says how inputs become numbers."""
_PARSED = ("tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json", "generation_config.json")
_FILES = ("config.json", *FILES_OF_ENCODERS, "generation_config.json", "modules.json")
_ADVICE = {
    "tokenizer.json": "save its tokenizer with transformers' AutoTokenizer(..., use_fast=True).save_pretrained, "
    "which writes one",
    "preprocessor_config.json": "save its processor with transformers' AutoProcessor(...).save_pretrained, "
    "which writes one",
}
_INDEX = "model.safetensors.index.json"
_PICKLES = ("pytorch_model*.bin", "*.pt", "*.pth", "*.ckpt", "tf_model.h5", "*.msgpack", "*.pkl")
_CODE_KEYS = ("auto_map", "trust_remote_code", "custom_pipelines")
_KERNEL_KEYS = ("_attn_implementation", "_experts_implementation", "attn_implementation", "use_kernels")
# Not attributes of a fresh configuration object, yet in most published files.
_COMMON_KEYS = frozenset(
    """architectures model_type torch_dtype dtype transformers_version id2label label2id num_labels problem_type
    pad_token_id bos_token_id eos_token_id sep_token_id cls_token_id classifier_dropout tunewright_pooling
    attention_head_size cls_dropout conv_act conv_groups conv_kernel_size embedding_size max_relative_positions
    norm_rel_ebd position_buckets share_att_key talking_head""".split()
)
"""The last two lines are what the code of DeBERTa looks for in its configuration."""
# Ours to set: they change what a model returns or in which pieces it computes, and not what it has learnt. The
# number of labels follows from their names.
_HOW_TO_RUN = frozenset(
    """return_dict use_return_dict torchscript output_hidden_states output_attentions chunk_size_feed_forward
    pruned_heads num_labels problem_type""".split()
)
_LARGEST = 2**31
_MOST_BYTES = {"tokenizer.json": 64 * 1024 * 1024}
"""Bytes of a file that is read at once: the largest known tokenizer.json has 35 million."""
_MOST_BYTES_BESIDE = 16 * 1024 * 1024
"""Of the others: known are 9 million of an index of shards and 1.2 million of a tokenizer_config.json."""
_MOST = {
    "num_hidden_layers": 200,
    "n_layer": 200,
    "n_layers": 200,
    "hidden_size": 32_768,
    "dim": 32_768,
    "intermediate_size": 262_144,
    "max_position_embeddings": 2_000_000,
    "vocab_size": 2_000_000,
}
"""Sizes above which no encoder is known; a larger number in a file would only exhaust the memory."""


@dataclass(frozen=True)
class BaseModel:
    """A checked copy of a base model."""

    address: str
    """What the settings named."""
    folder: Path
    digest: str
    """sha256 over the names and digests of the files that are used."""
    pooling: str
    """What it was pretrained with as the vector of a text: mean, cls (its first token), ...; empty where it does not
    say."""
    dropped: tuple[str, ...]
    """Keys of its configuration that are not on the allow-list and were left out."""
    cache: Path
    """Where verdicts on its programs are kept."""

    @property
    def mean_pooling(self) -> bool:
        """Whether it was pretrained with the mean over its tokens as the vector of a text."""
        return self.pooling == "mean"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer that training and serving share."""
        return self.folder / "tokenizer.json"

    def preprocessing(self) -> dict[str, object]:
        """How the base model's processor prepares images or audio; empty for a model of texts."""
        path = self.folder / "preprocessor_config.json"
        return _read_json(path, self.address) if path.is_file() else {}

    def config(self) -> dict[str, object]:
        """The configuration as it passed the allow-list."""
        return dict(json.loads((self.folder / "config.json").read_text()))


def fetch_base_model(address: str, registry: RegistrySettings, needs: Sequence[str] = ("tokenizer.json",)) -> BaseModel:
    """Find, check and copy a base model. BaseModelError says what is missing or not allowed.

    `needs`: files that the task cannot do without, such as `preprocessor_config.json`.
    """
    found = _find(address, registry)
    address = shown_address(address)
    _refuse_strange_files(found, address)
    config = _read_json(found / "config.json", address)
    _refuse_code(config, address)
    weights = _weight_files(found, address)
    for name in needs:
        if not (found / name).is_file():
            raise BaseModelError(f"base model {address!r} has no {name} (it has {_names(found)}); {_ADVICE[name]}")
    allowed, dropped = _allowed(config, address)
    made = {"config.json": json.dumps(allowed, indent=2).encode()}
    if (found / "tokenizer.json").is_file():
        made |= _tokenizer(found, allowed, address, registry.cache)
    files = [*weights, *(name for name in _FILES[1:] if (found / name).is_file() and name not in made)]
    digests = {name: sha256_of(found / name) for name in files}
    digests |= {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}
    folder, digest = _copy(found, made, digests, registry.cache / "base"), _digest(digests)
    return BaseModel(
        address, folder, f"sha256:{digest}", _pretrained_pooling(found, allowed), tuple(dropped), registry.cache
    )


def _tokenizer(found: Path, config: dict[str, object], address: str, cache: Path) -> dict[str, bytes]:
    """Check the tokenizer, and what transformers makes of it; the latter where it is another one."""
    check_tokenizer(found / "tokenizer.json", config, address, cache)
    applied = applied_tokenizer(found, config)
    if applied is None:
        return {}
    with tempfile.TemporaryDirectory() as work:
        path = Path(work) / "tokenizer.json"
        path.write_bytes(applied)
        check_tokenizer(path, config, address, cache)
    return {"tokenizer.json": applied}


def _find(address: str, registry: RegistrySettings) -> Path:
    if address.startswith("package://"):
        return _find_package(address)
    if address.startswith("models:/"):
        return _find_version(address, registry)
    if address.startswith("s3://"):
        return _fetch_bucket(address, registry.cache / "base-downloads")
    path = Path(address).expanduser()
    if path.is_dir():
        return path
    if address.startswith((".", "/", "~")) or address.count("/") != 1 or "://" in address:
        raise BaseModelError(
            f"base model {shown_address(address)!r} is not a folder here; "
            "expected a folder, a hub id (org/name), s3://bucket/folder, package://module/folder or models:/name@alias"
        )
    return _fetch_hub(address)


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
        open_store(registry.uri),
        address,
        cache=registry.cache,
        only=lambda path: path.startswith("weights/"),
    )
    return pulled.folder / "weights"


def _fetch_bucket(address: str, cache: Path) -> Path:
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    store = open_store(f"s3://{bucket}", foreign=True)
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    folder = cache / hashlib.sha256(address.encode()).hexdigest()[:32]
    names = [stat.key.removeprefix(prefix) for stat in store.list(prefix)]
    wanted = [name for name in names if _is_wanted(name)]
    if not any(name.endswith(".safetensors") for name in wanted):
        raise _weightless(names, shown_address(address))
    for name in wanted:
        download(store, prefix + name, folder / name)
    # What an earlier job fetched and the bucket no longer has would be taken for a part of the model.
    for left in [path for path in folder.rglob("*") if path.is_file()]:
        if left.suffix in (".json", ".safetensors") and left.relative_to(folder).as_posix() not in wanted:
            left.unlink()
    return folder


def _is_wanted(name: str) -> bool:
    return name in (*_FILES, _INDEX, "1_Pooling/config.json") or ("/" not in name and name.endswith(".safetensors"))


def _fetch_hub(address: str) -> Path:
    # Imported here: it reads its environment when it is imported, and most jobs need no hub.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    name, _, revision = address.partition("@")
    try:
        found = snapshot_download(
            name,
            revision=revision or None,
            allow_patterns=[*_FILES, _INDEX, "*.safetensors", "1_Pooling/config.json"],
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        offline = " (HF_HUB_OFFLINE is set)" if os.environ.get("HF_HUB_OFFLINE") else ""
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BaseModelError(f"base model {address!r} could not be had from the hub{offline}: {first}") from error
    return Path(found)


def _read_json(path: Path, address: str) -> dict[str, object]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise BaseModelError(f"base model {address!r} has no {path.name} (it has {_names(path.parent)})") from None
    except (ValueError, RecursionError) as error:
        raise BaseModelError(f"base model {address!r}: {path.name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BaseModelError(f"base model {address!r}: {path.name} holds a {type(value).__name__}, not an object")
    return value


def _refuse_strange_files(found: Path, address: str) -> None:
    """Every file that is read or copied is a plain file of the folder, and what must fit the memory does."""
    beside = sorted(found.iterdir()) if found.is_dir() else []
    for path in [*beside, found / "1_Pooling" / "config.json"]:
        name = path.relative_to(found).as_posix()
        if not _is_wanted(name) or not os.path.lexists(path):
            continue
        if leaves(found, path):
            raise BaseModelError(
                f"base model {address!r}: {name} is a link to a file outside the folder; put the file itself there"
            )
        if not path.is_file():
            raise BaseModelError(f"base model {address!r}: {name} is not a plain file")
        size, most = path.stat().st_size, _MOST_BYTES.get(name, _MOST_BYTES_BESIDE)
        if not name.endswith(".safetensors") and size > most:
            raise BaseModelError(f"base model {address!r}: {name} holds {size:,} bytes, at most {most:,} are read")
        if name in _PARSED:
            _read_json(path, address)


def _names(folder: Path) -> str:
    return _shown(sorted(path.name for path in folder.iterdir()) if folder.is_dir() else [])


def _shown(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "no files"


def _refuse_code(config: dict[str, object], address: str, place: str = "config.json") -> None:
    for key, value in config.items():
        if key in _CODE_KEYS:
            raise BaseModelError(
                f"base model {address!r}: {place} sets {key!r}, which makes a loader run code from the model; "
                "only architectures that transformers itself knows are supported"
            )
        if key.startswith(_KERNEL_KEYS) and _names_kernel(value):
            raise BaseModelError(
                f"base model {address!r}: {place} sets {key!r} to {value!r}, which makes a loader fetch a kernel; "
                "remove the key from the file"
            )
        for inner in value if isinstance(value, list) else [value]:
            if isinstance(inner, dict):
                _refuse_code(inner, address, f"{place}, {key}")


def _names_kernel(value: object) -> bool:
    """transformers' own attention names ("eager", "sdpa", ...) only select; they are left out, not refused."""
    return not (value is None or value in (True, False, "eager", "sdpa", "flash_attention_2", "flex_attention"))


def _weight_files(found: Path, address: str) -> list[str]:
    if (found / _INDEX).is_file():
        shards = _read_json(found / _INDEX, address).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise BaseModelError(f"base model {address!r}: {_INDEX} names no weights (weight_map)")
        listed = list(shards.values())
        for name in listed:
            if not isinstance(name, str) or PurePosixPath(name).name != name or not name.endswith(".safetensors"):
                raise BaseModelError(f"base model {address!r}: {_INDEX} names {name!r}, which is not a file beside it")
            if not (found / name).is_file():
                raise BaseModelError(f"base model {address!r}: {_INDEX} names {name}, which is not there")
        return [_INDEX, *sorted(set(listed))]
    if (found / "model.safetensors").is_file():
        return ["model.safetensors"]
    raise _weightless(sorted(path.name for path in found.iterdir()), address)


def _weightless(names: list[str], address: str) -> BaseModelError:
    pickles = [name for name in names if any(fnmatch(name, pattern) for pattern in _PICKLES)]
    if pickles:
        return BaseModelError(
            f"base model {address!r} has its weights only as {pickles[0]}, a format that can run code when it is read; "
            "convert it to model.safetensors (transformers: save_pretrained(..., safe_serialization=True))"
        )
    return BaseModelError(
        f"base model {address!r} has no model.safetensors, the only weights that are read (it has {_shown(names)})"
    )


def _allowed(config: dict[str, object], address: str) -> tuple[dict[str, object], list[str]]:
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        raise BaseModelError(
            f"base model {address!r}: config.json has model_type {kind!r}, which this transformers does not know"
        )
    # Some architectures also read the usual names of their own settings (hidden_size for dim).
    known = {*vars(CONFIG_MAPPING[kind]()), *CONFIG_MAPPING[kind].attribute_map, *_COMMON_KEYS}
    allowed = {key: value for key, value in _own(config).items() if key in known and not key.startswith("_")}
    for key, value in allowed.items():
        for inner, one in _numbers(key, value):
            _check_number(inner, one, address)
    return allowed, sorted(set(config) - set(allowed))


def _own(config: dict[str, object]) -> dict[str, object]:
    """A configuration, and those inside it, without what says how to run a model rather than what it is."""
    kept = {key: value for key, value in config.items() if key not in _HOW_TO_RUN}
    return {
        key: _own(value) if key.endswith("_config") and isinstance(value, dict) else value
        for key, value in kept.items()
    }


def _numbers(key: str, value: object) -> Iterator[tuple[str, object]]:
    """Every value of a configuration and of what is in it, with its key."""
    if isinstance(value, dict):
        # The names of labels are their numbers.
        for inner, one in value.items() if key not in ("id2label", "label2id") else ():
            yield from _numbers(inner, one)
    elif isinstance(value, list):
        for one in value:
            yield from _numbers("" if key in _MOST else key, one)
    else:
        yield key, value


def _check_number(key: str, value: object, address: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise BaseModelError(f"base model {address!r}: config.json sets {key} to {value}, which is not a finite number")
    if key not in _MOST and type(value) is int and abs(value) > _LARGEST:
        raise BaseModelError(f"base model {address!r}: config.json sets {key} to {shown(value)}, which no model has")
    most = _MOST.get(key)
    if most is not None and value is not None and not (isinstance(value, int) and 0 < value <= most):
        raise BaseModelError(
            f"base model {address!r}: config.json sets {key} to {shown(value)}, "
            f"which is not a whole number from 1 to {most:,}"
        )


def _pretrained_pooling(found: Path, config: dict[str, object]) -> str:
    if "tunewright_pooling" in config:
        return str(config["tunewright_pooling"])
    try:
        stated = json.loads((found / "1_Pooling" / "config.json").read_text())
    except (OSError, ValueError, RecursionError):
        return ""
    if not isinstance(stated, dict):
        return ""
    # sentence-transformers once wrote a flag for each kind, and now writes the word or a list of words.
    prefix = "pooling_mode_"
    kinds = [name.removeprefix(prefix) for name in stated if name.startswith(prefix) and stated[name] is True]
    named = stated.get("pooling_mode", kinds)
    words = named if isinstance(named, list) else [named]
    return "+".join(str(word).removesuffix("_tokens").removesuffix("_token") for word in words)


def _digest(digests: dict[str, str]) -> str:
    lines = [f"{name} {sha256}" for name, sha256 in sorted(digests.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _is_copy(folder: Path, digests: dict[str, str]) -> bool:
    """Whether an earlier job left these very files there, and nobody has damaged them since."""
    try:
        return all(sha256_of(folder / name) == sha256 for name, sha256 in digests.items())
    except OSError:
        return False


def _copy(found: Path, made: dict[str, bytes], digests: dict[str, str], cache: Path) -> Path:
    """The files under their digest, those that were `made` instead of those found; written beside it first, so that a
    folder of that name is always whole."""
    folder = cache / _digest(digests)[:32]
    if _is_copy(folder, digests):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True, exist_ok=True)
    try:
        for name in digests:
            if name in made:
                (part / name).write_bytes(made[name])
            else:
                # A copy, not a link: the original may be changed in place by its owner.
                shutil.copyfile(found / name, part / name)
        part.rename(folder)
    except OSError as error:
        # Another job may have been faster.
        if _is_copy(folder, digests):
            return folder
        raise BaseModelError(f"the base model cannot be copied to {folder}: {error.strerror}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder
