"""A version as a folder for MLflow. That MLflow loads and scores it: tests/serving/test_pyfunc.py."""

import json
from importlib.metadata import version

import pytest
import yaml

LINEAGE = json.dumps({"packages": {"onnxruntime": "1.32.0", "torch": "2.13.0"}, "hardware": {"python": "3.12.1"}})


@pytest.fixture
def exported(run, make_version, tmp_path):
    """exported(**fields) is the folder of a version with these fields of model.json."""

    def make(**fields):
        made = make_version(files={"lineage.json": LINEAGE}, **fields)
        code, out, err = run("export", str(made), "--mlflow", str(tmp_path / "mlflow"))
        assert (code, err, out.startswith("reviews:1 is exported: ")) == (0, "", True)
        return tmp_path / "mlflow"

    return make


def test_the_folder_holds_what_answers_and_what_it_needs(exported):
    folder = exported(requires=["my-task==2.0"])
    there = sorted(path.relative_to(folder / "version").as_posix() for path in (folder / "version").rglob("*.*"))
    assert there == ["lineage.json", "model.json", "onnx/int8/model.onnx", "tokenizer.json"]
    needs = [f"tunewright[answer]=={version('tunewright')}", "onnxruntime==1.32.0", "my-task==2.0"]
    assert (folder / "requirements.txt").read_text().splitlines() == needs
    conda = yaml.safe_load((folder / "conda.yaml").read_text())
    assert conda["dependencies"] == ["python=3.12.1", "pip", {"pip": needs}]
    assert yaml.safe_load((folder / "python_env.yaml").read_text())["python"] == "3.12.1"
    flavor = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["python_function"]
    assert (flavor["loader_module"], flavor["data"]) == ("tunewright.serving.pyfunc", "version")


@pytest.mark.parametrize(
    ("task", "inputs", "columns"),
    [
        ("text-classification", "It works.", {"text": "It works."}),
        ("text-classification", ["It works.", "It is dear."], {"text": "It works.", "text_pair": "It is dear."}),
        ("question-answering", {"question": "Who?", "context": "Ada."}, {"question": "Who?", "context": "Ada."}),
        ("image-classification", "aGVsbG8=", {"image": "aGVsbG8="}),
        ("token-classification", {"tokens": ["Ada", "codes"]}, {"text": "Ada codes"}),
        ("masked-language-modelling", "It is", {"text": "It is [MASK]"}),
    ],
)
def test_the_signature_names_the_parts_of_an_input_and_shows_one(exported, task, inputs, columns):
    folder = exported(task=task, golden=[{"inputs": inputs, "outputs": {}}], options={"mask_token": "[MASK]"})
    signature = yaml.safe_load((folder / "MLmodel").read_text())["signature"]
    assert [one["name"] for one in json.loads(signature["inputs"])] == list(columns)
    table = json.loads((folder / "input_example.json").read_text())
    assert table == {"columns": list(columns), "data": [list(columns.values())]}
    assert json.loads((folder / "serving_input_example.json").read_text()) == {"dataframe_split": table}


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (
            {"without": ("model.json",)},
            "reviews:1 carries no model.json with a task and a variant to serve: it was not made by a job of this "
            "program, so that nothing here can answer with it (tunewright pull)",
        ),
        (
            {"golden": []},
            "model.json of reviews:1 holds no golden case whose input is made of texts, of which the columns of a "
            "table could be told",
        ),
    ],
)
def test_what_mlflow_could_not_score_is_refused(run, make_version, tmp_path, made, sentence):
    make_version(**made)
    assert run("export", "reviews", "--mlflow", str(tmp_path / "mlflow")) == (2, "", f"error: {sentence}\n")
    assert not (tmp_path / "mlflow").exists()
