import numpy as np
import pytest
import torch

from tunewright.job.errors import BaseModelError, JobError
from tunewright.job.export.graph import ARCHITECTURES, check_exportable, export_fp32, graph_inputs
from tunewright.job.tasks import TASKS

# The exporter traces with 2 rows of 16 tokens, none of them padding.
SHAPES = [(1, 1), (1, 2), (2, 17), (3, 40), (2, 60), (1, 129)]


def inputs_of(model, task, batch, shape):
    inputs = batch(*shape)
    if "token_type_ids" in graph_inputs(model.config, task):
        inputs["token_type_ids"] = (torch.arange(shape[1]) > 3).long().expand_as(inputs["input_ids"])
    return inputs


def differences(one, session, batch, shape):
    """Of each output from torch's, at the tokens that are no padding, in units of the largest number from ten on."""
    inputs = inputs_of(one.model, one.task, batch, shape)
    with torch.no_grad():
        expected = one.model(**inputs)
    names = [node.name for node in session.get_outputs()]
    for name, output in zip(names, session.run(None, {k: v.numpy() for k, v in inputs.items()}), strict=True):
        truth = expected[name].numpy()
        assert output.shape == truth.shape
        real = inputs["attention_mask"].numpy().astype(bool) if output.shape[:2] == shape else slice(None)
        # The numbers of an untrained mobilebert are in the hundreds.
        yield np.abs(truth - output)[real].max() / max(10, np.abs(truth).max()) * 10


def largest_difference(one, open_session, batch, path=None, shapes=SHAPES):
    session = open_session(path or one.path)
    return max(max(differences(one, session, batch, shape)) for shape in shapes)


# The mean is one and the same code over every encoder, so a few kinds of encoders are enough.
MEANS = [(kind, "mean") for kind in ("albert", "bert", "deberta-v2", "distilbert", "modernbert", "roberta")]
QUICK = [("bert", "native")]


def marked(cases, quick):
    """An export takes seconds, so `make test` looks at one architecture of each kind."""
    return [pytest.param(*one, marks=() if one in quick else pytest.mark.slow) for one in cases]


@pytest.mark.parametrize(
    ("kind", "pooling"), marked([*((kind, "native") for kind in ARCHITECTURES), *MEANS], quick=QUICK)
)
def test_the_graph_answers_as_torch_at_lengths_it_was_not_traced_with(exported, open_session, batch, kind, pooling):
    assert largest_difference(exported(kind, pooling=pooling), open_session, batch) < 1e-4


# The two heads are alike, so that one of them is enough for an encoder.
HEADS = ("token-classification", "question-answering")
PER_TOKEN = [
    next((task, kind) for task in (HEADS if number % 2 else HEADS[::-1]) if kind in TASKS[task].graph.architectures)
    for number, kind in enumerate(sorted({kind for task in HEADS for kind in TASKS[task].graph.architectures}))
]


# What serves both tasks holds such graphs against torch in `make test`.
@pytest.mark.slow
@pytest.mark.parametrize(("task", "kind"), PER_TOKEN)
def test_a_graph_with_numbers_per_token_answers_as_torch(exported, open_session, batch, task, kind):
    one = exported(kind, task)
    wanted = ["logits"] if task == "token-classification" else ["start_logits", "end_logits"]
    assert [node.name for node in open_session(one.path).get_outputs()] == wanted
    assert largest_difference(one, open_session, batch) < 1e-4


def test_a_graph_takes_what_the_model_is_trained_on(exported, open_session):
    one = exported()
    assert [node.name for node in open_session(one.path).get_inputs()] == graph_inputs(one.model.config)


def test_a_graph_is_one_file_that_needs_no_other(exported):
    assert [file.name for file in exported().path.parent.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("kind", ["funnel", "gpt2", "big_bird", "layoutlm"])
def test_an_architecture_that_cannot_be_served_is_refused_with_those_that_can(kind):
    with pytest.raises(BaseModelError) as caught:
        check_exportable(kind, "org/model", ARCHITECTURES)
    assert str(caught.value) == (
        f"base model 'org/model' is of the architecture '{kind}', which cannot be exported to ONNX; "
        f"supported: {', '.join(ARCHITECTURES)}"
    )


def test_an_export_that_fails_is_one_sentence(build_tiny, tmp_path):
    model = build_tiny()
    model.classifier = torch.nn.Linear(7, 3)
    with pytest.raises(JobError, match=r"^the ONNX export of a bert failed: [^\n]*7x3[^\n]*$"):
        export_fp32(model, tmp_path / "other.onnx")
    assert not (tmp_path / "other.onnx").exists()
