"""Where each object of a registry lies, and which names are allowed.

blobs/sha256/<digest>                            immutable bytes, shared by all versions and models
models/<name>/versions/<20 digits>.json          create-only: a version exists entirely or not at all
models/<name>/versions/<20 digits>.json.deleted  create-only: that version is deleted; its number stays taken
models/<name>/runs/<run id>.json                 create-only: where to look for the version of a run
models/<name>/aliases/<alias>/<20 digits>.json   create-only log: the highest number is where the alias points
models/<name>/canaries/<alias>/<20 digits>.json  create-only log: the highest number is what is tried beside that
models/<name>/gates/<alias>/<20 digits>.json     create-only log: the highest number is what the alias asks of versions
notes/<name>/<20 digits>/<20 digits>.json        create-only log of a version: the highest number is what is said of it
marks/<name>/versions/<20 digits, down>.at       create-only hint: there is a version of this number
marks/<name>/versions/<20 digits, down>.deleted  create-only hint: it is deleted
marks/<name>/versions/<20 digits, down>.yank.<20 digits>.json
                                                 create-only log of a version: whether `latest` passes over it
marks/<name>/aliases/<alias>/<20 digits, down>.at
                                                 create-only hint: the log of this alias has this entry
index/<place>/<id>.json.gz                       create-only copies of small objects, held against each of them
signatures/<name>/<sha256>/<key id>.json         create-only: what a key has signed, by the sha256 of what it says
gc/begun                                         create-only: blobs are removed here from time to time
gc/trash/<id>/begun                              create-only: a collection that has begun
gc/trash/<id>/<digest>                           what it removes, for as long as somebody may turn out to need it
"""

import re
import unicodedata
from typing import Annotated

from pydantic import Field

from tunewright.registry.errors import BadReference

MODELS = "models/"
KINDS = ("versions", "runs", "aliases", "canaries", "gates")  # what lies below a model
BLOBS = "blobs/sha256/"
MARKS = "marks/"
NOTES = "notes/"
GC_BEGUN = "gc/begun"
TRASH = "gc/trash/"
AT = "at"
DELETED = "deleted"
YANK = "yank"
LATEST = "latest"  # computed, so no alias may be called so

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_NUMBERED = re.compile(r"[0-9]{20}\.json")
_SIGNATURE = re.compile(rf"signatures/{_NAME.pattern}/[0-9a-f]{{64}}/[0-9a-f]{{64}}\.json")
_DELETED = ".deleted"
_DOWN = re.compile(r"[0-9]{20}")
_HIGHEST = 10**18  # the number that a reference can still name
_RULE = "1 to 64 of a-z, 0-9, '.', '_', '-', the first and last a letter or digit"


