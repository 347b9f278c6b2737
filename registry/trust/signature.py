"""Signatures: what is said of a version, of a move or of a yank, signed, beside what it is about.

A statement is one of in-toto (Statement v1) about a subject with its digest; its signature is a DSSE envelope, whose
signature is over the kind of the payload too, so that nothing signed for another purpose is ever taken for one. What
is to be signed follows from the record alone: a reader makes the statement of what he has found, and looks whether
there is a signature of exactly that. An object is named by the sha256 of the statement and by the key, so the
signature of another version, number, name or predecessor is not even looked at.
"""

import base64
import hashlib
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tunewright.registry.errors import CorruptObject, NotFound
from tunewright.registry.stores.store import Store
from tunewright.registry.trust.keys import PublicKey, Signer
from tunewright.registry.versions.alias import Move
from tunewright.registry.versions.canary import Trial
from tunewright.registry.versions.document import canonical, parse, sha256_of
from tunewright.registry.versions.latest import Yank
from tunewright.registry.versions.layout import is_signature, signature_key, signatures_prefix
from tunewright.registry.versions.record import Version

_TYPE = "https://in-toto.io/Statement/v1"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_PREDICATES = "urn:tunewright:signed"
_LARGEST = 16 * 1024  # bytes of an envelope
_TRIES = 3  # to read one: a bit may have flipped on the way


@dataclass(frozen=True)
class Statement:
    """What is signed."""

    name: str
    """The model that it is about."""
    what: str
    """In words."""
    payload: bytes

    @property
    def digest(self) -> str:
        """Its sha256, in hexadecimal digits."""
        return hashlib.sha256(self.payload).hexdigest()


def of_version(version: Version) -> Statement:
    """That this number of this name is these bytes, and comes after those."""
    predicate = {"name": version.name, "number": version.number, "previous": version.previous}
    return _statement("version", version.name, str(version), version.digest.removeprefix("sha256:"), predicate)


def of_move(move: Move) -> Statement:
    """That this alias points at these bytes from this entry on; the subject is all that the entry says."""
    move = move.as_read
    predicate = {"name": move.name, "alias": move.alias, "entry": move.entry, "number": move.number}
    predicate |= {"digest": move.digest, "kind": move.kind, "before": move.before}
    where = f"points at {move.name}:{move.number}" if move.points else "lets it point nowhere"
    what = f"entry {move.entry} of {move.name}@{move.alias}, which {where},"
    return _statement("move", move.name, what, sha256_of(move.fields), predicate)


def of_trial(trial: Trial) -> Statement:
    """That this is tried beside an alias; the subject is all that the entry says."""
    trial = trial.as_read
    predicate = {"name": trial.name, "alias": trial.alias, "entry": trial.entry, "number": trial.number}
    predicate |= {"move": trial.move, "beside": trial.beside, "percent": trial.percent}
    what = f"entry {trial.entry} of what is tried beside {trial.name}@{trial.alias}"
    return _statement("canary", trial.name, what, sha256_of({"format": 1, **asdict(trial)}), predicate)


def of_yank(yank: Yank) -> Statement:
    """That `latest` passes over a version from this entry on, or does not; the subject is all that the entry says."""
    predicate = {"name": yank.name, "number": yank.number, "entry": yank.entry, "yanked": yank.yanked}
    act = "yanks it" if yank.yanked else "takes that back"
    what = f"entry {yank.entry} about a yank of {yank.name}:{yank.number}, which {act},"
    return _statement("yank", yank.name, what, sha256_of({"format": 1, **asdict(yank)}), predicate)


def sign(store: Store, statement: Statement, signer: Signer) -> None:
    """Have the signature in the store, in place of a damaged one too. Raises CorruptObject where that cannot be."""
    key = signer.public
    place = signature_key(statement.name, statement.digest, key.id)
    sent = {"payload": _base64(statement.payload), "payloadType": _PAYLOAD_TYPE}
    signature = _base64(signer.sign(_encoded(statement.payload)))
    made = canonical({**sent, "signatures": [{"keyid": key.id, "sig": signature}]})
    if store.create(place, made) or _fault(store, statement, key) is None:
        return
    _put(store, place, made)
    if fault := _fault(store, statement, key):
        raise CorruptObject(f"{fault}; remove {place!r} with the tools of the store, and sign again")


