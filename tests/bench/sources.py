"""Data sets as their owners ship them, laid out as a job reads them.

Each function takes the folder of all data sets and an empty folder. It fills the latter, which becomes a bucket's
folder, and gives side to file or folder in it. Most files go in as they are; what is not one of Tunewright's formats
(pairs of files, lists of sentences, IDX images, one file for all sides) is written as one.
"""

import gzip
import io
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

Sides = dict[str, str]
Source = Callable[[Path, Path], Sides]


def files(**sides: str) -> Source:
    """Files as they are."""

    def lay_out(data: Path, out: Path) -> Sides:
        for name in sides.values():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(data / name, out / name)
        return sides

    return lay_out


def multi30k(data: Path, out: Path) -> Sides:
    """Line N of the English file and line N of the German one are a pair."""
    for side, name in {"train": "train", "validation": "val", "test": "test_2016_flickr"}.items():
        languages = [
            gzip.decompress((data / f"multi30k_en_de/{name}.{code}.gz").read_bytes()).decode().splitlines()
            for code in ("en", "de")
        ]
        _write_rows(out / f"{side}.jsonl", ({"en": en, "de": de} for en, de in zip(*languages, strict=True)))
    return {side: f"{side}.jsonl" for side in ("train", "validation", "test")}


def scitldr(data: Path, out: Path) -> Sides:
    """The sentences of an abstract joined; the first of its summaries."""
    for side, name in {"train": "train", "validation": "dev", "test": "test"}.items():
        rows = map(json.loads, (data / f"scitldr_a/{name}.jsonl").read_text().splitlines())
        pairs = ({"abstract": " ".join(row["source"]), "tldr": row["target"][0]} for row in rows)
        _write_rows(out / f"{side}.jsonl", pairs)
    return {side: f"{side}.jsonl" for side in ("train", "validation", "test")}


def dialogsum(data: Path, out: Path) -> Sides:
    """The dev file teaches, since the train file is not at hand; of a test row's three summaries the first."""
    for side, name, summary in (("train", "dev", "summary"), ("test", "test", "summary1")):
        rows = map(json.loads, (data / f"dialogsum/dialogsum.{name}.jsonl").read_text().splitlines())
        _write_rows(out / f"{side}.jsonl", ({"dialogue": row["dialogue"], "summary": row[summary]} for row in rows))
    return {side: f"{side}.jsonl" for side in ("train", "test")}


def tinyshakespeare(data: Path, out: Path) -> Sides:
    """The first 90 % teach, the next 5 % validate, the last 5 % test; cut between speeches."""
    speeches = (data / "tinyshakespeare/input.txt").read_text().split("\n\n")
    ends = [int(len(speeches) * share) for share in (0, 0.9, 0.95, 1)]
    for side, start, end in zip(("train", "validation", "test"), ends, ends[1:], strict=False):
        (out / f"{side}.txt").write_text("\n\n".join(speeches[start:end]) + "\n")
    return {side: f"{side}.txt" for side in ("train", "validation", "test")}


def alpaca(data: Path, out: Path) -> Sides:
    """Instruction, and input where there is one, as the prompt. Every tenth row tests."""
    rows = json.loads((data / "alpaca_demo/alpaca_en_demo.json").read_text())
    pairs = [
        {"prompt": "\n".join(filter(None, (row["instruction"], row["input"]))) + "\n", "response": row["output"]}
        for row in rows
        if row["output"].strip()
    ]
    _write_rows(out / "train.jsonl", (pair for number, pair in enumerate(pairs) if number % 10))
    _write_rows(out / "test.jsonl", pairs[::10])
    return {"train": "train.jsonl", "test": "test.jsonl"}


def mnist(data: Path, out: Path) -> Sides:
    """The first 8,000 images teach and the last 2,000 test; PNGs in Parquet."""
    images, labels = (
        np.frombuffer(gzip.decompress((data / f"mnist_t10k/t10k-{kind}-ubyte.gz").read_bytes()), np.uint8, offset=start)
        for kind, start in (("images-idx3", 16), ("labels-idx1", 8))
    )
    pngs = [_png(image) for image in images.reshape(-1, 28, 28)]
    for side, rows in {"train": slice(0, 8000), "test": slice(8000, None)}.items():
        table = pa.table({"image": pngs[rows], "label": [str(label) for label in labels[rows]]})
        pq.write_table(table, out / f"{side}.parquet")
    (out / "digit.png").write_bytes(pngs[-1])
    return {"train": "train.parquet", "test": "test.parquet"}


def sign_digits(data: Path, out: Path) -> Sides:
    """Folders of classes, which the job divides. Who is in a picture is not known, so all sides hold all persons."""
    shutil.copytree(data / "sign_digits", out / "train", copy_function=shutil.copyfile)
    return {"train": "train"}


def fsdd(data: Path, out: Path) -> Sides:
    """One speaker tests, one validates, four teach; folders of digits."""
    sides = {"theo": "validation", "yweweler": "test"}
    for path in sorted((data / "fsdd/recordings").glob("*.wav")):
        digit, speaker, _ = path.stem.split("_")
        folder = out / sides.get(speaker, "train") / digit
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    return {side: side for side in ("train", "validation", "test")}


def _png(image: "np.ndarray[Any, np.dtype[np.uint8]]") -> bytes:
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return content.getvalue()


def _write_rows(path: Path, rows: Iterable[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
