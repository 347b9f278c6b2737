"""A version as a folder of this machine: which one it is, what is checked, what is refused."""

import json
import shutil

import pytest

from tunewright.registry.errors import BadReference, CorruptObject, NotFound
from tunewright.registry.program import main as registry
from tunewright.serving.bundle.folder import check_folder, hinting, is_folder, moves, name_of, open_folder
from tunewright.serving.errors import BundleError


@pytest.fixture
def pulled(published, tmp_path, monkeypatch):
    """reviews:1 as `tunewright pull --to` leaves it, without its weights."""
    monkeypatch.setenv("REGISTRY_URI", str(published))
    assert registry(["pull", "reviews", "--to", str(tmp_path / "pulled")]) == 0
    shutil.rmtree(tmp_path / "pulled/weights")
    return tmp_path / "pulled"


@pytest.fixture
def initialized(published, tmp_path, monkeypatch):
    """reviews:1 as KServe has it brought."""
    monkeypatch.setenv("REGISTRY_URI", str(published))
    assert registry(["storage-initializer", "tunewright://reviews:1?variant=int8", str(tmp_path / "mnt")]) == 0
    return tmp_path / "mnt"


@pytest.fixture
def plain(reviews, tmp_path):
    """The same files, and nothing that says whose they are."""
    return shutil.copytree(reviews, tmp_path / "spam")


@pytest.mark.parametrize("text", ["/models", "./reviews", "../a/b", ".", "..", "reviews=/models", "x=./y", "~/models"])
def test_what_has_a_slash_is_a_folder(text):
    assert is_folder(text)
    assert not moves(text)


@pytest.mark.parametrize("text", ["reviews", "reviews@production", "reviews:7", "models:/reviews/7", "s3://bucket/x"])
def test_what_the_registry_names_is_none(text):
    assert not is_folder(text)


def test_the_record_of_a_pull_says_which_version_it_is(pulled):
    folder = open_folder(str(pulled))
    assert str(folder.version) == "reviews:1"
    assert folder.version.digest == json.loads((pulled / ".tunewright-pull.json").read_text())["digest"]
    assert check_folder(folder, "int8") == "int8"
    assert name_of(f"mine={pulled}") == "mine"


def test_a_storage_initializer_writes_what_is_served(initialized):
    folder = open_folder(f"mine={initialized}")
    assert (str(folder.version), check_folder(folder, "int8")) == ("mine:1", "int8")
    assert not (initialized / "weights").exists()


def test_a_folder_without_a_record_is_called_as_it_is_and_known_by_its_files(plain):
    folder = open_folder(str(plain))
    assert (str(folder.version), check_folder(folder, None)) == ("spam:0", "fp32")
    (plain / ".lock").write_text("of whoever filled it")
    assert open_folder(f"mine={plain}").version.digest == folder.version.digest
    (plain / "labels.txt").write_text("more")
    assert open_folder(str(plain)).version.digest != folder.version.digest


def change(folder):
    with (folder / "onnx/fp32/model.onnx").open("ab") as file:
        file.write(b"x")
    return "holds another onnx/fp32/model.onnx than reviews:1: its digest is not that of the pull"


def remove(folder):
    (folder / "tokenizer.json").unlink()
    return "has no tokenizer.json, which reviews:1 holds"


def add(folder):
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    return "holds chat_template.jinja, which reviews:1 does not"


@pytest.mark.parametrize("damage", [change, remove, add])
def test_a_file_that_is_not_the_one_of_the_version_is_named(pulled, damage):
    said = damage(pulled)
    with pytest.raises(BundleError) as caught:
        check_folder(open_folder(str(pulled)), "fp32")
    assert str(caught.value) == f"{pulled} {said}; pull the version again, into an empty folder"


def test_what_is_not_served_may_be_missing(pulled):
    shutil.rmtree(pulled / "onnx/int8")
    assert check_folder(open_folder(str(pulled)), "fp32") == "fp32"


def test_a_damaged_record_is_told(pulled):
    (pulled / ".tunewright-pull.json").write_text("{}")
    with pytest.raises(CorruptObject, match="pull into an empty folder"):
        open_folder(str(pulled))


