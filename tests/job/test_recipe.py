import csv
import json
import os
import re
from pathlib import Path

import boto3
import datasets
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.special import expit, softmax
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerFast, pipeline

from tunewright.job.errors import BaseModelError, GateFailed, JobError, SettingsError
from tunewright.job.recipe import _holder, prepare_all, run
from tunewright.job.report.subject import Holder
from tunewright.job.settings.job import GateSettings
from tunewright.registry.errors import NotFound, RegistryError, UnsafeStore
from tunewright.registry.settings import RegistrySettings
from tunewright.registry.stores.store import open_store
from tunewright.registry.versions import alias
from tunewright.registry.versions.layout import blob_key
from tunewright.registry.versions.publish import find_run, publish
from tunewright.registry.versions.pull import pull
from tunewright.registry.versions.record import version_numbers
from tunewright.serving.bundle.fetch import fetch as fetch_variant
from tunewright.serving.golden import replay
from tunewright.serving.predictor import open_predictor
from tunewright.serving.profile.profile import read_profile
from tunewright.serving.runtime.capacity import available_cpus
from tunewright.serving.text.cleaning import Cleaning, clean

PAIR = pytest.param("pair", marks=pytest.mark.slow)
"""The graph of the others; tests/serving has such a one in `make test`."""
SHAPES = ["single", "multi", PAIR, "regression"]
TEXTS = ["This product is amazing!", "I hate this product!", "Why does it leak after 2 days?", "ok"]


def inputs_for(shape):
    return [(text, "Two of them.") for text in TEXTS] if shape == "pair" else TEXTS


def versions(registry):
    return version_numbers(open_store(registry.uri), "tiny")


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_becomes_a_version_with_all_its_parts(made, shape):
    folder = made(shape).pulled()
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    carried = set() if shape == "single" else {"neighbours/vectors.npy", "neighbours/rows.jsonl"}
    assert files == carried | {
        "model.json", "tokenizer.json", "profile.json", "lineage.json", "sbom.json", "provenance.json",
        "onnx/fp32/model.onnx", "onnx/int8/model.onnx",
        "report/README.md", "report/metrics.json", "report/outcomes.jsonl.gz", "report/report.html",
        "weights/config.json", "weights/model.safetensors", "weights/tokenizer.json", "weights/tokenizer_config.json",
    }  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_a_pulled_version_answers_and_its_golden_cases_hold(made, shape, variant):
    one = made(shape)
    pulled, name = fetch_variant(
        open_store(one.registry.uri), "tiny@production", cache=one.registry.cache, variant=variant
    )
    predictor = open_predictor(pulled.folder, variant=name)
    assert name == variant
    assert replay(predictor) == 8
    assert len(predictor.predict(inputs_for(shape))) == len(TEXTS)
    predictor.close()


@pytest.mark.parametrize("shape", SHAPES)
def test_answers_equal_those_of_a_transformers_pipeline_on_the_weights(made, shape):
    folder = made(shape).pulled()
    model = AutoModelForSequenceClassification.from_pretrained(folder / "weights", use_safetensors=True)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "weights")
    function = {"single": softmax, "pair": softmax, "multi": expit, "regression": np.asarray}[shape]
    inputs = [{"text": a, "text_pair": b} for a, b in inputs_for(shape)] if shape == "pair" else inputs_for(shape)
    line = pipeline("text-classification", model=model, tokenizer=tokenizer, top_k=None, function_to_apply="none")
    predictor = open_predictor(folder, variant="fp32")
    answers, temperature = predictor.predict(inputs_for(shape)), predictor.model.variants["fp32"].temperature
    predictor.close()
    for text, answer in zip(inputs, answers, strict=True):
        # In a list: the pipeline takes a lone pair for one text otherwise.
        (expected,) = line([text])
        scores = function(np.array([item["score"] for item in expected]) / temperature)
        wanted = dict(zip([item["label"] for item in expected], scores.tolist(), strict=True))
        assert {item["label"]: item["score"] for item in answer} == pytest.approx(wanted, rel=1e-5, abs=1e-4)


