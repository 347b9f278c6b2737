"""The base model: found, copied file by file into the cache, and looked at before transformers sees it.

What reaches transformers is a folder of our own making: weights in safetensors, `tokenizer.json`, and a
`config.json` whose keys all passed an allow-list. A configuration can otherwise name code or kernels to fetch
(`auto_map`; `_attn_implementation*`, CVE-2026-4372 for transformers 4.56 to 5.2), and a shard index can point
outside its folder.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from tunewright.job.errors import BaseModelError
from tunewright.job.inside import leaves
from tunewright.job.licence import licence_of
from tunewright.job.model.configuration import allowed_keys, refuse_code
from tunewright.job.model.find import FILES, GRAPHS, INDEX, find, is_fetched, is_wanted, shown_names, weightless
from tunewright.job.model.tokenizer import check_tokenizer
from tunewright.job.model.tokenizer_config import applied_tokenizer
from tunewright.job.relay import once, shared_folder
from tunewright.registry.address import shown_address
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.transfer.download import sha256_of

_PARSED = ("tokenizer_config.json", "special_tokens_map.json", "preprocessor_config.json", "generation_config.json")
_ADVICE = {
    "tokenizer.json": "save its tokenizer with transformers' AutoTokenizer(..., use_fast=True).save_pretrained, "
    "which writes one",
    "preprocessor_config.json": "save its processor with transformers' AutoProcessor(...).save_pretrained, "
    "which writes one",
}
_MOST_BYTES = {"tokenizer.json": 64 * 1024 * 1024}
"""Bytes of a file that is read at once: the largest known tokenizer.json has 35 million."""
_MOST_BYTES_BESIDE = 16 * 1024 * 1024
"""Of the others: known are 9 million of an index of shards and 1.2 million of a tokenizer_config.json."""

Held = Callable[[Path, str], list[str]]
"""The folder of a model as it was found, and its address, to the paths in it of the files that hold the model."""


@dataclass(frozen=True)
class BaseCheckpoint:
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
    licence: str | None = None
    """What its card says; None where it says nothing."""
    finished: bool = False
    """Whether it is taken as it is, its head with it: then nothing in it may be new."""
    graph: Path | None = None
    """The ONNX graph that stands in the place of weights, with `logits` alone; None where there are weights."""

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


def weight_files(found: Path, address: str) -> list[str]:
    """The files that hold the weights of a model, by their paths in its folder; BaseModelError where there are none."""
    if (found / INDEX).is_file():
        shards = _read_json(found / INDEX, address).get("weight_map")
        if not isinstance(shards, dict) or not shards:
            raise BaseModelError(f"base model {address!r}: {INDEX} names no weights (weight_map)")
        listed = list(shards.values())
        for name in listed:
            if not isinstance(name, str) or PurePosixPath(name).name != name or not name.endswith(".safetensors"):
                raise BaseModelError(f"base model {address!r}: {INDEX} names {name!r}, which is not a file beside it")
            if not (found / name).is_file():
                raise BaseModelError(f"base model {address!r}: {INDEX} names {name}, which is not there")
        return [INDEX, *sorted(set(listed))]
    if (found / "model.safetensors").is_file():
        return ["model.safetensors"]
    graphs = [name for name in GRAPHS if (found / name).is_file()]
    raise weightless([*sorted(path.name for path in found.iterdir()), *graphs], address)


def fetch_base_model(
    address: str,
    registry: RegistrySettings,
    needs: Sequence[str] = ("tokenizer.json",),
    *,
    found: Path | None = None,
    held: Held = weight_files,
) -> BaseCheckpoint:
    """Find, check and copy a base model. BaseModelError says what is missing or not allowed.

    `needs`: files that the task cannot do without, such as `preprocessor_config.json`. `found`: its folder, where that
    was looked for already. `held`: tells which files hold the model itself.
    """
    found = found or find(address, registry)
    if not is_fetched(address):
        return _checked(address, registry, needs, found, held)
    base = once(f"base model {shown_address(address)!r}", lambda: _checked(address, registry, needs, found, held))
    return replace(base, folder=shared_folder(base.folder), cache=registry.cache)


def _checked(address: str, registry: RegistrySettings, needs: Sequence[str], found: Path, held: Held) -> BaseCheckpoint:
    address = shown_address(address)
    _refuse_strange_files(found, address)
    config = _read_json(found / "config.json", address)
    refuse_code(config, address)
    weights = held(found, address)
    for name in needs:
        if not (found / name).is_file():
            raise BaseModelError(f"base model {address!r} has no {name} (it has {_names(found)}); {_ADVICE[name]}")
    allowed, dropped = allowed_keys(config, address)
    made = {"config.json": json.dumps(allowed, indent=2).encode()}
    if (found / "tokenizer.json").is_file():
        made |= _tokenizer(found, allowed, address, registry.cache)
    files = [*weights, *(name for name in FILES[1:] if (found / name).is_file() and name not in made)]
    digests = {name: sha256_of(found / name) for name in files}
    digests |= {name: hashlib.sha256(data).hexdigest() for name, data in made.items()}
    folder, digest = _copy(found, made, digests, registry.cache / "base"), _digest(digests)
    return BaseCheckpoint(
        address,
        folder,
        f"sha256:{digest}",
        _pretrained_pooling(found, allowed),
        tuple(dropped),
        registry.cache,
        licence_of(found),
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


def _read_json(path: Path, address: str) -> dict[str, object]:
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        is_version = (path.parent / "model.json").is_file()
        told = "; a folder that `pull` made is named as its version, models:/name/7" if is_version else ""
        raise BaseModelError(
            f"base model {address!r} has no {path.name} (it has {_names(path.parent)}){told}"
        ) from None
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
        if not is_wanted(name) or not os.path.lexists(path):
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
    return shown_names(sorted(path.name for path in folder.iterdir()) if folder.is_dir() else [])


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
                (part / name).parent.mkdir(exist_ok=True)
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