Name = Annotated[str, Field(pattern=f"^({_NAME.pattern})$")]
RunId = Annotated[str, Field(pattern=f"^({_RUN_ID.pattern})$")]
Digest = Annotated[str, Field(pattern=f"^({_DIGEST.pattern})$")]
Number = Annotated[int, Field(strict=True, ge=1, lt=_HIGHEST)]
Seal = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]  # the sha256 that a document carries of itself
LONGEST_LINE = 256
Line = Annotated[str, Field(max_length=LONGEST_LINE)]
Time = Annotated[str, Field(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")]


def model_prefix(name: str) -> str:
    """The folder of all that there is of a model, but its blobs."""
    return f"{MODELS}{check_name(name)}/"


def versions_prefix(name: str) -> str:
    """The folder of a model's version records."""
    return f"{model_prefix(name)}versions/"


def version_key(name: str, number: int) -> str:
    """The record of one version."""
    return f"{versions_prefix(name)}{_check_number(number):020d}.json"


def deletion_key(name: str, number: int) -> str:
    """What tells that a version is deleted, beside its record."""
    return f"{version_key(name, number)}{_DELETED}"


def runs_prefix(name: str) -> str:
    """The folder of the records of a model's runs."""
    return f"{model_prefix(name)}runs/"


def run_key(name: str, run_id: str) -> str:
    """The record of one run."""
    return f"{runs_prefix(name)}{check_run_id(run_id)}.json"


def aliases_prefix(name: str) -> str:
    """The folder of a model's aliases."""
    return f"{model_prefix(name)}aliases/"


def alias_prefix(name: str, alias: str) -> str:
    """The folder of an alias's log."""
    return f"{aliases_prefix(name)}{check_alias(alias)}/"


def move_key(name: str, alias: str, entry: int) -> str:
    """One entry of an alias's log."""
    return f"{alias_prefix(name, alias)}{_check_number(entry):020d}.json"


def canary_prefix(name: str, alias: str) -> str:
    """The folder of the log of what is tried beside an alias."""
    return f"{canaries_prefix(name)}{check_alias(alias)}/"


def canaries_prefix(name: str) -> str:
    """The folder of all that is tried beside a model's aliases."""
    return f"{model_prefix(name)}canaries/"


def trial_key(name: str, alias: str, entry: int) -> str:
    """One entry of that log."""
    return f"{canary_prefix(name, alias)}{_check_number(entry):020d}.json"


def notes_prefix(name: str, number: int | None = None) -> str:
    """The folder of what is said of a model's versions, or of one."""
    below = "" if number is None else f"{_check_number(number):020d}/"
    return f"{NOTES}{check_name(name)}/{below}"


def note_key(name: str, number: int, entry: int) -> str:
    """One entry of the log of a version."""
    return f"{notes_prefix(name, number)}{_check_number(entry):020d}.json"


def signatures_prefix(name: str) -> str:
    """The folder of all that is signed of a model."""
    return f"signatures/{check_name(name)}/"


def signature_key(name: str, statement: str, key: str) -> str:
    """One signature. `statement`: the sha256 of what is signed, `key`: the id of who signs, both in hexadecimal."""
    return f"{signatures_prefix(name)}{statement}/{key}.json"


def is_signature(key: str) -> bool:
    """Whether a signature may lie under this key."""
    return _SIGNATURE.fullmatch(key) is not None


def gates_prefix(name: str, alias: str) -> str:
    """The folder of the log of what an alias asks of versions."""
    return f"{model_prefix(name)}gates/{check_alias(alias)}/"


def policy_key(name: str, alias: str, entry: int) -> str:
    """One entry of that log."""
    return f"{gates_prefix(name, alias)}{_check_number(entry):020d}.json"


def version_marks(name: str) -> str:
    """The folder of what is known of a model's versions before one is read, the highest number first."""
    return f"{MARKS}{check_name(name)}/versions/"


def alias_marks(name: str, alias: str) -> str:
    """The folder of the same of the entries of an alias's log."""
    return f"{MARKS}{check_name(name)}/aliases/{check_alias(alias)}/"


def mark_key(prefix: str, number: int, what: str = AT) -> str:
    """A mark about a number. It counts down, so that the first one listed is about the highest."""
    return f"{prefix}{_HIGHEST - _check_number(number):020d}.{what}"


def marked(key: str) -> tuple[int, str] | None:
    """The number that a mark is about, and what it says; None for a key that is none."""
    down, _, what = key.rpartition("/")[2].partition(".")
    number = _HIGHEST - int(down) if _DOWN.fullmatch(down) else 0
    return (number, what) if 0 < number < _HIGHEST else None


def blob_key(digest: str) -> str:
    """Where the bytes of a digest lie. Raises BadReference."""
    return f"{BLOBS}{check_digest(digest).removeprefix('sha256:')}"


def digest_in(key: str) -> str | None:
    """The digest that a blob, or one on its way out, is of; None for any other key."""
    digest = digest_named(key)
    return digest if _DIGEST.fullmatch(digest) else None


def digest_named(key: str) -> str:
    """The same of a key that is known to be one of those."""
    return f"sha256:{key.rpartition('/')[2]}"


def collection_key(collection: str) -> str:
    """What tells that a collection has begun."""
    return f"{TRASH}{collection}/begun"


def trash_key(collection: str, digest: str) -> str:
    """Where a collection keeps what it removes."""
    return f"{TRASH}{collection}/{check_digest(digest).removeprefix('sha256:')}"


def number_in(key: str) -> int | None:
    """The number of a record's key; None for a key that is no record's."""
    name = key.rpartition("/")[2]
    number = int(name.removesuffix(".json")) if _NUMBERED.fullmatch(name) else 0
    return number if 0 < number < _HIGHEST else None


def deleted_in(key: str) -> int | None:
    """The number of the version that this key says is deleted; None for any other key."""
    return number_in(key.removesuffix(_DELETED)) if key.endswith(_DELETED) else None


def is_name(text: str) -> bool:
    """Whether a model or an alias may be called so."""
    return _NAME.fullmatch(text) is not None


def check_name(name: str) -> str:
    """The name of a model. Raises BadReference."""
    if not _NAME.fullmatch(name):
        raise BadReference(f"{name!r} is not a model name; expected {_RULE}, as in 'reviews'")
    return name


def check_alias(alias: str) -> str:
    """The name of an alias that can be moved. Raises BadReference."""
    if alias == LATEST:
        raise BadReference("the alias 'latest' is reserved: it is always the highest version; choose another name")
    if not _NAME.fullmatch(alias):
        raise BadReference(f"{alias!r} is not an alias; expected {_RULE}, as in 'production'")
    return alias


def check_run_id(run_id: str) -> str:
    """The id of a run. Raises BadReference."""
    if not _RUN_ID.fullmatch(run_id):
        raise BadReference(f"{run_id!r} is not a run id; expected 1 to 128 of A-Z, a-z, 0-9, '.', '_', '-'")
    return run_id


def check_digest(digest: str) -> str:
    """A digest of the one algorithm used here. Raises BadReference."""
    if not _DIGEST.fullmatch(digest):
        raise BadReference(f"{digest!r} is not a digest; expected 'sha256:' and 64 of 0-9, a-f")
    return digest


def check_line(text: str, what: str, *, most: int | None = None) -> str:
    """What a person says in one line, without characters that steer a terminal, and at most so many of others.

    Raises BadReference.
    """
    if most is not None and len(text) > most:
        raise BadReference(f"{what} has {len(text)} characters; at most {most} are kept: say it shorter")
    if bad := [c for c in text if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")]:
        raise BadReference(f"{what} holds the character {bad[0]!r}; expected one line of text, without line breaks")
    return text


def _check_number(number: int) -> int:
    if not 0 < number < _HIGHEST:
        raise BadReference(f"{number} is not the number of a version or of a move; expected 1 to {_HIGHEST - 1}")
    return number