# What takes the least time of all that is registered.
ONCE = {"epochs": 1, "learning_rate": 3e-3, "batch_size": 16, "precision": "fp32"}
PLAIN = {"variants": ["fp32"], "explained_rows": 0, "neighbours": 0}
LEARNS = {"epochs": 4, "learning_rate": 1e-2, "batch_size": 16, "precision": "fp32", "pooling": "mean"}


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "metric", "least"), [("single", "accuracy", 0.85), ("regression", "spearman", 0.5)])
def test_a_job_learns_what_is_in_the_data(make_settings, registry, shape, metric, least):
    released = run(make_settings(shape, train=LEARNS), registry).release
    assert released.evaluations["fp32"].metrics[metric] > least


def test_a_variant_keeps_the_unit_of_the_targets(made):
    predictor = open_predictor(made("regression").pulled(), variant="int8")
    ((answer,),) = predictor.predict(["one two three four five six seven eight nine ten"])
    assert answer["label"] == "score"
    assert 500 < answer["score"] < 1000
    predictor.close()


def test_the_alias_points_at_the_new_version(made):
    one = made("single")
    assert alias.current(open_store(one.registry.uri), "tiny", "production") == one.outcome.version.number == 1


def test_lists_tell_the_headline_metric_of_the_file_that_is_served(made):
    one = made("single")
    summary, release = one.outcome.version.summary, one.outcome.release
    served = release.evaluations[release.model.default_variant]
    assert (summary.task, summary.metric) == ("text-classification", "accuracy")
    assert (summary.value, summary.interval) == (served.metrics["accuracy"], served.intervals["accuracy"])


def test_a_run_that_is_tried_again_publishes_once(made, capsys):
    one = made("single")
    again = run(one.settings, one.registry)
    assert again.version == one.outcome.version
    assert again.release is None
    assert versions(one.registry) == [1]
    assert "run first has already published tiny:1" in capsys.readouterr().out


def test_a_run_that_was_stopped_before_its_alias_moved_moves_it_and_signs(make_settings, registry, signing, write):
    settings = make_settings(alias="production", run_id="late", keep_bundle=False)
    store = open_store(registry.uri)
    publish(store, "tiny", {"model.json": write("model.json", b"{}")}, run_id="late")
    left = settings.output / "late/checkpoints/train/000001"
    left.mkdir(parents=True)
    assert run(settings, signing).version.number == 1
    assert len(list(store.list("signatures/tiny/"))) == 2
    assert alias.current(store, "tiny", "production") == 1
    assert not (settings.output / "late").exists()


def test_a_run_that_is_tried_again_undoes_no_rollback(make_settings, registry, write, capsys):
    settings, store = make_settings(alias="production", run_id="late"), open_store(registry.uri)
    for run_id in ("other", "late"):
        version = publish(store, "tiny", {"model.json": write("model.json", b"{}")}, run_id=run_id)
        alias.move(store, "tiny", "production", version.number)
    alias.rollback(store, "tiny", "production")
    assert run(settings, registry).version.number == 2
    assert alias.current(store, "tiny", "production") == 1
    assert "tiny@production stays at tiny:1: it was taken back from tiny:2" in capsys.readouterr().out


def test_a_damaged_holder_of_the_alias_ends_no_job(make_settings, registry, write, capsys):
    store = open_store(registry.uri)
    version = publish(store, "tiny", {"model.json": write("model.json", b"{}")}, run_id="other")
    settings = make_settings(alias="production")
    assert _holder(store, settings) is None
    alias.move(store, "tiny", "production", 1)
    assert _holder(store, settings) == Holder("tiny:1", {})
    store.upload(blob_key(version.digest), write("damaged", b"{}"))
    assert _holder(store, settings) is None
    assert "the report compares with no version of production: the manifest of tiny:1" in capsys.readouterr().out


@pytest.mark.slow
def test_an_alias_that_a_later_job_has_moved_stays_there(make_settings, registry, write, capsys):
    settings = make_settings(alias="production", run_id="slow")
    run(settings, registry)
    store = open_store(registry.uri)
    newer = publish(store, "tiny", {"model.json": write("model.json", b"{}")}, run_id="fast")
    alias.move(store, "tiny", "production", newer.number)
    run(settings, registry)
    assert alias.current(store, "tiny", "production") == 2
    assert "tiny@production stays at tiny:2, which is newer" in capsys.readouterr().out