def signer_of(store: Store, statement: Statement, keys: list[PublicKey]) -> tuple[PublicKey | None, list[str]]:
    """Which of the keys has signed a statement, None where none has; and what is wrong with signatures of them."""
    faults = []
    for key in keys:
        try:
            fault = _fault(store, statement, key)
        except NotFound:
            continue
        if fault is None:
            return key, []
        faults.append(fault)
    return None, faults


def signers(store: Store, statement: Statement) -> list[str]:
    """The ids of the keys under which a signature lies there. It is not looked whether they have made it."""
    listed = store.list(f"{signatures_prefix(statement.name)}{statement.digest}/")
    return [stat.key.rpartition("/")[2].removesuffix(".json") for stat in listed]


def all_signers(store: Store, name: str) -> dict[str, list[str]]:
    """The same for all that is signed of a model, by the digests of the statements: one listing."""
    found: dict[str, list[str]] = {}
    for stat in store.list(signatures_prefix(name)):
        if is_signature(stat.key):
            *_, digest, key = stat.key.split("/")
            found.setdefault(digest, []).append(key.removesuffix(".json"))
    return found


def envelope_fault(store: Store, key: str) -> str | None:
    """What is wrong with the form of a signature that lies under a key; None where it is in order."""
    *_, digest, name = key.split("/")
    for _ in range(_TRIES):
        try:
            payload, signatures = _read(store, key)
        except CorruptObject as error:
            fault = str(error)
            continue
        if hashlib.sha256(payload).hexdigest() == digest and name.removesuffix(".json") in signatures:
            return None
        fault = f"{key!r} in {store.uri} is the signature of something else, or of another key"
    return fault


def carry(source: Store, version: Version, target: Store, copied: Version) -> int:
    """Take the signatures of a version along, where what they say is so of its copy too; how many these are."""
    statement = of_version(version)
    if of_version(copied) != statement:
        return 0
    listed = list(source.list(f"{signatures_prefix(statement.name)}{statement.digest}/"))
    for stat in listed:
        target.create(stat.key, source.read(stat.key, limit=_LARGEST))
    return len(listed)


def _statement(kind: str, name: str, what: str, sha256: str, predicate: dict[str, object]) -> Statement:
    payload = {
        "_type": _TYPE,
        "subject": [{"name": what.rstrip(","), "digest": {"sha256": sha256}}],
        "predicateType": f"{_PREDICATES}:{kind}:1",
        "predicate": predicate,
    }
    return Statement(name, what, canonical(payload))


def _put(store: Store, place: str, data: bytes) -> None:
    """Replace what is damaged. A key signs a statement in one way alone, so nothing is lost by doing that twice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "signature.json"
        path.write_bytes(data)
        store.upload(place, path, sha256=hashlib.sha256(data).hexdigest())


def _fault(store: Store, statement: Statement, key: PublicKey) -> str | None:
    """Why the signature of this key does not hold; None where it does. Raises NotFound where there is none."""
    place = signature_key(statement.name, statement.digest, key.id)
    for _ in range(_TRIES):
        try:
            _, signatures = _read(store, place)
        except CorruptObject as error:
            fault = str(error)
            continue
        if key.has_signed(_encoded(statement.payload), signatures.get(key.id, b"")):
            return None
        fault = f"{place!r} in {store.uri} is no signature that the key {key} has made of {statement.what.rstrip(',')}"
    return fault


def _read(store: Store, key: str) -> tuple[bytes, dict[str, bytes]]:
    """The payload of an envelope, and each signature by the id of its key. Raises NotFound, CorruptObject."""
    name = f"{key!r} in {store.uri}"
    fields = parse(store.read(key, limit=_LARGEST), name)
    try:
        if fields["payloadType"] != _PAYLOAD_TYPE:
            raise ValueError
        payload = base64.b64decode(fields["payload"], validate=True)
        found = {one["keyid"]: base64.b64decode(one["sig"], validate=True) for one in fields["signatures"]}
    except (ValueError, TypeError, LookupError):
        raise CorruptObject(f"{name} is not a DSSE envelope of an in-toto statement") from None
    return payload, found


def _encoded(payload: bytes) -> bytes:
    """What a signature is over: DSSE's pre-authentication encoding."""
    return b"DSSEv1 %d %s %d %s" % (len(_PAYLOAD_TYPE), _PAYLOAD_TYPE.encode(), len(payload), payload)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
