"""Tiny models with their graphs, each exported once: an export takes seconds."""

import logging
from functools import cache
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForTokenClassification
from writing_models import CAUSAL, SEQ2SEQ

from tunewright.job.export.generation import export_graphs
from tunewright.job.export.graph import EXPORT_TASK, export_fp32
from tunewright.job.export.trace import by_transformers
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.model.build import build_classifier, build_headed
from tunewright.job.settings.train import TrainSettings
from tunewright.registry.settings import RegistrySettings
from tunewright.serving.runtime.session import Session

POSITIONS = 140
HEADS = {
    "token-classification": (AutoModelForTokenClassification, ["O", "B-X", "I-X"]),
    "question-answering": (AutoModelForQuestionAnswering, ["start", "end"]),
}


@pytest.fixture(scope="session")
def build_tiny(make_base, tmp_path_factory):
    """build_tiny(kind, task, pooling) gives a tiny model of three labels or two ends, ready to answer."""

    def make(kind="bert", task=EXPORT_TASK, pooling="native"):
        registry = RegistrySettings(cache=tmp_path_factory.mktemp("cache"))
        base = fetch_base_model(str(make_base(kind, max_position_embeddings=POSITIONS)), registry)
        if task == EXPORT_TASK:
            return build_classifier(base, ["a", "b", "c"], TrainSettings(pooling=pooling)).eval()
        auto, labels = HEADS[task]
        return build_headed(auto, base, labels, TrainSettings()).eval()

    return make


@pytest.fixture(scope="session")
def exported(build_tiny, tmp_path_factory):
    """exported(kind, task, pooling) gives such a model and the path of its graph. Neither is to be changed."""

    @cache
    def make(kind, task, pooling):
        model, path = build_tiny(kind, task, pooling), tmp_path_factory.mktemp(kind) / "onnx/fp32/model.onnx"
        before = _state(model)
        export_fp32(model, path, task)
        return SimpleNamespace(model=model, path=path, task=task, before=before, after=_state(model))

    return lambda kind="bert", task=EXPORT_TASK, pooling="native": make(kind, task, pooling)


def _state(model):
    """What the exporter changes while it traces."""
    return model.config._attn_implementation, logging.root.manager.disable, model.forward


@pytest.fixture(scope="session")
def written(writer_graphs, tmp_path_factory):
    """written("gpt2", through) gives a tiny model that writes, and the sessions of its graphs, the decoder's last."""

    @cache
    def make(kind, through):
        if kind in CAUSAL and through is by_transformers:
            model, _, paths = writer_graphs(kind)
            return SimpleNamespace(model=model, sessions=[_open(path) for path in paths])
        torch.manual_seed(0)
        model = {**CAUSAL, **SEQ2SEQ}[kind]().eval()
        paths = export_graphs(model, tmp_path_factory.mktemp(kind), through=through)
        return SimpleNamespace(model=model, sessions=[_open(path) for path in paths])

    return lambda kind, through=by_transformers: make(kind, through)


def _open(path):
    return Session(path).onnx


@pytest.fixture(scope="session")
def open_session():
    """open_session(path) gives ONNX Runtime's session of a graph."""
    return _open