@pytest.fixture
def unlearnable(make_settings, tmp_path):
    """Settings of a job whose labels have nothing to do with the texts."""
    random = np.random.default_rng(3)
    files = {}
    for side, rows in {"train": 120, "validation": 60, "test": 60}.items():
        lines = [
            f"{' '.join(random.choice(list('abcdefgh'), 6))} {side},{random.choice(['x', 'y'])}" for _ in range(rows)
        ]
        files[side] = tmp_path / f"{side}.csv"
        files[side].write_text("text,label\n" + "\n".join(lines) + "\n")
    data = {side: str(path) for side, path in files.items()}
    return lambda **changes: make_settings(data=data, alias="production", run_id="chance", **changes)


def test_an_alias_does_not_follow_what_was_registered_as_no_better_than_none(make_settings, registry, write, capsys):
    store, files = open_store(registry.uri), {"model.json": write("model.json", b"{}")}
    publish(store, "tiny", files, run_id="chance", config={"short_of_baseline": "accuracy is no better"})
    run(make_settings(alias="production", run_id="chance"), registry)
    assert alias.aliases(store, "tiny") == {}
    assert "tiny@production is not moved to tiny:1: accuracy is no better; " in capsys.readouterr().out
    run(make_settings(alias="production", run_id="chance", gate={"beat_baseline": False}), registry)
    assert alias.current(store, "tiny", "production") == 1


@pytest.mark.slow
def test_an_alias_does_not_follow_a_model_that_is_no_better_than_none(unlearnable, registry, capsys):
    once = {"train": {"epochs": 1, "precision": "fp32"}, "export": PLAIN}
    done = run(unlearnable(**once), registry)
    store = open_store(registry.uri)
    assert versions(registry) == [1]
    assert alias.aliases(store, "tiny") == {}
    assert "tiny@production is not moved to tiny:1: accuracy" in capsys.readouterr().out
    metrics = json.loads((done.release.folder / "report/metrics.json").read_text())
    assert 0.4 < metrics["baseline"]["accuracy"] < 0.7
    assert metrics["short_of_baseline"] in (done.release.folder / "report/README.md").read_text()
    # The same run, tried again, remembers; asked to, it moves the alias all the same.
    run(unlearnable(**once), registry)
    assert alias.aliases(store, "tiny") == {}
    run(unlearnable(**once, gate={"beat_baseline": False}), registry)
    assert alias.current(store, "tiny", "production") == 1


@pytest.mark.parametrize("shape", SHAPES)
def test_the_figures_of_no_model_stand_beside_those_of_the_model(made, shape):
    released = made(shape).outcome.release
    assert set(released.baseline) == set(released.evaluations["fp32"].metrics)
    assert released.baseline[released.headline] < released.evaluations["fp32"].metrics[released.headline]
    assert "| no model |" in (released.folder / "report/README.md").read_text()


@pytest.mark.slow
def test_the_test_rows_decide_nothing_between_variants(made, capsys, make_settings, registry):
    run(make_settings(train=LEARNS), registry)
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    order = [event["event"] for event in said]
    assert order.index("compare") < order.index("gate") < order.index("test")


@pytest.mark.parametrize("shape", ["single", PAIR])
def test_the_weights_name_the_tensors_their_tokenizer_makes(made, shape):
    folder = made(shape).pulled()
    named = json.loads((folder / "weights/tokenizer_config.json").read_text())["model_input_names"]
    predictor = open_predictor(folder, variant="fp32")
    assert set(named) == set(predictor.engine.text.session.inputs)
    predictor.close()
    assert PreTrainedTokenizerFast.from_pretrained(folder / "weights").model_input_names == named


