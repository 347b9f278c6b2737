"""`make bench-generate`: milliseconds per token of `generate` against optimum's ORTModel on the same ONNX session.

The models have random weights and the sizes of small real ones: what is compared is the loop around the graph, which
is the dearer the smaller the model is. Both sides get the same prompts and one thread, and must have written the same
tokens before anything is timed. The two take turns; the ratio is the median of the ratios of the rounds. Time is the
process's own on its processor, which with one thread is the time on an idle machine, also where others compute.
Printed, and written to var/bench/generate.json.
"""

import argparse
import json
import logging
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import transformers
from optimum.exporters.onnx.convert import onnx_export_from_model
from optimum.onnxruntime import ORTModelForCausalLM, ORTModelForSeq2SeqLM

from tunewright.serving.generation.graph import CausalGraph, Seq2SeqGraph
from tunewright.serving.generation.loop import generate
from tunewright.serving.generation.settings import GenerationSettings

START = 0


def gpt2():
    config = transformers.GPT2Config(vocab_size=16_000, n_embd=256, n_layer=6, n_head=8, n_positions=1024)
    return transformers.GPT2LMHeadModel(config)


def qwen2():
    config = transformers.Qwen2Config(
        vocab_size=32_000,
        hidden_size=512,
        num_hidden_layers=8,
        num_attention_heads=8,
        num_key_value_heads=2,
        intermediate_size=1408,
        max_position_embeddings=2048,
    )
    return transformers.Qwen2ForCausalLM(config)


def t5_small():
    sizes = {"vocab_size": 32_128, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8}
    return transformers.T5ForConditionalGeneration(transformers.T5Config(**sizes, decoder_start_token_id=START))


MODELS = {"gpt2": gpt2, "qwen2": qwen2, "t5-small": t5_small}


@dataclass(frozen=True)
class Case:
    """What is written in one round."""

    rows: int
    beams: int
    prompt: int
    """Tokens of each prompt."""
    tokens: int
    """Tokens written for each prompt."""


CASES = (Case(1, 1, 32, 64), Case(1, 1, 256, 64), Case(8, 1, 32, 48), Case(1, 4, 32, 48), Case(4, 4, 32, 32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    table = []
    print(f"{'model':10} {'rows':>4} {'beams':>5} {'prompt':>6} {'ms/token':>9} {'optimum':>9} {'ratio':>7}")
    for name in asked.models:
        folder = export(name)
        for case in CASES:
            row = {"model": name, **vars(case), **compare(folder, case, asked.rounds)}
            table.append(row)
            figures = f"{row['ours']:9.3f} {row['optimum']:9.3f} {row['ratio']:7.3f}"
            print(f"{name:10} {case.rows:4} {case.beams:5} {case.prompt:6} {figures}", flush=True)
    out = Path("var/bench/generate.json")
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(table, indent=2))


def export(name: str) -> Path:
    """The ONNX files of a model, made once."""
    folder = Path("var/bench/generate") / name
    if not (folder / "config.json").exists():
        torch.manual_seed(0)
        model = MODELS[name]().eval()
        task = "text2text-generation-with-past" if model.config.is_encoder_decoder else "text-generation-with-past"
        onnx_export_from_model(model, output=folder, task=task, do_validation=False)
    return folder


def compare(folder: Path, case: Case, rounds: int) -> dict[str, float]:
    """Take turns; milliseconds for each token of the answers."""
    graph = open_graph(folder)
    loops = {"ours": our_loop(graph, case), "optimum": optimum_loop(folder, graph, case)}
    written = {name: loop() for name, loop in loops.items()}  # this warms up, too
    if written["ours"] != written["optimum"]:
        raise SystemExit(f"{folder.name}: the two did not write the same tokens for {case}")
    costs = {name: [] for name in loops}
    for turn in range(rounds):
        for name in sorted(loops, reverse=bool(turn % 2)):
            started = time.process_time()
            loops[name]()
            costs[name].append(1000 * (time.process_time() - started) / (case.rows * case.tokens))
    ratios = np.divide(costs["ours"], costs["optimum"]).tolist()
    medians = {name: statistics.median(values) for name, values in costs.items()}
    return {**medians, "ratio": statistics.median(ratios), "rounds": rounds}


def open_graph(folder: Path) -> CausalGraph | Seq2SeqGraph:
    return (Seq2SeqGraph if is_seq2seq(folder) else CausalGraph)(folder)


def our_loop(graph: CausalGraph | Seq2SeqGraph, case: Case):
    start = START if isinstance(graph, Seq2SeqGraph) else None
    settings = GenerationSettings(max_new_tokens=case.tokens, num_beams=case.beams, decoder_start_token_id=start)
    return lambda: [answer.ids for answer in generate(graph, prompts(case), settings)]


def optimum_loop(folder: Path, graph: CausalGraph | Seq2SeqGraph, case: Case):
    """The loop of transformers over optimum's model, which is given our sessions: of two sessions over one file, opened
    alike in one process, one was 5 % faster than the other."""
    kind = ORTModelForSeq2SeqLM if is_seq2seq(folder) else ORTModelForCausalLM
    model = kind.from_pretrained(folder)
    if isinstance(graph, Seq2SeqGraph):
        model.encoder.session, model.decoder.session = graph._encoder.session.onnx, graph._first.session.onnx
    else:
        model.session = graph._onnx.session.onnx
    model.generation_config = transformers.GenerationConfig()
    config = transformers.GenerationConfig(
        max_new_tokens=case.tokens, num_beams=case.beams, pad_token_id=0, decoder_start_token_id=START
    )
    ids = torch.tensor(prompts(case))
    mask = torch.ones_like(ids)
    beginning = 1 if is_seq2seq(folder) else case.prompt
    return lambda: model.generate(ids, attention_mask=mask, generation_config=config)[:, beginning:].tolist()


def is_seq2seq(folder: Path) -> bool:
    return (folder / "encoder_model.onnx").exists()


def prompts(case: Case) -> list[list[int]]:
    return np.random.default_rng(0).integers(1, 16_000, (case.rows, case.prompt)).tolist()


if __name__ == "__main__":
    main()
