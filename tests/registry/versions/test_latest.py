"""The latest version and the end of a log: a few requests however long they are, right whatever a listing shows."""

from dataclasses import replace

import pytest

from tunewright.registry.errors import AccessDenied, BadReference, Conflict, CorruptObject, NotFound
from tunewright.registry.stores.folder import FolderStore
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.notes import tag
from tunewright.registry.versions.alias import current, history, move
from tunewright.registry.versions.document import seal
from tunewright.registry.versions.latest import latest, unyank, yank, yank_of, yanked
from tunewright.registry.versions.layout import (
    alias_marks,
    deletion_key,
    mark_key,
    move_key,
    version_key,
    version_marks,
)
from tunewright.registry.versions.record import Summary, Version, delete_version, read_version, to_bytes
from tunewright.registry.versions.reference import resolve
from tunewright.registry.versions.watch import has_moved, look

FIRST = Version("reviews", 1, f"sha256:{'a' * 64}", "run", "2026-01-31T12:00:00Z", 9, who="a@b", summary=Summary())


def write_versions(store, *numbers, marked=True):
    """Versions without files."""
    for number in numbers:
        store.create(version_key("reviews", number), to_bytes(replace(FIRST, number=number)))
        if marked:
            store.create(mark_key(version_marks("reviews"), number), b"")


def version(number):
    return replace(FIRST, number=number)


def spent(faults, ask):
    """What was asked of the server."""
    faults.requests.clear()
    ask()
    return [method for method, _ in faults.requests]


def test_requests_do_not_grow_with_versions_and_moves(faulty_uri, faults):
    store, counts = open_store(faulty_uri), []
    for numbers in (range(1, 3), range(3, 13)):
        write_versions(store, *numbers)
        for number in numbers:
            move(store, "reviews", "production", number)
        asked = ("reviews:2", "reviews", "reviews@production")
        counts.append([spent(faults, lambda one=one: resolve(store, one)) for one in asked])
        assert [resolve(store, one).number for one in asked] == [2, numbers[-1], numbers[-1]]
    # A listing, what it hints at, and what would come next.
    assert counts[0] == counts[1] == [["GET"], ["GET"] * 3, ["GET"] * 3]


def test_a_registry_without_marks_is_read_with_a_few_requests_more(faulty_uri, faults):
    store = open_store(faulty_uri)
    write_versions(store, 1, 2, 4, marked=False)
    assert spent(faults, lambda: latest(store, "reviews")).count("GET") <= 5
    assert latest(store, "reviews").version == version(4)
    write_versions(store, 5)
    assert latest(store, "reviews").version == version(5)


class Counting(FolderStore):
    """A store that counts what a bucket would be asked: a listing for each page."""

    requests = 0

    def list(self, prefix, *, after="", page=1000):
        self.requests += 1
        for number, stat in enumerate(super().list(prefix, after=after, page=page)):
            self.requests += number > 0 and number % page == 0
            yield stat

    def read(self, key, **more):
        self.requests += 1
        return super().read(key, **more)

    def exists(self, key):
        self.requests += 1
        return super().exists(key)


def write_by_hand(folder, key, data=b""):
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


@pytest.mark.parametrize("many", [10, 1_100, pytest.param(10_000, marks=pytest.mark.slow)])
def test_three_requests_find_where_a_long_log_ends(tmp_path, many):
    store = Counting(tmp_path)
    write_versions(store, 1)
    first = move(store, "reviews", "production", 1)
    for number in range(2, many + 1):
        write_by_hand(tmp_path, version_key("reviews", number), to_bytes(version(number)))
        write_by_hand(tmp_path, mark_key(version_marks("reviews"), number))
        entry = replace(first, entry=number, number=number, digest=FIRST.digest, record=version(number))
        write_by_hand(tmp_path, move_key("reviews", "production", number), seal(entry.fields))
        write_by_hand(tmp_path, mark_key(alias_marks("reviews", "production"), number))
    for asked, requests in (("reviews:7", 1), ("reviews", 3), ("reviews@production", 3)):
        store.requests = 0
        assert (resolve(store, asked).number, store.requests) == (7 if ":" in asked else many, requests)


class Lagging(FolderStore):
    """A store whose listings show nothing that is new."""

    lags = False

    def list(self, prefix, *, after="", page=1000):
        if not self.lags:
            self.shown = {stat.key for stat in super().list("")}
        return (stat for stat in super().list(prefix, after=after, page=page) if stat.key in self.shown)