@pytest.mark.slow
def test_the_weights_name_their_tensors_where_the_base_says_nothing_of_its_tokenizer(
    copied_base, make_settings, registry
):
    (copied_base / "tokenizer_config.json").unlink()
    quick = {"epochs": 1, "learning_rate": 1e-3, "batch_size": 32, "precision": "fp32", "max_length": 64}
    made = run(make_settings("pair", base_model=str(copied_base), train=quick, export={"variants": ["fp32"]}), registry)
    weights = made.release.folder / "weights"
    named = json.loads((weights / "tokenizer_config.json").read_text())["model_input_names"]
    assert named == ["input_ids", "token_type_ids", "attention_mask"]
    assert PreTrainedTokenizerFast.from_pretrained(weights).model_input_names == named


def test_nothing_but_the_bundle_and_the_rows_is_left_of_a_run(made):
    folder = made("single").settings.output / "first"
    assert sorted(path.name for path in folder.iterdir()) == ["bundle", "rows"]


def test_a_version_keeps_what_its_test_rows_look_like(made):
    one = made("single")
    profile = read_profile(one.outcome.release.folder)
    assert profile.rows == len(datasets.load_from_disk(str(one.settings.output / "first" / "rows"))["test"])
    assert sum(profile.counts["labels"].values()) == profile.rows
    assert set(profile.counts) == {"tokens", "unknown", "confidence", "labels"}


@pytest.mark.slow
def test_a_run_that_was_stopped_after_the_test_goes_on_with_its_files(make_settings, registry, tmp_path, capsys):
    quick = {"epochs": 1, "learning_rate": 3e-3, "precision": "fp32"}
    settings = make_settings(train=quick, run_id="again", gate={"min": {"accuracy": 0.999}, "max_drop": {"int8": 0.5}})
    refused(settings, registry, GateFailed)
    capsys.readouterr()
    done = run(settings.model_copy(update={"gate": GateSettings(), "keep_bundle": False}), registry)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["stage"] for one in told if one["event"] == "stage"] == ["export", "parity", "compare", "test"]
    assert {one["variant"] for one in told if one["event"] in ("parity", "compare", "test")} == {"baseline"}
    assert "export" not in {one["event"] for one in told}
    pulled = pull(open_store(registry.uri), "tiny:1", cache=registry.cache).folder
    for name in done.release.model.variants:
        predictor = open_predictor(pulled, variant=name)
        assert replay(predictor) == 8
        predictor.close()
    # What the registry has is nowhere else.
    assert [path.name for path in (settings.output / "again").iterdir()] == ["rows"]


def test_what_was_taught_opens_as_a_data_set(made):
    one = made("single")
    rows = datasets.load_from_disk(str(one.settings.output / "first" / "rows"))
    with open(one.settings.data.train, newline="", encoding="utf-8") as file:  # noqa: PTH123 - a setting is a text
        truth = [(clean(row["text"], Cleaning()), row["label"]) for row in csv.DictReader(file)]
    names = rows["train"].features["label"].names
    assert names == one.outcome.release.model.labels
    assert [(row["text"], names[row["label"]]) for row in rows["train"]] == truth
    assert list(rows) == ["train", "validation", "test"]


def test_a_version_holds_no_secret_of_the_environment(made):
    """`made` registers with some of them set."""
    files = [path for path in Path(made("single").registry.uri).rglob("*") if path.is_file()]
    stored = [path.read_bytes() for path in files]
    assert any(b"single.csv" in body for body in stored)
    assert not any(b"canary-7d1f" in body for body in stored)


@pytest.mark.slow
def test_a_job_from_bucket_to_bucket_leaves_no_secret_in_the_registry(make_settings, tmp_path, bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary-7d1f-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "canary-7d1f-token")
    client = boto3.client("s3")
    data = {}
    settings = make_settings()
    for side in ("train", "validation", "test"):
        client.upload_file(getattr(settings.data, side), bucket, f"data/{side}.csv")
        data[side] = f"s3://{bucket}/data/{side}.csv"
    data["columns"] = {"text": "text", "label": "label"}
    settings = make_settings(data=data, train=ONCE, export=PLAIN)
    registry = RegistrySettings(uri=f"s3://{bucket}/registry", cache=tmp_path / "cache")
    outcome = run(settings, registry)
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket, Prefix="registry/")["Contents"]]
    stored = [client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys]
    assert outcome.version.number == 1
    assert any(b"data/train.csv" in body for body in stored)
    assert not any(b"canary-7d1f" in body for body in stored)


