"""infinity with PyTorch and as many threads as this server, for `bench_serve.py`.

Its optimum engine opens no folder of this machine, so it computes with the fp32 weights. Of a classifier whose head is
none of transformers' it makes vectors, by the encoder that the labels of this server come from.
"""

import os
import sys

os.environ |= {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"}

import torch
import uvicorn
from infinity_emb import EngineArgs, create_server

folder, _, port, threads = sys.argv[1:]
torch.set_num_threads(int(threads))
args = EngineArgs(
    model_name_or_path=folder,
    served_model_name="reviews",
    engine="torch",
    device="cpu",
    dtype="float32",
    model_warmup=False,
    bettertransformer=False,
)
uvicorn.run(create_server(engine_args_list=[args]), port=int(port), http="httptools", log_level="warning")
