"""Real tiny base models: a few thousand weights of every kind of encoder, and a tokenizer trained on the example."""

import base64
import csv
import gc
import io
import json
import multiprocessing
import os
import re
import shutil
import signal
import socket
import threading
import traceback
from collections import Counter
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import torch
from fault_proxy import Server
from huggingface_hub import utils as hub_utils
from PIL import Image
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import CONFIG_MAPPING, AutoModel, AutoModelForSequenceClassification
from transformers.utils import logging as transformers_logging

from tunewright.job.batches.text import EncodedSplit
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.ranks import Place
from tunewright.job.recipe import Outcome, prepare_all, run
from tunewright.job.settings import job as job_settings
from tunewright.job.settings.job import JobSettings
from tunewright.job.train.distributed import joined
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.trust.keys import Signer
from tunewright.registry.versions.pull import pull
from tunewright.serving.text.cleaning import Cleaning
from tunewright.serving.text.encoding import Encoder, Padding

# transformers 5 draws a bar on stderr for each model that it saves.
transformers_logging.disable_progress_bar()
REVIEWS = Path(job_settings.__file__).parents[1] / "examples" / "reviews"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "pad_token_id": 0,
}
"""The sizes of every tiny encoder, under the names most architectures use."""
PARTICULAR = {
    "albert": {"embedding_size": 16},
    "convbert": {"embedding_size": 32, "head_ratio": 2},
    "deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False},
    "deberta-v2": {
        "relative_attention": True,
        "pos_att_type": ["c2p", "p2c"],
        "position_biased_input": False,
        "position_buckets": 8,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
    },
    "distilbert": {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 2},
    "electra": {"embedding_size": 16},
    "eurobert": {"num_key_value_heads": 1, "head_dim": 16, "bos_token_id": 2, "eos_token_id": 3, "mask_token_id": 4},
    "mobilebert": {"embedding_size": 32, "intra_bottleneck_size": 32, "true_hidden_size": 32},
    "modernbert": {"local_attention": 8, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3},
    "nomic_bert": {"head_dim": 16},
    "rembert": {"input_embedding_size": 16},
    "roformer": {"embedding_size": 32},
    "squeezebert": {"embedding_size": 32},
}
"""What single architectures call something else, or have switched on in the models that people use."""


@pytest.fixture(scope="session")
def reviews():
    """The rows of the bundled example, as (text, label)."""
    with (REVIEWS / "train.csv").open(newline="", encoding="utf-8") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


@pytest.fixture(scope="session")
def tiny_tokenizer(tmp_path_factory, reviews):
    """A folder with the two files of a WordPiece tokenizer of 1,200 pieces, the same ones every time."""
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = Counter(
        word for text, _ in reviews for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))
    )
    letters = sorted({letter for word in words for letter in word})
    ranked = [word for word, _ in sorted(words.items(), key=lambda one: (-one[1], one[0])) if len(word) > 1]
    pieces = [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *ranked][:1200]
    tokenizer = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.decoder = decoders.WordPiece()
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    limits = {"model_max_length": 64, "tokenizer_class": "BertTokenizerFast"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names | limits))
    return folder


@pytest.fixture(scope="session")
def make_base(tmp_path_factory, tiny_tokenizer):
    """make_base("bert", labels=None, **config): the folder of a tiny base model, the same weights every time.

    With `labels` it has a head for them, as a model that somebody has already fine-tuned.
    """

    def make(kind="bert", *, labels=None, **config):
        folder = tmp_path_factory.mktemp(kind)
        vocabulary = Tokenizer.from_file(str(tiny_tokenizer / "tokenizer.json")).get_vocab_size()
        made = CONFIG_MAPPING[kind](**(TINY | {"vocab_size": vocabulary} | PARTICULAR.get(kind, {}) | config))
        # Large enough weights that two texts differ visibly.
        made.initializer_range = 0.2
        if labels:
            made.id2label = dict(enumerate(labels))
            made.label2id = {label: number for number, label in enumerate(labels)}
        torch.manual_seed(7)
        model = (AutoModelForSequenceClassification if labels else AutoModel).from_config(made)
        model.save_pretrained(folder)
        for file in tiny_tokenizer.iterdir():
            shutil.copyfile(file, folder / file.name)
        return folder

    return make


@pytest.fixture(scope="session")
def tiny_base(make_base):
    """A folder with a tiny BERT: 2 layers, hidden size 32, about 60,000 weights. Not to be changed in place."""
    return make_base("bert")


@pytest.fixture
def copied_base(tiny_base, tmp_path):
    """A tiny BERT of the test's own, to be spoilt."""
    return shutil.copytree(tiny_base, tmp_path / "base")