@pytest.mark.parametrize("known", [0, 1, 20])
@pytest.mark.parametrize("new", [1, 9])
def test_what_was_written_is_seen_although_a_listing_lags(tmp_path, known, new):
    store = Lagging(tmp_path)
    write_versions(store, *range(1, known + 1))
    if known:
        move(store, "reviews", "production", known)
    list(store.list(""))
    store.lags = True
    write_versions(store, *range(known + 1, known + new + 1))
    assert latest(store, "reviews").version == version(known + new)
    for number in range(known + 1, known + new + 1):
        move(store, "reviews", "production", number)
        assert current(store, "reviews", "production") == number


def test_no_mark_is_believed(store):
    write_versions(store, 1, 2, 3)
    move(store, "reviews", "production", 3)
    marks, entries = version_marks("reviews"), alias_marks("reviews", "production")
    for far in (4, 5, 6, 7, 10**17):
        store.create(mark_key(marks, far), b"")
        store.create(mark_key(entries, far), b"")
    for what in ("deleted", "yank", "rubbish"):
        store.create(mark_key(marks, 3, what), b"")
    for rubbish in ("0", "x.at", f"{0:020d}.at", f"{10**19}.at"):
        store.create(f"{marks}{rubbish}", b"")
    assert (latest(store, "reviews").version, current(store, "reviews", "production")) == (version(3), 3)


def test_a_damaged_record_is_never_passed_over(store, write):
    write_versions(store, 1, 2)
    store.upload(version_key("reviews", 2), write("damaged", b"rubbish"))
    with pytest.raises(CorruptObject, match="not a valid JSON document"):
        latest(store, "reviews")


def test_latest_passes_over_what_is_yanked_or_deleted(store):
    write_versions(store, 1, 2, 3, 4)
    delete_version(store, version(4))
    assert store.exists(deletion_key("reviews", 4))
    yank(store, version(3), "it answers in the wrong language")
    assert (latest(store, "reviews").version.number, latest(store, "reviews").highest) == (2, 4)
    assert resolve(store, "reviews:3") == version(3)
    assert unyank(store, version(3), "it does not").yanked is False
    assert latest(store, "reviews").version.number == 3
    assert yanked(store, "reviews") == {}
    write_versions(store, 5)
    assert latest(store, "reviews").version.number == 5


def test_far_down_all_versions_are_listed(store, monkeypatch):
    monkeypatch.setattr("tunewright.registry.versions.latest._STEPS", 1)
    write_versions(store, 1, 2, 3)
    for number in (2, 3):
        yank(store, version(number), "bad data")
    assert latest(store, "reviews").version.number == 1
    yank(store, version(1), "bad data")
    with pytest.raises(NotFound, match=r"every version of 'reviews' in .* is yanked; reviews:3 is yanked by .*: bad"):
        latest(store, "reviews")


def test_a_yank_is_a_log_with_who_and_why(store):
    write_versions(store, 1)
    first = yank(store, version(1), "too slow")
    assert yank(store, version(1), "too slow") == yank(store, version(1), "") == first
    assert str(first).startswith(f"yanked by {first.who} (")
    assert str(first).endswith("): too slow")
    again = yank(store, version(1), "too slow, and wrong")
    assert (again.entry, yank_of(store, version(1)), yanked(store, "reviews")) == (2, again, {1: again})
    assert unyank(store, version(1)).entry == 3
    assert (unyank(store, version(1)), yank_of(store, version(1))) == (None, None)
    with pytest.raises(BadReference, match="the reason holds the character"):
        yank(store, version(1), "two\nlines")
    delete_version(store, version(1))
    with pytest.raises(NotFound, match="reviews:1 was deleted"):
        yank(store, read_version(store, "reviews", 1), "")


