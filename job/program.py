"""`tunewright init|train|import|check|tune|suggest|label|runs|predict`: the entry point of the job image."""

import errno
import importlib.util
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tunewright.job import signals
from tunewright.job.arguments import own_flags, parser
from tunewright.job.errors import Interrupted, JobError, SettingsError, visible
from tunewright.job.hub import check_endpoint
from tunewright.job.progress.events import quiet
from tunewright.job.ranks import Place, is_to_start, read_place, require_rows
from tunewright.registry.errors import Conflict, RegistryError, Unreachable
from tunewright.registry.stores.disk_space import disk_full, fullest, is_disk_full
from tunewright.serving.errors import BundleError, ServingError

if TYPE_CHECKING:
    from tunewright.job.settings.job import JobSettings
    from tunewright.registry.settings import RegistrySettings

_ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1", "OMP_WAIT_POLICY": "PASSIVE"}
"""What libraries look at while they are imported, unless the user has set it: ONNX Runtime reports to its maker, and
OpenMP's threads burn a processor while they wait, which makes training many times slower beside any other program."""
_DISK = (errno.EACCES, errno.EDQUOT, errno.EEXIST, errno.EFBIG, errno.ENOSPC, errno.ENOTDIR, errno.EPERM, errno.EROFS)
"""Faults of the disk or the folders that the settings name, which a person can mend."""

_CODES = (((Conflict, Unreachable), 1), ((RegistryError, BundleError), 2), (ServingError, 1))


def main(arguments: Sequence[str]) -> int:
    """Run the command that the first word names; the exit code."""
    commands = {"init": _init, "train": _train, "check": _check, "tune": _tune}
    commands |= {"import": _import, "suggest": _suggest, "label": _label, "runs": _runs, "predict": _predict}
    signals.leave_at_once()
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # peft imports bitsandbytes where it is, which complains that `kernels` is not: a package that fetches code.
    logging.getLogger("bitsandbytes").setLevel(logging.CRITICAL)

    def run() -> None:
        check_endpoint()
        commands[arguments[0]](arguments[1:])

    return _guarded(run)


def _guarded(command: Callable[[], None]) -> int:
    """Turn what a person can act on into sentences and an exit code; anything else is a bug and keeps its traceback."""
    try:
        command()
    except BaseException as error:
        known = _known(error)
        if known is None:
            raise
        return _fail(*known)
    return 0


def _known(error: BaseException) -> tuple[str, int] | None:
    """What an error that a person can act on says, and the exit code."""
    if isinstance(error, JobError | Interrupted):
        return str(error), error.exit_code
    if isinstance(error, KeyboardInterrupt):
        return signals.CTRL_C, 130
    for kinds, code in _CODES:
        if isinstance(error, kinds):
            return str(error), code
    if isinstance(error, OSError) and is_disk_full(error):
        return f"{error.strerror}: {_full(error)}; see the settings output, REGISTRY_CACHE and TMPDIR", 1
    if isinstance(error, OSError) and error.errno in _DISK:
        return f"{error.filename or 'the disk'}: {error.strerror}; see the settings output and REGISTRY_CACHE", 1
    return None


def _verdict(error: BaseException) -> tuple[str, int]:
    """What an error is told to other processes as, and the code that they end with."""
    return _known(error) or (f"{type(error).__name__}: {error}", 1)


def _full(error: OSError) -> Exception:
    """Which disk is full. Where no file is named it is that of the folders a job writes to which has the least room."""
    if isinstance(error.filename, str):
        return disk_full(Path(error.filename).parent)
    told = [os.environ.get(name) for name in ("REGISTRY_CACHE", "JOB_OUTPUT")]
    return disk_full(fullest(map(Path, filter(None, [*told, tempfile.gettempdir(), "."]))))


def _fail(sentences: str, code: int) -> int:
    for sentence in sentences.splitlines():
        print(f"error: {visible(sentence)}", file=sys.stderr)  # noqa: T201 - the answer of a command line
    return code


# The commands import what they need themselves: seconds of importing, during which a signal must find its handler.
# `signals.unwind` stands where those seconds are over.


