"""A classifier's ONNX file around which the servers of `bench_serve.py` are built: as little as users write.

A thread a run, as in this project's server; rows of one run are padded to the longest.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tokenizers import Tokenizer


class Graph:
    """A tokenizer and a session."""

    def __init__(self, folder: str, file: str) -> None:
        model = json.loads((Path(folder) / "model.json").read_text())
        self.labels = model["labels"]
        self.tokenizer = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
        self.tokenizer.enable_padding()
        self.tokenizer.enable_truncation(model["max_length"])
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        path = str(Path(folder) / file)
        self.session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = [one.name for one in self.session.get_inputs()]

    def answers(self, texts: list[str]) -> list[list[dict[str, object]]]:
        """The labels of each text with their probabilities, the likeliest first."""
        rows = self.tokenizer.encode_batch(texts)
        columns = {
            "input_ids": [row.ids for row in rows],
            "attention_mask": [row.attention_mask for row in rows],
            "token_type_ids": [row.type_ids for row in rows],
        }
        (logits,) = self.session.run(None, {name: np.array(columns[name], np.int64) for name in self.names})
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        order = (-shares).argsort(axis=1)
        return [
            [{"label": self.labels[at], "score": float(row[at])} for at in places]
            for row, places in zip(shares, order, strict=True)
        ]
