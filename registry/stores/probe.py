"""Does the store keep the one promise that the registry stands on?

Some S3-compatible servers accept `If-None-Match: *` and overwrite all the same. Two publishers would then both
believe that version 7 is theirs. So before its first write the registry creates one small object twice.
"""

import uuid
from weakref import WeakSet

from tunewright.registry.errors import AddressError, NotFound, UnsafeStore
from tunewright.registry.stores.store import Store

PROBE = "probe/create-only"
_SAFE: WeakSet[Store] = WeakSet()  # the stores that passed; not their addresses, which mean another server tomorrow


def probe(store: Store) -> None:
    """Raise UnsafeStore when a second create of the same object is not refused. Asked once per opened store."""
    if store.single_writer or store in _SAFE:
        return
    # The object stays. Where it is there already, the first create is refused and proves as much.
    if _claims(store) and _claims(store):
        raise UnsafeStore(
            f"{store.uri} ignores conditional writes (If-None-Match: *): two publishers at once would overwrite each "
            "other's versions; use another server, or set REGISTRY_SINGLE_WRITER=true if only one process writes at "
            "a time"
        )
    _SAFE.add(store)


def _claims(store: Store) -> bool:
    try:
        return store.create(PROBE, f"create-only probe {uuid.uuid4().hex}\n".encode())
    except (AddressError, NotFound) as error:
        raise type(error)(f"{store.uri} cannot hold a registry: {error}") from error