def _settings(
    arguments: Sequence[str],
    command: str,
    contradictions: "Callable[[JobSettings], list[str]] | None" = None,
    kind: "type[JobSettings] | None" = None,
) -> "tuple[JobSettings, RegistrySettings]":
    from tunewright.job.settings.job import JobSettings
    from tunewright.job.settings.load import load_settings
    from tunewright.registry.settings import RegistrySettings

    said = contradictions or _contradictions
    settings = load_settings(arguments, f"tunewright {command}", said, kind or JobSettings)
    return settings, RegistrySettings()


def _contradictions(settings: "JobSettings", *, noise: bool = False) -> list[str]:
    from tunewright.job.steps.contradictions import contradictions

    return contradictions(settings, noise=noise)


def _init(arguments: Sequence[str]) -> None:
    rest, columns = own_flags(arguments, "columns")
    asked = parser("init").parse_args(rest)
    from tunewright.job.commands.guess.filling import Asked
    from tunewright.job.commands.init import draft
    from tunewright.job.commands.job_file import refuse_to_overwrite, write
    from tunewright.registry.settings import RegistrySettings

    signals.unwind()
    refuse_to_overwrite(asked.output)
    given = {"model_name": asked.model_name, "base_model": asked.base_model}
    made = draft(asked.data, Asked(asked.task, columns, asked.encoding), RegistrySettings().cache, **given)
    write(made, asked.output, asked.data)
    for name, reasons in made.reasons.items():
        for reason in reasons:
            print(visible(f"{name or 'files'}: {reason}"), file=sys.stderr)  # noqa: T201 - the answer of a command line
    print(asked.output)  # noqa: T201 - the answer of a command line


def _train(arguments: Sequence[str]) -> None:
    place = read_place(os.environ)
    if is_to_start(os.environ):
        from tunewright.job.launcher import start

        start(arguments)
        return
    if place.size > 1:
        _train_with_others(place, arguments)
        return
    settings, registry = _settings(arguments, "train")
    from tunewright.job.steps.begin import begin

    signals.unwind()
    with begin(settings, registry) as begun:
        # torch is imported for data that is known to be good and a base that is there: a mistake is told in a second.
        with signals.held():
            from tunewright.job.commands.summary import show
            from tunewright.job.recipe import finish
        outcome = finish(begun, settings, registry)
    show(outcome)


def _train_with_others(place: Place, arguments: Sequence[str]) -> None:
    """The same in several processes: the first does all that one alone does, the others learn with it."""
    from tunewright.registry.settings import RegistrySettings

    registry = RegistrySettings()
    signals.unwind()
    # torch would warn that no weight was unused so far, which differs from step to step.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    with signals.held():
        from tunewright.job.commands.summary import show
        from tunewright.job.recipe import finish, follow
        from tunewright.job.relay import relaying, share
        from tunewright.job.steps.begin import begin
        from tunewright.job.train.distributed import joined
    with joined(place, _verdict) as world, relaying(world):
        if not world.is_first:
            # The settings too may lie in a bucket.
            share(registry.cache)
            with quiet():
                follow(_settings_of_several(place, arguments), registry)
            return
        settings = _settings_of_several(place, arguments)
        share(registry.cache)
        with begin(settings, registry) as begun:
            outcome = finish(begun, settings, registry)
        world.tell("done")
    show(outcome)


def _settings_of_several(place: Place, arguments: Sequence[str]) -> "JobSettings":
    settings, _ = _settings(arguments, "train")
    require_rows(place, settings.train.batch_size * settings.train.accumulation)
    if settings.train.minutes:
        raise SettingsError("train.minutes is measured in one process, and these are several: set train.epochs")
    return settings


