"""The training rows as `train.augment` changes them, with samples for people to see."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter

from tunewright.job.batches.augment.images import image_changed
from tunewright.job.batches.augment.rows import Augmented, Make
from tunewright.job.batches.augment.sounds import samples_changed, spectrum_hidden
from tunewright.job.batches.augment.synonyms import Synonyms
from tunewright.job.batches.augment.words import changed, chosen, text_changed
from tunewright.job.batches.side import Batch, Rows
from tunewright.job.batches.text import NO_LABEL, TokenRows
from tunewright.job.errors import SettingsError
from tunewright.job.kinds.options import TagOptions
from tunewright.job.kinds.plan import Plan
from tunewright.job.learners.files import MediaEncoder
from tunewright.job.learners.tags import labelled, windower
from tunewright.job.learners.texts import tensors
from tunewright.job.model.build import build_masked
from tunewright.job.model.tokenizer import mask_token
from tunewright.job.progress.events import say
from tunewright.job.settings.remedies import AugmentSettings
from tunewright.serving.media.audio_features import features, read
from tunewright.serving.media.audio_processor import AudioPreprocessing, Waveform
from tunewright.serving.media.image_file import decode
from tunewright.serving.media.image_pixels import ImagePreprocessing, pixels
from tunewright.serving.tasks.token_classification import OUTSIDE
from tunewright.serving.text.encoding import Encoded, Encoder, Text, load_tokenizer

_SHOWN = 3
_CHARACTERS = 100
Random = np.random.Generator
_Tagged = tuple[list[str], list[str]]
"""The words of a sentence and their tags."""


def augmented(plan: Plan, rows: Rows) -> Rows:
    """The training rows, changed anew in every epoch where the settings ask for it; says what becomes of the first."""
    settings = plan.settings.train.augment
    if settings is None:
        return rows
    make, show = _of_kind(plan, rows, settings)
    some = list(range(min(_SHOWN, len(rows))))
    samples = show(some, [np.random.default_rng([plan.settings.train.seed, 1, row, 0]) for row in some])
    for sample in samples:
        say("augment", sample)
    plan.prepared.facts["augmented_samples"] = samples
    return Augmented(rows, make, plan.settings.train.seed)


def _of_kind(plan: Plan, rows: Rows, settings: AugmentSettings) -> tuple[Make, "_Show"]:
    if isinstance(rows, TokenRows):
        return _of_sentences(plan, rows, settings)
    if isinstance(plan.encoder, MediaEncoder):
        return _of_files(plan, plan.encoder, settings)
    return _of_texts(plan, settings)


_Show = Callable[[list[int], list[Random]], list[str]]


def _with_targets(plan: Plan, rows: list[int], arrays: Mapping[str, NDArray[np.generic]]) -> Batch:
    batch = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
    return {**batch, "targets": torch.from_numpy(plan.prepared.train.targets[rows])}


# Texts


def _of_texts(plan: Plan, settings: AugmentSettings) -> tuple[Make, _Show]:
    encoder, data, names = plan.opened(Encoder), plan.prepared.train.data, tensors(plan)
    synonyms = _synonyms(plan, settings)

    def texts(rows: list[int], randoms: list[Random]) -> list[Text]:
        given = _given(plan, rows, randoms)
        parts = [(one,) if isinstance(one, str) else tuple(one) for one in given]
        owners = [random for random, some in zip(randoms, parts, strict=True) for _ in some]
        pieces = [text_changed(text, settings, random) for text, random in zip(sum(parts, ()), owners, strict=True)]
        if synonyms:
            places = [
                [2 * at + 1 for at in chosen(len(one) // 2, settings.synonyms, random)]
                for one, random in zip(pieces, owners, strict=True)
            ]
            pieces = synonyms.replaced(pieces, places, owners)
        made = iter("".join(one) for one in pieces)
        return [next(made) if isinstance(one, str) else (next(made), next(made)) for one in given]

    def make(rows: list[int], randoms: list[Random]) -> Batch:
        return _with_targets(plan, rows, encoder.pad(encoder.encode(texts(rows, randoms)), names))

    def show(rows: list[int], randoms: list[Random]) -> list[str]:
        before = data.select(rows).inputs()
        shown = _shown(before, texts(rows, randoms))
        if plan.translated is not None:
            back = _shown(before, plan.translated.select(rows).inputs())
            shown += [f"there and back: {one}" for one in back]
        return shown

    return make, show


def _given(plan: Plan, rows: list[int], randoms: list[Random]) -> list[Text]:
    """The texts of these rows, some of them as they came back from another language."""
    given: list[Text] = plan.prepared.train.data.select(rows).inputs()
    settings = plan.settings.train.augment
    if plan.translated is None or settings is None or settings.back_translate is None:
        return given
    back: list[Text] = plan.translated.select(rows).inputs()
    share = settings.back_translate.share
    return [b if random.random() < share else a for a, b, random in zip(given, back, randoms, strict=True)]


def _shown(before: Sequence[Text], after: Sequence[Text]) -> list[str]:
    return [_pair(" | ".join(_parts(a)), " | ".join(_parts(b))) for a, b in zip(before, after, strict=True)]


def _parts(value: Text) -> Sequence[str]:
    return (value,) if isinstance(value, str) else tuple(value)


def _pair(before: str, after: str) -> str:
    return f"{_short(before)} -> {_short(after)}"


def _short(text: str) -> str:
    return repr(text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + "...")


def _synonyms(plan: Plan, settings: AugmentSettings) -> Synonyms | None:
    """What finds other words: the base model with its own head, which must not be a new one."""
    if not settings.synonyms:
        return None
    mask = mask_token(plan.base.folder)
    model, is_new = build_masked(plan.base, plan.settings.train) if mask else (None, True)
    if model is None or is_new or mask is None:
        raise SettingsError(
            f"train.augment.synonyms cannot be: base model {plan.base.address!r} brings no head that finds masked "
            "words; remove it, or choose a base model as it was pretrained"
        )
    model.eval()
    encoder, names = plan.opened(Encoder), tensors(plan, "fill-mask")

    @torch.no_grad()
    def logits(rows: list[list[int]]) -> torch.Tensor:
        arrays = encoder.pad([Encoded(row, [0] * len(row), truncated=False) for row in rows], names)
        found: torch.Tensor = model(**{name: torch.from_numpy(array) for name, array in arrays.items()})["logits"]
        return found

    return Synonyms(load_tokenizer(plan.base.tokenizer), mask, encoder.max_length, logits)


# Sentences of words with tags


@dataclass(frozen=True)
class _Sentences:
    """Words that are O, or of plain tags any, change places and are left out with their tags; a sentence of several
    rows stays as it is."""

    plan: Plan
    rows: TokenRows
    settings: AugmentSettings
    synonyms: Synonyms | None
    sentence_of: NDArray[np.int64]
    """The sentence of each row, -1 for one that has several rows."""

    def changed(self, numbers: list[int], randoms: list[Random]) -> list[_Tagged]:
        """The words and tags of these sentences, changed."""
        some = self.plan.prepared.train.data.select(numbers)
        made = []
        for words, tags, random in zip(some.inputs(), some.targets(), randoms, strict=True):
            fixed = [not self._is_free(tag) for tag in tags]
            found = changed(list(words), self.settings, random, fixed=fixed)
            made.append(([word for _, word in found], [tags[at] for at, _ in found]))
        return self._other_words(made, randoms)

    def _is_free(self, tag: str) -> bool:
        return tag == OUTSIDE or cast(TagOptions, self.plan.prepared.options).scheme == "plain"

    def _other_words(self, made: list[_Tagged], randoms: list[Random]) -> list[_Tagged]:
        if self.synonyms is None:
            return made
        spaced = [[piece for word in words for piece in (word, " ")] for words, _ in made]
        places = [
            [2 * at for at in chosen(len(words), self.settings.synonyms, random) if self._is_free(tags[at])]
            for (words, tags), random in zip(made, randoms, strict=True)
        ]
        found = self.synonyms.replaced(spaced, places, randoms)
        return [(pieces[::2], tags) for pieces, (_, tags) in zip(found, made, strict=True)]

    def batch(self, asked: list[int], randoms: list[Random]) -> Batch:
        """These rows of the model, changed."""
        encoder, names = self.plan.opened(Encoder), tensors(self.plan, "token-classification")
        encoded = self._encoded(asked, randoms)
        arrays = encoder.pad([row for row, _ in encoded], names)
        targets = np.full((len(asked), max(len(row) for row, _ in encoded)), NO_LABEL, dtype=np.int64)
        for place, (row, labels) in zip(targets, encoded, strict=True):
            place[: len(row)] = labels
        return {name: torch.from_numpy(array) for name, array in (arrays | {"targets": targets}).items()}

    def _encoded(self, asked: list[int], randoms: list[Random]) -> list[tuple[Encoded, list[int]]]:
        cutter, cut = windower(self.plan)
        number = {label: index for index, label in enumerate(self.plan.prepared.labels)}
        encoded = [self.rows.labelled(row) for row in asked]
        whole = [at for at, row in enumerate(asked) if self.sentence_of[row] >= 0]
        made = self.changed([int(self.sentence_of[asked[at]]) for at in whole], [randoms[at] for at in whole])
        for at, (words, tags) in zip(whole, made, strict=True):
            windows = list(labelled(cutter.words(words, cut), [number[tag] for tag in tags]))
            # Typos make more tokens of a word: what is too long then stays as it was.
            encoded[at] = windows[0] if len(windows) == 1 else encoded[at]
        return encoded

    def shown(self, some: list[int], randoms: list[Random]) -> list[str]:
        """The first sentences, before and after."""
        before, after = self.plan.prepared.train.data.select(some).inputs(), self.changed(some, randoms)
        return [_pair(" ".join(a), " ".join(b)) for a, (b, _) in zip(before, after, strict=True)]


def _of_sentences(plan: Plan, rows: TokenRows, settings: AugmentSettings) -> tuple[Make, _Show]:
    made = _Sentences(plan, rows, settings, _synonyms(plan, settings), _sentences(plan))
    return made.batch, made.shown


def _sentences(plan: Plan) -> NDArray[np.int64]:
    """The sentence of each row, -1 for one that has several rows."""
    cutter, cut = windower(plan)
    numbers: list[int] = []
    for at, words in enumerate(one for some, _ in plan.prepared.train.data.batches() for one in some):
        windows = len(cutter.words(words, cut).windows)
        numbers += [at if windows == 1 else -1] * windows
    return np.array(numbers, dtype=np.int64)


# Files


def _of_files(plan: Plan, encoder: MediaEncoder, settings: AugmentSettings) -> tuple[Make, _Show]:
    data, served = plan.prepared.train.data, plan.prepared.task.columns.served
    one = _image(encoder, settings) if "image" in encoder.options else _recording(encoder, settings)

    def changed_files(rows: list[int], randoms: list[Random]) -> list[tuple[object, str]]:
        inputs = data.select(rows).inputs()
        return [one(served(value), random) for value, random in zip(inputs, randoms, strict=True)]

    def make(rows: list[int], randoms: list[Random]) -> Batch:
        return _with_targets(plan, rows, encoder.collate([made for made, _ in changed_files(rows, randoms)]))

    def show(rows: list[int], randoms: list[Random]) -> list[str]:
        return [f"row {row}: {said}" for row, (_, said) in zip(rows, changed_files(rows, randoms), strict=True)]

    return make, show


_Content = bytes | tuple[bytes, str]
"""A file, or a file and the text beside it."""
_One = Callable[[_Content, Random], tuple[object, str]]


def _image(encoder: MediaEncoder, settings: AugmentSettings) -> _One:
    image, texts = ImagePreprocessing.model_validate(encoder.options["image"]), encoder.texts

    def one(value: _Content, random: Random) -> tuple[object, str]:
        content, text = value if isinstance(value, tuple) else (value, "")
        made, said = image_changed(decode(content), settings, random)
        if texts is None:
            return pixels(made, image), said
        return (pixels(made, image), texts.encode([text])[0]), said

    return one


def _recording(encoder: MediaEncoder, settings: AugmentSettings) -> _One:
    audio: AudioPreprocessing = TypeAdapter(AudioPreprocessing).validate_python(encoder.options["audio"])
    if settings.spec and isinstance(audio, Waveform):
        raise SettingsError(
            "train.augment.spec would have no effect: this base model reads the waveform, not a spectrum; remove it"
        )

    def one(value: _Content, random: Random) -> tuple[object, str]:
        content = value[0] if isinstance(value, tuple) else value
        samples, said = samples_changed(read(content, audio), settings, random)
        made = features(samples, audio)
        if settings.spec:
            made, said = spectrum_hidden(made, settings.spec, random), f"{said}, parts of the spectrum hidden"
        return made, said

    return one
