"""The manifest: the form that OCI registries accept, and nothing that could hurt who pulls it."""

import hashlib
import json

import pytest

from tunewright.registry.errors import BadReference, CorruptObject
from tunewright.registry.versions.manifest import LARGEST, Layer, build, config_blob, digest_of, media_type_of, parse

FILES = [
    Layer("onnx/fp32/model.onnx", "sha256:" + "1" * 64, 90, "application/vnd.cncf.model.weight.v1.raw"),
    Layer("model.json", "sha256:" + "2" * 64, 10, "application/vnd.cncf.model.weight.config.v1.raw"),
]


def changed(**fields):
    """The bytes of the manifest above with some top-level fields replaced."""
    return json.dumps(json.loads(build(FILES, {})) | fields).encode()


def with_layer(**fields):
    layers = json.loads(build(FILES, {}))["layers"]
    return changed(layers=[layers[0] | fields, layers[1]])


def test_the_same_files_give_the_same_bytes():
    assert build(FILES, {"b": 1, "a": 2}) == build(FILES[::-1], {"a": 2, "b": 1})


def test_the_form_is_frozen():
    """A change of these bytes changes the digest of every version to come: it must be meant."""
    assert (
        digest_of(build(FILES, {"task": "x"}))
        == "sha256:895472be56ef9168b630692c89f5c4dd906eb35c19adb771667b51ff162bb464"
    )


def test_the_form_is_that_of_modelpack():
    fields = json.loads(build(FILES, {"task": "text-classification"}))
    assert fields["schemaVersion"] == 2
    assert fields["mediaType"] == "application/vnd.oci.image.manifest.v1+json"
    assert fields["artifactType"] == "application/vnd.cncf.model.manifest.v1+json"
    assert fields["config"]["mediaType"] == "application/vnd.cncf.model.config.v1+json"
    assert [layer["annotations"]["org.cncf.model.filepath"] for layer in fields["layers"]] == [
        "model.json",
        "onnx/fp32/model.onnx",
    ]
    assert all(isinstance(value, str) for value in fields["annotations"].values())


def test_the_configuration_has_only_the_keys_of_modelpack():
    blob = config_blob(FILES)
    assert json.loads(blob) == {
        "descriptor": {},
        "config": {"format": "onnx"},
        "modelfs": {"type": "layers", "diffIds": ["sha256:" + "2" * 64, "sha256:" + "1" * 64]},
    }
    assert json.loads(build(FILES, {}))["config"]["digest"] == f"sha256:{hashlib.sha256(blob).hexdigest()}"


def test_what_was_built_is_parsed():
    manifest = parse(build(FILES, {"task": "x", "labels": ["ä", "b"]}))
    assert manifest.layers == (FILES[1], FILES[0])
    assert manifest.config == {"task": "x", "labels": ["ä", "b"]}
    assert manifest.size == 100


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("onnx/int8/model.onnx", "weight"),
        ("weights/model.safetensors", "weight"),
        ("model.json", "weight.config"),
        ("tokenizer.json", "weight.config"),
        ("weights/config.json", "weight.config"),
        ("report/README.md", "doc"),
        ("report/metrics.json", "doc"),
    ],
)
def test_media_types_are_picked_by_path(path, kind):
    assert media_type_of(path) == f"application/vnd.cncf.model.{kind}.v1.raw"


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        "",
        ".",
        "a/",
        "a\\b",
        "C:x",
        "a\x00b",
        "a\nb",
        "x" * 600,
        "a./b",
        "a ",
    ],
)
def test_paths_that_leave_the_folder_are_refused(path):
    bad = Layer(path, "sha256:" + "1" * 64, 1, "x")
    with pytest.raises(BadReference, match="is not a usable file path; expected plain relative parts"):
        build([bad], {})
    with pytest.raises(CorruptObject, match="is not a usable file path"):
        parse(with_layer(annotations={"org.cncf.model.filepath": path}))


@pytest.mark.parametrize(
    ("paths", "sentence"),
    [
        (["Model.json", "model.json"], "'model.json' and 'Model.json' are the same file on some systems; rename one"),
        (["a", "a/b"], "'a' cannot be a file and the folder of 'a/b'; rename one"),
        ([], "a version has 1 to 4096 files, not 0"),
    ],
)
def test_paths_that_cannot_stand_together_are_refused(paths, sentence):
    with pytest.raises(BadReference) as error:
        build([Layer(path, "sha256:" + "1" * 64, 1, "x") for path in paths], {})
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"{}", "schemaVersion: field required"),
        (b'{"schemaVersion":2,"schemaVersion":2}', "the key 'schemaVersion' stands twice"),
        (b"x" * (LARGEST + 1), f"holds {LARGEST + 1} bytes; at most {LARGEST} are allowed"),
        (
            changed(artifactType="other"),
            "artifactType is 'other': input should be 'application/vnd.cncf.model",
        ),
        (changed(layers=[]), "a version has 1 to 4096 files, not 0"),
        (changed(layers=None), "layers is None: input should be a valid list"),
        (changed(layers=["x"]), "layers.0 is 'x': input should be a valid dictionary"),
        (changed(annotations={"org.tunewright.config": "[]"}), "is not a JSON object but a list"),
        (with_layer(digest="sha512:" + "1" * 128), "layers.0.digest is 'sha512:"),
        (with_layer(digest="md5:1"), "layers.0.digest is 'md5:1'"),
        (with_layer(digest=7), "layers.0.digest is 7: input should be a valid string"),
        (with_layer(size=-1), "layers.0.size is -1: input should be greater"),
        (with_layer(size=True), "layers.0.size is True: input should be a valid integer"),
        (with_layer(size=1 << 60), "input should be less than"),
        (with_layer(annotations={}), "has no annotation org.cncf.model.filepath"),
        (with_layer(annotations={"org.cncf.model.filepath": 7}), "filepath is 7: input should be a valid string"),
    ],
)
def test_a_hostile_manifest_is_refused(data, sentence):
    with pytest.raises(CorruptObject) as error:
        parse(data, "the manifest of reviews:7")
    assert str(error.value).startswith("the manifest of reviews:7 ")
    assert sentence in str(error.value)


@pytest.mark.parametrize("config", [{"x": float("nan")}, {"x": object()}])
def test_a_config_that_is_not_json_is_refused(config):
    with pytest.raises(BadReference, match="config cannot be written as JSON"):
        build(FILES, config)


def test_a_config_that_is_too_large_is_refused():
    with pytest.raises(BadReference, match=r"the manifest would hold \d+ bytes, at most 4194304 are allowed"):
        build(FILES, {"x": "y" * LARGEST})
