"""Which task a data set is for, and which column plays which part: guessed from what its columns hold.

What is not clear is asked, in one sentence that names the choices.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from tunewright.job.commands.profile import Column
from tunewright.job.commands.sample import Sample, word_columns
from tunewright.job.data.faults import listed
from tunewright.job.errors import SettingsError

ROLES = (
    "text text_pair label labels score tokens tags question context answers source target prompt response messages "
    "image audio"
).split()
"""The parts that columns play in any task."""
_TASK_OF = {
    "label": "text-classification",
    "labels": "text-classification",
    "score": "text-regression",
    "tokens": "token-classification",
    "tags": "token-classification",
    "question": "question-answering",
    "context": "question-answering",
    "answers": "question-answering",
    "prompt": "text-generation",
    "response": "text-generation",
    "messages": "text-generation",
}
_TEXTS = "text sentence review content body comment tweet message utterance query sms post document".split()
_LABELS = "label labels category class sentiment polarity intent emotion target gold y stance".split()
_SCORES = "score similarity rating relatedness value".split()
_LONG = "article document dialogue dialog abstract text source content body".split()
_SHORT = "summary highlights tldr headline title target".split()
_PROMPTS = "prompt instruction question input query".split()
_RESPONSES = "response output completion answer reply".split()
_WORDS, _TAGS = ("tokens", "words"), ("tags", "ner_tags", "pos_tags", "labels")
_PAIRS = (("premise", "hypothesis"), ("question", "sentence"), ("text", "text_pair"), ("query", "passage"))
_LANGUAGES = frozenset(
    "ar bg bn ca cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv nl no pl pt ro ru sk sl sr sv sw th tr uk "
    "ur vi zh".split()
)


@dataclass(frozen=True)
class Asked:
    """What the user has settled."""

    task: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Role to column."""


@dataclass(frozen=True)
class Guess:
    """A task and its columns, and what they were told from."""

    task: str
    columns: dict[str, str]
    reason: str
    options: dict[str, Any] = field(default_factory=dict)
    also: str = ""
    """What else it might be, and how to say so."""


class Unclear(SettingsError):
    """The data can be meant in several ways; the sentence names them."""


def guess(seen: Sample, asked: Asked) -> Guess:
    """The task and the columns. Unclear where there is more than one answer, or none."""
    for role, name in asked.columns.items():
        if seen.columns and seen.column(name) is None:
            have = listed((column.name for column in seen.columns), 20)
            raise Unclear(f"--columns.{role} names {name!r}, which is no column; the columns are {have}")
    task = asked.task or _task_of_roles(asked.columns) or _task(seen)
    if task not in _FILL:
        near = get_close_matches(task, _FILL, 1)
        hint = f"did you mean {near[0]}?" if near else f"expected {', '.join(_FILL)}"
        raise SettingsError(f"--task is {task!r}; {hint}")
    return _FILL[task](_Filling(seen, asked, task))


def _task_of_roles(roles: Iterable[str]) -> str:
    found = {_TASK_OF[role] for role in roles if role in _TASK_OF}
    return found.pop() if len(found) == 1 else ""


def _task(seen: Sample) -> str:
    """The task that the columns are made for."""
    if found := _OF_FORMAT.get(seen.format) or _task_of_shape(seen):
        return found
    labels, numbers = _of_kind(seen, "label", "labels"), _of_kind(seen, "number")
    if not (_named(labels, _LABELS) or _named(numbers, _SCORES)):
        if _by_names(seen, _PROMPTS, _RESPONSES):
            return "text-generation"
        if _by_names(seen, _LONG, _SHORT):
            return "summarization"
    # Words that come over and over are labels; numbers beside them may be anything.
    if labels:
        return "text-classification"
    return "text-regression" if numbers else _task_of_texts(seen)


def _task_of_shape(seen: Sample) -> str:
    """The task of values that are no plain texts, labels or numbers; empty where there are none."""
    if files := _of_kind(seen, "file"):
        return "audio-classification" if files[0].is_sound else "image-classification"
    if {"question", "context", "answers"} <= {column.name.lower() for column in seen.columns}:
        return "question-answering"
    if word_columns(seen.columns):
        return "token-classification"
    if _of_kind(seen, "messages"):
        return "text-generation"
    if len(seen.columns) == 1 and seen.columns[0].kind != "object":
        raise Unclear(
            f"there is one column, {seen.columns[0].name}, and nothing to learn beside it: add a column of labels or "
            "scores, or say --task text-generation or --task masked-language-modelling to learn from texts alone"
        )
    return ""