@pytest.mark.parametrize(
    ("made", "asked", "said"),
    [
        ([], "x", "{0}/x is not there; expected the folder of a version, with its model.json"),
        (["x"], "x", "{0}/x is a file; expected the folder of a version, with its model.json"),
        (["m/"], "m", "{0}/m holds no model.json, so it is no folder of a version; it is empty: was it pulled, or "
         "mounted, at all?"),
        (["m/a", "m/b"], "m", "{0}/m holds no model.json, so it is no folder of a version; it holds a, b"),
        (["m/models/model.json"], "m", "{0}/m holds no model.json, so it is no folder of a version; did you mean "
         "{0}/m/models?"),
        (["My Model/model.json"], "My Model", "{0}/My Model tells no name: it has no record of a pull "
         "(.tunewright-pull.json), and no model can be called as the folder is; say it, as in reviews={0}/My Model"),
    ],
)  # fmt: skip
def test_what_is_no_folder_of_a_version_is_told_in_a_sentence(tmp_path, made, asked, said):
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).mkdir() if name.endswith("/") else (tmp_path / name).write_text("{}")
    with pytest.raises((BadReference, BundleError)) as caught:
        open_folder(str(tmp_path / asked))
    assert str(caught.value) == said.format(tmp_path)


def test_what_stands_before_a_folder_is_a_name(plain):
    with pytest.raises(BadReference, match="'reviews:7' is no name alone; what stands before a folder is a name"):
        open_folder(f"reviews:7={plain}")


def test_what_has_no_name_before_its_equals_is_told(plain):
    with pytest.raises(BadReference) as caught:
        open_folder(f"={plain}")
    assert str(caught.value) == f"'={plain}' has no name before its =; expected reviews={plain}, or {plain} alone"


def test_a_variant_that_the_folder_does_not_hold_is_told_with_those_it_does(pulled, plain, tmp_path):
    shutil.rmtree(plain / "onnx/fp32")
    registry(["pull", "reviews", "--variant", "int8", "--to", str(tmp_path / "int8")])
    for folder in (plain, tmp_path / "int8"):
        for asked in ("fp32", None):
            with pytest.raises(BundleError) as caught:
                check_folder(open_folder(str(folder)), asked)
            assert str(caught.value) == (
                f"{folder} holds no graph of the variant fp32 (onnx/fp32/model.onnx); it holds int8, of which "
                "SERVING_VARIANT names one"
            )
        assert check_folder(open_folder(str(folder)), "int8") == "int8"


@pytest.mark.parametrize(
    ("reference", "error", "hint"), [("Ü d", BadReference, "./Ü d"), ("mine=rv", BadReference, "mine=./rv")]
)
def test_a_folder_that_is_meant_by_a_name_is_a_hint(tmp_path, monkeypatch, reference, error, hint):
    monkeypatch.chdir(tmp_path)
    for name in ("Ü d", "rv"):
        (tmp_path / name).mkdir()
    with pytest.raises(error) as caught:
        name_of(reference)
    assert str(caught.value).endswith(f"; did you mean the folder {hint}?")
    with pytest.raises(NotFound) as missing, hinting("rv"):
        raise NotFound("there is no model 'rv'")
    assert str(missing.value) == "there is no model 'rv'; did you mean the folder ./rv?"
    with pytest.raises(NotFound, match=r"^there is no model 'x'$"), hinting("x"):
        raise NotFound("there is no model 'x'")


def test_what_is_exported_for_kserve_is_served_under_the_name_of_its_service(published, tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRY_URI", str(published))
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))
    words = ["--kserve", str(tmp_path / "kserve"), "--storage-uri", "pvc://models"]
    assert registry(["export", "reviews", *words]) == 0
    folder = open_folder(f"shop={tmp_path / 'kserve/model'}")
    assert (str(folder.version), check_folder(folder, None)) == ("shop:1", "fp32")
    change(folder.path)
    with pytest.raises(BundleError, match="its digest is not that of the pull"):
        check_folder(folder, None)
