"""`tunewright init`: from data to settings that `check` accepts, or one sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tunewright.job import program
from tunewright.job.settings.load import load_settings
from tunewright.job.steps.prepare import prepare
from tunewright.registry.stores.store import open_store

DATA = Path(os.environ.get("TUNEWRIGHT_DATA", "")) if os.environ.get("TUNEWRIGHT_DATA") else None
EXAMPLE = Path(__file__).parents[3] / "job/examples/reviews"
REVIEWS = "text,stars\n" + "".join(f"this is the review of number {n},{n % 2}\n" for n in range(40))


@pytest.fixture
def init(tmp_path, monkeypatch, capsys):
    """init("data.csv", "--task", "x"): the exit code, what was said on stdout and stderr, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REGISTRY_CACHE", str(tmp_path / "cache"))

    def run(*words):
        code = program.main(["init", *map(str, words)])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return code, said.out, said.err

    return run


@pytest.fixture
def prepared(tmp_path):
    """prepared("job.yaml"): the data of the settings, read and checked as `check` does."""

    def read(config):
        settings = load_settings(["--config", str(config)], "tunewright check")
        return settings, prepare(settings, tmp_path / "cache", tmp_path / "work")

    return read


def test_the_bundled_example(init, prepared):
    code, out, err = init(EXAMPLE)
    assert (code, out) == (0, "job.yaml\n")
    assert "files: the sides are told by the names of the files\n" in err
    assert "task: label has 2 words or numbers over and over (" in err
    settings, data = prepared("job.yaml")
    assert (settings.task, settings.model_name) == ("text-classification", "reviews")
    assert settings.data.columns == {"text": "text", "label": "label"}
    assert (settings.data.validation, settings.data.test) == (f"{EXAMPLE}/validation.csv", f"{EXAMPLE}/test.csv")
    assert data.labels


def test_check_accepts_what_it_writes_as_it_is(init, capsys):
    assert init(EXAMPLE)[0] == 0
    assert program.main(["check", "--config", "job.yaml"]) == 0
    assert capsys.readouterr().out.endswith("the settings and the data can be used\n")


def test_the_file_says_what_each_setting_was_told_from(init, write):
    write("reviews.csv", REVIEWS.encode())
    assert init("reviews.csv", "--output", "new/job.yaml")[0] == 0
    text = Path("new/job.yaml").read_text()
    assert "# Guessed by `tunewright init reviews.csv`: read it, and correct what is wrong.\n" in text
    assert "# stars has 2 words or numbers over and over (0: 20, 1: 20)\ntask: text-classification\n" in text
    assert "\n  columns:\n    text: text\n    label: stars\n" in text
    assert max(map(len, text.splitlines())) <= 120


def test_nothing_is_overwritten(init, write):
    write("reviews.csv", REVIEWS.encode())
    write("job.yaml", b"mine")
    assert init("reviews.csv") == (
        2,
        "",
        "error: job.yaml is there already, and is never overwritten; name another file with --output\n",
    )
    assert Path("job.yaml").read_text() == "mine"


def test_a_bucket_is_no_place_for_the_file(init, write):
    write("reviews.csv", REVIEWS.encode())
    code, _, err = init("reviews.csv", "--output", "s3://bucket/job.yaml")
    assert code == 2
    assert err.startswith("error: --output is 's3:/bucket/job.yaml'; expected a file of this machine")


def test_flags_settle_what_the_data_does_not(init, write, prepared):
    rows = "text,a,b\n" + "".join(f"this is the review of number {n},x{n % 2},y{n % 3}\n" for n in range(60))
    write("reviews.csv", rows.encode())
    code, out, err = init("reviews.csv")
    assert (code, out) == (2, "")
    assert err == (
        "error: several columns may be the label, a (2 different), b (3 different): say --columns.label a or "
        "--columns.label b\n"
    )
    assert not Path("job.yaml").exists()
    assert init("reviews.csv", "--columns.label", "b", "--model_name", "other", "--base_model", "./mine")[0] == 0
    settings, data = prepared("job.yaml")
    assert (settings.model_name, settings.base_model, data.labels) == ("other", "./mine", ["y0", "y1", "y2"])


