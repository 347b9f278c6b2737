"""A bundle on trial: loaded, its golden cases replayed, its example answered at other lengths as well."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tunewright.serving.errors import BundleError, InputError, RequestError
from tunewright.serving.generation.chat_template import FILE, ChatTemplate
from tunewright.serving.golden import replay
from tunewright.serving.predictor import Predictor, open_predictor
from tunewright.serving.runtime.capacity import Capacity
from tunewright.serving.runtime.free_memory import forget_peak, own_memory
from tunewright.serving.trial import template, tokenizer
from tunewright.serving.trial.verdicts import Verdict

_WORDS_OF_LONG = (512, 128, 32, 8, 2)
"""Words of a long input; a model that goes on with its input has no room for as many."""


def judge(folder: str, variant: str) -> Verdict:
    """How many golden cases were replayed, and what memory that took."""
    tokenizer_file, template_file = Path(folder) / "tokenizer.json", Path(folder) / FILE
    with _about("its tokenizer.json"):
        added = tokenizer.judge(str(tokenizer_file))["added"] if tokenizer_file.is_file() else 0
    # What the tokenizer's own trial took is not for long.
    forget_peak()
    before = own_memory("VmRSS") or 0
    predictor = open_predictor(Path(folder), variant=variant, capacity=Capacity(threads=1))
    if template_file.is_file():
        special = predictor.model.options.get("special_tokens")
        source = template_file.read_text(encoding="utf-8")
        template.check_rendered(ChatTemplate(source, special if isinstance(special, dict) else {}))
    most = predictor.model.max_length
    if predictor.model.pair and most is not None and added >= most:
        raise BundleError(f"{tokenizer_file} puts {added} special tokens around two texts, and a row has {most}")
    cases = replay(predictor)
    _answer_example(predictor)
    return {"cases": cases, "memory": max(0, (own_memory("VmHWM") or 0) - before)}


@contextmanager
def _about(what: str) -> Iterator[None]:
    """Say of which part a fault is that names none."""
    try:
        yield
    except (BundleError, RequestError, MemoryError, RecursionError):
        raise
    except BaseException as error:  # a panic of Rust is no Exception
        raise ValueError(f"{what}: {error}") from error


def _answer_example(predictor: Predictor) -> None:
    """Answer the task's example twice at once, and a longer one: a graph may fit the lengths of its own cases only."""
    task, model = predictor.task, predictor.model
    shapes = task.shapes(model)
    example, _ = task.read_inputs(shapes.example, model)
    predictor.predict(example, shapes.example_parameters)
    probes = [[shapes.example, shapes.example]]
    if model.max_length is not None or predictor.writes:
        probes += [[_long(shapes.example, words)] for words in _WORDS_OF_LONG]
    for number, probe in enumerate(probes):
        what = "one of another length" if number else "two at once"
        with suppress(InputError), _about(f"it answers its example, but not {what}"):
            predictor.predict(task.read_inputs(probe, model)[0], shapes.example_parameters)
            if number:
                return


def _long(value: object, words: int) -> object:
    """An input whose texts have so many words."""
    if isinstance(value, str):
        return " ".join((value.split() * words)[:words])
    if isinstance(value, list):
        return [_long(one, words) for one in value]
    assert isinstance(value, dict)
    return {name: one if name in ("role", "image") else _long(one, words) for name, one in value.items()}
