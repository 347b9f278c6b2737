"""Base models of somebody else's: links out of their folder, configurations that steer the code, positions."""

import json
import os
import shutil

import pytest
import torch

from tunewright.job.data.sources.fetch import fetch
from tunewright.job.errors import BaseModelError, DataError
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.model.build import build_classifier
from tunewright.job.model.tokenizer import choose_length, length_limit
from tunewright.job.recipe import run
from tunewright.job.settings.train import TrainSettings
from tunewright.registry.settings import RegistrySettings


@pytest.fixture
def registry(tmp_path):
    return RegistrySettings(uri=str(tmp_path / "registry"), cache=tmp_path / "cache")


@pytest.fixture
def base(tiny_base, tmp_path):
    return shutil.copytree(tiny_base, tmp_path / "base")


def set_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@pytest.mark.parametrize(
    "name",
    ["config.json", "tokenizer.json", "special_tokens_map.json", "chat_template.jinja", "1_Pooling/config.json"],
)
def test_a_file_linked_to_one_outside_is_refused_and_not_copied(base, registry, tmp_path, name):
    (tmp_path / "secret").write_text("CANARY")
    (base / name).parent.mkdir(exist_ok=True)
    (base / name).unlink(missing_ok=True)
    (base / name).symlink_to("../" * (1 + name.count("/")) + "secret")
    with pytest.raises(BaseModelError, match=f"{name} is a link to a file outside the folder"):
        fetch_base_model(str(base), registry)
    assert not registry.cache.exists()


def test_a_folder_in_the_place_of_a_file_is_refused(base, registry):
    (base / "chat_template.jinja").mkdir()
    with pytest.raises(BaseModelError, match=r"chat_template.jinja is not a plain file"):
        fetch_base_model(str(base), registry)


def test_a_pipe_in_the_place_of_a_file_is_refused(base, registry):
    os.mkfifo(base / "chat_template.jinja")
    with pytest.raises(BaseModelError, match=r"chat_template.jinja is not a plain file"):
        fetch_base_model(str(base), registry)


def test_a_file_too_large_to_be_read_at_once_is_refused(base, registry):
    with (base / "special_tokens_map.json").open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(BaseModelError, match=r"special_tokens_map.json holds 1,000,000,000 bytes, at most"):
        fetch_base_model(str(base), registry)


def test_the_links_of_the_hubs_cache_are_no_way_out(base, registry, tmp_path):
    model = tmp_path / "models--org--name"
    (model / "blobs").mkdir(parents=True)
    (model / "snapshots/abc").mkdir(parents=True)
    for path in base.iterdir():
        path.rename(model / "blobs" / path.name)
        (model / "snapshots/abc" / path.name).symlink_to(f"../../blobs/{path.name}")
    assert fetch_base_model(str(model / "snapshots/abc"), registry).config()["hidden_size"] == 32


def test_a_home_folder_is_found(base, registry, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert fetch_base_model("~/base", registry).config()["hidden_size"] == 32


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("return_dict", False),
        ("use_return_dict", False),
        ("torchscript", True),
        ("output_hidden_states", True),
        ("output_attentions", True),
        ("chunk_size_feed_forward", 7),
        ("pruned_heads", {"0": [0]}),
        ("num_labels", 10**9),
        ("problem_type", "regression"),
    ],
)
def test_what_steers_the_code_is_left_out_and_the_model_trains(base, registry, key, value):
    set_config(base, **{key: value})
    checked = fetch_base_model(str(base), registry)
    assert key in checked.dropped
    model = build_classifier(checked, ["bad", "good"], TrainSettings())
    logits = model(**model.dummy_inputs).logits if hasattr(model, "dummy_inputs") else None
    assert model.config.num_labels == 2
    assert logits is None or logits.shape[-1] == 2


def test_a_number_that_no_model_has_is_refused(base, registry):
    set_config(base, type_vocab_size=10**12)
    with pytest.raises(BaseModelError, match=r"config.json sets type_vocab_size to 1000000000000, which no model has"):
        fetch_base_model(str(base), registry)


def test_a_number_inside_a_list_or_another_configuration_is_capped_too(base, registry):
    set_config(base, rope_scaling={"factors": [1, 10**12]})
    assert "rope_scaling" in fetch_base_model(str(base), registry).dropped
    set_config(base, pruned_heads=None, bos_token_id=[10**12])
    with pytest.raises(BaseModelError, match=r"config.json sets bos_token_id to 1000000000000, which no model has"):
        fetch_base_model(str(base), registry)