def test_a_registered_version_is_the_base_of_the_next(made, make_settings, tmp_path):
    one = made("single")
    settings = make_settings(base_model="models:/tiny@production", export=PLAIN)
    plan, _ = prepare_all(settings, one.registry, tmp_path)
    before, after = (
        load_file(one.pulled() / "weights/model.safetensors"),
        plan.prepared.task.graph.build(plan).state_dict(),
    )
    assert any(name.startswith("classifier.") for name in before)
    assert all(torch.equal(weights, after[name]) for name, weights in before.items())


@pytest.mark.slow
def test_a_version_that_learns_no_more_answers_as_the_one_it_continues(made, make_settings):
    one = made("single")
    train = {"epochs": 1, "learning_rate": 1e-9}
    settings = make_settings(base_model="models:/tiny@production", train=train, export=PLAIN)
    again = run(settings, one.registry).release
    before, after = (open_predictor(folder, variant="fp32") for folder in (one.pulled(), again.folder))
    # Nothing was learned, so the head must be the one of the version that was continued.
    assert np.allclose(before.outputs(TEXTS), after.outputs(TEXTS), atol=1e-3)
    for predictor in (before, after):
        predictor.close()


@pytest.mark.slow
def test_a_regression_is_continued_in_its_own_unit(made, make_settings):
    one = made("regression")
    settings = make_settings("regression", base_model="models:/tiny/1", train={"epochs": 1, "learning_rate": 1e-9})
    again = run(settings, one.registry).release
    before = one.outcome.release.evaluations["fp32"].metrics
    assert again.evaluations["fp32"].metrics == pytest.approx(before, rel=1e-3)


def test_a_base_that_is_no_version_is_refused(make_settings, registry):
    with pytest.raises(NotFound):
        run(make_settings(base_model="models:/nothing@production"), registry)


def refused(settings, registry, kind):
    """The sentence of a job that must not register anything."""
    with pytest.raises(kind) as caught:
        run(settings, registry)
    assert versions(registry) == []
    assert find_run(open_store(registry.uri), "tiny", settings.run_id or "none") is None
    return str(caught.value)


@pytest.mark.slow
def test_a_floor_that_is_missed_registers_nothing(make_settings, registry):
    asked = {"gate": {"min": {"accuracy": 0.999}}, "alias": "production"}
    said = refused(make_settings(train=ONCE, export=PLAIN, **asked), registry, GateFailed)
    assert said.startswith("the fp32 file did not pass on 60 test rows: accuracy is 0.")
    assert said.endswith(", the gate asks for 0.999; nothing was registered")


@pytest.mark.slow
def test_answers_that_hang_on_spelling_register_nothing(make_settings, registry):
    asked = {"gate": {"max_flip": {"typos": 0, "numbers": 0.9}}, "alias": "production"}
    said = refused(make_settings(train=LEARNS, export=PLAIN, **asked), registry, GateFailed)
    assert said.startswith("the fp32 file, served by default, answers otherwise what is only written otherwise: ")
    assert re.search(r"typos changes 0\.\d+ of \d+ answers, gate\.max_flip allows 0;", said)
    assert said.endswith("; nothing was registered")


@pytest.mark.slow
def test_a_variant_that_loses_too_much_is_left_out_and_fp32_is_served(make_settings, copied_base, registry):
    # Huge numbers that cancel each other out leave eight bits nothing for what tells words apart.
    weights = load_file(copied_base / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][:, 0] += 300
    weights["embeddings.position_embeddings.weight"][:, 0] -= 300
    save_file(weights, copied_base / "model.safetensors", metadata={"format": "pt"})
    released = run(
        make_settings(base_model=str(copied_base), train=LEARNS, gate={"max_drop": {"int8": 0.05}}), registry
    ).release
    assert (list(released.model.variants), released.model.default_variant) == (["fp32"], "fp32")
    assert re.fullmatch(r"accuracy falls from 0\.9\d+ to 0\.\d+ \(may lose 0\.05\)", released.model.left_out["int8"])
    assert not (released.folder / "onnx" / "int8").exists()
    assert f"int8 is left out: {released.model.left_out['int8']}." in (released.folder / "report/README.md").read_text()
    assert all(set(case.outputs) == {"fp32"} for case in released.model.golden)


