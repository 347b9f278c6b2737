"""The registered version that a measurement of the server is about."""

from tunewright.registry.errors import RegistryError
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions.pull import Pulled, pull


def pulled(reference: str) -> Pulled:
    """All files of a version; SystemExit with one sentence where it is not there, as before the first `make train`."""
    registry = RegistrySettings()
    try:
        return pull(open_store(registry.uri), reference, cache=registry.cache)
    except RegistryError as error:
        raise SystemExit(f"{error}; run `make train` first, or name another version with --model") from None