_OF_FORMAT = {
    "squad": "question-answering",
    "conll": "token-classification",
    "conllu": "token-classification",
    "text": "text-generation",
}


def _task_of_texts(seen: Sample) -> str:
    """The task of texts with nothing beside them but texts."""
    texts = _of_kind(seen, "text")
    if len(texts) == 2:
        one, other = texts
        if {one.name.lower(), other.name.lower()} <= _LANGUAGES:
            return "translation"
        if max(one.length, other.length) >= 3 * min(one.length, other.length):
            return "summarization"
        raise Unclear(
            f"columns {one.name} and {other.name} hold texts, and nothing is beside them: say --task translation, "
            "--task summarization, --task text-generation (a prompt and its response) or --task text-classification "
            "with --columns.label"
        )
    have = "; ".join(f"{column.called} holds {_said(column)}" for column in seen.columns[:8]) or "there are none"
    raise Unclear(
        f"no column looks like what is to be learned ({have}): name it, --columns.label NAME for a class, "
        "--columns.labels NAME for several, --columns.score NAME for a number, or --columns.target NAME with --task "
        "translation or summarization for a text"
    )


def _said(column: Column) -> str:
    """What a column holds, in words."""
    kinds = {
        "text": "texts",
        "label": f"{len(column.counts):,} words or numbers over and over",
        "labels": "several labels a row",
        "number": "numbers",
        "id": "a name for each row",
        "constant": "the same in every row",
        "texts": "lists of texts, which are not read: join them",
        "bits": "zeros and ones",
        "date": "dates",
        "object": "objects, which are not read: write their keys as columns",
        "messages": "messages",
        "file": "images or recordings",
        "empty": "nothing",
    }
    return kinds[column.kind]


def _of_kind(seen: Sample, *kinds: str) -> list[Column]:
    return [column for column in seen.columns if column.kind in kinds]


def _named(columns: Sequence[Column], names: Sequence[str]) -> Column | None:
    """The column with the first of these names."""
    by_name = {column.name.lower(): column for column in columns}
    return next((by_name[name] for name in names if name in by_name), None)


def _by_names(seen: Sample, first: Sequence[str], second: Sequence[str]) -> tuple[Column, Column] | None:
    """Two columns of texts that are called so; None where one of the two is not there."""
    texts = _of_kind(seen, "text")
    one, other = _named(texts, first), _named(texts, second)
    return (one, other) if one and other and one is not other else None


@dataclass(frozen=True)
class _Filling:
    """A task whose columns are to be found."""

    seen: Sample
    asked: Asked
    task: str

    def given(self, role: str) -> Column | None:
        """The column that the user names for a role."""
        return self.seen.column(self.asked.columns[role]) if role in self.asked.columns else None

    def guess(self, columns: Mapping[str, Column], reason: str, **more: Any) -> Guess:
        """The guess with these columns."""
        return Guess(self.task, {role: column.name for role, column in columns.items()}, reason, **more)


def _classification(filling: _Filling) -> Guess:
    seen = filling.seen
    role, target, others = _target(filling)
    reason = f"{target.called} has {len(target.counts):,} words or numbers over and over ({target.examples})"
    if role == "labels":
        reason = f"{target.called} has several labels in a row ({target.examples})"
    numbers = [column.name for column in _of_kind(seen, "number")] if not filling.asked.task else []
    also = [f"--columns.label {column.name}" for column in others] + [f"--columns.score {name}" for name in numbers]
    return filling.guess(
        {**_texts(filling, target), role: target}, reason, also=f"it might also be {' or '.join(also)}" if also else ""
    )


def _target(filling: _Filling) -> tuple[str, Column, list[Column]]:
    """The role and the column of the labels, and the other columns that might be meant."""
    for role in ("label", "labels"):
        if column := filling.given(role):
            return role, column, []
    found = _of_kind(filling.seen, "label", "labels")
    if not found:
        raise Unclear(
            f"no column holds labels ({'; '.join(f'{c.called}: {_said(c)}' for c in filling.seen.columns[:8])}): name "
            "it, --columns.label NAME"
        )
    words = [column for column in found if column.is_words]
    target = (
        _named(found, _LABELS) or (words[0] if len(words) == 1 else None) or (found[0] if len(found) == 1 else None)
    )
    if target is None:
        choices = listed((f"{column.name} ({len(column.counts):,} different)" for column in words or found), 6)
        flags = " or ".join(f"--columns.label {column.name}" for column in (words or found)[:6])
        raise Unclear(f"several columns may be the label, {choices}: say {flags}")
    return ("labels" if target.kind == "labels" else "label"), target, [one for one in found if one is not target]


