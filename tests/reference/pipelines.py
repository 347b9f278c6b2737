"""What the pipelines of transformers up to 4 answered, for tests to be held against: 5 has them no more.

`recorded/` holds what those of 4.57 answered; test_pipelines.py shows that what stands here answers the same.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Answer = dict[str, Any]


@dataclass(frozen=True)
class Span:
    """A window of a context: its encoding, and the logits of a start and an end at each token."""

    encoding: Any
    start: np.ndarray
    end: np.ndarray


class Reader:
    """Extractive question answering: the best spans by the product of the probabilities of their ends.

    Probabilities are taken within a window, over its first token and those of the context.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer

    def __call__(
        self,
        question: str,
        context: str,
        *,
        doc_stride: int | None = None,
        max_seq_len: int | None = None,
        **parameters: Any,
    ) -> Answer | list[Answer]:
        windows = self.windows(question, context, doc_stride=doc_stride, max_seq_len=max_seq_len)
        return self.answer(context, windows, **parameters)

    @torch.no_grad()
    def windows(
        self, question: str, context: str, *, doc_stride: int | None = None, max_seq_len: int | None = None
    ) -> list[Span]:
        """The logits of each window of the context, which overlap by `doc_stride` tokens."""
        length = max_seq_len or min(self.tokenizer.model_max_length, 384)
        stride = doc_stride or min(length // 2, 128)
        encoded = self.tokenizer(
            question,
            context,
            truncation="only_second",
            max_length=length,
            stride=stride,
            return_overflowing_tokens=True,
        )
        spans = []
        for encoding in encoded.encodings:
            tensors = {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask}
            if "token_type_ids" in self.tokenizer.model_input_names:
                tensors["token_type_ids"] = encoding.type_ids
            found = self.model(**{name: torch.tensor([values]) for name, values in tensors.items()})
            spans.append(Span(encoding, found.start_logits[0].numpy(), found.end_logits[0].numpy()))
        return spans

    def answer(
        self,
        context: str,
        windows: list[Span],
        *,
        top_k: int = 1,
        max_answer_len: int = 15,
        handle_impossible_answer: bool = False,
        align_to_words: bool = True,
    ) -> Answer | list[Answer]:
        """The best answers over all windows; the scores of those with one text are added up."""
        answers: list[Answer] = []
        nothing = 1e6
        # Several spans may be one answer once they are widened to words.
        candidates = top_k * 2 + 10 if align_to_words else top_k
        for window in windows:
            start, end, allowed = self._probabilities(window)
            if handle_impossible_answer:
                nothing = min(nothing, float(start[0] * end[0]))
            start[0] = end[0] = 0.0
            for first, last, score in _best(start, end, allowed, candidates, max_answer_len):
                at, until = _characters(window.encoding, first, last, align_to_words)
                text = context[at:until]
                same = next((one for one in answers if one["answer"].lower() == text.lower()), None)
                if same:
                    same["score"] += score
                else:
                    answers.append({"score": score, "start": at, "end": until, "answer": text})
        if handle_impossible_answer:
            answers.append({"score": nothing, "start": 0, "end": 0, "answer": ""})
        best = sorted(answers, key=lambda one: one["score"], reverse=True)[:top_k]
        return best[0] if len(best) == 1 else best

    def _probabilities(self, window: Span) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each token to be the start and the end; and which tokens may be."""
        ids = np.array(window.encoding.ids)
        inside = np.array([one == 1 for one in window.encoding.sequence_ids])
        allowed = inside | (ids == self.tokenizer.cls_token_id)
        start, end = (_softmax(np.where(allowed, logits, -10_000.0)) for logits in (window.start, window.end))
        return start, end, allowed


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _best(
    start: np.ndarray, end: np.ndarray, allowed: np.ndarray, count: int, longest: int
) -> list[tuple[int, int, float]]:
    """The most probable spans of at most `longest` tokens, the best first."""
    scores = np.tril(np.triu(np.outer(start, end)), longest - 1).ravel()
    if count == 1:
        order = np.array([scores.argmax()])
    elif len(scores) < count:
        order = np.argsort(-scores)
    else:
        order = np.argpartition(-scores, count)[:count]
        order = order[np.argsort(-scores[order])]
    spans = [(*divmod(int(one), len(end)), float(scores[one])) for one in order]
    return [one for one in spans if allowed[one[0]] and allowed[one[1]]]


def _characters(encoding: Any, first: int, last: int, align_to_words: bool) -> tuple[int, int]:
    """Where a span of tokens stands in the context, widened to words where the tokenizer knows them."""
    words = [encoding.token_to_word(first), encoding.token_to_word(last)]
    if align_to_words and None not in words:
        places = [encoding.word_to_chars(word, 1) for word in words]
        if None not in places:
            return places[0][0], places[1][1]
    return encoding.offsets[first][0], encoding.offsets[last][1]


class Writer:
    """Translation and summarization: the prefix of the model's configuration, `generate`, the text of its tokens."""

    def __init__(self, model: Any, tokenizer: Any, key: str) -> None:
        self.model, self.tokenizer, self.key = model.eval(), tokenizer, key

    def __call__(
        self, texts: list[str], *, clean_up_tokenization_spaces: bool | None = None, **parameters: Any
    ) -> list[Answer]:
        return [{self.key: self._written(text, clean_up_tokenization_spaces, parameters)} for text in texts]

    @torch.no_grad()
    def _written(self, text: str, cleans_up: bool | None, parameters: dict[str, Any]) -> str:
        prefix = getattr(self.model.config, "prefix", None) or ""
        rows = self.tokenizer([prefix + text], return_tensors="pt")
        rows.pop("token_type_ids", None)
        written = self.model.generate(**rows, **parameters)
        return str(
            self.tokenizer.decode(written[0], skip_special_tokens=True, clean_up_tokenization_spaces=bool(cleans_up))
        )
