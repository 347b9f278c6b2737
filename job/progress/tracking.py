"""The events of a job as figures of a run, for the trackers that the settings name.

A figure has the name of its side (train/loss, validation/accuracy, test/int8/accuracy) and the steps of the optimizer
that lie before it. A run that learns several times, such as adapt does, counts: train.2/loss is of its second training.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tunewright.job.errors import Interrupted
from tunewright.job.progress.courier import Courier
from tunewright.job.progress.events import Done, Said, listening, warn
from tunewright.job.progress.tracker import Status, Tracker

POINTS = 100
"""Losses of an epoch that are told, at most."""
_LAST_WORDS = {"finished": 60.0, "failed": 20.0, "stopped": 10.0}
"""Seconds that a tracker has at the end of a run."""


@contextmanager
def tracking(begin: Mapping[str, Callable[[], Tracker]]) -> Iterator[None]:
    """Have trackers read along, by their names; one that fails is warned of once, and the job goes on without it."""
    couriers = [Courier(name, open_tracker) for name, open_tracker in begin.items()]
    reader, status = Figures(couriers), "failed"
    try:
        with listening(reader):
            yield
        status = "finished"
    except (Interrupted, KeyboardInterrupt):
        status = "stopped"
        raise
    finally:
        reader.end(status)  # type: ignore[arg-type]


class Figures:
    """A listener that makes figures of what it hears."""

    def __init__(self, couriers: list[Courier]) -> None:
        self._couriers = couriers
        self._training, self._steps, self._step = 1, 1, 0

    def see(self, done: Done) -> None:
        """The bar of an epoch: its running loss, at some of its steps."""
        epoch, loss = done.facts.get("epoch"), done.facts.get("loss")
        if done.event != "train":
            return
        self._steps = done.total
        if not isinstance(epoch, int) or not isinstance(loss, float):
            return
        self._step = (epoch - 1) * done.total + done.done
        # The last one of an epoch is said with its figures.
        if done.done % max(1, -(-done.total // POINTS)) == 0 and done.done < done.total:
            self._tell({f"{self._side('train')}/loss": loss}, self._step)

    def hear(self, said: Said) -> None:
        """Figures of an epoch, how fast it went, and what became of the version."""
        if said.event == "train" and "epoch" in said.facts:
            self._look(_numbers(said.facts))
        elif said.event == "train" and "rows_per_second" in said.facts:
            side = self._side("train")
            self._tell({f"{side}/{name}": value for name, value in _numbers(said.facts).items()}, self._step)
            self._training += 1
        elif said.event == "report":
            self._report(said.facts)
        elif said.event == "registry" and "version" in said.facts:
            tags = {name: str(value) for name, value in said.facts.items()}
            self._give(lambda tracker: tracker.tags(tags))
        self._warn()

    def _look(self, figures: dict[str, float]) -> None:
        epoch, within = figures.pop("epoch"), figures.pop("step", None)
        self._step = round((epoch - 1) * self._steps + (self._steps if within is None else within))
        named = {"loss": "train/loss"} | {name: f"train/{name[6:]}" for name in figures if name.startswith("train_")}
        told = {named.get(name, f"validation/{name}"): value for name, value in figures.items()}
        self._tell({self._side(name): value for name, value in told.items()}, self._step)

    def _report(self, facts: Mapping[str, object]) -> None:
        test, files = facts["test"], facts["files"]
        tags = {name: str(facts[name]) for name in ("headline", "variant")}
        assert isinstance(test, dict)
        assert isinstance(files, dict)
        self._tell(
            {f"test/{variant}/{name}": value for variant, metrics in test.items() for name, value in metrics.items()},
            self._step,
        )
        self._give(lambda tracker: tracker.tags(tags))
        # They are removed once they are in the registry.
        read = {name: Path(path).read_bytes() for name, path in files.items()}
        self._give(lambda tracker: tracker.files(read))

    def end(self, status: Status) -> None:
        """Wait for what is on its way."""
        for courier in self._couriers:
            courier.end(status, seconds=_LAST_WORDS[status])
        self._warn()

    def _side(self, name: str) -> str:
        """The name of a figure, with the number of its training where it is not the first."""
        side, slash, rest = name.partition("/")
        return name if self._training == 1 else f"{side}.{self._training}{slash}{rest}"

    def _tell(self, values: dict[str, float], step: int) -> None:
        if values:
            self._give(lambda tracker: tracker.figures(values, step))

    def _give(self, parcel: Callable[[Tracker], None]) -> None:
        for courier in self._couriers:
            courier.give(parcel)

    def _warn(self) -> None:
        for courier in self._couriers:
            if fault := courier.fault():
                warn("track", f"{courier.name} is told nothing more of this run: {fault}", tracker=courier.name)


def _numbers(facts: Mapping[str, object]) -> dict[str, float]:
    return {
        name: float(value)
        for name, value in facts.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
