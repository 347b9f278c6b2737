"""What can go wrong in a registry. `str(error)` is the sentence a person reads.

RegistryError
├── AddressError     the address of a store (REGISTRY_URI, an endpoint, a key) makes no sense
├── SettingsError    a variable (REGISTRY_*, AWS_*) is unknown or has an impossible value
├── BadReference     a reference, model name, alias, run id or file path is malformed
├── NotFound         the bucket, object, model, version or alias is not there
├── AccessDenied     credentials are missing or wrong, or do not allow this
├── Unreachable      no usable answer: network, TLS, time-out, server errors after every retry
├── UnsafeStore      the store does not keep a promise that the registry stands on
├── Untrusted        it is not signed by a key that is trusted here
├── CorruptObject    bytes are not what their digest or their format says
├── Conflict         somebody else changed it in the meantime, or the change would undo theirs
│   └── Overtaken    what was decided by is not so any more: deciding anew helps
└── NoSpace          the local disk is full
"""


class RegistryError(Exception):
    """Any failure of a registry; the message is one clear sentence with a hint."""


class AddressError(RegistryError):
    """The address of a store, an endpoint or an object makes no sense."""


class SettingsError(RegistryError):
    """A variable (REGISTRY_*, AWS_*) is unknown or has an impossible value."""


class BadReference(RegistryError):
    """A reference, model name, alias, run id or file path is malformed."""


class NotFound(RegistryError):
    """The bucket, object, model, version or alias is not there."""


class AccessDenied(RegistryError):
    """Credentials are missing or wrong, or do not allow this."""


class Unreachable(RegistryError):
    """The store gave no usable answer, after every retry."""


class UnsafeStore(RegistryError):
    """The store does not keep a promise that the registry stands on (create-only writes)."""


class Untrusted(RegistryError):
    """A version, or the move of an alias, is not signed by a key that is trusted here."""


class CorruptObject(RegistryError):
    """Bytes are not what their digest or their format says."""


class Conflict(RegistryError):
    """Somebody else changed it in the meantime, or the change would undo theirs."""


class Overtaken(Conflict):
    """What a change was decided by was changed in the meantime: deciding anew helps."""


class NoSpace(RegistryError):
    """The local disk is full."""


class PluginError(RegistryError):
    """What an installed package adds cannot be used."""
