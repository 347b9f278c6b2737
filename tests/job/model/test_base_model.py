import json
import shutil
from functools import partial

import boto3
import pytest
from safetensors.torch import load_file

from tunewright.job.errors import BaseModelError
from tunewright.job.model.base_model import fetch_base_model
from tunewright.job.model.find import find
from tunewright.registry.errors import NotFound

OUTSIDE = "../outside.safetensors"


def refusal(folder, registry):
    with pytest.raises(BaseModelError) as caught:
        fetch_base_model(str(folder), registry)
    return str(caught.value).replace(str(folder), "BASE")


def set_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_folder_is_copied_with_weights_configuration_and_tokenizer(tiny_base, registry):
    base = fetch_base_model(str(tiny_base), registry)
    assert base.folder.is_relative_to(registry.cache)
    assert (base.folder / "model.safetensors").read_bytes() == (tiny_base / "model.safetensors").read_bytes()
    assert base.tokenizer.read_bytes() == (tiny_base / "tokenizer.json").read_bytes()
    assert base.config()["hidden_size"] == 32


def test_the_digest_changes_with_the_weights_and_with_the_configuration(tiny_base, copied_base, registry):
    same = fetch_base_model(str(copied_base), registry)
    assert same.digest == fetch_base_model(str(tiny_base), registry).digest
    set_config(copied_base, hidden_act="relu")
    other = fetch_base_model(str(copied_base), registry)
    weights = bytearray((copied_base / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copied_base / "model.safetensors").write_bytes(weights)
    assert len({same.digest, other.digest, fetch_base_model(str(copied_base), registry).digest}) == 3


def test_a_copy_that_was_damaged_or_cut_short_is_made_again(tiny_base, registry):
    folder = fetch_base_model(str(tiny_base), registry).folder
    (folder / "tokenizer.json").write_text("{}")
    assert fetch_base_model(str(tiny_base), registry).tokenizer.read_text() != "{}"
    (folder / "model.safetensors").unlink()
    assert (fetch_base_model(str(tiny_base), registry).folder / "model.safetensors").is_file()


def test_pickled_weights_are_refused_with_the_way_to_convert_them(copied_base, registry):
    (copied_base / "model.safetensors").rename(copied_base / "pytorch_model.bin")
    assert refusal(copied_base, registry) == (
        "base model 'BASE' has its weights only as pytorch_model.bin, a format that can run code when it is read; "
        "convert it to model.safetensors (transformers: save_pretrained(..., safe_serialization=True))"
    )


def test_a_folder_without_weights_is_refused_with_what_it_has(copied_base, registry):
    (copied_base / "model.safetensors").unlink()
    assert refusal(copied_base, registry) == (
        "base model 'BASE' has no model.safetensors, the only weights that are read "
        "(it has config.json, tokenizer.json, tokenizer_config.json)"
    )


def test_a_pickle_beside_safetensors_is_not_copied(copied_base, registry):
    (copied_base / "pytorch_model.bin").write_bytes(b"anything")
    assert not (fetch_base_model(str(copied_base), registry).folder / "pytorch_model.bin").exists()


@pytest.mark.parametrize("key", ["auto_map", "trust_remote_code", "custom_pipelines"])
def test_a_configuration_that_brings_code_is_refused(copied_base, registry, key):
    set_config(copied_base, **{key: {"AutoModel": "modeling.Evil"}})
    assert refusal(copied_base, registry) == (
        f"base model 'BASE': config.json sets '{key}', which makes a loader run code from the model; "
        "only architectures that transformers itself knows are supported"
    )


@pytest.mark.parametrize("key", ["_attn_implementation", "_attn_implementation_internal", "attn_implementation"])
def test_a_configuration_that_names_a_kernel_is_refused(copied_base, registry, key):
    set_config(copied_base, **{key: "attacker/evil-kernel"})
    assert refusal(copied_base, registry) == (
        f"base model 'BASE': config.json sets '{key}' to 'attacker/evil-kernel', which makes a loader fetch a kernel; "
        "remove the key from the file"
    )


def test_code_is_found_in_inner_configurations_and_in_lists_of_them(copied_base, registry):
    set_config(copied_base, text_config={"parts": [{"_attn_implementation": "a/b"}]})
    assert "config.json, text_config, parts sets '_attn_implementation' to 'a/b'" in refusal(copied_base, registry)


def test_a_key_that_is_not_on_the_list_is_left_out_and_reported(copied_base, registry):
    set_config(copied_base, _attn_implementation="eager", my_key=1, use_kernels=True)
    base = fetch_base_model(str(copied_base), registry)
    assert set(base.dropped) == {"_attn_implementation", "my_key", "use_kernels"}
    assert not set(base.dropped) & set(base.config())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"model_type": "martian"}, "has model_type 'martian', which this transformers does not know"),
        ({"model_type": None}, "has model_type None, which this transformers does not know"),
        ({"num_hidden_layers": 3000}, "sets num_hidden_layers to 3000, which is not a whole number from 1 to 200"),
        ({"vocab_size": 10**400}, "which is not a whole number from 1 to 2,000,000"),
        ({"hidden_size": "32"}, "sets hidden_size to '32', which is not a whole number from 1 to 32,768"),
        ({"layer_norm_eps": float("nan")}, "sets layer_norm_eps to nan, which is not a finite number"),
    ],
)
def test_an_impossible_value_in_the_configuration_is_named(copied_base, registry, values, sentence):
    set_config(copied_base, **values)
    said = refusal(copied_base, registry)
    assert said.startswith("base model 'BASE': config.json ")
    assert said.endswith(sentence)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{oops", "is not JSON: Expecting property name"),
        ("[1]", "holds a list, not an object"),
        ("[" * 10**5, "is not"),
    ],
)
def test_a_configuration_that_is_no_json_object_is_refused(copied_base, registry, text, sentence):
    (copied_base / "config.json").write_text(text)
    assert f"base model 'BASE': config.json {sentence}" in refusal(copied_base, registry)


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json"])
def test_a_missing_file_is_named_with_those_that_are_there(copied_base, registry, missing):
    (copied_base / missing).unlink()
    said = refusal(copied_base, registry)
    assert said.startswith(f"base model 'BASE' has no {missing} (it has ")
    assert "model.safetensors" in said