def test_an_architecture_that_cannot_be_exported_is_said_before_training(make_settings, make_base, registry, capsys):
    said = refused(make_settings(base_model=str(make_base("nystromformer"))), registry, BaseModelError)
    assert "is of the architecture 'nystromformer', which cannot be exported to ONNX" in said
    assert '"event": "train"' not in capsys.readouterr().out


def test_a_metric_that_is_not_measured_is_said_before_the_base_model_is_looked_for(make_settings, registry):
    settings = make_settings(gate={"min": {"bleu": 0.3}}, base_model="./nowhere")
    said = refused(settings, registry, SettingsError)
    assert said == "gate.min names 'bleu'; this task measures accuracy, macro_f1, mcc"


def test_a_registry_that_cannot_be_written_is_said_before_the_data_is_read(make_settings, tmp_path):
    (tmp_path / "file").write_text("no folder")
    registry = RegistrySettings(uri=str(tmp_path / "file" / "registry"), cache=tmp_path / "cache")
    with pytest.raises((RegistryError, OSError)):
        run(make_settings(data={"train": "nowhere.csv"}), registry)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_registry_is_said_before_the_data_is_read(make_settings, tmp_path):
    (tmp_path / "registry").mkdir(mode=0o555)
    registry = RegistrySettings(uri=str(tmp_path / "registry"), cache=tmp_path / "cache")
    with pytest.raises(RegistryError):
        run(make_settings(data={"train": "nowhere.csv"}), registry)


def test_a_store_that_ignores_conditional_writes_is_refused_before_the_data_is_read(
    make_settings, rclone_uri, tmp_path
):
    registry = RegistrySettings(uri=rclone_uri, cache=tmp_path / "cache")
    with pytest.raises(UnsafeStore, match="ignores conditional writes"):
        run(make_settings(data={"train": "nowhere.csv"}), registry)


@pytest.mark.slow
def test_such_a_store_takes_versions_from_a_single_writer(make_settings, rclone_uri, tmp_path):
    registry = RegistrySettings(uri=rclone_uri, cache=tmp_path / "cache", single_writer=True)
    assert run(make_settings(alias="production"), registry).version.number == 1


@pytest.mark.slow
def test_a_retry_leaves_out_the_files_of_an_earlier_try(make_settings, registry):
    settings = make_settings(run_id="again", export={"variants": ["fp32"]})
    stale = settings.output / "again" / "bundle" / "onnx" / "int8" / "model.onnx"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of another try")
    run(settings, registry)
    assert not stale.exists()


@pytest.mark.slow
def test_the_same_settings_make_the_same_graph(made, make_settings, registry):
    again = run(make_settings(run_id="twin"), registry).release
    graphs = [(folder / "onnx/fp32/model.onnx").read_bytes() for folder in (made("single").pulled(), again.folder)]
    assert graphs[0] == graphs[1]


def test_the_lineage_tells_what_a_version_was_made_of(made):
    one = made("single")
    facts = json.loads((one.pulled() / "lineage.json").read_text())
    assert facts["run_id"] == "first"
    assert facts["data"]["rows"] == {"train": 300, "validation": 60, "test": 60, "out_of_scope": 9}
    assert facts["base_model"]["address"] == one.settings.base_model
    assert facts["settings"]["train"]["learning_rate"] == 3e-3
    assert facts["training"]["precision"] == "fp32"
    assert facts["packages"]["torch"]
    assert len(facts["training"]["history"]) == 4


@pytest.mark.slow
def test_parity_is_asked_of_the_very_file(make_settings, registry):
    said = refused(make_settings(train=ONCE, export=PLAIN | {"parity_tolerance": 1e-12}), registry, JobError)
    assert said.startswith("parity failed: on 60 validation rows the fp32 ONNX file differs from torch by up to ")


def test_torch_gets_no_more_threads_than_processors_may_be_used(made, plan_of):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(64)
        plan_of(made("single"))
        assert torch.get_num_threads() == min(64, available_cpus())
        torch.set_num_threads(1)
        plan_of(made("single"))
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
