"""optimum with as many threads as this server, one per run, behind FastAPI with httptools and orjson, for
`bench_serve.py`."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import onnxruntime as ort
import orjson
import torch
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response
from optimum.onnxruntime import ORTModelForSequenceClassification
from transformers import AutoTokenizer

torch.set_num_threads(1)
folder, _, port, threads = sys.argv[1:]
options = ort.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
model = ORTModelForSequenceClassification.from_pretrained(folder, session_options=options)
tokenizer = AutoTokenizer.from_pretrained(folder)
labels = model.config.id2label
pool = ThreadPoolExecutor(int(threads))
app = FastAPI()


def answers(texts):
    rows = tokenizer(texts, return_tensors="np", truncation=True, max_length=256, padding=True)
    scores = torch.softmax(torch.from_numpy(model(**rows).logits), dim=-1).numpy()
    order = (-scores).argsort(axis=-1)
    found = [
        [{"label": labels[int(i)], "score": float(row[i])} for i in places]
        for row, places in zip(scores, order, strict=True)
    ]
    return orjson.dumps(found)


@app.post("/predict")
async def predict(request: Request):
    inputs = orjson.loads(await request.body())["inputs"]
    texts = inputs if isinstance(inputs, list) else [inputs]
    content = await asyncio.get_running_loop().run_in_executor(pool, answers, texts)
    return Response(content, media_type="application/json")


uvicorn.run(app, port=int(port), http="httptools", access_log=False, log_level="warning")
