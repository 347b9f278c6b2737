"""The loader that MLflow calls answers as the server does."""

import json
import shutil

import pytest

from tunewright.registry.export.mlflow import export_mlflow
from tunewright.registry.stores.store import open_store
from tunewright.registry.upkeep.folder import files_of
from tunewright.registry.versions.publish import publish
from tunewright.serving.errors import BundleError, InputError
from tunewright.serving.pyfunc import _load_pyfunc

TEXTS = ["This product is amazing!", "I hate this product!"]


class Frame:
    """What is asked of a data frame."""

    def __init__(self, columns):
        self.columns = columns

    def to_dict(self, orient):
        assert orient == "list"
        return self.columns


@pytest.fixture
def load():
    loaded = []

    def make(folder):
        loaded.append(_load_pyfunc(str(folder)))
        return loaded[-1]

    yield make
    for one in loaded:
        one.predictor.close()


def test_a_table_columns_and_a_list_are_answered_alike(reviews, load, open_bundle):
    expected = open_bundle(reviews).predict(TEXTS)
    scorer = load(reviews)
    for given in (Frame({"text": TEXTS}), {"any": TEXTS}, TEXTS):
        assert scorer.predict(given) == expected
    assert scorer.predict(TEXTS, {"top_k": 1}) == [answer[:1] for answer in expected]
    assert scorer.predict(Frame({"text": []})) == []


def test_pairs_are_two_columns(entailment, load, open_bundle):
    columns = {"text": TEXTS, "text_pair": TEXTS[::-1]}
    scorer = load(entailment)
    expected, _ = scorer.predictor.task.read_inputs(
        [{"text": one, "text_pair": other} for one, other in zip(*columns.values(), strict=True)],
        scorer.predictor.model,
    )
    assert scorer.predict(columns) == scorer.predictor.predict(expected)


def test_what_cannot_be_read_is_said(reviews, entailment, load):
    with pytest.raises(InputError, match="'inputs' are 'text'; this model reads: 'text', 'text_pair'"):
        load(entailment).predict(Frame({"text": TEXTS}))
    with pytest.raises(InputError, match="top_q"):
        load(reviews).predict(TEXTS, {"top_q": 1})


def test_a_machine_that_computes_something_else_loads_nothing(reviews, load, edit_model, tmp_path):
    folder = shutil.copytree(reviews, tmp_path / "bundle")
    golden = json.loads((folder / "model.json").read_text())["golden"]
    golden[0]["outputs"] = {name: [one + 9 for one in values] for name, values in golden[0]["outputs"].items()}
    edit_model(folder, golden=golden)
    with pytest.raises(BundleError, match="golden case 0 of variant fp32 differs by"):
        load(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["reviews", "entailment"])
def test_mlflow_loads_an_export_and_scores_as_the_server_does(name, request, open_bundle, tmp_path):
    pyfunc = pytest.importorskip("mlflow.pyfunc", reason="requirements/trackers.txt is not installed")
    bundle, store = request.getfixturevalue(name), open_store(str(tmp_path / "registry"))
    version = publish(store, "tiny", files_of(bundle), run_id="first", config={})
    export_mlflow(store, version, tmp_path / "mlflow", cache=tmp_path / "cache")
    loaded = pyfunc.load_model(str(tmp_path / "mlflow"))
    table = loaded.metadata.load_input_example(str(tmp_path / "mlflow"))
    assert list(table.columns) == loaded.metadata.get_input_schema().input_names()
    rows = table.to_dict("records")
    predictor = open_bundle(bundle)
    inputs, _ = predictor.task.read_inputs([row if len(row) > 1 else row["text"] for row in rows], predictor.model)
    assert loaded.predict(table) == predictor.predict(inputs)
    assert pyfunc.get_model_dependencies(str(tmp_path / "mlflow")).endswith("requirements.txt")
