"""Trust: what a program signs, and what it believes.

Without `REGISTRY_TRUSTED_KEYS` everything is believed, as long as its digests match. With it a version counts only
when one of the keys for its model has signed its number, its bytes and its predecessor, an alias only when one of the
keys for it has signed the move that it follows, and a yank when a key for the model has. Nothing else is pulled or
served.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from tunewright.registry.errors import CorruptObject, NotFound, Untrusted
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import Store, open_store
from tunewright.registry.transfer.parallel import each
from tunewright.registry.trust.keys import PublicKey, Signer, read_signer
from tunewright.registry.trust.signature import (
    Statement,
    envelope_fault,
    of_move,
    of_trial,
    of_version,
    of_yank,
    sign,
    signer_of,
)
from tunewright.registry.trust.trusted import SETTING, TrustedKeys, read_trusted
from tunewright.registry.versions.alias import Move, history, last_entries, removal
from tunewright.registry.versions.canary import Trial
from tunewright.registry.versions.latest import Counts, Yank, said_of
from tunewright.registry.versions.layout import aliases_prefix, is_signature, signatures_prefix
from tunewright.registry.versions.numbered import OnFault, nobody, stranger, warn
from tunewright.registry.versions.record import Version, read_version, version_numbers
from tunewright.registry.versions.reference import parse, resolve
from tunewright.registry.versions.watch import Seen, look, warning_of

KEY = "REGISTRY_SIGNING_KEY"


@dataclass(frozen=True)
class Trust:
    """The keys of this program."""

    signer: Signer | None = None
    trusted: TrustedKeys | None = None

    def resolve(self, store: Store, wanted: str | Version) -> Version:
        """The version that a reference means, believed. Raises what `resolve` raises, and Untrusted."""
        if self.trusted is None or isinstance(wanted, Version):
            version = resolve(store, wanted)
            self.require_version(store, version)
            return version
        return self.look(store, wanted).version

    def faults(self, store: Store, reference: str) -> list[str]:
        """Why a reference is not believed, or how it came to point there; empty where all is."""
        faults, asked = [], parse(reference)
        try:
            self.resolve(store, reference)
        except Untrusted as error:
            faults.append(str(error))
        return faults + (self._faults_of_log(store, asked.name, asked.alias) if asked.alias else [])

    def look(self, store: Store, reference: str, *, on_fault: OnFault = warn) -> Seen:
        """Where a reference points, believed; `on_fault` as for `latest`. Raises what `look` raises, and Untrusted.

        That an alias was removed is believed no sooner.
        """
        try:
            seen = look(store, reference, on_fault=on_fault, counts=self.counts(store, on_fault=on_fault))
        except NotFound:
            asked = parse(reference)
            if self.trusted and asked.alias and (gone := removal(store, asked.name, asked.alias)):
                self._require_move(store, gone)
            raise
        if seen.move:
            self._require_move(store, seen.move)
        self.require_version(store, seen.version)
        return seen

    def counts(self, store: Store, *, on_fault: OnFault = warn) -> Counts:
        """Which entries about yanks count: those that a key for the model has signed, where keys are named. `on_fault`
        is told of the others."""
        return partial(self._is_signed, store, on_fault) if self.trusted else None

    def _is_signed(self, store: Store, on_fault: OnFault, yank: Yank) -> bool:
        keys = self.trusted.of(yank.name) if self.trusted else []
        if signer_of(store, of_yank(yank), keys)[0] is not None:
            return True
        on_fault(
            f"{yank.name}:{yank.number} was {'' if yank.yanked else 'un'}yanked by {yank.who} ({yank.written}), which "
            "no trusted key has signed: it does not count"
        )
        return False

    def warning_of(self, store: Store, version: Version) -> str | None:
        """What to tell who uses a version that is yanked, by an entry that counts; None of any other."""
        return warning_of(store, version, counts=self.counts(store))

    def key_of(self, store: Store, move: Move) -> PublicKey | None:
        """Which key that is trusted for its alias has signed a move; None where none has."""
        keys = self.trusted.of(move.name, move.alias) if self.trusted else []
        return signer_of(store, of_move(move), keys)[0]

    def counted(self, store: Store, log: list[Move]) -> list[Move]:
        """See Believer: the entries that are signed, each after the one before that is. Raises Untrusted."""
        if self.trusted is None:
            return log
        found: list[Move] = []
        for move, key in zip(log, each(partial(self.key_of, store), log), strict=True):
            last = found[-1] if found else None
            if key is None:
                continue
            if last and (last.points, last.number) == (move.points, move.number):  # what was between does not count
                found[-1] = replace(move, previous=last.previous, kind=last.kind)
            else:
                found.append(replace(move, previous=last.number if last and last.points else None))
        if not found:
            self._require_move(store, log[-1])
        return found or log[-1:]

    def require_version(self, store: Store, version: Version) -> None:
        """Untrusted for a version that is not signed by a key for its model."""
        self._require(store, of_version(version), version.name)

    def require_trial(self, store: Store, trial: Trial) -> None:
        """Untrusted for a trial that is not signed by a key for its alias."""
        self._require(store, of_trial(trial), trial.name, trial.alias)

    def require_none(self, what: str) -> None:
        """Untrusted for what carries no signature, where signatures are asked for."""
        if self.trusted is not None:
            raise Untrusted(
                f"{what} carries no signature that is read here, and {SETTING} is set; take the version from its "
                "registry, or unset that for a place which you trust"
            )

    def require_signer(self, name: str, alias: str | None = None) -> None:
        """Untrusted where what this program is about to write would not be believed afterwards."""
        if self.trusted is None:
            return
        what = f"{name}@{alias}" if alias else name
        if self.signer is None:
            raise Untrusted(
                f"{SETTING} is set and {KEY} is not: nothing that is written to {what} without a signature would be "
                "believed; name the file of a private key"
            )
        if self.signer.public not in self.trusted.of(name, alias):
            raise Untrusted(
                f"the key {self.signer.public} ({KEY}) is not trusted for {what} by {self.trusted.path}: what it signs "
                "would not be believed"
            )

    def sign(self, store: Store, made: Version | Move | Trial | Yank) -> PublicKey | None:
        """Sign what was written, where there is a key; done twice, it is done once."""
        if self.signer is None:
            return None
        sign(store, statement_of(made), self.signer)
        return self.signer.public

    def audit(self, store: Store, name: str) -> Iterator[str]:
        """What is wrong with the signatures of a model, and what of it is not believed."""
        for stat in store.list(signatures_prefix(name)):
            if not is_signature(stat.key):
                yield stranger(store, stat.key)
            elif fault := envelope_fault(store, stat.key):
                yield fault
        if self.trusted is None:
            return
        for number in version_numbers(store, name):
            yield from self._faults_of_number(store, name, number)
        for yank in said_of(store, name):
            if not self._is_signed(store, nobody, yank):
                yield (
                    f"{of_yank(yank).what} in {store.uri} is not signed by a key that is trusted for {name}; whoever "
                    f"stands behind it says `tunewright sign {yank.name}:{yank.number} --yank --key FILE`"
                )
        for last in last_entries(store, name, store.list(aliases_prefix(name))):
            yield from self._faults_of_log(store, name, last.alias)

    def _faults_of_number(self, store: Store, name: str, number: int) -> list[str]:
        try:
            self.require_version(store, read_version(store, name, number))
        except Untrusted as error:
            return [str(error)]
        except (CorruptObject, NotFound):  # what cannot be read is told of elsewhere
            pass
        return []

    def _faults_of_log(self, store: Store, name: str, alias: str) -> list[str]:
        """Which entries of an alias are not believed."""
        if self.trusted is None:
            return []
        try:
            log = history(store, name, alias)
        except (CorruptObject, NotFound):
            return []
        return [fault for fault in each(partial(self._fault_of, store, log[-1]), log) if fault]

    def _fault_of(self, store: Store, end: Move, move: Move) -> str | None:
        try:
            self._require_move(store, move, is_end=move is end)
        except Untrusted as error:
            return str(error)
        return None

    def _require_move(self, store: Store, move: Move, *, is_end: bool = True) -> None:
        option = "" if is_end and move.points else f" --entry {move.entry}"
        self._require(store, of_move(move), move.name, move.alias, option=option)

    def _require(
        self, store: Store, statement: Statement, name: str, alias: str | None = None, *, option: str = ""
    ) -> None:
        if self.trusted is None:
            return
        what, place = statement.what, f"{name}@{alias}" if alias else name
        keys = self.trusted.of(name, alias)
        if not keys:
            raise Untrusted(f"{self.trusted.path} ({SETTING}) names no key for {place}: nothing of it is believed")
        key, faults = signer_of(store, statement, keys)
        if key is None:
            known = ", ".join(map(str, keys))
            why = f": {faults[0]}" if faults else ""
            reference = place if alias else what
            raise Untrusted(
                f"{what} in {store.uri} is not signed by a key that is trusted for {place} ({known}){why}; "
                f"whoever stands behind it says `tunewright sign {reference}{option} --key FILE`"
            )


def open_trust(settings: RegistrySettings) -> Trust:
    """The keys that the settings name. Raises SettingsError."""
    signer = read_signer(settings.signing_key, KEY) if settings.signing_key else None
    return Trust(signer, read_trusted(settings.trusted_keys) if settings.trusted_keys else None)


def trusted(settings: RegistrySettings, wanted: str) -> tuple[Store, str | Version]:
    """The registry, and a version of it that may be opened: a believed one where keys are named."""
    store, trust = open_store(settings.uri), open_trust(settings)
    return store, wanted if trust.trusted is None else trust.resolve(store, wanted)


def statement_of(made: Version | Move | Trial | Yank) -> Statement:
    """What is signed of it."""
    if isinstance(made, Version):
        return of_version(made)
    if isinstance(made, Yank):
        return of_yank(made)
    return of_move(made) if isinstance(made, Move) else of_trial(made)
