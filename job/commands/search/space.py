"""The space that is searched: names and values held against the settings themselves, before anything runs."""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import TypeGuard, cast

from tunewright.job.errors import SettingsError
from tunewright.job.settings.entries import Tree, merged
from tunewright.job.settings.job import PREFIX, JobSettings
from tunewright.job.settings.search import Choice, Range, Value
from tunewright.job.settings.train import CheckpointSettings
from tunewright.job.steps.contradictions import contradictions
from tunewright.registry.variables import build_settings, leaves

Space = Mapping[str, Choice]
"""What is searched: setting to what it may be."""
_START = "train."
_FIXED = {
    "train.seed": "it deals the rows to train and validation, which are the same for all trials",
    "train.max_length": "it cuts the rows, which are read once for all trials",
    "train.imbalance": "auto would try all remedies in each trial; search train.class_weights or train.sampling",
    "train.minutes": "epochs and rows would differ from trial to trial",
    "train.metric": "it says which trial is best",
    **dict.fromkeys(
        (f"train.checkpoint.{name}" for name in CheckpointSettings.model_fields), "a trial leaves no checkpoints"
    ),
}
"""What one study has one value of, and why."""


def all_faults(settings: JobSettings) -> list[str]:
    """What is wrong with the settings of a job and with the space to search, a sentence each."""
    return [*contradictions(plain(settings)), *_space_faults(settings)]


def _space_faults(settings: JobSettings) -> list[str]:
    if not settings.search:
        return ["search must be set: what tune may vary, such as {train.epochs: [2, 3, 4]}"]
    if settings.adapt is not None:
        return ["adapt would run anew in each trial; remove it, and put it back into the file that tune writes"]
    if settings.train.minutes is not None:
        return [
            "train.minutes would be measured anew in each trial; remove it, and put it into the file that tune writes"
        ]
    if settings.train.imbalance:
        return ["train.imbalance: auto would try all remedies in each trial; remove it, and search train.class_weights"]
    known = [".".join(leaf) for leaf in leaves(JobSettings) if leaf[0] == "train"]
    usual = set(contradictions(plain(settings)))
    faults = []
    for name, choice in settings.search.items():
        reason = _name_fault(name, known, settings)
        faults += [reason] if reason else [f"search: {one}" for one in _value_faults(settings, name, choice, usual)]
    return list(dict.fromkeys(faults))


def _name_fault(name: str, known: list[str], settings: JobSettings) -> str:
    """Why a setting cannot be searched, empty where it can."""
    if name in _FIXED:
        return f"search names {name}, which cannot be varied: {_FIXED[name]}"
    if name.startswith("train.few_shot.") and settings.train.few_shot is None:
        return f"search names {name}, but train.few_shot is not set; set it ({{}} takes its defaults)"
    if name in known:
        return ""
    near = get_close_matches(name, known, 1)
    if not name.startswith(_START) and not near:
        return f"search names {name!r}; it may name settings of train, such as train.learning_rate"
    inside = [one for one in known if one.startswith(f"{name}.")]
    if inside:
        return f"search names {name!r}, a group of settings; name them one by one, such as {inside[0]}"
    return f"search names {name!r}, which is not a setting; {_hint(near, known)}"


def _hint(near: list[str], known: list[str]) -> str:
    return f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"


def _value_faults(settings: JobSettings, name: str, choice: Choice, usual: set[str]) -> Iterator[str]:
    values = [choice.low, choice.high] if isinstance(choice, Range) else choice
    for value in values:
        try:
            found = with_values(settings, {name: value})
        except SettingsError as error:
            yield from str(error).splitlines()
            continue
        if isinstance(choice, Range) and not _is_number(_read(found, name)):
            yield f"{name} takes no numbers; give a list of values instead of a range"
            return
        yield from (one for one in contradictions(found) if one not in usual)
    if isinstance(choice, Range) and choice.step is not None and choice.step % 1 and is_whole(settings, name, choice):
        yield f"{name} takes whole numbers, and step is {choice.step:g}"


def plain(settings: JobSettings) -> JobSettings:
    """The job without its search."""
    return with_values(settings, {})


def with_values(settings: JobSettings, values: Mapping[str, Value]) -> JobSettings:
    """The settings of one trial, a job without a search; SettingsError says which value cannot be."""
    tree = merged(settings.model_dump(exclude_unset=True, exclude={"search"}), tree_of(values))
    built = build_settings(lambda: JobSettings.model_validate(tree), JobSettings, PREFIX, {}, only_variables=False)
    if isinstance(built, list):
        raise SettingsError("\n".join(built))
    return built


def tree_of(values: Mapping[str, Value]) -> Tree:
    """Values by their names with dots, as a tree of settings."""
    tree: Tree = {}
    for name, value in values.items():
        entry: Tree | Value = value
        for key in reversed(name.split(".")):
            entry = {key: entry}
        assert isinstance(entry, dict)
        tree = merged(tree, entry)
    return tree


def is_whole(settings: JobSettings, name: str, choice: Range) -> bool:
    """Whether a setting takes whole numbers only."""
    return isinstance(_read(with_values(settings, {name: choice.low}), name), int)


def as_set(settings: JobSettings, space: Space) -> dict[str, Value]:
    """What the settings themselves say of what is searched, where that is in the space: the first trial."""
    found: dict[str, Value] = {}
    for name, choice in space.items():
        value = _read(settings, name)
        inside = choice.low <= value <= choice.high if isinstance(choice, Range) and _is_number(value) else False
        if inside or (isinstance(choice, list) and value in choice):
            found[name] = value
    return found


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _read(settings: JobSettings, name: str) -> Value:
    found: object = settings
    for key in name.split("."):
        found = getattr(found, key, None)
    return cast(Value, found)