def test_the_folder_of_a_version_is_told_how_it_is_named(copied_base, registry):
    (copied_base / "config.json").rename(copied_base / "model.json")
    said = refusal(copied_base, registry)
    assert said.endswith("; a folder that `pull` made is named as its version, models:/name/7")


@pytest.mark.parametrize("name", [OUTSIDE, "/etc/passwd", "a/b.safetensors", "weights.bin", 7])
def test_a_shard_index_that_names_anything_but_a_shard_beside_it_is_refused(copied_base, registry, name):
    shutil.copyfile(copied_base / "model.safetensors", copied_base.parent / "outside.safetensors")
    index = {"weight_map": {"embeddings.word_embeddings.weight": name}}
    (copied_base / "model.safetensors.index.json").write_text(json.dumps(index))
    sentence = f"model.safetensors.index.json names {name!r}, which is not a file beside it"
    assert refusal(copied_base, registry) == f"base model 'BASE': {sentence}"


def test_a_shard_that_is_not_there_is_named(copied_base, registry):
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors"}}
    (copied_base / "model.safetensors.index.json").write_text(json.dumps(index))
    sentence = "model.safetensors.index.json names model-00001-of-00002.safetensors, which is not there"
    assert refusal(copied_base, registry) == f"base model 'BASE': {sentence}"


def test_weights_in_shards_are_copied_all(tiny_base, tmp_path, registry):
    from transformers import AutoModel

    AutoModel.from_pretrained(tiny_base).save_pretrained(tmp_path / "shards", max_shard_size="100KB")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny_base / name, tmp_path / "shards" / name)
    folder = fetch_base_model(str(tmp_path / "shards"), registry).folder
    loaded = AutoModel.from_pretrained(folder, use_safetensors=True).state_dict()
    assert len(list(folder.glob("*.safetensors"))) > 1
    assert all(loaded[name].equal(weight) for name, weight in load_file(tiny_base / "model.safetensors").items())


def test_a_name_that_is_nothing_is_refused_with_what_would_be_something(registry):
    with pytest.raises(BaseModelError) as caught:
        fetch_base_model("./nowhere", registry)
    assert str(caught.value) == (
        "base model './nowhere' is not a folder here; expected a folder, a hub id (org/name), s3://bucket/folder, "
        "package://module/folder or models:/name@alias"
    )


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("package://not_installed/model", "the Python package 'not_installed' is not installed (pip install it)"),
        ("package://../x", "the Python package '..' is not installed (pip install it)"),
        ("package://job/nothing", "the package has no folder 'nothing'"),
        ("package://job/../registry", "the package has no folder '../registry'"),
    ],
)
def test_a_package_or_folder_that_is_not_there_is_named(registry, address, sentence):
    with pytest.raises(BaseModelError) as caught:
        fetch_base_model(address, registry)
    assert str(caught.value) == f"base model {address!r}: {sentence}"


def test_a_package_can_bring_the_weights(tiny_base, registry, tmp_path, monkeypatch):
    package = tmp_path / "tiny_weights_package"
    shutil.copytree(tiny_base, package / "model")
    (package / "__init__.py").write_text("raise SystemExit('a package of weights is not imported')")
    monkeypatch.syspath_prepend(tmp_path)
    base = fetch_base_model("package://tiny_weights_package/model", registry)
    assert base.digest == fetch_base_model(str(tiny_base), registry).digest