def test_a_damaged_yank_is_passed_over_told_and_written_over(store, write):
    write_versions(store, 1, 2)
    yank(store, version(2), "too slow")
    [key] = [stat.key for stat in store.list(version_marks("reviews")) if ".yank." in stat.key]
    store.upload(key, write("damaged", store.read(key).replace(b"slow", b"fast")))
    said = "was changed or damaged: its content does not match its own checksum; `tunewright yank reviews:2` or"
    for ask in (latest, yanked):
        faults = []
        found = ask(store, "reviews", on_fault=faults.append)
        assert len(faults) == 1
        assert faults[0].startswith(f"reviews:2 is passed over by latest: {key!r} in {store.uri} {said}")
    assert (latest(store, "reviews").version.number, found[2].reason) == (1, "its entry cannot be read")
    with pytest.raises(Conflict, match=r"reviews:2 is passed over by latest: .* at it all the same"):
        move(store, "reviews", "production", 2)
    assert unyank(store, version(2)).entry == 2
    assert latest(store, "reviews").version.number == 2
    store.upload(key.replace("1.json", "2.json"), write("rubbish", b"rubbish"))
    assert yank(store, version(2), "too slow").entry == 3


def test_an_entry_of_a_yank_above_a_gap_blocks_nobody(store):
    write_versions(store, 1)
    log, faults = f"{mark_key(version_marks('reviews'), 1, 'yank')}.", []
    store.create(f"{log}{999:020d}.json", b"rubbish")
    assert latest(store, "reviews").version.number == 1
    assert yanked(store, "reviews", on_fault=faults.append) == {}
    assert [fault.endswith("is not an object of a registry; it is left out, remove it") for fault in faults] == [True]
    assert (yank(store, version(1), "bad").entry, yank_of(store, version(1)).reason) == (1, "bad")


def test_what_is_said_can_be_read_or_is_not_written(store):
    write_versions(store, 1, 2)
    before = sorted(stat.key for stat in store.list(""))
    with pytest.raises(BadReference, match=r"^the reason has 257 characters; at most 256 are kept: say it shorter$"):
        yank(store, version(2), "x" * 257)
    for say in (
        lambda reason: delete_version(store, version(2), reason=reason),
        lambda reason: move(store, "reviews", "production", 1, reason=reason),
        lambda reason: tag(store, version(1), *(f"{number:04}{reason[:60]}" for number in range(1100))),
    ):
        with pytest.raises(BadReference, match=r"^the record '.*' would hold [67]\d,\d{3} bytes, and at most"):
            say("x" * 65_500)
    made = {stat.key for stat in store.list("")} - {*before}
    assert [key for key in made if "reviews" in key] == []
    assert yank(store, version(2), "x" * 256) == yank_of(store, version(2))
    move(store, "reviews", "production", 1, reason="x" * 60_000)
    assert history(store, "reviews", "production")[0].reason == "x" * 60_000


def test_a_deletion_without_a_mark_is_marked_by_who_meets_it(store):
    def delete_as_earlier_programs_do(number):
        gone = {"name": "reviews", "number": number, "deleted": FIRST.created, "who": "a@b", "reason": ""}
        store.create(deletion_key("reviews", number), seal({"format": 1, **gone}))

    write_versions(store, 1, 2, 3, 4)
    delete_as_earlier_programs_do(4)
    assert latest(store, "reviews").version.number == 4
    with pytest.raises(NotFound, match="reviews:4 was deleted"):
        move(store, "reviews", "production", 4)
    assert latest(store, "reviews").version.number == 3
    delete_as_earlier_programs_do(3)
    yanked(store, "reviews", deleted={3, 4})
    assert latest(store, "reviews").version.number == 2


class Closed(FolderStore):
    """A store whose marks nobody may list."""

    def list(self, prefix, *, after="", page=1000):
        if prefix.startswith("marks/"):
            raise AccessDenied(f"you may not list {prefix!r}")
        return super().list(prefix, after=after, page=page)


def test_who_may_not_read_the_marks_finds_versions_and_aliases(tmp_path, capsys):
    store = Closed(tmp_path)
    write_versions(store, 1, 2, 3)
    delete_version(store, version(3))
    yank(open_store(str(tmp_path)), version(2), "bad")
    move(store, "reviews", "production", 1)
    move(store, "reviews", "production", 2)
    capsys.readouterr()
    assert [resolve(store, one).number for one in ("reviews", "reviews@production", "reviews")] == [2, 2, 2]
    said = "you may not list 'marks/reviews/versions/'; without them yanked versions are not passed over"
    assert capsys.readouterr().err == f"warning: {said}\n"


def test_a_server_that_follows_the_latest_version_hears_of_the_next_one(store):
    write_versions(store, 1, 2)
    yank(store, version(2), "")
    seen = look(store, "reviews")
    assert (seen.version.number, has_moved(store, seen)) == (1, False)
    write_versions(store, 3)
    assert has_moved(store, seen)