def test_values_that_yaml_would_read_otherwise_are_quoted(init, write, prepared):
    rows = "yes,no: what?\n" + "".join(f"this is the review of number {n},v{n % 2}\n" for n in range(40))
    write("0x1F.csv", rows.encode())
    assert init("0x1F.csv")[0] == 0
    settings, _ = prepared("job.yaml")
    assert settings.data.columns == {"text": "yes", "label": "no: what?"}
    assert (settings.model_name, settings.data.train) == ("0x1f", "0x1F.csv")


@pytest.mark.parametrize("label", ["\x1b[31mred", "red"])
def test_names_of_the_data_do_not_reach_the_terminal_as_they_are(init, write, label):
    rows = "".join(f"this is the review of number {n},{label}{n % 2}\n" for n in range(40))
    write("colours.csv", f"text,kind\x1b[1m\n{rows}".encode())
    _, out, err = init("colours.csv")
    assert "\x1b" not in out + err
    assert "\x1b" not in Path("job.yaml").read_text()


def test_rows_without_a_text_or_a_label_are_left_out(init, write, prepared):
    write("train.csv", (REVIEWS + ",1\nno label here at all,\n").encode())
    write("dev.csv", (REVIEWS + "a label that nobody knows,7\n").encode())
    assert init("train.csv", "dev.csv")[0] == 0
    settings, data = prepared("job.yaml")
    assert (settings.data.drop_empty, settings.data.skip_labels, settings.data.unknown_labels) == (True, [""], "wrong")
    assert (len(data.train), settings.model_name) == (36, "model")


def test_a_folder_of_images_with_its_sides(init, write, picture):
    for side in ("train", "test"):
        for number in range(6):
            path = write(f"pets/{side}/{['cat', 'dog'][number % 2]}/{number}.png", b"")
            path.write_bytes(picture("red", number))
    assert init("pets")[0] == 0
    settings = load_settings(["--config", "job.yaml"], "tunewright check")
    assert (settings.task, settings.data.format) == ("image-classification", "imagefolder")
    assert (settings.data.train, settings.data.test) == ("pets/train", "pets/test")


def test_many_files_are_named_by_their_folder(init, write, prepared):
    for number in range(30):
        write(f"poems/{number}.txt", f"line {number}\nanother line {number}\n".encode())
    assert init("poems", "--base_model", "./mine")[0] == 0
    settings, data = prepared("job.yaml")
    assert (settings.data.train, settings.task) == ("poems", "text-generation")
    assert len(data.train) + len(data.validation) + len(data.test) == 60


def test_texts_in_folders_of_labels_are_asked_about(init, write):
    write("films/good/1.txt", b"a good film\n")
    write("films/bad/1.txt", b"a bad film\n")
    code, _, err = init("films")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: the texts stand in the folders bad, good: where these are labels, write a table ")


def test_a_bucket_is_read_as_a_folder_is(init, bucket, prepared):
    store = open_store(f"s3://{bucket}")
    for name, content in {"train.csv": REVIEWS, "dev.csv": REVIEWS, "README.md": "notes"}.items():
        store.create(f"sets/reviews/{name}", content.encode())
    assert init(f"s3://{bucket}/sets/reviews")[0] == 0
    settings, data = prepared("job.yaml")
    assert settings.data.train == f"s3://{bucket}/sets/reviews/train.csv"
    assert (settings.model_name, len(data.validation)) == ("reviews", 40)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty/.keep", b"", "data source 'empty' is a folder without a file"),
        (
            "data.bin",
            bytes(range(256)),
            "data.bin is no text, and of no format that is known: a data file is named *.csv, ",
        ),
        ("sheet.xlsx", b"PK\x03\x04rest", "sheet.xlsx is a ZIP archive or a spreadsheet (.xlsx); unpack it, or save "),
        (
            "one.csv",
            b"text\nsome text of many words\nand another\n",
            "there is one column, text, and nothing to learn ",
        ),
        ("header.csv", b"text,label\n", "header.csv: no rows"),
        ("a/b.csv", b"", "data source 'a': every file is empty (b.csv)"),
        ("nothing.csv", None, "data source 'nothing.csv': no such file; . holds "),
    ],
)
def test_data_that_cannot_be_used_is_one_sentence(init, write, name, content, said):
    if content is not None:
        write(name, content)
    code, out, err = init(name.split("/")[0])
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {said}")
    assert not Path("job.yaml").exists()


