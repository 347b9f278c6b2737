"""Environments of their own for what this project is measured against: var/bench/<name>, made once for each list of
packages."""

import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[2] / "requirements"


def environment(name: str, packages: list[str]) -> Path:
    """The Python of an environment with these packages."""
    folder = Path("var/bench") / name
    stamp, python = folder / ".made", folder / "bin" / "python"
    told = "\n".join(packages)
    if not stamp.exists() or stamp.read_text() != told:
        print(f"{folder}: installing {' '.join(packages)}", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", *packages], check=True)
        stamp.write_text(told)
    return python.absolute()


def optimum() -> Path:
    """optimum's ONNX half, with the last transformers that it works with."""
    return environment("optimum", _pinned("optimum"))


def optimum_server() -> Path:
    """The same beside a web server."""
    return environment("optimum-serve", [*_pinned("optimum"), *pins("uvicorn", "httptools"), "fastapi", "orjson"])


def litserve() -> Path:
    """LitServe, with the engine and the tokenizer of this project."""
    return environment("litserve", ["litserve==0.2.19", *pins("onnxruntime", "tokenizers", "numpy")])


def mlserver() -> Path:
    """mlserver, with the same. It does not work with uvloop 0.22."""
    return environment("mlserver", ["mlserver==1.7.1", "uvloop==0.21.0", *pins("onnxruntime", "tokenizers", "numpy")])


def infinity() -> Path:
    """infinity with PyTorch, and the last transformers that both it and optimum work with."""
    own = [
        "infinity-emb==0.0.78",
        "sentence-transformers==5.7.0",
        "prometheus-fastapi-instrumentator",
        "typer",
        "posthog",
    ]
    both = [pin for pin in _pinned("optimum") if pin.startswith(("torch==", "transformers=="))]
    return environment("infinity", [*both, *own, *pins("uvicorn", "httptools"), "fastapi", "orjson"])


def pins(*names: str) -> list[str]:
    """These packages at the versions that this project is developed with."""
    return [pin for pin in _pinned("dev") if pin.partition("==")[0] in names]


def _pinned(name: str) -> list[str]:
    return [line for line in (REQUIREMENTS / f"{name}.txt").read_text().splitlines() if "==" in line]
