"""A pipeline of transformers behind FastAPI, as its pages show it, for `bench_serve.py`: fp32, by torch."""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline


class Asked(BaseModel):
    """Its requests have the shape of ours."""

    inputs: str | list[str]


if __name__ == "__main__":
    folder, _, port, workers = sys.argv[1:]
    torch.set_num_threads(int(workers))
    line, app = pipeline("text-classification", folder, top_k=None, device="cpu"), FastAPI()

    @app.post("/predict")
    def predict(asked: Asked) -> list:
        """In a thread of FastAPI's own."""
        return line(asked.inputs if isinstance(asked.inputs, list) else [asked.inputs])

    uvicorn.run(app, port=int(port), access_log=False, log_level="warning")
