"""Remedies that have settings of their own: where one label is decided, how training rows are changed."""

from typing import Self

from pydantic import Field, model_validator

from tunewright.job.settings.fields import Fraction, Settings


class ThresholdSettings(Settings):
    """Where one label begins: precision traded against recall on the validation rows."""

    label: str = Field(min_length=1)
    """The label, often a rare one that must not be missed."""
    recall: float | None = Field(default=None, gt=0, le=1)
    """Find at least this share of its validation rows, with as few false alarms as that takes."""
    precision: float | None = Field(default=None, gt=0, le=1)
    """Let at least this share of what is called so be right, and find as many as that leaves."""

    @model_validator(mode="after")
    def _asks_for_one(self) -> Self:
        if (self.recall is None) == (self.precision is None):
            raise ValueError("give one of recall and precision")
        return self


class DistillSettings(Settings):
    """A registered version teaches: what it answers to the training rows is learned beside their labels."""

    teacher: str = Field(min_length=1)
    """The version: reviews@production, reviews:7, reviews@sha256:..."""
    weight: float = Field(default=0.5, gt=0, le=1)
    """What the teacher's answers count for; the labels count for the rest."""
    temperature: float = Field(default=2.0, gt=0, le=100)
    """Divides the logits of both before they are compared: higher shows more of what is unlikely. Not for numbers."""


class PseudoLabelSettings(Settings):
    """Unlabelled rows that the model is sure of are learned with the label that it gives them."""

    floor: float = Field(default=0.9, ge=0.5, lt=1)
    """How sure: the score of its label; of several labels that each is there or not."""
    rounds: int = Field(default=1, ge=1, le=10)
    """How often rows are labelled and the model taught anew; it ends where validation gets worse."""
    share: float = Field(default=1.0, gt=0, le=1000)
    """Of each label at most so many added rows for each of its training rows, the surest first; with several labels a
    row, of all rows together."""


class BackTranslateSettings(Settings):
    """Texts put into another language and back by two registered versions of the task translation."""

    there: str = Field(min_length=1)
    """The version that translates into another language: en-de@production, en-de:7, en-de@sha256:..."""
    back: str = Field(min_length=1)
    """The version that translates from there."""
    share: float = Field(default=0.3, gt=0, le=1)
    """How often a row is read as it came back, others in every epoch."""


class AugmentSettings(Settings):
    """Training rows otherwise in every epoch: what is changed in them, and how much."""

    swap: Fraction = 0.0
    """Texts: share of the words that change places with the next one."""
    delete: Fraction = 0.0
    """Texts: share of the words that are left out, never all of them."""
    typos: Fraction = 0.0
    """Texts: share of the words in which two letters change places, one is left out or one is doubled."""
    synonyms: Fraction = 0.0
    """Texts: share of the words for which the base model's own head over masked words writes another."""
    back_translate: BackTranslateSettings | None = None
    """Texts: some rows as they are after a translation into another language and back."""
    crop: Fraction = 0.0
    """Images: the largest share of an image's area that is cut off."""
    flip: bool = False
    """Images: every other one is mirrored."""
    colour: Fraction = 0.0
    """Images: brightness, contrast and saturation are changed by up to this share."""
    rand_augment: int = Field(default=0, ge=0, le=30)
    """Images: two of fourteen changes of this strength, others for each image and epoch (RandAugment; 9 is usual)."""
    gain: float = Field(default=0.0, ge=0, le=60)
    """Recordings: louder or softer by up to so many decibels."""
    noise: Fraction = 0.0
    """Recordings: white noise of up to this share of their own loudness."""
    shift: Fraction = 0.0
    """Recordings: begin earlier or later by up to this share of their length."""
    spec: Fraction = 0.0
    """Recordings read as spectra: a run of up to this share of the frames and one of the frequencies is hidden
    (SpecAugment)."""
