"""Removes from an environment what an image never reads: `python3 trim.py serving|job PACKAGES`.

Tests, headers and sources of other languages, tools, and the descriptions of services that no store is. The build of an
image imports all of Tunewright after it, and tests/test_containers.py runs both images.
"""

import shutil
import sys
from pathlib import Path

SERVICES = ("s3", "sts", "sso", "sso-oidc", "signin")
"""The services of botocore that are asked: the store, and those that lend credentials."""
SWAGGER = ("swagger-ui.css", "swagger-ui-bundle.js")
UNUSED = {
    "serving": (
        *("onnxruntime/transformers", "onnxruntime/tools", "onnxruntime/quantization", "onnxruntime/datasets"),
        "**/tests",
        "**/*.p[xy][dix]",
    ),
    "job": (
        *("onnxruntime/transformers", "onnxruntime/datasets"),
        *("torch/include", "torch/test", "torch/bin/test_*", "torch/bin/protoc*", "torch/share/cmake"),
        *("pyarrow/include", "pyarrow/src", "pyarrow/libarrow_flight.so*"),
        *("onnx/backend/test", "sklearn/datasets/data", "sklearn/datasets/images", "sympy/**/benchmarks"),
        "**/tests",
        *(f"**/*.{ending}" for ending in ("pyi", "pyx", "pxd", "pxi", "h", "hpp", "c", "cpp", "cu", "cuh", "a", "lib")),
    ),
}
KEPT = ("nvidia", "triton")
"""CUDA's own packages compile at run time, from headers of theirs."""


def unused(image: str, packages: Path) -> list[Path]:
    """What goes, outermost folders first."""
    found = {path for pattern in UNUSED[image] for path in packages.glob(pattern)}
    found |= {path for path in packages.glob("botocore/data/*/") if path.is_dir() and path.name not in SERVICES}
    found |= {path for path in packages.glob("swagger_ui_bundle/vendor/*/*") if path.name not in SWAGGER}
    # A second build of the same library, of which Python's module links none.
    found |= set(packages.glob("onnxruntime/capi/libonnxruntime.so*"))
    return sorted(path for path in found if path.relative_to(packages).parts[0] not in KEPT)


def main() -> None:
    """Remove it."""
    image, packages = sys.argv[1], Path(sys.argv[2])
    for path in unused(image, packages):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
