"""The peer of `make bench-generate`, run in its own environment: the loop of transformers over optimum's ORTModel.

`peer_generate.py --make FOLDER` writes the models (random weights, sizes of small real ones) and optimum's own graphs
of the encoder-decoders. Without it, one JSON object a line on standard input is a case, and each is answered by a
line: the tokens that were written, and the milliseconds that took, of the processor and of the clock. A case names the
threads of a run.
"""

import argparse
import json
import logging
import sys
import time
import warnings
from pathlib import Path

import onnxruntime as ort
import torch
import transformers
from optimum.exporters.onnx.convert import onnx_export_from_model
from optimum.onnxruntime import ORTModelForCausalLM, ORTModelForSeq2SeqLM

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--make", type=Path)
    asked = parser.parse_args()
    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if asked.make:
        make(asked.make)
        return
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


def make(folder: Path) -> None:
    for name, build in {"gpt2": gpt2, "qwen2": qwen2, "t5-small": t5_small}.items():
        torch.manual_seed(0)
        model = build().eval()
        model.save_pretrained(folder / name / "weights")
        if model.config.is_encoder_decoder:
            task = "text2text-generation-with-past"
            onnx_export_from_model(model, output=folder / name / "optimum", task=task, do_validation=False)


def answer(case: dict) -> dict:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = case["threads"], 1
    torch.set_num_threads(case["threads"])
    kind = ORTModelForSeq2SeqLM if case["seq2seq"] else ORTModelForCausalLM
    model = kind.from_pretrained(case["folder"], session_options=options)
    model.generation_config = transformers.GenerationConfig()
    config = transformers.GenerationConfig(
        max_new_tokens=case["tokens"], num_beams=case["beams"], pad_token_id=0, decoder_start_token_id=START
    )
    ids = torch.tensor(case["prompts"])
    mask = torch.ones_like(ids)
    beginning = 1 if case["seq2seq"] else ids.shape[1]
    for _ in range(2):  # the first one warms up
        started, begun = time.process_time(), time.perf_counter()
        written = model.generate(ids, attention_mask=mask, generation_config=config)
        processor, clock = 1000 * (time.process_time() - started), 1000 * (time.perf_counter() - begun)
    return {"written": written[:, beginning:].tolist(), "milliseconds": processor, "clock": clock}


if __name__ == "__main__":
    main()