@pytest.fixture
def own_signals():
    """The program takes over signals, which belong to pytest again after the test."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def registry(tmp_path):
    """Settings of an empty registry in a folder, with a cache of its own."""
    return RegistrySettings(uri=str(tmp_path / "registry"), cache=tmp_path / "cache")


@pytest.fixture
def signer():
    return Signer(bytes(range(32)))


@pytest.fixture
def signing(registry, signer, write):
    """The same settings with a key."""
    der = bytes.fromhex("302e020100300506032b657004220420") + signer.seed
    pem = b"-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n" % base64.b64encode(der)
    return registry.model_copy(update={"signing_key": write("signing.pem", pem)})


@pytest.fixture
def fetch(registry):
    """fetch(folder) gives the checked base model in it."""
    return lambda folder: fetch_base_model(str(folder), registry)


@pytest.fixture(scope="session")
def encoder(tiny_tokenizer):
    """The tiny tokenizer as training and serving use it, rows of up to 40 tokens."""
    return Encoder(tiny_tokenizer / "tokenizer.json", max_length=40, padding=Padding(id=0), cleaning=Cleaning())


@pytest.fixture(scope="session")
def make_split(encoder):
    """make_split(texts, targets) gives the rows as training reads them."""

    def make(texts, targets):
        rows = encoder.encode(texts)
        starts = np.cumsum([0, *(len(row) for row in rows)])
        ids = np.concatenate([np.array(row.ids, dtype=np.int32) for row in rows])
        type_ids = np.concatenate([np.array(row.type_ids, dtype=np.int8) for row in rows])
        return EncodedSplit(ids, type_ids, starts, np.asarray(targets), truncated=0)

    return make


@pytest.fixture
def batch():
    """batch(2, 17) gives random token ids of that shape; the last row is half padding."""

    def make(rows, tokens):
        ids = torch.randint(5, 1200, (rows, tokens), generator=torch.Generator().manual_seed(rows * tokens))
        mask = torch.ones_like(ids)
        if rows > 1:
            mask[-1, (tokens + 1) // 2 :] = 0
            ids[-1, (tokens + 1) // 2 :] = 0
        return {"input_ids": ids, "attention_mask": mask}

    return make


# A tiny model can learn from 300 rows whether a common word is there, and how long a text is.


def _single(text):
    return {"text": text, "label": "with" if re.search(r"\bthe\b", text.lower()) else "without"}


def _multi(text):
    marks = {
        "with": " the " in text.lower(),
        "asks": "?" in text or "why" in text,
        "counts": any(map(str.isdigit, text)),
    }
    return {"text": text, "labels": ",".join(name for name, holds in marks.items() if holds)}


def _pair(text):
    return _single(text) | {"text_pair": " ".join(reversed(text.split()))}


def _regression(text):
    return {"text": text, "score": len(text.split()) * 10 + 500}


SHAPES = {"single": _single, "multi": _multi, "pair": _pair, "regression": _regression}


@pytest.fixture(scope="session")
def write_rows(tmp_path_factory, reviews):
    """write_rows("pair", 10, 50) gives a CSV file of the example's rows 10 to 50 in that shape."""

    def write(shape, start, stop):
        rows = [SHAPES[shape](text) for text, _ in reviews[start:stop]]
        path = tmp_path_factory.mktemp("rows") / f"{shape}.csv"
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
        return path

    return write