@pytest.mark.parametrize(("stated", "mean"), [(True, True), (False, False)])
def test_the_pooling_is_the_one_the_base_model_was_pretrained_with(copied_base, registry, stated, mean):
    (copied_base / "1_Pooling").mkdir()
    (copied_base / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": stated}))
    assert fetch_base_model(str(copied_base), registry).mean_pooling is mean


@pytest.mark.parametrize(
    ("stated", "pooling"),
    [
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["cls"]}, "cls"),
        ({"pooling_mode": ["mean", "max"], "include_prompt": True}, "mean+max"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, "cls"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, "mean+max"),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, "mean_sqrt_len"),
        ({"word_embedding_dimension": 32}, ""),
        (["mean"], ""),
    ],
)
def test_what_a_base_says_of_its_pooling_is_read_from_old_and_new_files(copied_base, registry, stated, pooling):
    (copied_base / "1_Pooling").mkdir()
    (copied_base / "1_Pooling" / "config.json").write_text(json.dumps(stated))
    base = fetch_base_model(str(copied_base), registry)
    assert (base.pooling, base.mean_pooling) == (pooling, pooling == "mean")


def test_a_base_model_is_read_from_a_bucket(tiny_base, registry, bucket):
    upload(tiny_base, bucket, "bases/tiny")
    base = fetch_base_model(f"s3://{bucket}/bases/tiny", registry)
    assert base.digest == fetch_base_model(str(tiny_base), registry).digest


def test_what_a_bucket_no_longer_has_is_no_part_of_the_model(tiny_base, registry, bucket):
    upload(tiny_base, bucket, "tiny")
    index = b'{"weight_map": {"a": "model.safetensors"}}'
    boto3.client("s3").put_object(Bucket=bucket, Key="tiny/model.safetensors.index.json", Body=index)
    boto3.client("s3").put_object(Bucket=bucket, Key="tiny/README.md", Body=b"---\nlicense: mit\n---\n")
    assert fetch_base_model(f"s3://{bucket}/tiny", registry).licence == "mit"
    for name in ("model.safetensors.index.json", "README.md"):
        boto3.client("s3").delete_object(Bucket=bucket, Key=f"tiny/{name}")
    base = fetch_base_model(f"s3://{bucket}/tiny", registry)
    assert base.licence is None
    assert base.digest == fetch_base_model(str(tiny_base), registry).digest


def test_a_bucket_with_pickled_weights_is_refused(registry, bucket):
    boto3.client("s3").put_object(Bucket=bucket, Key="tiny/pytorch_model.bin", Body=b"x")
    boto3.client("s3").put_object(Bucket=bucket, Key="tiny/config.json", Body=b"{}")
    with pytest.raises(BaseModelError, match=r"weights only as pytorch_model\.bin"):
        fetch_base_model(f"s3://{bucket}/tiny", registry)


def test_a_bucket_that_is_not_there_is_named(registry, s3):
    with pytest.raises(NotFound, match="no-such-bucket-anywhere"):
        fetch_base_model("s3://no-such-bucket-anywhere/tiny", registry)


def upload(folder, bucket, prefix):
    client = boto3.client("s3")
    for path in (one for one in folder.rglob("*") if one.is_file()):
        client.put_object(Bucket=bucket, Key=f"{prefix}/{path.relative_to(folder).as_posix()}", Body=path.read_bytes())


@pytest.fixture
def graph_alone(copied_base):
    """A base model whose weights are not there, and a graph with a file beside it is."""
    (copied_base / "model.safetensors").unlink()
    (copied_base / "onnx").mkdir()
    for name in ("model.onnx", "model.onnx_data", "other.onnx"):
        (copied_base / "onnx" / name).write_bytes(name.encode())
    return copied_base


def test_a_graph_is_fetched_from_a_bucket_where_it_may_stand_for_weights(graph_alone, registry, bucket):
    upload(graph_alone, bucket, "tiny")
    with pytest.raises(
        BaseModelError, match=r"is an ONNX graph without model\.safetensors, and a graph cannot be taught"
    ):
        find(f"s3://{bucket}/tiny", registry)
    found = find(f"s3://{bucket}/tiny", registry, graphs=True)
    assert sorted(path.name for path in (found / "onnx").iterdir()) == ["model.onnx", "model.onnx_data"]


def test_a_graph_is_fetched_from_the_hub_where_it_may_stand_for_weights(graph_alone, registry, start_hub):
    hub = start_hub(partial(_respond, graph_alone), COMMIT)
    assert not (find("org/tiny", registry) / "onnx").exists()
    found = find("org/tiny", registry, graphs=True)
    assert (found / "onnx/model.onnx_data").read_bytes() == b"model.onnx_data"
    assert not any(path.endswith("other.onnx") for path in hub.requests)


