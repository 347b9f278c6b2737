"""Writes the graphs beside this file, as the exporter makes them: to be run again where it makes others.

    PYTHONPATH=src:tests/reference python tests/reference/graphs/write.py

An export takes ten to thirty seconds. Tests of what serving makes of a graph read these; the exporter has tests of its
own, and the slow ones of serving export every architecture.
"""

from pathlib import Path

import torch
import transformers
from safetensors.torch import save_file
from writing_models import SEQ2SEQ, vary

from tunewright.job.export.generation import export_graphs

HERE = Path(__file__).parent


def write_t5():
    """The one of `writing_models`, with its weights for transformers."""
    torch.manual_seed(0)
    model = SEQ2SEQ["t5"]().eval()
    vary(model)
    export_graphs(model, HERE / "t5")
    weights = {name: value.clone().contiguous() for name, value in model.state_dict().items()}
    save_file(weights, HERE / "t5/model.safetensors")


def write_gpt2():
    """Of one layer and 30 tokens, for a context of 64."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=30, n_embd=32, n_layer=1, n_head=4, n_positions=64, initializer_range=0.5
    )
    export_graphs(transformers.GPT2LMHeadModel(config).eval(), HERE / "gpt2")


if __name__ == "__main__":
    for name in ("t5", "gpt2"):
        (HERE / name).mkdir(exist_ok=True)
    write_t5()
    write_gpt2()