@pytest.mark.parametrize(
    "values",
    [
        {"num_hidden_layers": 200, "hidden_size": 32_768, "num_attention_heads": 64},
        {"intermediate_size": 262_144, "hidden_size": 32_768},
        {"type_vocab_size": 8_000_000},
    ],
)
def test_a_configuration_of_another_model_is_refused_before_its_memory_is_asked_for(base, registry, values):
    set_config(base, **values)
    checked = fetch_base_model(str(base), registry)
    with pytest.raises(BaseModelError, match="they do not belong together"):
        build_classifier(checked, ["bad", "good"], TrainSettings())


@pytest.mark.parametrize("weight_map", [{}, [], None, "x"])
def test_an_index_without_weights_is_refused(base, registry, weight_map):
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(BaseModelError, match="names no weights"):
        fetch_base_model(str(base), registry)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "special_tokens_map.json", "generation_config.json"])
@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", '{"a": ' + "9" * 5000 + "}"])
def test_a_file_beside_the_weights_that_is_no_object_is_refused(base, registry, name, text):
    (base / name).write_text(text)
    with pytest.raises(BaseModelError, match=f"{name} (is not JSON|holds a list)"):
        fetch_base_model(str(base), registry)


@pytest.mark.parametrize("value", [[], {}, None, 7])
def test_a_shard_that_is_no_name_is_refused(base, registry, value):
    (base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": value}}))
    with pytest.raises(BaseModelError, match="which is not a file beside it"):
        fetch_base_model(str(base), registry)


def test_brackets_without_end_in_the_pooling_are_passed_over(base, registry):
    (base / "1_Pooling").mkdir()
    (base / "1_Pooling/config.json").write_text("[" * 100_000)
    assert fetch_base_model(str(base), registry).pooling == ""


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"model_type": "roberta", "pad_token_id": 1}, 64),
        ({"model_type": "roberta"}, 64),
        ({"model_type": "roberta", "pad_token_id": 3}, 62),
        ({"model_type": "xlm-roberta", "pad_token_id": 0}, 65),
        ({"model_type": "mpnet", "pad_token_id": 3}, 64),
        ({"model_type": "bert", "pad_token_id": 3}, 66),
    ],
)
def test_positions_are_counted_from_the_padding_id_of_the_model(tmp_path, config, limit):
    assert length_limit(tmp_path, config | {"max_position_embeddings": 66}) == limit


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert", "longformer", "mpnet", "ibert", "bert"])
def test_a_row_of_the_longest_length_has_a_position_for_each_token(make_base, registry, kind):
    config = {"pad_token_id": 3, "max_position_embeddings": 40}
    checked = fetch_base_model(str(make_base(kind, **config)), registry)
    limit = length_limit(checked.folder, checked.config())
    model = build_classifier(checked, ["bad", "good"], TrainSettings()).eval()
    model(input_ids=torch.full((1, limit), 9), attention_mask=torch.ones(1, limit, dtype=torch.long))
    if kind != "longformer":  # it fills a row up to a multiple of its window, with padding
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, limit + 1), 9), attention_mask=torch.ones(1, limit + 1, dtype=torch.long))


def test_what_a_model_raises_in_training_is_a_sentence(base, registry, make_settings):
    """transformers 5 looks at the types of a configuration and raises as soon as it reads it."""
    set_config(base, layer_norm_eps="small")
    late, soon = "the base model cannot compute a batch of the data \\(TypeError: ", "config.json cannot be used: "
    with pytest.raises(BaseModelError, match=f"{late}|{soon}") as error:
        run(make_settings(base_model=str(base)), registry)
    assert error.value.exit_code == 2


def test_a_model_without_a_position_for_a_token_is_refused(tmp_path):
    limit = length_limit(tmp_path, {"model_type": "roberta", "pad_token_id": 65, "max_position_embeddings": 66})
    with pytest.raises(BaseModelError, match="has no position left for a token"):
        choose_length(None, limit, "base")


def test_a_data_file_linked_to_one_outside_its_folder_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "secret.csv").write_text("text,label\na,b\n")
    (tmp_path / "data/train.csv").symlink_to("../secret.csv")
    with pytest.raises(DataError, match=r"train.csv is a link to a file outside the folder"):
        fetch(str(tmp_path / "data"), tmp_path / "cache")
    assert [one.size for one in fetch(str(tmp_path / "data/train.csv"), tmp_path / "cache")] == [15]


def test_the_links_of_a_mounted_config_map_stay_inside(tmp_path):
    (tmp_path / "data/..2026").mkdir(parents=True)
    (tmp_path / "data/..2026/train.csv").write_text("text,label\na,b\n")
    (tmp_path / "data/..data").symlink_to("..2026")
    (tmp_path / "data/train.csv").symlink_to("..data/train.csv")
    assert [one.size for one in fetch(str(tmp_path / "data"), tmp_path / "cache")] == [15]
