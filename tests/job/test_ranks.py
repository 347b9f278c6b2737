"""What launchers tell a process, and what does not fit."""

import pytest

from tunewright.job.errors import SettingsError
from tunewright.job.ranks import Place, is_to_start, read_place, require_rows

MEET = {"MASTER_ADDR": "node-0", "MASTER_PORT": "29500"}
START = "start the processes by torchrun, which sets all of it"


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({}, Place(0, 1, 0)),
        ({"WORLD_SIZE": "1"}, Place(0, 1, 0)),
        ({"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}, Place(0, 1, 0)),
        ({"WORLD_SIZE": "8", "RANK": "5", "LOCAL_RANK": "1", **MEET}, Place(5, 8, 1)),
        ({"WORLD_SIZE": "2", "RANK": "1", "SLURM_STEP_NUM_TASKS": "2", **MEET}, Place(1, 2, 1)),
        ({"PMI_SIZE": "1", "WORLD_SIZE": ""}, Place(0, 1, 0)),
    ],
)
def test_a_process_knows_its_place(given, place):
    assert read_place(given) == place


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"RANK": "0"}, f"RANK is 0, but WORLD_SIZE is not set; {START}"),
        ({"WORLD_SIZE": "2"}, f"WORLD_SIZE is 2, but RANK is not set; {START}"),
        (
            {"WORLD_SIZE": "two", "RANK": "0"},
            "WORLD_SIZE is 'two'; expected a whole number from 1: how many processes there are",
        ),
        (
            {"WORLD_SIZE": "0", "RANK": "0"},
            "WORLD_SIZE is '0'; expected a whole number from 1: how many processes there are",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "-1"},
            "RANK is '-1'; expected a whole number from 0: which of the processes this one is",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "2", **MEET},
            f"RANK is 2, but WORLD_SIZE is 2: ranks are counted from 0; {START}",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "1", "MASTER_PORT": "1"},
            f"WORLD_SIZE is 2, but MASTER_ADDR is not set: where do they meet? {START}",
        ),
        (
            {"WORLD_SIZE": "2", "RANK": "1", **MEET, "MASTER_PORT": "http"},
            "MASTER_PORT is 'http'; expected a whole number from 0: the port at which the processes meet",
        ),
        (
            {"OMPI_COMM_WORLD_SIZE": "8"},
            "OMPI_COMM_WORLD_SIZE is 8, so this is one of several processes, but WORLD_SIZE and RANK are not set: each "
            f"would register a version of its own; {START}",
        ),
    ],
)
def test_what_does_not_fit_is_refused(given, sentence):
    with pytest.raises(SettingsError) as refused:
        read_place(given)
    assert str(refused.value) == sentence


def test_a_step_has_a_row_for_each_process():
    require_rows(Place(0, 8, 0), 8)
    with pytest.raises(SettingsError) as refused:
        require_rows(Place(0, 9, 0), 8)
    assert str(refused.value) == (
        "WORLD_SIZE is 9, but a step has 8 rows (train.batch_size times train.accumulation), which the processes "
        "share: start fewer, or raise train.batch_size"
    )


@pytest.mark.parametrize(
    ("given", "is_asked"),
    [
        ({}, False),
        ({"PET_NNODES": "1", "PET_NPROC_PER_NODE": "1"}, False),
        ({"PET_NNODES": "1:1"}, False),
        ({"PET_NNODES": "2"}, True),
        ({"PET_NNODES": "1:4"}, True),
        ({"PET_NPROC_PER_NODE": "auto"}, True),
        ({"PET_NPROC_PER_NODE": "2", "RANK": "1"}, False),
    ],
)
def test_torchruns_own_variables_ask_for_several_processes(given, is_asked):
    assert is_to_start(given) is is_asked


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PET_NNODES", "many", "a whole number such as 2, or MIN:MAX"),
        ("PET_NPROC_PER_NODE", "0", "a whole number such as 2, auto, cpu or gpu"),
        ("PET_NODE_RANK", "first", "the number of this node, counted from 0"),
        ("PET_MASTER_PORT", "-1", "the number of a port"),
    ],
)
def test_torchruns_own_variables_are_checked_before_it_is_asked(name, value, expected):
    with pytest.raises(SettingsError) as refused:
        is_to_start({"PET_NNODES": "2", name: value})
    assert str(refused.value) == f"{name} is {value!r}; expected {expected}"