def _of_files(filling: _Filling) -> Guess:
    seen, role = filling.seen, "audio" if filling.task.startswith("audio") else "image"
    file = filling.given(role) or next(iter(_of_kind(seen, "file")), None)
    if file is None:
        raise Unclear(f"no column names files: say --columns.{role} NAME, or name a folder of files")
    label, target, others = _target(filling)
    columns = {role: file, label: target}
    if filling.task == "image-text-classification":
        columns = {role: file, "text": _texts(filling, target)["text"], label: target}
    also = " or ".join(f"--columns.label {column.name}" for column in others)
    reason = f"files beside {len(target.counts):,} labels ({target.examples})"
    return filling.guess(columns, reason, also=f"it might also be {also}" if also else "")


def _regression(filling: _Filling) -> Guess:
    target = filling.given("score")
    if target is None:
        numbers = _of_kind(filling.seen, "number")
        numbers = numbers or [column for column in _of_kind(filling.seen, "label") if not column.is_words]
        target = _named(numbers, _SCORES) or (numbers[0] if len(numbers) == 1 else None)
        if target is None:
            flags = " or ".join(f"--columns.score {column.name}" for column in numbers[:6]) or "--columns.score NAME"
            what = "several columns hold numbers" if numbers else "no column holds numbers"
            raise Unclear(f"{what}: say {flags}")
    reason = f"{target.called} holds numbers ({len(target.counts):,} different)"
    return filling.guess({**_texts(filling, target), "score": target}, reason)


def _texts(filling: _Filling, target: Column | None) -> dict[str, Column]:
    """The one text beside the target, or the two."""
    given = {role: column for role in ("text", "text_pair") if (column := filling.given(role))}
    if "text" in given:
        return given
    texts = [column for column in _of_kind(filling.seen, "text") if column is not target]
    # Names of people or places stand one a row as ids do.
    texts = texts or [column for column in _of_kind(filling.seen, "id") if column.is_words and column is not target]
    if len(texts) == 1:
        return {"text": texts[0], **given}
    pair = _pair(texts)
    if pair:
        return {"text": pair[0], "text_pair": pair[1]}
    if named := _named(texts, _TEXTS):
        return {"text": named}
    if not texts:
        have = "; ".join(f"{column.called}: {_said(column)}" for column in filling.seen.columns[:8])
        raise Unclear(f"no column holds texts ({have}): name it, --columns.text NAME")
    flags = " or ".join(f"--columns.text {column.name}" for column in texts[:6])
    raise Unclear(f"several columns hold texts: say {flags} (--columns.text_pair NAME beside it takes two of them)")


def _pair(texts: Sequence[Column]) -> tuple[Column, Column] | None:
    """Two texts that belong together: by their names, or by their like lengths where columns have no names."""
    if len(texts) != 2:
        return None
    one, other = texts
    names = (one.name.lower(), other.name.lower())
    alike = names[0][:-1] == names[1][:-1] != "" and names[0][-1:] + names[1][-1:] in ("12", "ab", "01")
    nameless = names[0].isdecimal() and names[1].isdecimal()
    like = max(one.length, other.length) <= 2 * min(one.length, other.length)
    return (one, other) if (alike and not nameless) or names in _PAIRS or (nameless and like) else None


def _tagging(filling: _Filling) -> Guess:
    seen = filling.seen
    scheme = str(seen.facts.get("scheme", "plain"))
    options = {} if scheme == "BIO" else {"scheme": scheme}
    spelt = "parts of speech or other tags of single words" if scheme == "plain" else f"tags as {scheme} spells them"
    if seen.format in ("conll", "conllu"):
        usual = {"tokens": "form", "tags": "upos"} if seen.format == "conllu" else {"tokens": "0", "tags": "-1"}
        reason = f"lines of a word and its tag, {seen.facts['tags']:,} different: {spelt}"
        return Guess(filling.task, usual | dict(filling.asked.columns), reason, options)
    words, tags = filling.given("tokens"), filling.given("tags")
    if words is None or tags is None:
        found = word_columns(seen.columns)
        if found is None:
            raise Unclear(
                "no two columns hold lists of words and of their tags: say --columns.tokens and --columns.tags"
            )
        words, tags = words or found[0], tags or found[1]
    reason = f"{words.called} and {tags.called} hold lists of one length: {spelt}"
    return filling.guess({"tokens": words, "tags": tags}, reason, options=options)


