"""Canaries that the registry names: `tunewright canary` begins and ends them while servers run."""

from collections.abc import Callable, Collection

from tunewright.registry.versions.canary import Trial
from tunewright.registry.versions.watch import SeenTrial
from tunewright.serving.live.canary import Canary
from tunewright.serving.live.loading import Loader
from tunewright.serving.live.model import Model


class Trials:
    """What is tried beside the aliases that are followed, of models that have no canary by the settings."""

    def __init__(self, loader: Loader, made: Callable[[str, str, float], Canary], *, settled: Collection[str]) -> None:
        """`made`: a canary of a model, a reference and a percentage. `settled`: models whose canary is a setting."""
        self._loader, self._made, self._settled = loader, made, settled
        self._seen: dict[str, SeenTrial | None] = {}
        self._entries: dict[str, int | None] = {}
        """Of the trial that each model has, or has refused."""

    def changed(self, model: Model) -> tuple[Canary | None] | None:
        """The canary that the model is to have from now on, or that it is to have none; None: all stays as it is."""
        if model.name in self._settled:
            return None
        seen = self._seen.get(model.name)
        if model.name not in self._seen or (seen is not None and self._loader.has_moved(seen)):
            seen = self._seen[model.name] = self._loader.look_at_trial(model.main.reference)
        trial = _held(seen, model)
        entry = trial.entry if trial else None
        if entry == self._entries.get(model.name):
            return None
        self._entries[model.name] = entry
        return (self._made(model.name, f"{model.name}:{trial.number}", trial.percent) if trial else None,)


def _held(seen: SeenTrial | None, model: Model) -> Trial | None:
    """The trial, unless it was ended, or the alias has moved since."""
    pointing = model.main.seen
    if seen is None or seen.trial is None or seen.trial.number is None or pointing is None:
        return None
    return seen.trial if seen.ends_with == pointing.next_key else None
