"""What a launcher such as torchrun tells a process of the others: how many there are, and which one it is."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from tunewright.job.errors import SettingsError

_UNSUPPORTED = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS")
"""How mpirun and srun tell a process how many there are."""
_MEETING = ("MASTER_ADDR", "MASTER_PORT")
_START = "start the processes by torchrun, which sets all of it"
_NODES, _PROCESSES = "PET_NNODES", "PET_NPROC_PER_NODE"
_WHOLE = r"0|[1-9]\d{0,6}"
_FORMS = {
    _NODES: (r"[1-9]\d{0,6}(:[1-9]\d{0,6})?", "a whole number such as 2, or MIN:MAX"),
    _PROCESSES: (r"[1-9]\d{0,6}|auto|cpu|gpu", "a whole number such as 2, auto, cpu or gpu"),
    "PET_NODE_RANK": (_WHOLE, "the number of this node, counted from 0"),
    "PET_MASTER_PORT": (_WHOLE, "the number of a port"),
}
"""Variables of torchrun that are looked at before it is asked to start anything."""


@dataclass(frozen=True)
class Place:
    """Which of several processes this one is."""

    rank: int = 0
    """Counted from 0 over all machines."""
    size: int = 1
    local: int = 0
    """Counted from 0 on this machine."""


def read_place(environment: Mapping[str, str]) -> Place:
    """The place of this process, the only one where nothing else is said; SettingsError for what does not fit."""
    for name in _UNSUPPORTED:
        if environment.get(name, "1") != "1" and not environment.get("WORLD_SIZE"):
            raise SettingsError(
                f"{name} is {environment[name]}, so this is one of several processes, but WORLD_SIZE and RANK are not "
                f"set: each would register a version of its own; {_START}"
            )
    size = _number(environment, "WORLD_SIZE", 1, "how many processes there are", least=1)
    rank = _number(environment, "RANK", 0, "which of the processes this one is")
    if environment.get("RANK") and not environment.get("WORLD_SIZE"):
        raise SettingsError(f"RANK is {rank}, but WORLD_SIZE is not set; {_START}")
    if size > 1 and not environment.get("RANK"):
        raise SettingsError(f"WORLD_SIZE is {size}, but RANK is not set; {_START}")
    local = _number(environment, "LOCAL_RANK", rank, "which of those on this machine this one is")
    if rank >= size:
        raise SettingsError(f"RANK is {rank}, but WORLD_SIZE is {size}: ranks are counted from 0; {_START}")
    absent = [name for name in _MEETING if not environment.get(name)]
    _number(environment, "MASTER_PORT", 0, "the port at which the processes meet")
    if size > 1 and absent:
        raise SettingsError(f"WORLD_SIZE is {size}, but {absent[0]} is not set: where do they meet? {_START}")
    return Place(rank, size, local)


def require_rows(place: Place, rows: int) -> None:
    """SettingsError where a step has no row for some of the processes."""
    if place.size > rows:
        raise SettingsError(
            f"WORLD_SIZE is {place.size}, but a step has {rows} rows (train.batch_size times train.accumulation), "
            "which the processes share: start fewer, or raise train.batch_size"
        )


def is_to_start(environment: Mapping[str, str]) -> bool:
    """Whether torchrun's own variables ask for several processes, and this is none of them yet."""
    if environment.get("RANK"):
        return False
    for name, (form, expected) in _FORMS.items():
        value = environment.get(name, "")
        if value and not re.fullmatch(form, value):
            raise SettingsError(f"{name} is {value!r}; expected {expected}")
    nodes = environment.get(_NODES, "").rpartition(":")[2]
    return nodes not in ("", "1") or environment.get(_PROCESSES, "") not in ("", "1")


def _number(environment: Mapping[str, str], name: str, absent: int, meaning: str, *, least: int = 0) -> int:
    value = environment.get(name, "")
    if not value:
        return absent
    if not re.fullmatch(_WHOLE, value) or int(value) < least:
        raise SettingsError(f"{name} is {value!r}; expected a whole number from {least}: {meaning}")
    return int(value)
