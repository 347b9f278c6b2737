"""`make bench-explain`: what the weights of an explanation are worth, by masking and by attention, beside random ones.

Sentences of SST-2's dev set, explained on the file of a registered version of a text classifier (MODEL=name@alias).
Words are hidden one after the other, those of the largest weights first, and shown one after the other: a figure is the
mean score of the answered label on the way. `masking` is what the server does. `attention` is how much the pooled
vector looks at each word in torch's model of the same version, over all heads: in the last layer, and followed through
all layers (rollout; Abnar and Zuidema 2020, https://arxiv.org/abs/2005.00928). Printed, and written to
var/bench/explain.json.

Data: $TUNEWRIGHT_DATA.
"""

import argparse
import csv
import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from registered import pulled
from transformers import AutoModel

from tunewright.job.measure.faithfulness import BUDGET, spread
from tunewright.job.model.load import silence_transformers
from tunewright.serving.explain.explaining import Weighed, run_steps, weigh
from tunewright.serving.explain.faithfulness import Curves, curves_of, mean_curves
from tunewright.serving.explain.parts import joined, words_of
from tunewright.serving.explain.subject import Asked
from tunewright.serving.predictor import open_predictor

OUTPUT = Path("var/bench/explain.json")
FEWEST = 3
"""Words of a sentence."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="reviews@production")
    parser.add_argument("--rows", type=int, default=30)
    asked = parser.parse_args()
    silence_transformers()
    folder = pulled(asked.model).folder
    with (Path(os.environ["TUNEWRIGHT_DATA"]) / "sst2/dev.tsv").open(encoding="utf-8") as file:
        texts = [row[0] for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)]
    texts = [text for text in texts if len(text.split()) >= FEWEST]
    found = measure(folder, [texts[at] for at in spread(len(texts), asked.rows)])
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(found, indent=2))


def measure(folder: Path, texts: list[str]) -> dict[str, dict[str, float]]:
    """Kind of weights to its mean curves over the texts, and the time of making the weights."""
    predictor, looked = open_predictor(folder), Looked(folder)
    curves: dict[str, list[Curves]] = {}
    seconds: dict[str, float] = {}
    asked = Asked(BUDGET)
    for text in texts:
        began = time.process_time()
        (weighed,) = run_steps(predictor, weigh(predictor, text, asked)).weighed
        seconds["masking"] = seconds.get("masking", 0) + time.process_time() - began
        began = time.process_time()
        encoder = predictor.engine.text.encoder
        words = joined(words_of([text], encoder.places(text)), asked.most_parts)
        (row,) = encoder.encode([text])
        of_tokens = looked(encoder.pad([row], looked.inputs))
        seconds["attention"] = seconds.get("attention", 0) + time.process_time() - began
        weights = {name: np.array([one[list(word.tokens)].sum() for word in words]) for name, one in of_tokens.items()}
        for name, one in {"masking": weighed, **{name: _with(weighed, one) for name, one in weights.items()}}.items():
            curves.setdefault(name, []).append(run_steps(predictor, curves_of(one)))
    predictor.close()
    found = {name: asdict(mean_curves(several)) for name, several in curves.items()}
    for name, one in found.items():
        gap, chance = one["insertion"] - one["deletion"], one["random_insertion"] - one["random_deletion"]
        took = seconds["masking" if name == "masking" else "attention"] / len(texts)
        one |= {"gap": gap, "random_gap": chance, "milliseconds": 1000 * took}
        print(f"{name:21} hidden {one['deletion']:.3f}, shown {one['insertion']:.3f}, gap {gap:+.2f}", end="")
        print(f" (random {chance:+.2f}), {1000 * took:.0f} ms, {len(texts)} texts")
    return found


def _with(weighed: Weighed, weights_N: NDArray[np.float64]) -> Weighed:
    return replace(weighed, weights_NK=weights_N[:, None])


class Looked:
    """How much the pooled vector of a text looks at its tokens."""

    inputs = ("input_ids", "attention_mask", "token_type_ids")

    def __init__(self, folder: Path) -> None:
        self.encoder = AutoModel.from_pretrained(folder / "weights", attn_implementation="eager").eval()
        self.is_mean = getattr(self.encoder.config, "tunewright_pooling", "native") == "mean"

    @torch.no_grad()
    def __call__(self, arrays: dict[str, NDArray[np.int64]]) -> dict[str, NDArray[np.float64]]:
        """One row to weights of its tokens by kind."""
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        layers = [one[0].mean(0) for one in self.encoder(**tensors, output_attentions=True).attentions]
        followed = torch.eye(len(layers[0]))
        for layer in layers:
            # Half of what a token becomes is what it was.
            followed = (layer + torch.eye(len(layer))) / 2 @ followed
        kinds = {"attention, last layer": layers[-1], "attention, followed": followed}
        return {name: (one.mean(0) if self.is_mean else one[0]).double().numpy() for name, one in kinds.items()}


if __name__ == "__main__":
    main()
