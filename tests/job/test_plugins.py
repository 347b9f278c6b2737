"""What an installed package adds: a metric, a loss, a reader and a task, used, named in the lineage, or refused."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

PROJECT = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with an installed distribution that has one of each."""
    folder = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "plugin"
    subprocess.run(["cp", "-r", str(PROJECT), str(source)], check=True)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", str(folder), str(source)], check=True)
    return folder


@pytest.fixture
def other(tmp_path):
    """other("tunewright.metrics", "kappa = broken:X", "raise RuntimeError") adds another distribution."""

    def make(group, entry, code):
        folder = tmp_path / "other"
        info = folder / "other_package-0.3.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-package\nVersion: 0.3\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entry}\n")
        (folder / "broken.py").write_text(code)
        return folder

    return make


@pytest.fixture
def python(tmp_path, registry):
    """python("-c", ..., site=[folder]) runs Python where these folders are installed too."""

    def run(*words, site=()):
        paths = os.pathsep.join([*map(str, site), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = os.environ | {"PYTHONPATH": paths, "REGISTRY_URI": registry.uri, "OMP_NUM_THREADS": "1"}
        command = [sys.executable, *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)

    return run


@pytest.fixture
def tunewright(python):
    """tunewright("check", ..., site=[folder]) runs the command where these folders are installed too."""
    return lambda *words, site=(): python("-m", "tunewright", *words, site=site)


EACH = """
import json, sys
from tunewright.registry.command_line import main
for words in json.loads(sys.argv[1]):
    print(main(["check", *words]), file=sys.stderr)
"""


@pytest.fixture
def checks(python):
    """checks(["--config", file], ..., site=[folder]): code and errors of each `check`, by one process."""

    def run(*each, site=()):
        done = python("-c", EACH, json.dumps([[str(word) for word in words] for words in each]), site=site)
        told = re.split(r"^(\d+)\n", done.stderr, flags=re.MULTILINE)
        return [(int(code), said) for said, code in zip(told[::2], told[1::2], strict=False)]

    return run


@pytest.fixture
def config(tmp_path, tiny_base, reviews):
    """config(**changes): a job of the example's reviews in the format of the plug-in, with all that it adds."""
    rows = "".join(
        f"{'with' if 'the' in text.split() else 'without'}|{' '.join(text.split())}\n" for text, _ in reviews[:300]
    )
    (tmp_path / "train.pipes").write_text(rows, encoding="utf-8")

    def make(**changes):
        settings = {
            "task": "shouting",
            "base_model": str(tiny_base),
            "model_name": "loud",
            "data": {"train": str(tmp_path / "train.pipes")},
            "train": {"epochs": 1, "batch_size": 16, "loss": "margin", "metric": "kappa"},
            "metrics": ["kappa"],
            "gate": {"max_drop": {"int8": 1}, "min": {"kappa": -1}},
            "keep_bundle": True,
        }
        path = tmp_path / "job.yaml"
        path.write_text(yaml.safe_dump(settings | changes))
        return path

    return make


@pytest.mark.slow
def test_one_of_each_is_trained_with_named_in_the_lineage_and_served(tunewright, installed, config, tmp_path):
    done = tunewright("train", "--config", config(), "--output", tmp_path / "runs", site=[installed])
    assert done.returncode == 0, done.stderr
    (bundle,) = (tmp_path / "runs").glob("*/bundle")
    measured = json.loads((bundle / "report/metrics.json").read_text())
    assert set(measured["test"]["fp32"]["metrics"]) == {"accuracy", "macro_f1", "mcc", "kappa"}
    assert "kappa" in measured["validation"]
    lineage = json.loads((bundle / "lineage.json").read_text())
    package = "tunewright-shouts==1.2"
    used = ("task shouting", "metric kappa", "loss margin", "reader pipes")
    assert lineage["plug_ins"] == dict.fromkeys(used, package)
    assert json.loads((bundle / "model.json").read_text())["requires"] == [package]
    answered = tunewright("predict", "loud:1", "the food", site=[installed])
    assert answered.returncode == 0, answered.stderr
    assert {one["label"] for one in json.loads(answered.stdout)} == {"with", "without"}
    refused = tunewright("predict", "loud:1", "the food")
    assert refused.returncode == 2
    assert refused.stderr == (
        "error: this version's task is 'shouting'; install the package that answers it beside this program: "
        "tunewright-shouts==1.2\n"
    )


BROKEN = {
    "away": (
        "import nowhere_to_be_found",
        "cannot be imported: ModuleNotFoundError: No module named 'nowhere_to_be_found'",
    ),
    "ends": ("raise SystemExit(0)", "cannot be imported: SystemExit: 0"),
    "three": ("X = 3", "is int; expected Metric"),
    "named": (
        "from tunewright.job.measure.metric import Metric\nX = Metric('other', {})",
        "calls itself 'other'; its entry point must have the same name",
    ),
}
UNREAD = {"task": "text-classification", "data": {"train": "nowhere.csv"}, "train": {}, "gate": {}}
"""Settings of which the plug-ins are what is found to be wrong first."""


def test_a_plug_in_that_cannot_be_used_is_one_sentence(checks, other, config, tmp_path):
    folder = other("tunewright.metrics", "\n".join(f"{name} = broken_{name}:X" for name in BROKEN), "")
    for name, (code, _) in BROKEN.items():
        (folder / f"broken_{name}.py").write_text(code)
    files = [config(**UNREAD, metrics=[name]).rename(tmp_path / f"{name}.yaml") for name in BROKEN]
    assert checks(*(["--config", file] for file in files), site=[folder]) == [
        (2, f"error: the metric '{name}' of other-package 0.3 (broken_{name}:X) {sentence}\n")
        for name, (_, sentence) in BROKEN.items()
    ]


def test_a_name_that_is_taken_is_refused_by_both_of_its_owners(tunewright, other, config):
    done = tunewright(
        "check",
        "--config",
        config(**UNREAD, metrics=["kapa"]),
        site=[other("tunewright.metrics", "accuracy = broken:X", "X = 3")],
    )
    assert (done.returncode, done.stderr) == (
        2,
        "error: the metric 'accuracy' is of Tunewright itself and of other-package 0.3; a name belongs to one: "
        "uninstall the others\n",
    )


NOT_FOR = [
    ({"metrics": ["kapa"]}, "metrics names 'kapa'; the installed plug-ins have kappa"),
    ({"metrics": ["mcc"]}, "metrics names 'mcc', which is measured without being named where it means something"),
    ({"train": {"loss": "hinge"}}, "train.loss is 'hinge'; expected 'cross_entropy', 'binary_cross_entropy'"),
    (
        {"train": {"loss": "margin", "focal_gamma": 2}},
        "train.focal_gamma would have no effect: the loss margin does not use it; remove it",
    ),
    (
        {"train": {"loss": "margin"}, "data": {"train": "a.csv", "columns": {"labels": "x"}}},
        "train.loss is 'margin', which is for single_label, not multi_label; remove it",
    ),
    (
        {"task": "text-regression", "metrics": ["kappa"]},
        "metrics names 'kappa', which measures single_label, not regression; remove it",
    ),
]


def test_what_a_plug_in_is_not_for_is_refused(checks, installed, config, tmp_path):
    plain = UNREAD | {"metrics": []}
    files = [
        config(**(plain | changes)).rename(tmp_path / f"{number}.yaml") for number, (changes, _) in enumerate(NOT_FOR)
    ]
    told = checks(*(["--config", file] for file in files), site=[installed])
    for (code, said), (_, sentence) in zip(told, NOT_FOR, strict=True):
        assert code == 2
        assert sentence in said


def test_a_task_that_no_server_answers_is_refused(tunewright, other, config):
    site = [other("tunewright.tasks", "whispering = broken:X", "")]
    done = tunewright("check", "--config", config(task="whispering"), site=site)
    assert (done.returncode, done.stderr) == (
        2,
        "error: task is 'whispering': an installed package teaches it, and none answers it (entry points "
        "tunewright.answers)\n",
    )


READER = "from tunewright.job.data.readers.reader import Reader\nX = Reader('bars', None, ('.pipes',))"


def test_two_readers_of_one_suffix_are_refused_by_name(checks, installed, other, config, tmp_path):
    plain = ["--config", config()]
    # The base model is looked for once the data is known to be good.
    named = [*plain, "--data.format", "pipes", "--base_model", tmp_path / "nowhere"]
    (code, said), (_, found) = checks(
        plain, named, site=[installed, other("tunewright.readers", "bars = broken:X", READER)]
    )
    assert code == 2
    assert said.endswith(
        "train.pipes: the formats 'bars' of other-package==0.3 and 'pipes' of tunewright-shouts==1.2 both claim files "
        "of this name; set data.format to one of them\n"
    )
    assert "base model" in found


@pytest.mark.slow
def test_a_reader_that_fails_is_met_where_no_other_reads_the_file(checks, other, config, tmp_path):
    plain = ["--config", config(task="text-classification", train={}, gate={}, metrics=[])]
    rows = (f"text {number},{'ab'[number % 2]}\n" for number in range(40))
    (tmp_path / "train.csv").write_text("text,label\n" + "".join(rows))
    shutil.copyfile(tmp_path / "train.csv", tmp_path / "train")
    each = [[*plain, "--data.train", tmp_path / name] for name in ("train.csv", "train", "train.pipes")]
    *read, failed = checks(
        *([*words, "--base_model", tmp_path / "nowhere"] for words in each),
        site=[other("tunewright.readers", "bars = broken:X", "raise RuntimeError('no')")],
    )
    assert ["base model" in said for _, said in read] == [True, True], read
    sentence = "error: the reader 'bars' of other-package 0.3 (broken:X) cannot be imported: RuntimeError: no\n"
    assert failed == (2, sentence)
