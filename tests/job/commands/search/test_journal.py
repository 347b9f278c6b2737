"""A journal in a folder and in a bucket: lines in one order for all, also where two processes write at once."""

import json
import subprocess
import sys

import pytest

from tunewright.job.commands.search.journal import StoreJournal
from tunewright.registry.errors import CorruptObject

pytest.importorskip("optuna")

WORKER = """
import sys, optuna
from tunewright.job.commands.search.journal import StoreJournal
from tunewright.registry.stores.store import open_store

optuna.logging.set_verbosity(optuna.logging.WARNING)
storage = optuna.storages.JournalStorage(StoreJournal(open_store(sys.argv[1])))
study = optuna.create_study(storage=storage, study_name="one", load_if_exists=True)
sys.stdin.readline()
for _ in range(6):
    trial = study.ask()
    study.tell(trial, trial.suggest_float("x", 0, 1))
"""


def test_lines_are_read_in_the_order_in_which_they_came(store):
    one, other = StoreJournal(store), StoreJournal(store)
    one.append_logs([{"by": "one"}, {"by": "one again"}])
    other.append_logs([{"by": "other"}])
    one.append_logs([{"by": "one"}])
    assert [line["by"] for line in other.read_logs(0)] == ["one", "one again", "other", "one"]
    assert list(other.read_logs(3)) == [{"by": "one"}]
    assert list(other.read_logs(4)) == []


@pytest.mark.parametrize("line", [b"{", b"[1]", b"\xff"])
def test_a_line_that_is_none_is_named(store, line):
    StoreJournal(store).append_logs([{}])
    store.create("journal/00000000000000000001.json", line)
    said = (
        f"'journal/00000000000000000001.json' in {store.uri} is not a line of a study; begin another one with --study"
    )
    with pytest.raises(CorruptObject) as caught:
        list(StoreJournal(store).read_logs(0))
    assert str(caught.value) == said


def test_two_processes_share_a_study(store):
    """Twelve trials, each of one process: none is lost, and none is counted twice."""
    command = [sys.executable, "-c", WORKER, store.uri]
    workers = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for worker in workers:
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        worker.communicate(timeout=120)
    assert [worker.returncode for worker in workers] == [0, 0]
    lines = list(StoreJournal(store).read_logs(0))
    created = [line["worker_id"] for line in lines if line["op_code"] == 4]
    assert len(created) == 12
    assert len(set(created)) == 2
    assert len({json.dumps(line) for line in lines if line["op_code"] == 6}) == 12
