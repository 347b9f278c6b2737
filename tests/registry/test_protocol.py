"""The whole protocol under hypothesis: whoever publishes, promotes, goes back, yanks, deletes, collects, mends and
pulls, stops, dies or is cheated of an answer at any call, what docs/decisions/0036-invariants.md says stays true."""

import re
import shutil
import tempfile
from itertools import count
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from stopping import Calendar, Process

from tunewright.registry.errors import Conflict, CorruptObject, NotFound
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.repair import repair
from tunewright.registry.upkeep.sweep import collect
from tunewright.registry.upkeep.verify import verify, verify_model
from tunewright.registry.versions.alias import current, history, move, remove, rollback
from tunewright.registry.versions.latest import latest, unyank, yank, yank_of
from tunewright.registry.versions.layout import (
    BLOBS,
    TRASH,
    aliases_prefix,
    blob_key,
    run_key,
    version_key,
    versions_prefix,
)
from tunewright.registry.versions.manifest import digest_of
from tunewright.registry.versions.publish import find_run, publish
from tunewright.registry.versions.pull import digests_of, pull, read_manifest
from tunewright.registry.versions.record import delete_version, numbers_given, read_version, version_numbers

WEEK = 7 * 86400.0
MONTH = 30 * 86400.0
FILES = (b"base weights", b"one", b"two")
NAMES = ("a", "b")
ALIAS = "production"
PARALLEL = 3

names = st.sampled_from(NAMES)
some_files = st.sets(st.sampled_from(range(len(FILES))), min_size=1)
which = st.integers(0, 5)