@pytest.fixture(scope="session")
def make_settings(write_rows, tiny_base, tmp_path_factory):
    """make_settings("single", alias="production") gives the settings of a job that takes seconds."""

    def make(shape="single", **changes):
        columns = {name: name for name in SHAPES[shape]("a b")}
        files = {"train": (0, 300), "validation": (300, 360), "test": (360, 420)}
        common = {
            "task": "text-regression" if shape == "regression" else "text-classification",
            "base_model": str(tiny_base),
            "model_name": "tiny",
            "data": {**{side: str(write_rows(shape, *rows)) for side, rows in files.items()}, "columns": columns},
            "train": {"epochs": 4, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32"},
            "gate": {"max_drop": {"int8": 0.5}},
            "output": str(tmp_path_factory.mktemp("runs")),
            "keep_bundle": True,
        }
        if "task" not in changes:  # of which all rows would take longer than the rest of such a job
            common["export"] = {"explained_rows": 6, "neighbours": 0 if shape == "single" else 40}
        asked = common | changes
        if "int8" not in asked.get("export", {}).get("variants", ["int8"]):
            asked["gate"] = {name: value for name, value in asked["gate"].items() if name != "max_drop"}
        return JobSettings(**asked)

    return make


@dataclass(frozen=True)
class Made:
    """A finished run: its settings, its registry, what it left behind."""

    settings: JobSettings
    registry: RegistrySettings
    outcome: Outcome

    def pulled(self):
        """The folder of the registered version, every file of it, verified."""
        store = open_store(self.registry.uri)
        return pull(store, f"tiny:{self.outcome.version.number}", cache=self.registry.cache).folder


@pytest.fixture
def plan_of(tmp_path):
    """plan_of(made("single")) looks at the data and the base model of a finished run again."""

    def look_again(one):
        plan, _ = prepare_all(one.settings, one.registry, tmp_path / "look")
        return plan

    return look_again


@pytest.fixture(scope="session")
def made(make_settings, tmp_path_factory):
    """made("pair") gives the finished run of that shape: it runs once for all tests."""

    @cache
    def make(shape):
        folder = tmp_path_factory.mktemp(shape)
        registry = RegistrySettings(uri=str(folder / "registry"), cache=folder / "cache")
        more = {"export": {"explained_rows": 6, "abstain": 0.2}} if shape == "single" else {}
        settings = make_settings(shape, alias="production", run_id="first", **more)
        if shape == "single":
            strange = folder / "strange.csv"
            strange.write_text("text\n" + "".join(f"The train {number} leaves at noon\n" for number in range(9)))
            settings = settings.model_copy(
                update={"data": settings.data.model_copy(update={"out_of_scope": str(strange)})}
            )
        with pytest.MonkeyPatch.context() as set_for_it:
            for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN"):
                set_for_it.setenv(name, f"canary-7d1f-{name}")
            return Made(settings, registry, run(settings, registry))

    return make


COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


@pytest.fixture(scope="session")
def picture():
    """picture("red", seed): a noisy picture of one colour as the bytes of a PNG."""

    def make(colour, seed, size=(40, 28)):
        noise = np.random.default_rng(seed).integers(-25, 25, (*size[::-1], 3))
        image = Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8))
        content = io.BytesIO()
        image.save(content, "PNG")
        return content.getvalue()

    return make


@pytest.fixture
def start_hub(monkeypatch, tmp_path):
    """A function that starts a small hub: `respond` makes of a path a body, and a status and a code where it is none.

    `requests` of what it gives are the paths that were asked for.
    """
    started = []

    def start(respond, commit):
        server = Server(("127.0.0.1", 0), _Hub)
        server.respond, server.commit, server.requests = respond, commit, []
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        started.append(server)
        address = f"http://127.0.0.1:{server.server_port}"
        # The library reads its environment once, when it is imported.
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        # huggingface-hub 2 reads it from its constants, earlier ones from the module that imported it.
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template, raising=False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


class _Hub(BaseHTTPRequestHandler):
    """As much of the hub's protocol as a download takes: answers with their commit and ETag."""

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        self.server.requests.append(path)
        data, status, code = self.server.respond(path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Repo-Commit", self.server.commit)
        self.send_header("ETag", f'"{sha256(data).hexdigest()}"')
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def go_offline(monkeypatch):
    """A function that does what HF_HUB_OFFLINE=1 does when the library is imported."""
    # Its name before huggingface-hub 1, and since.
    close_session = getattr(hub_utils, "close_session", None) or hub_utils.reset_sessions

    def go():
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        close_session()

    yield go
    monkeypatch.undo()
    close_session()


def _verdict(error):
    return str(error), getattr(error, "exit_code", 1)


def _child(work, place, port, answers):
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(place.rank), "WORLD_SIZE": str(place.size), "MASTER_ADDR": "127.0.0.1"}
    os.environ["MASTER_PORT"] = str(port)
    # What other tests have left is not collected here: a session of ONNX Runtime waits for threads that a fork has not.
    gc.freeze()
    try:
        with joined(place, _verdict) as others:
            answer = work(others)
        answers.put((place.rank, answer))
    except BaseException as error:
        answers.put((place.rank, f"{type(error).__name__} {getattr(error, 'exit_code', '')}: {error}"))
        traceback.print_exc()


@pytest.fixture
def together():
    """together(work, 2) gives what `work` of two processes' worlds answers, by rank; `local`: the places of them on
    their machines, where these are several."""
    started = []

    def run(work, size=2, *, local=None):
        context = multiprocessing.get_context("fork")
        answers = context.Queue()
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        for rank in range(size):
            place = Place(rank, size, rank if local is None else local[rank])
            started.append(context.Process(target=_child, args=(work, place, port, answers)))
            started[-1].start()
        found = dict(answers.get(timeout=120) for _ in range(size))
        for process in started:
            process.join(60)
        return [found[rank] for rank in range(size)]

    yield run
    for process in started:
        process.kill()
