"""Which entries about yanks count for this program."""

from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store
from tunewright.registry.versions.latest import Counts


def signed_yanks(store: Store) -> Counts:
    """Those that a trusted key has signed, where keys are named; of the others it is warned. Raises SettingsError."""
    settings = RegistrySettings()
    if not settings.trusted_keys:
        return None
    # A list takes half as long again with what signatures need.
    from tunewright.registry.trust.trust import open_trust

    return open_trust(settings).counts(store)