def test_a_bucket_that_is_not_there(init, s3):
    code, out, err = init("s3://no-such-bucket/data/")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert "no-such-bucket" in err


def test_a_bucket_without_rights(init, bucket, faults, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", faults.url)
    faults.inject("403 AccessDenied", "GET", times=9)
    code, out, err = init(f"s3://{bucket}/data/")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: s3://{bucket}/data/ at {faults.url}: these credentials do not allow it; ask for ")


def test_it_imports_nothing_that_trains(tmp_path):
    code = "import sys; from tunewright.job import program\n"
    code += f"assert program.main(['init', {str(EXAMPLE)!r}]) == 0\n"
    code += "print(sorted({'torch', 'transformers', 'optimum', 'peft', 'sklearn'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stderr.splitlines()[-1] == "[]"


CLASSES = "text-classification"
EXPECTED = {
    "sst2": (CLASSES, {"text": 0, "label": 1}),
    "ag_news": (CLASSES, {"text": "text", "label": "label"}),
    "sms_spam": (CLASSES, {"text": 1, "label": 0}),
    "banking77": (CLASSES, {"text": "text", "label": "category"}),
    "goemotions": (CLASSES, {"text": 0, "labels": 1}),
    "waimai_10k": (CLASSES, {"text": "review", "label": "label"}),
    "csl/cls_ctg": (CLASSES, {"text": 1, "label": 2}),
    "csl/ts": ("summarization", {"source": 1, "target": 2}),
    "stsb": ("text-regression", {"text": 0, "text_pair": 1, "score": 2}),
    "sick": (CLASSES, {"text": "sentence_A", "text_pair": "sentence_B", "label": "entailment_judgment"}),
    "wnut17": ("token-classification", {"tokens": 0, "tags": -1}),
    "ud_ewt": ("token-classification", {"tokens": "form", "tags": "upos"}),
    "dialogsum": ("summarization", {"source": "dialogue", "target": "summary"}),
    "policyqa": ("question-answering", {}),
    "cmrc2018": ("question-answering", {}),
    "tinyshakespeare": ("text-generation", {}),
    "alpaca_demo": ("text-generation", {"prompt": "instruction", "response": "output"}),
    "sign_digits": ("image-classification", {"image": "image", "label": "label"}),
}
"""Task and columns of each set that is read as it is."""
QUICK = ("sst2", "sms_spam", "stsb", "dialogsum", "policyqa", "alpaca_demo", "sign_digits")
"""Small ones of every kind: the others are read for seconds."""
ASKED = {
    "multi30k_en_de": "train.de, train.en look like lines that belong together",
    "scitldr_a": "--columns.target NAME",
    "mnist_t10k": "a data file is named *.csv, ",
    "fsdd": "make one sub-folder for each label, or write a metadata.csv",
}
"""What the others are asked: pairs of files, lists of sentences, an IDX file, names that hold the label."""


@pytest.fixture
def data_set(request):
    """A folder of the real data sets."""
    if DATA is None:
        pytest.skip("TUNEWRIGHT_DATA names no folder of data sets")
    return DATA / request.param


@pytest.mark.parametrize(
    "data_set",
    [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in EXPECTED],
    indirect=True,
)
def test_real_data_is_guessed_right_and_accepted(init, prepared, data_set):
    assert init(data_set)[0] == 0
    settings, data = prepared("job.yaml")
    assert (settings.task, settings.data.columns) == EXPECTED[data_set.relative_to(DATA).as_posix()]
    assert len(data.train)


@pytest.mark.parametrize("data_set", ASKED, indirect=True)
def test_real_data_that_is_not_clear_is_asked_about(init, data_set):
    code, out, err = init(data_set)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert ASKED[data_set.name] in err


GERMAN = "text,label\n" + "".join(
    f"Die Gr\u00f6\u00dfe der Stra\u00dfe {n},{['gut', 'schlecht'][n % 2]}\n" for n in range(40)
)


def test_a_western_file_that_is_no_utf8_is_read_as_what_it_reads_well_as(init, prepared, write):
    path = write("old.csv", GERMAN.encode("windows-1252"))
    code, _, err = init(path)
    assert code == 0
    assert "data: old.csv is no UTF-8, and reads well as windows-1252: look at a few of its letters" in err
    settings, data = prepared("job.yaml")
    assert settings.data.encoding == "windows-1252"
    assert any("Gr\u00f6\u00dfe" in text for text in data.train.data.inputs())


def test_an_encoding_that_cannot_be_told_is_asked_for(init, prepared, write):
    rows = "".join(f"\u8fd9\u662f\u7b2c {n} \u7bc7\u5f88\u597d\u7684\u8bc4\u8bba,{n % 2}\n" for n in range(40))
    path = write("old.csv", ("text,label\n" + rows).encode("gbk"))
    code, _, err = init(path)
    assert code == 2
    assert err.rstrip().endswith("say --encoding windows-1252")
    assert init(path, "--encoding", "gbk")[0] == 0
    settings, data = prepared("job.yaml")
    assert settings.data.encoding == "gbk"
    assert data.train.data.inputs()[0].startswith("\u8fd9\u662f\u7b2c")


def test_every_file_is_read_in_the_encoding_that_is_given(init, prepared, write):
    for side in ("train", "test"):
        lines = "".join(f"\u8fd9\u662f {side} \u7b2c {n} \u7bc7\u5f88\u597d\u7684\u8bc4\u8bba\n" for n in range(30))
        write(f"texts/{side}.txt", lines.encode("gbk"))
    assert init("texts", "--encoding", "gbk", "--task", "masked-language-modelling")[0] == 0
    settings, data = prepared("job.yaml")
    assert (settings.data.encoding, len(data.test)) == ("gbk", 30)


@pytest.mark.parametrize("below", ["", "images/"])
def test_a_table_beside_pictures_that_it_names_is_seen(init, prepared, write, picture, below):
    names = [f"{below}{n}.png" for n in range(40)]
    for n, name in enumerate(names):
        write(f"pictures/{name}", picture("red", n))
    rows = "".join(f"{name},{n / 2}\n" for n, name in enumerate(names))
    path = write("pictures/train.csv", f"image,score\n{rows}".encode())
    code, _, err = init(path.parent)
    assert code == 0, err
    assert "not read" not in err
    settings, _ = prepared("job.yaml")
    assert (settings.task, settings.data.columns) == ("image-regression", {"image": "image", "score": "score"})


def test_stars_may_be_a_scale(init, write):
    rows = "".join(f"this is the review of number {n},{n % 5 + 1}\n" for n in range(200))
    assert init(write("stars.csv", f"text,stars\n{rows}".encode()))[0] == 0
    scale = "it might also be --columns.score stars (text-regression, to which 4 is nearer to 5 than to 1)"
    assert f"# {scale}\n" in Path("job.yaml").read_text()
    assert init("stars.csv", "--columns.score", "stars", "--output", "score.yaml")[0] == 0
    assert load_settings(["--config", "score.yaml"], "x").task == "text-regression"


def test_files_of_another_data_set_are_left_out(init, prepared, write):
    for side, count in (("train", 60), ("test", 30)):
        one = "".join(f"this is the text of number {n},{['good', 'bad'][n % 2]}\n" for n in range(count))
        other = "".join(f"this is a text {n},and this one is what is made of it {n}\n" for n in range(30))
        write(f"sets/topics/{side}.csv", one.encode())
        write("sets/titles/test.csv", other.encode())
    code, _, err = init("sets")
    assert code == 0, err
    assert "files: left out, as most of their labels are none of train's: titles/test.csv\n" in err
    settings, _ = prepared("job.yaml")
    assert settings.data.test == "sets/topics/test.csv"
