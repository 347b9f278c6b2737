"""Files of a few kilobytes that unfold into gigabytes, and what each costs a server: `make bench-bombs`.

Every bomb goes to a real server of its kind, which is asked one after the other: the answer, the most memory over what
the idle server held, and the processor time it took.
"""

import base64
import io
import json
import multiprocessing
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import soundfile
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from target import Target

GREY = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAAAAADhZOFXAAAAEElEQVR4nGNsYIAAJgaKGAAmCACQXTClHgAAAABJRU5ErkJggg=="
LOGITS = (0.25, 0.75)


@cache
def png(width: int, height: int, *, bits: int = 1, kind: int = 0) -> bytes:
    """Nothing but zeros; `kind`: 0 grey, 2 colours, 3 palette, 6 colours with alpha."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    row = 1 + (width * bits * {0: 1, 2: 3, 3: 1, 6: 4}[kind] + 7) // 8
    packer, parts = zlib.compressobj(9), []
    block = bytes(row) * max(1, (1 << 20) // row)
    whole, rest = divmod(row * height, len(block))
    parts = [*(packer.compress(block) for _ in range(whole)), packer.compress(block[:rest]), packer.flush()]
    palette = chunk(b"PLTE", bytes(3)) if kind == 3 else b""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + palette + chunk(b"IDAT", b"".join(parts)) + chunk(b"IEND", b"")


@cache
def picture(width: int, height: int, form: str, **options: Any) -> bytes:
    """One colour, as Pillow writes it."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), (40, 90, 160)).save(file, form, **options)
    return file.getvalue()


@cache
def silence(seconds: int, *, rate: int, channels: int = 1, form: str = "FLAC") -> bytes:
    """A recording in which nothing is heard."""
    file, block = io.BytesIO(), np.zeros((rate, channels), dtype=np.float32)
    with soundfile.SoundFile(file, "w", rate, channels, format=form) as out:
        for _ in range(seconds):
            out.write(block)
    return file.getvalue()


BOMBS: dict[str, tuple[str, Callable[[], list[bytes]]]] = {
    "WEBP 7000 x 7000, lossless": ("image", lambda: [picture(7000, 7000, "WEBP", lossless=True)]),
    "PNG 1 x 49,000,000, 1 bit": ("image", lambda: [png(1, 49_000_000)]),
    "PNG 40,000,000 x 1, 8 bits": ("image", lambda: [png(40_000_000, 1, bits=8)]),
    "PNG 7070 x 7070, colours": ("image", lambda: [png(7070, 7070, bits=8, kind=2)]),
    "PNG 6000 x 6000, palette": ("image", lambda: [png(6000, 6000, bits=8, kind=3)]),
    "PNG 5000 x 5000, 16 bits": ("image", lambda: [png(5000, 5000, bits=16)]),
    "JPEG 7000 x 7000, progressive": ("image", lambda: [picture(7000, 7000, "JPEG", progressive=True, subsampling=0)]),
    "TIFF 7000 x 7000, one strip": (
        "image",
        lambda: [picture(7000, 7000, "TIFF", compression="tiff_deflate", strip_size=1 << 30)],
    ),
    "200 x WEBP 7000 x 7000": ("image", lambda: [picture(7000, 7000, "WEBP", lossless=True)] * 200),
    "250 x PNG 1500 x 1500": ("image", lambda: [png(1500, 1500, bits=8)] * 250),
    "FLAC 599 s, 192 kHz, 1 channel": ("audio", lambda: [silence(599, rate=192_000)]),
    "FLAC 599 s, 192 kHz, 8 channels": ("audio", lambda: [silence(599, rate=192_000, channels=8)]),
    "200 x FLAC 60 s, 48 kHz": ("audio", lambda: [silence(60, rate=48_000)] * 200),
}
"""Name to the kind of server it is meant for, and what makes the files of its request."""