COMMIT = "a" * 40


@pytest.fixture
def hub(start_hub, tiny_base):
    """A small hub that has the repository org/tiny; `requests` holds the paths that were asked for."""
    return start_hub(partial(_respond, tiny_base), COMMIT)


def _respond(folder, path):
    """A listing, or a file of the folder."""
    parts = path.strip("/").split("/")
    if parts[:4] == ["api", "models", "org", "tiny"]:
        inside = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        names = [*inside, "pytorch_model.bin", "modeling_evil.py", "README.md"]
        listed = {"id": "org/tiny", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        tree = [{"type": "file", "path": name, "size": _size(folder / name), "oid": name} for name in names]
        return json.dumps(tree if parts[4:5] == ["tree"] else listed).encode(), 200, ""
    if parts[:2] == ["org", "tiny"] and parts[-1] == "README.md":
        return b"---\nlicense: mit\n---\n", 200, ""
    if parts[:2] == ["org", "tiny"] and (folder / "/".join(parts[4:])).is_file():
        return (folder / "/".join(parts[4:])).read_bytes(), 200, ""
    return b'{"error": "Repository not found"}', 404, "RepoNotFound"


def _size(path):
    return path.stat().st_size if path.is_file() else 1


def test_a_base_model_is_fetched_from_the_hub_without_its_pickles_and_code(tiny_base, registry, hub, capsys):
    base = fetch_base_model("org/tiny", registry)
    assert capsys.readouterr().err == ""
    assert base.digest == fetch_base_model(str(tiny_base), registry).digest
    assert base.licence == "mit"
    assert any(path.endswith("model.safetensors") for path in hub.requests)
    assert not any(path.endswith((".bin", ".py")) for path in hub.requests)


def test_a_revision_of_a_hub_model_can_be_asked_for(registry, hub):
    fetch_base_model("org/tiny@v2", registry)
    assert any(path.endswith("/revision/v2") for path in hub.requests)


def test_a_model_that_the_hub_does_not_have_is_named(registry, hub):
    with pytest.raises(BaseModelError) as caught:
        fetch_base_model("org/other", registry)
    assert str(caught.value) == (
        "base model 'org/other': the hub has no model 'org/other', or shows it only to some (HF_TOKEN)"
    )


@pytest.mark.parametrize(
    ("code", "status", "address", "said"),
    [
        ("GatedRepo", 403, "org/tiny", " is given to those who accept its terms on the hub; do so, and set HF_TOKEN"),
        ("RevisionNotFound", 404, "org/tiny@v9", ": the model has no revision 'v9', or has it no more"),
    ],
)
def test_what_the_hub_keeps_back_or_has_no_more_is_said(registry, start_hub, code, status, address, said):
    start_hub(lambda path: (b'{"error": "no"}', status, code), COMMIT)
    with pytest.raises(BaseModelError) as caught:
        fetch_base_model(address, registry)
    assert str(caught.value) == f"base model {address!r}{said}"


def test_a_hub_that_is_out_of_reach_says_where_to_look(registry, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(BaseModelError) as caught:
        fetch_base_model("org/tiny", registry)
    assert "Connection refused; look" in str(caught.value)
    assert "Got: " not in str(caught.value)
    assert str(caught.value).endswith(
        "; look at the network, HTTPS_PROXY and HF_ENDPOINT, or name a folder, s3://bucket/folder or models:/name/7"
    )
    assert "\n" not in str(caught.value)


def test_a_hub_whose_address_is_none_says_where_to_look(registry, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "hub.example.com")
    with pytest.raises(BaseModelError) as caught:
        fetch_base_model("org/tiny", registry)
    assert str(caught.value) == (
        "base model 'org/tiny' could not be had from the hub: Request URL is missing an 'http://' or 'https://' "
        "protocol; look at the network, HTTPS_PROXY and HF_ENDPOINT, or name a folder, s3://bucket/folder or "
        "models:/name/7"
    )


def test_nothing_is_asked_of_the_hub_when_it_is_offline(registry, hub, go_offline):
    go_offline()
    with pytest.raises(BaseModelError) as caught:
        fetch_base_model("org/tiny", registry)
    assert str(caught.value).startswith(
        "base model 'org/tiny' could not be had from the hub (HF_HUB_OFFLINE is set): Cannot find"
    )
    assert hub.requests == []


def test_an_offline_hub_still_gives_what_was_fetched_before(registry, hub, go_offline):
    online = fetch_base_model("org/tiny", registry)
    hub.requests.clear()
    go_offline()
    assert fetch_base_model("org/tiny", registry).digest == online.digest
    assert hub.requests == []
