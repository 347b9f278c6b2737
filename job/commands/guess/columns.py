"""Which column plays which part in a task, told from what the columns hold and how they are called."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from tunewright.job.commands.guess.filling import Filling, Guess, Unclear
from tunewright.job.commands.guess.names import (
    LABELS,
    LONG,
    PAIRS,
    PROMPTS,
    RESPONSES,
    SCORES,
    SHORT,
    TEXTS,
    by_names,
    named,
)
from tunewright.job.commands.guess.profile import Column
from tunewright.job.commands.guess.sample import word_columns
from tunewright.job.data.faults import listed

_LEAST_STEPS, _MOST_STEPS = 3, 11
"""Whole numbers that may be a scale, such as 1 to 5 stars or 0 to 10."""


def _classification(filling: Filling) -> Guess:
    seen = filling.seen
    role, target, others = _target(filling)
    reason = f"{target.called} has {len(target.counts):,} words or numbers over and over ({target.examples})"
    if role == "labels":
        reason = f"{target.called} has several labels in a row ({target.examples})"
    numbers = [column.name for column in seen.of_kind("number")] if not filling.asked.task else []
    also = [f"--columns.{_role(column)} {column.name}" for column in others] + [
        f"--columns.score {name}" for name in numbers
    ]
    texts = _texts(filling, target)
    if role == "label" and _is_scale(target) and not filling.asked.task:
        also.append(f"--columns.score {target.name} (text-regression, to which 4 is nearer to 5 than to 1)")
    also_be = f"it might also be {' or '.join(also)}" if also else ""
    return filling.guess({**texts, role: target}, reason, also=also_be)


def _is_scale(column: Column) -> bool:
    """Whether labels are whole numbers one after the other, as stars are, and more than a yes and a no."""
    if column.is_words or not _LEAST_STEPS <= len(column.counts) <= _MOST_STEPS:
        return False
    steps = sorted(float(value) for value in column.counts)
    return all(after - before == 1 for before, after in pairwise(steps))


def _target(filling: Filling) -> tuple[str, Column, list[Column]]:
    """The role and the column of the labels, and the other columns that might be meant."""
    for role in ("label", "labels"):
        if column := filling.given(role):
            return role, column, []
    found = filling.seen.of_kind("label", "labels")
    if not found:
        raise Unclear(
            f"no column holds labels ({'; '.join(f'{c.called}: {c.holds}' for c in filling.seen.columns[:8])}): name "
            "it, --columns.label NAME"
        )
    words = [column for column in found if column.is_words]
    target = named(found, LABELS) or (words[0] if len(words) == 1 else None) or (found[0] if len(found) == 1 else None)
    if target is None:
        choices = listed((f"{column.name} ({len(column.counts):,} different)" for column in words or found), 6)
        flags = " or ".join(f"--columns.{_role(column)} {column.name}" for column in (words or found)[:6])
        raise Unclear(f"several columns may be the label, {choices}: say {flags}")
    return _role(target), target, [one for one in found if one is not target]


def _role(column: Column) -> str:
    return "labels" if column.kind == "labels" else "label"


def _of_files(filling: Filling) -> Guess:
    seen, role = filling.seen, "audio" if filling.task.startswith("audio") else "image"
    file = filling.given(role) or next(iter(seen.of_kind("file")), None)
    if file is None:
        raise Unclear(f"no column names files: say --columns.{role} NAME, or name a folder of files")
    if filling.task.endswith("-regression"):
        score = _score(filling)
        return filling.guess({role: file, "score": score}, f"files beside numbers ({len(score.counts):,} different)")
    label, target, others = _target(filling)
    columns = {role: file, label: target}
    if filling.task == "image-text-classification":
        columns = {role: file, "text": _texts(filling, target)["text"], label: target}
    also = " or ".join(f"--columns.{_role(column)} {column.name}" for column in others)
    reason = f"files beside {len(target.counts):,} labels ({target.examples})"
    return filling.guess(columns, reason, also=f"it might also be {also}" if also else "")


def _regression(filling: Filling) -> Guess:
    target = _score(filling)
    reason = f"{target.called} holds numbers ({len(target.counts):,} different)"
    return filling.guess({**_texts(filling, target), "score": target}, reason)


def _score(filling: Filling) -> Column:
    """The column of numbers."""
    if given := filling.given("score"):
        return given
    numbers = filling.seen.of_kind("number")
    numbers = numbers or [column for column in filling.seen.of_kind("label") if not column.is_words]
    target = named(numbers, SCORES) or (numbers[0] if len(numbers) == 1 else None)
    if target is None:
        flags = " or ".join(f"--columns.score {column.name}" for column in numbers[:6]) or "--columns.score NAME"
        what = "several columns hold numbers" if numbers else "no column holds numbers"
        raise Unclear(f"{what}: say {flags}")
    return target


def _texts(filling: Filling, target: Column | None) -> dict[str, Column]:
    """The one text beside the target, or the two."""
    given = {role: column for role in ("text", "text_pair") if (column := filling.given(role))}
    if "text" in given:
        return given
    texts = [column for column in filling.seen.of_kind("text") if column is not target]
    # Names of people or places stand one a row as ids do.
    texts = texts or [column for column in filling.seen.of_kind("id") if column.is_words and column is not target]
    if len(texts) == 1:
        return {"text": texts[0], **given}
    pair = _pair(texts)
    if pair:
        return {"text": pair[0], "text_pair": pair[1]}
    if called := named(texts, TEXTS):
        return {"text": called}
    if not texts:
        have = "; ".join(f"{column.called}: {column.holds}" for column in filling.seen.columns[:8])
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
    return (one, other) if (alike and not nameless) or names in PAIRS or (nameless and like) else None


def _tagging(filling: Filling) -> Guess:
    seen = filling.seen
    scheme = seen.facts.scheme
    options = {} if scheme == "BIO" else {"scheme": scheme}
    spelt = "parts of speech or other tags of single words" if scheme == "plain" else f"tags as {scheme} spells them"
    if seen.format in ("conll", "conllu"):
        usual = {"tokens": "form", "tags": "upos"} if seen.format == "conllu" else {"tokens": "0", "tags": "-1"}
        reason = f"lines of a word and its tag, {seen.facts.tags:,} different: {spelt}"
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


def _answering(filling: Filling) -> Guess:
    wrong = filling.seen.facts.wrong
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


def _generation(filling: Filling) -> Guess:
    seen = filling.seen
    if seen.format == "text":
        also = "texts alone may also teach --task masked-language-modelling"
        return Guess(filling.task, {}, "plain text, with nothing beside it", also=also)
    messages = filling.given("messages") or next(iter(seen.of_kind("messages")), None)
    if messages:
        return filling.guess({"messages": messages}, f"{messages.called} holds conversations")
    texts = seen.of_kind("text")
    one, other = filling.given("prompt"), filling.given("response")
    one = one or named(texts, PROMPTS) or (texts[0] if len(texts) == 2 else None)
    other = other or named(texts, RESPONSES) or (texts[1] if len(texts) == 2 else None)
    if one and other and one is not other:
        left = [column.name for column in texts if column not in (one, other)]
        also = f"not used: {listed(left)}; say --columns.prompt for another one" if left else ""
        return filling.guess(
            {"prompt": one, "response": other}, f"{one.called} asks, {other.called} answers", also=also
        )
    return filling.guess(_texts(filling, None), "texts alone")


def _two_texts(filling: Filling) -> Guess:
    texts = filling.seen.of_kind("text")
    source, target = filling.given("source"), filling.given("target")
    pair = by_names(filling.seen, LONG, SHORT) if filling.task == "summarization" else None
    pair = pair or by_names(filling.seen, ("source",), ("target",))
    if pair is None and len(texts) == 2:
        by_length = filling.task == "summarization" and texts[0].length < texts[1].length
        pair = (texts[1], texts[0]) if by_length else (texts[0], texts[1])
    source, target = source or (pair and pair[0]), target or (pair and pair[1])
    if source is None or target is None or source is target:
        have = listed((f"{column.name} ({column.holds})" for column in filling.seen.columns), 8)
        raise Unclear(f"which text becomes which is not clear from {have}: say --columns.source and --columns.target")
    shorter = f"{source.called} has {source.length:,.0f} characters in the middle, {target.called} {target.length:,.0f}"
    return filling.guess({"source": source, "target": target}, shorter)


def _alone(filling: Filling) -> Guess:
    if filling.seen.format == "text":
        return Guess(filling.task, {}, "plain text")
    return filling.guess({"text": _texts(filling, None)["text"]}, "texts alone")


def _vectors(filling: Filling) -> Guess:
    numbers = [filling.given("score")] if filling.given("score") else filling.seen.of_kind("number")
    texts = _texts(filling, None) if filling.seen.columns else {}
    if len(texts) == 2 and len(numbers) == 1 and numbers[0]:
        return filling.guess({**texts, "score": numbers[0]}, "pairs of texts and how alike they are")
    return _alone(filling)


FILL: dict[str, Callable[[Filling], Guess]] = {
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
    "image-regression": _of_files,
    "audio-regression": _of_files,
    "image-text-classification": _of_files,
    "audio-classification": _of_files,
}
