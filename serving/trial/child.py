"""What runs in the child: one trial within its bounds, and its verdict on the last line of the output."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from tunewright.serving.errors import BundleError
from tunewright.serving.trial.bounds import Bounds
from tunewright.serving.trial.verdicts import Verdict


def _main(arguments: Sequence[str]) -> None:
    kind, cpu_seconds, memory, *words = arguments
    bounds = Bounds(float(cpu_seconds), int(memory))
    _bound(bounds)
    sys.stdout.write("\n" + json.dumps(_judged(kind, words, bounds)) + "\n")
    sys.stdout.flush()
    # Threads of the program may never end.
    os._exit(0)


def _judged(kind: str, words: Sequence[str], bounds: Bounds) -> Verdict | dict[str, str]:
    """A good verdict, or why there is none: `refused` in a sentence of its own, else the `fault` of what was tried."""
    judges: dict[str, Callable[..., Verdict]] = {
        "bundle": _bundle,
        "graph": _graph,
        "tokenizer": _tokenizer,
        "template": _template,
    }
    try:
        return judges[kind](*words)
    except BundleError as error:
        return {"refused": str(error)[:2000]}
    except MemoryError:
        return {"fault": bounds.too_large}
    except RecursionError:
        return {"fault": "it calls itself without end"}
    except BaseException as error:  # a panic of Rust is no Exception
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
        return {"fault": bounds.too_large if "bad_alloc" in first or "allocate" in first else first}


def _bound(bounds: Bounds) -> None:
    try:
        import resource
    except ImportError:  # Windows knows no such limits; the wall time remains
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + bounds.cpu_seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_DATA, (bounds.memory, bounds.memory))


def _bundle(folder: str, variant: str) -> Verdict:
    from tunewright.serving.trial.bundle import judge

    return judge(folder, variant)


def _graph(path: str) -> Verdict:
    from tunewright.serving.trial.graph import judge

    return judge(path)


def _tokenizer(path: str) -> Verdict:
    from tunewright.serving.trial.tokenizer import judge

    return judge(path)


def _template() -> Verdict:
    from tunewright.serving.trial.template import judge

    return judge(sys.stdin.read())


if __name__ == "__main__":
    _main(sys.argv[1:])