def write_bundle(folder: Path, kind: str) -> None:
    """A model that reads files and answers every one of them alike."""
    name = {"image": "pixel_values", "audio": "input_values"}[kind]
    axes = ["B", 3, "H", "W"] if kind == "image" else ["B", "T"]
    node = helper.make_node
    constants = {"all": np.arange(1, len(axes)), "none": np.zeros((1, 2), np.float32), "bias": np.float32([LOGITS])}
    graph = helper.make_graph(
        [
            node("ReduceSum", [name, "all"], ["sum"], keepdims=1),
            node("Flatten", ["sum"], ["sum_B1"]),
            node("MatMul", ["sum_B1", "none"], ["nothing_B2"]),
            node("Add", ["nothing_B2", "bias"], ["logits"]),
        ],
        "alike",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", 2])],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    path = folder / "onnx/fp32/model.onnx"
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    sound = base64.b64encode(silence(1, rate=16_000)).decode()
    content = {
        "format": 1,
        "task": f"{kind}-classification",
        "problem": "single_label",
        "labels": ["no", "yes"],
        "options": {kind: {"resize": {"height": 32, "width": 32}} if kind == "image" else {"kind": "waveform"}},
        "variants": {
            "fp32": {
                "file": "onnx/fp32/model.onnx",
                "batching": "padded",
                "bytes": path.stat().st_size,
                "golden_tolerance": 0.001,
            }
        },
        "default_variant": "fp32",
        "golden": [{"inputs": GREY if kind == "image" else sound, "outputs": {"fp32": list(LOGITS)}}],
    }
    (folder / "model.json").write_text(json.dumps(content))


def target_of(kind: str, folder: Path) -> Target:
    """A server of such a model."""
    write_bundle(folder / "bundle", kind)
    return Target(folder / "bundle", folder)


def waiting(target: Target, file: bytes, requests: int) -> float:
    """Milliseconds that 99 of 100 requests of one small file wait at most."""
    body, waits = json.dumps({"inputs": base64.b64encode(file).decode()}).encode(), []
    for _ in range(requests):
        started = time.perf_counter()
        status, answer = target.post(body)
        assert status == 200, answer
        waits.append(1000 * (time.perf_counter() - started))
    return float(np.percentile(waits, 99))


def beside(name: str) -> tuple[float, float]:
    """The 99th percentile of a small request alone, and beside two callers who send a bomb again and again."""
    kind, make = BOMBS[name]
    small = base64.b64decode(GREY) if kind == "image" else silence(1, rate=16_000)
    body = json.dumps({"inputs": [base64.b64encode(file).decode() for file in make()]}).encode()
    with tempfile.TemporaryDirectory() as folder:
        target = target_of(kind, Path(folder))
        try:
            alone = waiting(target, small, 300)
            # Processes of their own: threads would wait for each other here, and not in the server.
            callers = [multiprocessing.Process(target=throw, args=(target, body), daemon=True) for _ in range(2)]
            for caller in callers:
                caller.start()
            try:
                return alone, waiting(target, small, 300)
            finally:
                for caller in callers:
                    caller.terminate()
                    caller.join()
        finally:
            target.close()


def throw(target: Target, body: bytes) -> None:
    """Send a body again and again, for ever."""
    while True:
        target.post(body, 120)


def main() -> None:
    """Print a row for each bomb, and how long small requests wait beside the worst."""
    print("| input | body, kB | answer | memory over idle, MB | CPU s |\n|---|---|---|---|---|")
    for kind in ("image", "audio"):
        for name in (name for name, (meant, _) in BOMBS.items() if meant == kind):
            with tempfile.TemporaryDirectory() as folder:
                # A server of its own for each: memory that one left behind is not the next one's.
                files, target = BOMBS[name][1](), target_of(kind, Path(folder))
                try:
                    cost = target.ask(files)
                finally:
                    target.close()
            size = sum(4 * len(file) // 3 for file in files) / 1e3
            print(
                f"| {name} | {size:,.0f} | {cost.status} | {cost.megabytes:,.0f} | {cost.cpu_seconds:.2f} |", flush=True
            )
    for name in ("200 x WEBP 7000 x 7000", "FLAC 599 s, 192 kHz, 1 channel"):
        alone, together = beside(name)
        print(f"a small request beside {name}: p99 {together:.0f} ms, alone {alone:.0f} ms", flush=True)


if __name__ == "__main__":
    main()
