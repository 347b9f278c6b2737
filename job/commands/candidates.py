"""Base models that can be had here without a network: in installed packages, and in a registry that is a folder."""

from collections.abc import Iterator
from importlib import metadata
from pathlib import PurePosixPath

from tunewright.job.settings.job import JobSettings
from tunewright.job.tasks import TASKS
from tunewright.registry.errors import RegistryError
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.folder import FolderStore
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.latest import latest_number
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import model_names
from tunewright.serving.bundle.model_file import MODEL_FILE, read_model_file
from tunewright.serving.errors import ServingError

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")


def local_candidates(settings: JobSettings, registry: RegistrySettings) -> list[str]:
    """Addresses of base models of texts: the one in the settings, then packages, then registered versions."""
    found = [settings.base_model, *_in_packages(), *_in_registry(registry)]
    return list(dict.fromkeys(found))


def _in_packages() -> Iterator[str]:
    """Every folder of an installed package that holds weights, a configuration and a tokenizer."""
    for package in metadata.distributions():
        # Most packages have none, and some have ten thousands of files.
        if "tokenizer.json" not in (package.read_text("RECORD") or "tokenizer.json"):
            continue
        folders: dict[PurePosixPath, set[str]] = {}
        for file in package.files or ():
            folders.setdefault(PurePosixPath(file.parent), set()).add(file.name)
        for folder, names in folders.items():
            whole = {"config.json", "tokenizer.json"} <= names and names & set(_WEIGHTS)
            if whole and folder.parts and folder.parts[0].isidentifier():
                yield f"package://{folder}"


def _in_registry(registry: RegistrySettings) -> Iterator[str]:
    """The latest version of each model that reads texts; none of a registry that a network may lie before."""
    store = open_store(registry.uri)
    if not isinstance(store, FolderStore):
        return
    for name in model_names(store):
        address = f"models:/{name}/{latest_number(store, name)}"
        try:
            pulled = pull(store, address, cache=registry.cache, only=lambda path: path == MODEL_FILE)
            task = read_model_file(pulled.folder).task
        except (RegistryError, ServingError):
            # It is tried, and said to be broken, with the others.
            yield address
        else:
            if task in TASKS and not TASKS[task].media:
                yield address
