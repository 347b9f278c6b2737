"""Start the processes of a job on this machine as torchrun does: its own variables (`PET_...`) say how many."""

import logging
import os
import signal
from collections.abc import Mapping, Sequence

from tunewright.job.errors import JobError, first_line
from tunewright.job.progress.events import say
from tunewright.serving.runtime.capacity import available_cpus

_DECIDED = (2, 3, 4)
"""Codes of an end that would be the same again: they count before any other."""
_GRACE = "50"
"""Seconds that the processes have to keep what they have learned once a signal has come."""


class Ended(JobError):
    """The processes have ended, and have said themselves why."""

    def __init__(self, exit_code: int, sentence: str = "") -> None:
        super().__init__(sentence)
        self.exit_code = exit_code


def start(arguments: Sequence[str]) -> None:
    """Start `tunewright train` with these arguments in several processes; Ended with the code of the first that fails.

    torchrun itself always ends with 1, whatever the code of a process says.
    """
    # The processes say what there is to say.
    logging.disable(logging.CRITICAL)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    os.environ.setdefault("PET_SHUTDOWN_TIMEOUT", _GRACE)
    from torch.distributed import DistError, run
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.elastic.rendezvous import RendezvousError

    asked = run.parse_args(["--module", "tunewright", "train", *arguments])  # type: ignore[no-untyped-call]
    processes = run.determine_local_world_size(asked.nproc_per_node)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cpus() // processes)))
    try:
        run.run(asked)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        raise _ended(*_cause({rank: failure.exitcode for rank, failure in error.failures.items()})) from error
    except SignalException as error:
        raise Ended(130 if error.sigval == signal.SIGINT else 75) from error
    except (RendezvousError, DistError) as error:
        if asked.node_rank > 0 and _is_published(arguments):
            return
        raise JobError(
            f"the processes did not meet ({first_line(error)}); see PET_NNODES and PET_MASTER_ADDR"
        ) from error


def _cause(codes: Mapping[int, int]) -> tuple[int, int]:
    """Of processes that were found ended at one moment, by rank, the one that the others have lost, with its code."""
    order = (*_DECIDED, *sorted(code for code in codes.values() if code < 0), 1, *codes.values())
    code = next(code for code in order if code in codes.values())
    return next(rank for rank in sorted(codes) if codes[rank] == code), code


def _is_published(arguments: Sequence[str]) -> bool:
    """Whether the run has ended well without this node, which was lost at the last moment and begun anew."""
    from tunewright.job.settings.load import load_settings
    from tunewright.registry.settings import RegistrySettings
    from tunewright.registry.stores.store import open_store
    from tunewright.registry.versions.publish import find_run

    settings = load_settings(arguments, "tunewright train")
    if not settings.run_id:
        return False
    done = find_run(open_store(RegistrySettings().uri), settings.model_name, settings.run_id)
    if done:
        say("registry", f"run {settings.run_id} has already published {done.name}:{done.number}")
    return done is not None


def _ended(rank: int, code: int) -> Ended:
    if code >= 0:
        return Ended(code)
    why = " (often for want of memory)" if -code == signal.SIGKILL else ""
    sentence = f"rank {rank} was ended by {signal.Signals(-code).name}{why}; the same job may run again"
    return Ended(128 - code, sentence)