def _answering(filling: _Filling) -> Guess:
    wrong = int(filling.seen.facts.get("wrong", 0))
    options = {"drop_wrong": True} if wrong else {}
    reason = "questions with contexts and answers"
    if wrong:
        reason += f"; {wrong:,} answers do not stand where they say, and are left out"
    if filling.seen.format == "squad":
        return Guess(filling.task, {}, f"{reason}, as SQuAD has them", options)
    names = {column.name.lower(): column for column in filling.seen.columns}
    roles = {role: filling.given(role) or names.get(role) for role in ("question", "context", "answers")}
    found = {role: column for role, column in roles.items() if column}
    if len(found) < len(roles):
        missing = next(role for role in roles if role not in found)
        raise Unclear(f"no column is called {missing}: say --columns.{missing} NAME")
    return filling.guess(found, reason, options=options)


def _generation(filling: _Filling) -> Guess:
    seen = filling.seen
    if seen.format == "text":
        also = "texts alone may also teach --task masked-language-modelling"
        return Guess(filling.task, {}, "plain text, with nothing beside it", also=also)
    messages = filling.given("messages") or next(iter(_of_kind(seen, "messages")), None)
    if messages:
        return filling.guess({"messages": messages}, f"{messages.called} holds conversations")
    texts = _of_kind(seen, "text")
    one, other = filling.given("prompt"), filling.given("response")
    one = one or _named(texts, _PROMPTS) or (texts[0] if len(texts) == 2 else None)
    other = other or _named(texts, _RESPONSES) or (texts[1] if len(texts) == 2 else None)
    if one and other and one is not other:
        left = [column.name for column in texts if column not in (one, other)]
        also = f"not used: {listed(left)}; say --columns.prompt for another one" if left else ""
        return filling.guess(
            {"prompt": one, "response": other}, f"{one.called} asks, {other.called} answers", also=also
        )
    return filling.guess(_texts(filling, None), "texts alone")


def _two_texts(filling: _Filling) -> Guess:
    texts = _of_kind(filling.seen, "text")
    source, target = filling.given("source"), filling.given("target")
    named = _by_names(filling.seen, _LONG, _SHORT) if filling.task == "summarization" else None
    named = named or _by_names(filling.seen, ("source",), ("target",))
    if named is None and len(texts) == 2:
        by_length = filling.task == "summarization" and texts[0].length < texts[1].length
        named = (texts[1], texts[0]) if by_length else (texts[0], texts[1])
    source, target = source or (named and named[0]), target or (named and named[1])
    if source is None or target is None or source is target:
        have = listed((f"{column.name} ({_said(column)})" for column in filling.seen.columns), 8)
        raise Unclear(f"which text becomes which is not clear from {have}: say --columns.source and --columns.target")
    shorter = f"{source.called} has {source.length:,.0f} characters in the middle, {target.called} {target.length:,.0f}"
    return filling.guess({"source": source, "target": target}, shorter)


def _alone(filling: _Filling) -> Guess:
    if filling.seen.format == "text":
        return Guess(filling.task, {}, "plain text")
    return filling.guess({"text": _texts(filling, None)["text"]}, "texts alone")


def _vectors(filling: _Filling) -> Guess:
    numbers = [filling.given("score")] if filling.given("score") else _of_kind(filling.seen, "number")
    texts = _texts(filling, None) if filling.seen.columns else {}
    if len(texts) == 2 and len(numbers) == 1 and numbers[0]:
        return filling.guess({**texts, "score": numbers[0]}, "pairs of texts and how alike they are")
    return _alone(filling)


_FILL: dict[str, Callable[[_Filling], Guess]] = {
    "text-classification": _classification,
    "text-regression": _regression,
    "token-classification": _tagging,
    "question-answering": _answering,
    "text-generation": _generation,
    "translation": _two_texts,
    "summarization": _two_texts,
    "masked-language-modelling": _alone,
    "feature-extraction": _vectors,
    "image-classification": _of_files,
    "image-text-classification": _of_files,
    "audio-classification": _of_files,
}