def _import(arguments: Sequence[str]) -> None:
    if read_place(os.environ).size > 1 or is_to_start(os.environ):
        raise SettingsError("import is one process, without torchrun: nothing is taught that could be shared")
    words = list(arguments)
    model = words.pop(0) if words and not words[0].startswith("-") else None
    parser("import").parse_known_args([word for word in words if word in ("-h", "--help")])
    if model and any(word.partition("=")[0] == "--base_model" for word in words):
        raise SettingsError(f"the model is named twice, {model!r} and --base_model; name it once")
    from tunewright.job.commands.imports.settings import ImportSettings, import_faults

    named = [] if model is None else ["--base_model", model]
    settings, registry = _settings([*words, *named], "import", import_faults, ImportSettings)
    if faults := import_faults(settings):
        raise SettingsError("\n".join(faults))
    from tunewright.job.steps.begin import begin

    signals.unwind()
    with signals.held():
        from tunewright.job.commands.imports.command import get_ready, import_model
        from tunewright.job.commands.summary import show
    with begin(settings, registry, get_ready) as begun:
        outcome = import_model(begun, settings, registry)
    show(outcome)


def _check(arguments: Sequence[str]) -> None:
    asked, others = parser("check").parse_known_args(arguments)
    settings, registry = _settings(others, "check", partial(_contradictions, noise=asked.label_noise))
    from tunewright.job.steps.begin import get_ready

    signals.unwind()
    with tempfile.TemporaryDirectory(prefix="tunewright-") as work:
        ready = get_ready(settings, registry, Path(work))
        with signals.held():
            from tunewright.job.commands.doctor import examine
            from tunewright.job.recipe import open_base
        plan, (train, validation) = open_base(ready, settings, registry, Path(work))
        rows = {"train": train, "validation": validation}
        examine(
            plan,
            rows,
            registry.cache,
            Path(work),
            noise=asked.label_noise,
            as_json=asked.json,
            as_html=asked.html,
        )
    print("the settings and the data can be used")  # noqa: T201 - the answer of a command line


def _suggest(arguments: Sequence[str]) -> None:
    asked, others = parser("suggest").parse_known_args(arguments)
    settings, registry = _settings(others, "suggest")
    from tunewright.job.commands.suggest import show, suggest

    signals.unwind()
    with tempfile.TemporaryDirectory(prefix="tunewright-") as work:
        show(suggest(settings, registry, asked.candidates or (), rows=asked.rows, work=Path(work)))


def _tune(arguments: Sequence[str]) -> None:
    if read_place(os.environ).size > 1 or is_to_start(os.environ):
        raise SettingsError("tune is one process, without torchrun: start several that share a study")
    asked, others = parser("tune").parse_known_args(arguments)
    if importlib.util.find_spec("optuna") is None:
        raise SettingsError("tune needs more packages: pip install 'tunewright[tune]'")
    from tunewright.job.commands.search.space import all_faults

    settings, registry = _settings(others, "tune", all_faults)
    if faults := all_faults(settings):
        raise SettingsError("\n".join(faults))
    signals.unwind()
    with signals.held():
        from tunewright.job.commands.tune import tune
    with tempfile.TemporaryDirectory(prefix="tunewright-") as work:
        tune(settings, registry, study=asked.study, trials=asked.trials, work=Path(work))


def _label(arguments: Sequence[str]) -> None:
    rest, columns = own_flags(arguments, "columns")
    asked = parser("label").parse_args(rest)
    from tunewright.job.commands.label.command import label, read_back
    from tunewright.registry.settings import RegistrySettings

    signals.unwind()
    if asked.read is not None:
        read_back(asked.read, asked.output, asked.scheme)
        return
    label(asked, columns, RegistrySettings())


def _runs(arguments: Sequence[str]) -> None:
    asked = parser("runs").parse_args(arguments)
    from tunewright.job.commands.runs import read_runs, show_runs

    signals.unwind()
    show_runs(read_runs(asked.place, asked.last), as_json=asked.json)


def _predict(arguments: Sequence[str]) -> None:
    asked = parser("predict").parse_args(arguments)
    from tunewright.job.commands.predict import predict
    from tunewright.registry.settings import RegistrySettings

    signals.unwind()
    for answer in predict(asked.model, asked.inputs, asked.variant, RegistrySettings()):
        print(json.dumps(answer, ensure_ascii=False))  # noqa: T201 - the answer of a command line