class Protocol(RuleBasedStateMachine):
    """What processes do to one registry, and what has to be so after each of their calls."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.store = Calendar(self.open(self.folder))
        self.backup = open_store(str(self.folder / "backup"))
        for number, data in enumerate(FILES):
            (self.folder / str(number)).write_bytes(data)
            self.store.create(blob_key(digest_of(data)), data)
        collect(self.store, grace=WEEK)
        self.store.let_pass(MONTH)
        self.publishers, self.collections, self.movers, self.runs, self.caches = [], [], [], [], count()
        self.sent = {}  # run id -> the files of each attempt
        self.ever = {}  # (name, number) -> the version that was seen under it first
        self.told, self.moves = set(), []
        self.deleted, self.yanks = set(), set()  # (name, number)
        self.damaged = set()  # digests
        self.broken_off = False  # whether a collection was broken off, and none has ended since

    @staticmethod
    def open(folder):
        return open_store(str(folder / "registry"))

    # What is begun, and what becomes of it.

    @rule(name=names, some=some_files, again=st.booleans(), others=st.booleans(), ends=st.booleans())
    def begin_to_publish(self, name, some, again, others, ends):
        """A new run, or the last one once more, as Kubernetes tries a job again; its files may be others now."""
        files = {str(one): self.folder / str(one) for one in some}
        made = (name, f"run-{len(self.runs)}", files)
        if again and self.runs:
            made = (*self.runs[-1][:2], files if others else self.runs[-1][2])
        if len(self.going()) < PARALLEL:
            self.runs.append(made)
            name, run_id, files = made
            self.sent.setdefault((name, run_id), []).append(files)
            made = Process(self.store, lambda store: publish(store, name, files, run_id=run_id))
            made.before = set(self.ever)
            self.publishers.append(made)
            self.may_end(made, ends)

    @rule()
    def begin_to_collect(self):
        if len(self.going()) < PARALLEL:
            refused = (CorruptObject,) if self.damaged else ()
            self.collections.append(Process(self.store, lambda store: collect(store, grace=WEEK), refused))

    @rule(
        name=names,
        one=which,
        by=st.sampled_from(("person", "force", "job", "back from", "back to", "remove")),
        ends=st.booleans(),
    )
    def begin_to_move(self, name, one, by, ends):
        there = [version for (model, _), version in sorted(self.ever.items()) if model == name]
        version = self.one_of(there, one) if there else None
        number = version.number if version else 0
        works = {
            "person": lambda store: move(store, name, ALIAS, number),
            "force": lambda store: move(store, name, ALIAS, number, force=True),
            "job": lambda store: move(store, name, ALIAS, number, run_id=version.run_id),
            "back from": lambda store: rollback(store, name, ALIAS, holder=number),
            "back to": lambda store: rollback(store, name, ALIAS, to=number),
            "remove": lambda store: remove(store, name, ALIAS),
        }
        if version and len(self.going()) < PARALLEL:
            self.movers.append(Process(self.store, works[by], (Conflict, NotFound)))
            self.may_end(self.movers[-1], ends)

    @precondition(lambda self: self.going())
    @rule(one=which, times=st.integers(1, 30))
    def go_on(self, one, times):
        self.one_of(self.going(), one).step(times)
        self.hear()

    @precondition(lambda self: self.going())
    @rule(one=which, after=st.booleans())
    def kill(self, one, after):
        self.one_of(self.going(), one).kill(after=after)
        self.hear()

    @precondition(lambda self: self.going())
    @rule(one=which)
    def lose_an_answer(self, one):
        self.one_of(self.going(), one).lose()
        self.hear()

    @rule()
    def begin_to_collect_up_to_a_removal(self):
        """It has seen that nobody needs the blob, and stands still."""
        self.begin_to_collect()
        for one in self.collections:
            while not one.ended and not (one.next[0] == "delete" and one.next[1].startswith(BLOBS)):
                one.step()
        self.hear()

    @precondition(lambda self: self.publishers)
    @rule(one=which, further=st.integers(0, 2))
    def go_on_to_the_claim(self, one, further):
        publisher = self.one_of(self.publishers, one)
        while not publisher.ended and not (publisher.next[0] == "create" and "/versions/" in publisher.next[1]):
            publisher.step()
        publisher.step(further)
        self.hear()

    @precondition(lambda self: self.going())
    @rule()
    def let_all_end(self):
        self.finish()

    # What is done in one go.

    @rule(name=names, one=which)
    def delete(self, name, one):
        there = [v for v in self.live(name) if not self.damaged & self.needed(v)]
        if there:
            version = self.one_of(there, one)
            delete_version(self.store, version)
            self.deleted.add((name, version.number))
            self.told.discard(version)

    @rule(name=names, one=which, back=st.booleans(), dies=st.integers(0, 12))
    def yank_one(self, name, one, back, dies):
        """Said and told, or broken off at a call, and then so or not so."""
        if there := self.live(name):
            version = self.one_of(there, one)
            act = (lambda store: unyank(store, version)) if back else (lambda store: yank(store, version, "bad"))
            process = Process(self.store, act)
            process.step(dies or 1000)
            if not process.ended:
                process.kill(after=dies % 2 == 0)
            gone = yank_of(self.store, version) is not None
            assert process.killed or gone != back
            (self.yanks.add if gone else self.yanks.discard)((name, version.number))

    @precondition(lambda self: not self.going())
    @rule(name=names)
    def go_back_twice(self, name):
        """Whoever does not know whether it was heard says it again."""
        try:
            log = history(self.store, name, ALIAS)
            once = rollback(self.store, name, ALIAS, holder=log[-1].number)
        except (Conflict, NotFound):
            return
        assert rollback(self.store, name, ALIAS, holder=log[-1].number) == once
        self.moves.append(once)

    @precondition(lambda self: self.is_at_rest())
    @rule(one=which, part=which, how=st.sampled_from(("flip", "cut", "remove")))
    def damage_a_blob(self, one, part, how):
        if there := [v for v in self.all_live() if self.needed(v) - self.damaged]:
            version = self.one_of(there, one)
            digest = self.one_of(sorted(self.needed(version) - self.damaged), part)
            self.spoil(blob_key(digest), how)
            self.damaged.add(digest)
            self.verify_accuses_what_is_damaged()

    @precondition(lambda self: self.is_at_rest() and not self.damaged)
    @rule(name=names, one=which, what=st.sampled_from(("version", "run", "alias")))
    def damage_a_record(self, name, one, what):
        """It is told by its name, it keeps nobody from the other model, and it cannot be taken for another."""
        if not self.live(name):
            return
        version = self.one_of(self.live(name), one)
        keys = {"version": version_key(name, version.number), "run": run_key(name, version.run_id)}
        keys["alias"] = max((stat.key for stat in self.store.list(aliases_prefix(name))), default="")
        if keys[what]:
            whole = self.store.read(keys[what])
            self.spoil(keys[what], "flip")
            told = self.faults()
            assert told
            assert all(keys[what] in fault for fault in told)
            with pytest.raises(CorruptObject, match=re.escape(keys[what])):
                {
                    "version": lambda: read_version(self.store, name, version.number),
                    "run": lambda: find_run(self.store, name, version.run_id),
                    "alias": lambda: current(self.store, name, ALIAS),
                }[what]()
            self.put(keys[what], whole)
            assert self.faults() == []

    @precondition(lambda self: not self.going())
    @rule()
    def mend(self):
        """Exactly what is damaged is replaced, and is whole then."""
        for version in self.all_live():
            is_hit = bool(self.damaged & self.needed(version))
            if is_hit or not self.broken_off:
                mended = repair(self.store, version, self.backup)
                assert mended.mended or not is_hit
                assert self.broken_off or (bool(mended.mended), mended.left) == (is_hit, ())
                self.damaged -= self.needed(version)
        assert self.broken_off or not self.damaged
        self.verify_accuses_what_is_damaged()

    @rule(name=names, one=which, dies=st.integers(0, 8))
    def pull_one(self, name, one, dies):
        """A version is what was published, or is refused; who dies on the way finishes with the next pull."""
        there = [version for version in self.told if version.name == name]
        if there and not (self.collections or self.broken_off):
            version = self.one_of(sorted(there, key=lambda version: version.number), one)
            cache = self.folder / f"cache-{next(self.caches)}"
            first = Process(self.store, lambda store: pull(store, version, cache=cache), (CorruptObject, NotFound))
            first.step(dies)
            if not first.ended:
                first.kill()
            if self.damaged & (self.needed(version) - {read_manifest(self.backup, version).config_digest}):
                with pytest.raises((CorruptObject, NotFound)):
                    pull(self.store, version, cache=cache)
            else:
                folder = pull(self.store, version, cache=cache).folder
                found = {path.name: path.read_bytes() for path in folder.iterdir()}
                attempts = self.sent[version.name, version.run_id]
                assert found in [{path: file.read_bytes() for path, file in files.items()} for files in attempts]

    @precondition(lambda self: not self.going())
    @rule()
    def let_a_month_pass(self):
        self.store.let_pass(MONTH)
        self.runs.clear()  # tried again so late, a run that dies once more is outside of what is promised

    # What must be so, always.

    @invariant()
    def a_number_is_one_version_for_ever_and_a_run_has_one(self):
        for name in NAMES:
            there, deleted = numbers_given(self.store, name, self.store.list(versions_prefix(name)))
            assert there == list(range(1, len(there) + 1))
            assert deleted == {number for model, number in self.deleted if model == name}
            versions = [read_version(self.store, name, number) for number in there]
            assert len({version.run_id for version in versions}) == len(versions)
            for version in versions:
                assert self.ever.setdefault((name, version.number), version) == version
                self.back_up(version)
            assert {number for model, number in self.ever if model == name} == set(there)
        assert all(self.ever[version.name, version.number] == version for version in self.told)

    @invariant()
    def what_was_told_is_whole_or_in_the_trash_of_who_takes_it(self):
        blobs = self.blobs()
        missing = {digest for version in self.told for digest in self.needed(version)} - blobs - self.damaged
        if missing:
            trash = set()  # what a collection has ended with is no excuse
            if self.collections or self.broken_off:
                trash = {f"sha256:{stat.key.rpartition('/')[2]}" for stat in self.store.list(TRASH)}
            assert missing <= trash

    @invariant()
    def an_alias_is_a_chain_of_what_was_told_and_names_a_whole_version(self):
        logs = {name: self.log(name) for name in NAMES}
        for name, log in logs.items():
            assert [entry.entry for entry in log] == list(range(1, len(log) + 1))
            for at, entry in enumerate(log):
                before = log[at - 1] if at else None
                assert entry.previous == (before.number if before and before.points else None)
                assert entry.digest == self.ever[name, entry.number].digest
                assert not entry.run_id or entry.number > max([0, *(past.number for past in log[:at])])
            if log and log[-1].points:
                assert current(self.store, name, ALIAS) == log[-1].number
                missing = self.needed(self.ever[name, log[-1].number]) - self.blobs() - self.damaged
                assert self.collections or self.broken_off or not missing
        assert all(made in logs[made.name] for made in self.moves)

    @invariant()
    def latest_is_the_highest_that_is_neither_deleted_nor_yanked(self):
        for name in NAMES:
            offered = {n for model, n in self.ever if model == name and (name, n) not in self.deleted | self.yanks}
            if offered:
                assert latest(self.store, name, on_fault=pytest.fail).version.number == max(offered)
            else:
                with pytest.raises(NotFound):
                    latest(self.store, name)

    def teardown(self):
        self.finish()
        self.mend()
        collect(self.store, grace=WEEK)
        self.broken_off = False
        self.mend()
        for version in self.all_live():
            pull(self.store, version, cache=self.folder / "cache")
        self.store.let_pass(MONTH)
        for _ in range(2):
            collect(self.store, grace=WEEK)
        pointed = [self.ever[name, log[-1].number] for name in NAMES if (log := self.log(name)) and log[-1].points]
        assert self.blobs() == {digest for one in [*self.all_live(), *pointed] for digest in self.needed(one)}
        assert list(self.store.list(TRASH)) == []
        shutil.rmtree(self.folder)

    # How it is looked.

    def verify_accuses_what_is_damaged(self):
        if not self.is_at_rest():
            return
        for version in self.all_live():
            found = verify(self.store, version)
            hit = self.damaged & self.needed(version)
            assert set(found.damaged) == ({version.digest} if version.digest in hit else hit)
            assert bool(found.problems) == bool(hit)
        assert self.faults() == []

    def faults(self):
        told = []
        for name in NAMES:
            list(verify_model(self.store, name, known={}, on_fault=told.append))
        return told

    def back_up(self, version):
        """Keep what a version needs, as it was when it was whole; of one that is deleted nothing need be there."""
        if (version.name, version.number) in self.deleted or self.collections or self.broken_off:
            return
        if not self.backup.exists(blob_key(version.digest)):
            for digest in self.needed(version) - self.damaged:
                self.backup.create(blob_key(digest), self.store.read(blob_key(digest)))

    def needed(self, version):
        for place in (self.backup, self.store):
            try:
                return digests_of(version, read_manifest(place, version))
            except (NotFound, CorruptObject):
                continue
        return frozenset({version.digest})

    def blobs(self):
        return {f"sha256:{stat.key.rpartition('/')[2]}" for stat in self.store.list(BLOBS)}

    def log(self, name):
        try:
            return history(self.store, name, ALIAS)
        except NotFound:
            return []

    def live(self, name):
        return [read_version(self.store, name, n) for n in version_numbers(self.store, name)]

    def all_live(self):
        return [version for name in NAMES for version in self.live(name)]

    def going(self):
        return [one for one in (*self.publishers, *self.collections, *self.movers) if not one.ended]

    def is_at_rest(self):
        return not self.going() and not self.broken_off

    def one_of(self, some, one):
        return some[one % len(some)]

    def spoil(self, key, how):
        if how == "remove":
            self.store.delete(key)
            return
        data = self.store.read(key)
        middle = len(data) // 2
        self.put(key, data[:middle] if how == "cut" else data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])

    def put(self, key, data):
        (self.folder / "put").write_bytes(data)
        self.store.upload(key, self.folder / "put")

    def hear(self):
        for one in self.publishers:
            version = one.result if one.ended else None
            if version and (version.name, version.number) not in self.deleted:
                self.told.add(version)
                is_new = (version.name, version.number) not in one.before
                assert not is_new or self.needed(version) & self.damaged <= self.healed(self.damaged)
        for one in self.collections:
            if one.ended:
                self.broken_off = one.killed or bool(one.refused)
        self.moves += [one.result for one in self.movers if one.ended and one.result]
        for some in (self.publishers, self.collections, self.movers):
            some[:] = [one for one in some if not one.ended]
        self.damaged -= self.healed(self.damaged)

    def healed(self, digests):
        """Those of the blobs that are what their name says: a publisher replaces what is not."""
        found = set()
        for digest in digests:
            try:
                found |= {digest} if digest_of(self.store.read(blob_key(digest))) == digest else set()
            except NotFound:
                continue
        return found

    def may_end(self, process, ends):
        if ends:
            process.finish()
            self.hear()

    def finish(self):
        for one in self.going():
            one.finish()
        self.hear()


@pytest.fixture
def alone(monkeypatch):
    """One call of a process at a time, so that it can be stopped there."""
    monkeypatch.setattr("tunewright.registry.transfer.parallel._WORKERS", 1)


def explore(machine, examples, steps):
    # Machines are not made smaller when they fail: that takes minutes, and what is printed can be repeated.
    limits = settings(max_examples=examples, stateful_step_count=steps, deadline=None, phases=(Phase.generate,))
    run_state_machine_as_test(machine, settings=limits)


def test_the_protocol_keeps_its_promises(alone):
    explore(Protocol, 6, 20)


@pytest.mark.slow
def test_the_protocol_keeps_its_promises_for_long(alone):
    explore(Protocol, 100, 60)


@pytest.fixture
def in_a_bucket(request):
    """in_a_bucket("s3_uri"): the same machine over the bucket of that fixture, each time below another prefix."""

    def make(fixture):
        uri, places = request.getfixturevalue(fixture), count()
        place = uri if uri.startswith("s3://") else f"s3://{uri}"
        return type("There", (Protocol,), {"open": staticmethod(lambda _: open_store(f"{place}/{next(places)}"))})

    return make


@pytest.mark.slow
def test_the_protocol_keeps_its_promises_in_a_bucket(alone, in_a_bucket):
    explore(in_a_bucket("s3_uri"), 5, 20)


@pytest.mark.ceph
@pytest.mark.slow
def test_the_protocol_keeps_its_promises_on_a_gateway(alone, in_a_bucket):
    explore(in_a_bucket("ceph_http_bucket"), 5, 20)
