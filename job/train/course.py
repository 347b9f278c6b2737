"""The course of a run: what was measured when, the best weights so far, and when to stop."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from tunewright.job.progress.events import say
from tunewright.job.settings.train import TrainSettings
from tunewright.job.train.objective import Objective
from tunewright.job.train.state import Progress, Weights


@dataclass(frozen=True)
class Course:
    """The measurements of a run, which are part of its progress."""

    objective: Objective
    settings: TrainSettings
    progress: Progress
    measure: Callable[[], dict[str, float]]
    """Figures of the model as it is: those of validation, and beside them those of training rows."""
    weights: Callable[[], Weights]
    """A copy of all that training can change."""

    @property
    def is_over(self) -> bool:
        """Whether all epochs are done, or enough measurements brought nothing better."""
        return self.progress.epoch > self.settings.epochs or self.progress.since >= self.settings.patience

    def look(self, place: dict[str, float]) -> None:
        """Measure, and keep the weights where they are better than all before. `place`: epoch, step and loss."""
        metric, progress, trained = self.objective.metric, self.progress, self.progress.trained
        figures = self.measure()
        improved = not trained.figures or self.objective.better(figures[metric], trained.figures[metric])
        trained.history.append({**place, **figures})
        _say(trained.history[-1], self.settings.epochs, improved=improved and bool(figures))
        self.objective.watch(figures)
        if improved or self.settings.average:
            weights = self.weights()
            self._rank(figures, weights)
        if improved:
            progress.since, progress.best = 0, weights
            trained.best_epoch, trained.figures = int(place["epoch"]), _of_validation(figures)
            return
        progress.since += 1
        if progress.since >= self.settings.patience:
            what = "measurements" if self.settings.evaluate else "epochs"
            say("train", f"stopped early: no better {metric} in {self.settings.patience} {what}")

    def _rank(self, figures: dict[str, float], weights: Weights) -> None:
        """Remember the weights of the best measurements, as many as will be averaged."""
        if self.settings.average and figures:
            sign = -1.0 if self.objective.lower_is_better else 1.0
            ranked = [*self.progress.ranked, (sign * figures[self.objective.metric], weights)]
            self.progress.ranked = sorted(ranked, key=lambda one: -one[0])[: self.settings.average]

    def finish(self, put: Callable[[Weights], None]) -> None:
        """Leave the model with the best weights, or with the mean of several where that is no worse."""
        best, trained = self.progress.best, self.progress.trained
        if len(self.progress.ranked) > 1:
            mean = _mean([weights for _, weights in self.progress.ranked])
            put(mean)
            figures, metric = _of_validation(self.measure()), self.objective.metric
            alone = trained.figures[metric]
            kept = not self.objective.better(alone, figures[metric])
            shown = f"{metric} {figures[metric]:.4f} of the mean of {len(self.progress.ranked)} sets of weights"
            say("train", f"{shown}, {alone:.4f} of the best alone: the {'mean' if kept else 'best alone'} is kept")
            if kept:
                trained.figures, best = figures, mean
        put(best)


def _of_validation(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if not name.startswith("train_")}


def _mean(several: list[Weights]) -> Weights:
    """Mean of each weight; of whole numbers (counters) those of the best."""
    first = several[0]
    return {
        name: torch.stack([one[name] for one in several]).mean(0) if weight.is_floating_point() else weight
        for name, weight in first.items()
    }


def _say(figures: dict[str, float], epochs: int, *, improved: bool) -> None:
    place = f"epoch {figures['epoch']:.0f}/{epochs}" + (f" step {figures['step']:.0f}" if "step" in figures else "")
    shown = "  ".join(f"{name} {value:.4f}" for name, value in figures.items() if name not in ("epoch", "step"))
    say("train", f"{place}  {shown}" + ("  (best so far)" if improved else ""), **figures)
